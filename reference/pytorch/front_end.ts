// # From a document to its networks
//
// The code of the file runs as it stands. What then is a network: every class deriving from nn.Module
// that can be constructed, or was; every variable that holds a module; every function that returned
// one.

import { withDevice } from "../backend.js";
import { nearest } from "../errors.js";
import { manualSeed } from "../random.js";
import type { Module } from "../nn/module.js";
import { noGrad } from "../tape.js";
import type {
  Analysis,
  AnalysisOptions,
  Document,
  Finding,
  FrontEnd,
  Network,
  SourceRange,
} from "./analysis.js";
import type { Expr, Span, Stmt } from "./ast.js";
import {
  type Found,
  fromCall,
  fromComment,
  fromDataSet,
  solve,
  takesAnything,
  type Wanted,
  wantedBy,
} from "./inputs.js";
import { Exhausted, Failure, Interpreter, type Limits } from "./interpreter.js";
import { NotKnown } from "./layers.js";
import { live } from "./live.js";
import { findingOf, inspect, printedOf, type Sizes } from "./network.js";
import { type Parsed, PythonParser, type WasmFiles } from "./parse.js";
import { SourceFile } from "./source.js";
import {
  Class,
  Fn,
  type Instance,
  isModule,
  modulesOf,
  plainArgs,
  Raised,
  type Scope,
  Unknown,
  type Value,
} from "./values.js";
import { type Said, saidBy, say, spoken } from "../words.js";

/** Prepares the parser. The WebAssembly comes from the packages named in `WasmFiles`. */
export async function createFrontEnd(wasm: WasmFiles): Promise<FrontEnd> {
  return new PyTorchFrontEnd(await PythonParser.create(wasm));
}

const mostSolved = 200;

interface Candidate {
  readonly name: string;
  readonly range: SourceRange;
  /** Of the declaration, for comments. */
  readonly span: Span;
  readonly instance: Instance;
  /** Constructs it anew. */
  readonly again: (run: Interpreter, globals: Scope) => Value;
}

class PyTorchFrontEnd implements FrontEnd {
  readonly #parser: PythonParser;
  /** What was found by trying, by the code that it was tried on. */
  readonly #solved = new Map<string, Found>();

  constructor(parser: PythonParser) {
    this.#parser = parser;
  }

  forget(file: string): void {
    this.#parser.forget(file);
  }

  analyse(document: Document, options: AnalysisOptions = {}): Analysis {
    const file = SourceFile.of(document);
    const parsed = this.#parser.parse(file.name, file.text);
    const work = new Work(this.#parser, file, parsed, options, this.#solved);
    return meta(() => {
      const findings: Finding[] = parsed.errors.slice(0, 20).map((at) => ({
        severity: "note",
        code: "syntax",
        message: say`this is not finished; the rest of the file is followed`,
        range: file.range(at),
        related: [],
      }));
      const candidates = work.candidates();
      // Those that contain others go first: the others are shown what they are given there.
      const inner = new Set(
        candidates.flatMap(({ instance }) =>
          [...modulesOf(instance).keys()].filter((module) => module !== instance),
        ),
      );
      const innerClasses = new Set([...inner].map(({ cls }) => cls));
      const later = ({ instance }: Candidate) =>
        inner.has(instance) || innerClasses.has(instance.cls) || takesAnything(instance);
      const made = new Map<Candidate, Network>();
      for (const last of [false, true])
        for (const candidate of candidates)
          if (later(candidate) === last) {
            const network = whole(candidate, () => work.network(candidate, findings), findings);
            if (network !== null && !isAbstract(candidate.instance, network))
              made.set(candidate, network);
          }
      const networks = candidates.flatMap((candidate) => made.get(candidate) ?? []);
      for (const failure of work.run.failures) findings.push(findingOf(failure));
      // What a network says of itself says more than the call at which it was noticed.
      const unique = new Map<string, Finding>();
      for (const finding of findings) {
        const key = `${finding.code} ${finding.range.file} ${finding.range.start}`;
        if (!unique.has(key)) unique.set(key, finding);
      }
      return { networks, findings: [...unique.values()], blocks: file.blocks };
    });
  }

  analyseEntry(document: Document, entry: string, options: AnalysisOptions = {}): Network {
    const file = SourceFile.of(document);
    const parsed = this.#parser.parse(file.name, file.text);
    const work = new Work(this.#parser, file, parsed, options, this.#solved);
    return meta(() => {
      const known = work.candidates().find(({ name }) => name === entry);
      if (known !== undefined) return work.network(known, []);
      const expression = this.#parser.expression(entry);
      if (expression === null)
        throw new RangeError(`"${entry}" is no Python expression; try NAME or NAME(arguments)`);
      return work.network(work.entry(entry, expression), []);
    });
  }
}

/** A class that others fill, such as one whose forward runs a `self.net` that it does not have. */
const isAbstract = (instance: Instance, { output, totals, failed }: Network): boolean =>
  output === null && failed === null && totals.parameters === 0 && modulesOf(instance).size === 1;

const meta = <T>(body: () => T): T => withDevice("meta", () => noGrad(body));

/** What no one foresaw costs one network, not the whole answer. */
function whole(
  { name, range }: Candidate,
  body: () => Network,
  findings: Finding[],
): Network | null {
  try {
    return body();
  } catch (error) {
    const message = say`${name} is not followed: ${saidBy(error)}`;
    findings.push({ severity: "note", code: "unknown", message, range, related: [] });
    return null;
  }
}

class Work {
  readonly run: Interpreter;
  readonly globals: Scope;
  readonly #parser: PythonParser;
  readonly #limits: Limits;

  constructor(
    parser: PythonParser,
    readonly file: SourceFile,
    readonly parsed: Parsed,
    readonly options: AnalysisOptions,
    readonly solved: Map<string, Found>,
  ) {
    const { steps = 2e6, depth = 100, elements = 1e5, milliseconds = 2000 } = options.budget ?? {};
    this.#parser = parser;
    this.#limits = { steps, depth, elements, milliseconds };
    this.run = new Interpreter(parser, this.#limits, options.neighbour);
    this.globals = meta(() => this.run.runFile(file, parsed.body));
  }

  /** The networks that the file declares, in its order; those that only occur in others come last. */
  candidates(): Candidate[] {
    const own: Candidate[] = [];
    // Known once everything has run that can.
    const parts: (() => void)[] = [];
    const late: Candidate[] = [];
    const seen = new Set<Value>();
    for (const { name, at, span, isFunction } of declared(this.parsed.body)) {
      const value = this.run.given.get(at);
      if (value === undefined || seen.has(value)) continue;
      const range = this.file.range(span.name);
      const candidate = (instance: Value, again: Candidate["again"], into: Candidate[]) => {
        const runs = isModule(instance) && instance.cls.find("forward") !== undefined;
        // A layer of its own kind that was not told its sizes says nothing.
        const untold = isModule(instance) && instance.layer !== null && instance.settings === null;
        if (runs && !untold && !instance.cls.name.endsWith("Loss"))
          into.push({ name, range, span: span.whole, instance, again });
      };
      if (isModule(value)) {
        seen.add(value);
        // A variable of a class that speaks for itself adds nothing.
        const cls = value.cls;
        const spoken = cls.file === this.file && own.some((c) => c.instance.cls === cls);
        if (!spoken) candidate(value, (run) => run.given.get(at) ?? null, own);
      } else if (value instanceof Class && value.file === this.file) {
        seen.add(value);
        const init = value.find("__init__");
        const free = !(init instanceof Fn) || needsNothing(init, 1);
        const again = (run: Interpreter) => {
          const cls = run.given.get(at);
          return cls instanceof Class ? run.instantiate(cls, plainArgs([]), range) : null;
        };
        if (value.lineage.every((c) => c.name !== "Module" || c.file !== null)) continue;
        if (free)
          candidate(
            this.#try(() => again(this.run)),
            again,
            own,
          );
        else
          parts.push(() => candidate(this.run.firstInstance.get(value) ?? null, () => null, late));
      } else if (value instanceof Fn && (value.file === this.file || isFunction)) {
        seen.add(value);
        const again = (run: Interpreter) => {
          const fn = run.given.get(at);
          return fn instanceof Fn ? run.callFunction(fn, plainArgs([])) : null;
        };
        // What only passes on what it is given is shown with what it was given.
        const passesOn = value.parameters.some((p) => p.kind === "rest" && p.name !== "");
        if (needsNothing(value, 0) && !passesOn)
          candidate(
            this.#try(() => again(this.run)),
            again,
            own,
          );
        else parts.push(() => candidate(this.run.firstResult.get(value) ?? null, () => null, late));
      }
    }
    for (const part of parts) part();
    return apart([...own, ...late]);
  }

  entry(text: string, expression: Expr): Candidate {
    const evaluate = (run: Interpreter, globals: Scope): Value => {
      const value = run.evaluateIn(globals, this.file, expression);
      if (value instanceof Class) return run.instantiate(value, plainArgs([]), nowhere(this.file));
      return value instanceof Fn ? run.callFunction(value, plainArgs([])) : value;
    };
    const instance = this.#try(() => evaluate(this.run, this.globals), true);
    if (!isModule(instance)) {
      const names = declared(this.parsed.body).map(({ name }) => name);
      const [head] = text.split("(");
      const near = nearest(head, names);
      const why = instance instanceof Unknown ? `: ${spoken(instance.reason)}` : "";
      throw new RangeError(
        `"${text}" is no network of ${this.file.name}${why}.` +
          (near === undefined || near === head ? "" : ` Did you mean "${near}"?`),
      );
    }
    const range = instance.cls.node
      ? this.file.range(instance.cls.node.nameSpan)
      : nowhere(this.file);
    const span = instance.cls.node ?? { start: 0, end: 0 };
    return { name: text, range, span, instance, again: evaluate };
  }

  #try(body: () => Value, strict = false): Value {
    try {
      return this.run.attempt(body);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (strict) throw new RangeError(spoken(findingOf(error).message), { cause: error });
      this.run.failures.push(error);
      return null;
    }
  }

  /** What is said of one network; its findings are added to `findings`. */
  network(candidate: Candidate, findings: Finding[]): Network {
    const { name, range, instance, again } = candidate;
    const { run, file, options } = this;
    const found = this.#inputOf(candidate);
    const inputs: readonly Sizes[] = found?.inputs ?? [];
    const outcome = inspect(
      run,
      instance,
      inputs,
      found?.source ?? "assumed",
      options.batch ?? 1,
      file.text,
    );
    // A size that was only assumed is no ground for a complaint, unless layers do not fit each other.
    const { failed } = outcome;
    if (failed !== null) findings.push(failed);
    findings.push(...outcome.notes);
    if (found?.expected !== undefined) findings.push(unusual(found, found.expected));
    const { calls, values, output, totals } = outcome;
    return {
      ...{ name, range, calls, values, output, totals, failed },
      input: {
        shape: inputs.length === 0 ? [] : ["N", ...inputs[0].sizes],
        source: found?.source ?? "assumed",
        ...(found?.range ? { range: found.range } : {}),
        ...(found?.interval ? { interval: found.interval } : {}),
      },
      printed: printedOf(run, instance),
      build: (seed = 0) => this.#build(again, outcome.totals.complete, seed),
    };
  }

  #inputOf({ name, instance, span }: Candidate): Found | null {
    const { run, file, options } = this;
    const chosen = options.inputs?.get(name);
    if (chosen !== undefined) return { inputs: [{ sizes: chosen }], source: "chosen" };
    const called = fromCall(run, instance);
    if (called !== null) return called;
    const forward = instance.cls.find("forward");
    const count =
      forward instanceof Fn
        ? forward.parameters.filter((p, i) => i > 0 && p.kind === "plain" && p.default === null)
            .length
        : 1;
    const wanted = wantedBy(run, instance, count);
    const before = file.text.lastIndexOf("\n\n", span.start);
    const comment = fitted(fromComment(file, Math.max(0, before), span.end), wanted, count);
    if (comment !== null) return comment;
    if (wanted === null) return null;
    const dataSet = wanted.open ? fitted(fromDataSet(file, wanted), wanted, count) : null;
    return dataSet ?? this.#solve(instance, wanted, count);
  }

  /** Trying takes a dozen runs, so that it is only done when the network or its code has changed. */
  #solve(instance: Instance, wanted: Wanted, count: number): Found {
    const classes = new Set([...modulesOf(instance).keys()].flatMap(({ cls }) => cls.lineage));
    const code = [...classes].map(({ node, file }) =>
      node === null || file === null ? "" : file.text.slice(node.start, node.end),
    );
    const functions = this.parsed.body.map((statement) =>
      statement.kind === "function" ? this.file.text.slice(statement.start, statement.end) : "",
    );
    const key = [printedOf(this.run, instance), count, ...code, ...functions].join("\n");
    const known = this.solved.get(key);
    if (known !== undefined) return known;
    const found = solve(this.run, instance, wanted, count);
    // A finding has ranges, which move.
    if (found.expected !== undefined) return found;
    if (this.solved.size >= mostSolved) this.solved.clear();
    this.solved.set(key, found);
    return found;
  }

  #build(
    again: Candidate["again"],
    complete: boolean,
    seed: number,
  ): Module | { unavailable: Said } {
    if (!complete) return { unavailable: say`a part of the network is not known` };
    // What computes may take its time.
    const limits = { ...this.#limits, milliseconds: Infinity };
    const run = new Interpreter(this.#parser, limits, this.options.neighbour);
    run.computing = false;
    manualSeed(seed);
    try {
      // What the file itself constructs would draw numbers that PyTorch draws as well.
      const globals = withDevice("reference", () => run.runFile(this.file, this.parsed.body));
      const isVariable = [...this.globals.values()].some(isModule);
      if (!isVariable) manualSeed(seed);
      const instance = withDevice("reference", () => run.attempt(() => again(run, globals)));
      run.computing = true;
      if (!isModule(instance))
        return { unavailable: say`it is constructed with arguments of its user` };
      for (const module of modulesOf(instance).keys())
        if (module.layer !== null && module.layer.real === null)
          return { unavailable: say`${module.cls.name} is known to its shape only` };
      return live(run, instance);
    } catch (error) {
      const expected =
        error instanceof Failure ||
        error instanceof Exhausted ||
        error instanceof Raised ||
        error instanceof NotKnown;
      if (!expected) throw error;
      return { unavailable: saidBy(error) };
    }
  }
}

/** A name that is given several times is, as in Python, that of its last network; others are counted. */
function apart(candidates: readonly Candidate[]): Candidate[] {
  const last = new Map(candidates.map((candidate) => [candidate.name, candidate]));
  const counts = new Map<string, number>();
  return candidates.map((candidate) => {
    const { name } = candidate;
    if (last.get(name) === candidate) return candidate;
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return { ...candidate, name: `${name}@${count}` };
  });
}

const nowhere = ({ name }: SourceFile): SourceRange => ({ file: name, start: 0, end: 0 });

/** Whether a function can be called with nothing but its first `given` arguments. */
const needsNothing = ({ parameters }: Fn, given: number): boolean =>
  parameters.every((p, i) => i < given || p.kind !== "plain" || p.default !== null);

/** A comment's or data set's sizes, brought into the form that the network wants. */
function fitted(found: Found | null, wanted: Wanted | null, count: number): Found | null {
  if (found === null) return null;
  const [{ sizes }] = found.inputs;
  const length = wanted?.sizes(1).length ?? sizes.length;
  const whole =
    sizes.length === length - 1 && wanted !== null ? [wanted.channels, ...sizes] : sizes;
  if (whole.length !== length) return null;
  return { ...found, inputs: Array.from({ length: count }, () => ({ sizes: whole })) };
}

function unusual(found: Found, { size, failure }: NonNullable<Found["expected"]>): Finding {
  const finding = findingOf(failure);
  const { from, to } = found.interval!;
  const sizes = from === to ? from : say`${from} to ${to}`;
  return {
    ...finding,
    severity: "warning",
    code: "fits-other-size",
    message: say`${failure.error.argument ?? say`it`}=${finding.expected ?? "?"} fits only images of
      ${sizes} pixels; for ${size}×${size} it is ${finding.got ?? "?"}`,
  };
}

interface Declared {
  readonly name: string;
  /** What the interpreter knows it by. */
  readonly at: Expr | Stmt;
  readonly span: { readonly name: Span; readonly whole: Span };
  /** Also where a decorator of another file has put a function of its own in its place. */
  readonly isFunction: boolean;
}

/** The names that a file's statements declare, also those inside of `if __name__ == …`. */
function declared(body: readonly Stmt[]): Declared[] {
  return body.flatMap((statement): Declared[] => {
    switch (statement.kind) {
      case "class":
      case "function":
        return [
          {
            name: statement.name,
            at: statement,
            span: { name: statement.nameSpan, whole: statement },
            isFunction: statement.kind === "function",
          },
        ];
      case "assign":
        return statement.targets.flatMap((target) =>
          target.kind === "name"
            ? [
                {
                  name: target.name,
                  at: target,
                  span: { name: target, whole: statement },
                  isFunction: false,
                },
              ]
            : [],
        );
      case "if":
        return [...declared(statement.then), ...declared(statement.else)];
      case "match":
        return statement.cases.flatMap(({ body: inner }) => declared(inner));
      case "for":
      case "while":
      case "with":
      case "try":
        return declared(statement.body);
      default:
        return [];
    }
  });
}
