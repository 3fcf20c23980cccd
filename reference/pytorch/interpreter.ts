// # Running Python, as far as model files need it
//
// An interpreter of construction: the code of the file, `__init__` and `forward` run as they stand,
// on numbers, strings, lists, functions and classes, with tensors that only know their shape. What it
// cannot follow becomes unknown, with the reason, and the rest goes on. Nothing else is executed, and
// steps, depth, sizes and time are bounded.

import { ShapeError } from "../errors.js";
import type { Neighbour, SourceRange } from "./analysis.js";
import type { Argument, Case, ClassNode, Clause, Expr, Parameter, Span, Stmt } from "./ast.js";
import { binary, compare, index, iterate, sliced, unary } from "./arithmetic.js";
import { builtins } from "./builtins.js";
import { NotKnown, ownParameters, truth } from "./layers.js";
import { library } from "./library.js";
import { enumerated, formatted, removeModule } from "./objects.js";
import type { PythonParser } from "./parse.js";
import { Match } from "./patterns.js";
import { SourceFile } from "./source.js";
import { modules, moduleClass } from "./torch.js";
import { tensorMethod } from "./tensor_functions.js";
import {
  type Args,
  Bound,
  Class,
  Dict,
  Float,
  Fn,
  Instance,
  isModule,
  keyOf,
  List,
  Namespace,
  Native,
  plainArgs,
  Raised,
  type Scope,
  show,
  Slice,
  Super,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { Refusal, type Said, saidBy, say } from "../words.js";

export interface Limits {
  readonly steps: number;
  readonly depth: number;
  readonly elements: number;
  readonly milliseconds: number;
}

/** The budget is spent. */
export class Exhausted extends Refusal {}

/** Sizes that do not fit, with the place. */
export class Failure extends Refusal {
  constructor(
    readonly error: ShapeError,
    readonly range: SourceRange,
    /** The layer that refused, and what it was given. */
    readonly module: Instance | null,
    readonly inputs: readonly Value[],
  ) {
    super(saidBy(error));
  }
}

/** Who looks on while a network runs. */
export interface Recorder {
  /** A layer begins. */
  begin(): void;
  /** A module takes part: it runs, or its parameters are asked for. */
  touch(module: Instance): void;
  layer(module: Instance, inputs: readonly Value[], output: Value, call: SourceRange): void;
  assign(range: SourceRange, value: Value): void;
  /** Runs what is not to be shown nor counted. */
  aside<T>(body: () => T): T;
}

/** A call of a module. */
export interface RootCall {
  readonly module: Instance;
  readonly inputs: readonly Value[];
  readonly range: SourceRange;
}

interface Frame {
  readonly scopes: readonly Scope[];
  readonly file: SourceFile;
  readonly fn: Fn | null;
  readonly locals: Scope;
  /** Where the names stand that a function calls `global` or `nonlocal`. */
  readonly outer?: Map<string, Scope>;
  /** What a generator has given so far. */
  readonly yielded?: Value[];
  /** The names that a class's body gives a type. */
  readonly declared?: string[];
}

const enum Signal {
  None,
  Break,
  Continue,
  Return,
}

/** One of the ways that the code may go. */
interface Way {
  readonly run: () => Signal;
  /** Whether it ends in an exception, or leaves the function. */
  readonly leaves: boolean;
}

const leaves = (body: readonly Stmt[]): boolean => /^(raise|return)$/.test(body.at(-1)?.kind ?? "");

const nowhere: SourceRange = { file: "", start: 0, end: 0 };

export class Interpreter {
  recorder: Recorder | null = null;
  /** Calls of modules from outside of all modules, while none is recorded. */
  readonly rootCalls: RootCall[] = [];
  /** The first instance of each class and the first result of each function. */
  readonly firstInstance = new Map<Class, Instance>();
  readonly firstResult = new Map<Fn, Value>();
  /** What a file's own statements last gave a name, by where it stands: a name may be given anew. */
  readonly given = new Map<Expr | Stmt, Value>();
  readonly failures: Failure[] = [];
  readonly firstInputs = new Map<Instance, { inputs: readonly Value[]; range: SourceRange }>();
  readonly inputsOfClass = new Map<Class, RootCall>();
  /** Whether what modules are given is only a guess, and not to be remembered. */
  guessing = false;
  /** Where only the shape is known, there is nothing to compute with. */
  #onlyShapes: string | Said | null = null;
  /** The last softmax that a function, not a layer, has taken. */
  softmax: { readonly of: TensorValue; readonly range: SourceRange } | null = null;
  extraMultiplyAdds = 0;
  site: SourceRange = nowhere;
  /** Whether modules compute, or are only built. */
  computing = true;

  readonly #parser: PythonParser;
  readonly #neighbour: Neighbour | undefined;
  readonly #files = new Map<string, Scope>();
  readonly limits: Limits;
  #until: number;
  #steps = 0;
  /** At how many steps to look at the clock. */
  #look = 0;
  #depth = 0;
  #moduleDepth = 0;
  #returned: Value = null;

  constructor(parser: PythonParser, limits: Limits, neighbour?: Neighbour) {
    this.#parser = parser;
    this.limits = limits;
    this.#neighbour = neighbour;
    this.#until = performance.now() + limits.milliseconds;
  }

  /** Begins a budget anew. */
  renew(): void {
    this.#steps = this.#look = this.#depth = this.#moduleDepth = 0;
    this.#onlyShapes = null;
    this.#until = performance.now() + this.limits.milliseconds;
  }

  /** Counts a step. Throws: Exhausted when there have been too many. */
  step(count = 1): void {
    this.#steps += count;
    if (this.#steps > this.limits.steps)
      throw new Exhausted(say`more than ${this.limits.steps} steps; the rest is not followed`);
    if (this.#steps < this.#look) return;
    this.#look = this.#steps + 256;
    if (performance.now() > this.#until)
      throw new Exhausted(
        say`more than ${this.limits.milliseconds} milliseconds; the rest is not followed`,
      );
  }

  /** Throws: Exhausted for collections of too many elements. */
  bound(length: number): void {
    if (length > this.limits.elements)
      throw new Exhausted(
        say`more than ${this.limits.elements} elements; the rest is not followed`,
      );
    this.step(Math.ceil(length / 8));
  }

  addMultiplyAdds(products: number): void {
    this.extraMultiplyAdds += products;
  }

  shapeOnly(what: string | Said): void {
    this.#onlyShapes ??= what;
  }

  /** What since the last `renew` was known to its shape only; null: nothing. */
  unavailable(): string | Said | null {
    return this.#onlyShapes;
  }

  // ## Files

  /** Runs a file's statements; one that fails is passed over. */
  runFile(file: SourceFile, body: readonly Stmt[], name = "__main__"): Scope {
    const globals: Scope = new Map<string, Value>([["__name__", name]]);
    this.#files.set(file.name, globals);
    const frame: Frame = { scopes: [globals], file, fn: null, locals: globals };
    for (const statement of body) {
      try {
        if (this.#execute(statement, frame) !== Signal.None) break;
      } catch (error) {
        this.#depth = this.#moduleDepth = 0;
        if (error instanceof Failure) this.failures.push(error);
        else if (error instanceof Exhausted) break;
        // Whatever else went wrong, our own stack included, is no reason to say nothing.
        for (const target of boundBy(statement))
          if (!globals.has(target)) globals.set(target, new Unknown(saidBy(error)));
      }
    }
    return globals;
  }

  evaluateIn(globals: Scope, file: SourceFile, expression: Expr): Value {
    return this.evaluate(expression, { scopes: [globals], file, fn: null, locals: globals });
  }

  /** Runs `body`; whatever ends it early becomes an unknown value. */
  attempt(body: () => Value): Value {
    try {
      return body();
    } catch (error) {
      if (error instanceof Failure) throw error;
      // Whatever else went wrong, our own stack included, is no reason to say nothing.
      return new Unknown(saidBy(error));
    } finally {
      this.#depth = this.#moduleDepth = 0;
    }
  }

  #import(module: string, from: SourceFile): Value {
    const known = modules(this).get(module);
    if (known !== undefined) return known;
    // torchvision.ops.misc has what torchvision.ops has.
    const packaged = [...library.keys()].find((name) => `${module}.`.startsWith(`${name}.`));
    if (packaged !== undefined) {
      const members = this.libraryMembers(packaged);
      return new Namespace(module, (name) => members.get(name));
    }
    const document = this.#neighbour?.(module, from.name) ?? null;
    if (document === null) return new Unknown(say`the package ${module} is not followed`);
    let globals = this.#files.get(document.file);
    if (globals === undefined) {
      const file = SourceFile.of(document);
      this.#depth++;
      if (this.#depth > this.limits.depth) throw new Exhausted(say`imports within imports`);
      globals = this.runFile(file, this.#parser.parse(file.name, file.text).body, module);
    }
    const own = globals;
    return new Namespace(
      module,
      (name) => own.get(name),
      () => own.entries(),
    );
  }

  /** What a package of our library defines. */
  libraryMembers(name: string): Scope {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const text = library.get(name) ?? "";
    const file = SourceFile.of({ file: name, language: "python", text });
    libraryFiles.add(file);
    return this.runFile(file, this.#parser.parse(name, text).body, name);
  }

  // ## Statements

  #block(body: readonly Stmt[], frame: Frame): Signal {
    for (const statement of body) {
      const signal = this.#execute(statement, frame);
      if (signal !== Signal.None) return signal;
    }
    return Signal.None;
  }

  #execute(statement: Stmt, frame: Frame): Signal {
    this.step();
    switch (statement.kind) {
      case "expression":
        this.evaluate(statement.value, frame);
        return Signal.None;
      case "assign": {
        const value = this.evaluate(statement.value, frame);
        for (const target of statement.targets) this.#assign(target, value, frame);
        return Signal.None;
      }
      case "augment": {
        const before = this.evaluate(statement.target, frame);
        const value = this.evaluate(statement.value, frame);
        if (statement.op === "+" && before instanceof List && before.kind === "list") {
          const more = iterate(this, value);
          if (more instanceof Unknown) this.#assign(statement.target, more, frame);
          else {
            this.bound(before.items.length + more.length);
            before.items.push(...more);
          }
        } else {
          const after = this.#at(statement, frame, () => binary(this, statement.op, before, value));
          this.#assign(statement.target, after, frame);
        }
        return Signal.None;
      }
      case "return":
        this.#returned = statement.value === null ? null : this.evaluate(statement.value, frame);
        return Signal.Return;
      case "if": {
        const test = this.evaluate(statement.test, frame);
        if (!isOpen(test))
          return this.#block(this.truth(test) ? statement.then : statement.else, frame);
        const way = (body: readonly Stmt[]): Way => ({
          run: () => this.#block(body, frame),
          leaves: leaves(body),
        });
        return this.#either(way(statement.then), way(statement.else), asUnknown(test), frame);
      }
      case "match":
        return this.#match(this.evaluate(statement.subject, frame), statement.cases, frame);
      case "for": {
        const items = iterate(this, this.evaluate(statement.iterable, frame));
        // The body of a loop over what is unknown runs once: it shows its layers' shapes.
        for (const item of items instanceof Unknown ? [items] : items) {
          this.step();
          this.#assign(statement.target, item, frame);
          const signal = this.#block(statement.body, frame);
          if (signal === Signal.Break) return Signal.None;
          if (signal === Signal.Return) return signal;
        }
        return this.#block(statement.else, frame);
      }
      case "while":
        for (;;) {
          this.step();
          const test = this.evaluate(statement.test, frame);
          if (!isOpen(test) && !this.truth(test)) return Signal.None;
          const signal = this.#block(statement.body, frame);
          if (signal === Signal.Return) return signal;
          if (signal === Signal.Break || isOpen(test)) return Signal.None;
        }
      case "with":
        for (const { value, target } of statement.items) {
          const context = this.evaluate(value, frame);
          if (target !== null) this.#assign(target, context, frame);
        }
        return this.#block(statement.body, frame);
      case "try": {
        let signal: Signal;
        try {
          signal = this.#block(statement.body, frame);
          if (signal === Signal.None) signal = this.#block(statement.else, frame);
        } catch (error) {
          const handler = statement.handlers.find(
            ({ type }) => type === null || catches(this.evaluate(type, frame), error),
          );
          if (handler === undefined) throw error;
          const caught = error instanceof Raised ? error.value : null;
          if (handler.name !== null)
            frame.locals.set(handler.name, caught ?? new Unknown(saidBy(error)));
          signal = this.#block(handler.body, frame);
        }
        const last = this.#block(statement.finally, frame);
        return last === Signal.None ? signal : last;
      }
      case "function":
        this.#give(statement, this.#function(statement, frame), frame);
        return Signal.None;
      case "class":
        this.#give(statement, this.#class(statement, frame), frame);
        return Signal.None;
      case "import":
        this.#bindImport(statement, frame);
        return Signal.None;
      case "assert": {
        const test = this.evaluate(statement.test, frame);
        if (!isOpen(test) && !this.truth(test)) throw new Raised(say`an assertion does not hold`);
        return Signal.None;
      }
      case "raise":
        throw this.#raised(statement.value === null ? null : this.evaluate(statement.value, frame));
      case "declare":
        frame.declared?.push(statement.name);
        return Signal.None;
      case "outer":
        for (const name of statement.names) {
          const around = frame.scopes.slice(1);
          const scope = statement.global ? around.at(-1) : around.find((s) => s.has(name));
          if (scope !== undefined) frame.outer?.set(name, scope);
        }
        return Signal.None;
      case "delete":
        for (const target of statement.targets) this.#delete(target, frame);
        return Signal.None;
      case "break":
        return Signal.Break;
      case "continue":
        return Signal.Continue;
      case "pass":
      case "broken":
        return Signal.None;
    }
  }

  #match(value: Value, cases: readonly Case[], frame: Frame): Signal {
    for (const [i, { pattern, guard, body }] of cases.entries()) {
      const match = new Match(this, (expression) => this.evaluate(expression, frame));
      let fits = match.fits(pattern, value);
      if (fits === false) continue;
      const at = { start: 0, end: 0 };
      for (const [name, bound] of match.bound)
        this.#assign({ kind: "name", name, ...at }, bound, frame);
      const test = guard === null ? true : this.evaluate(guard, frame);
      if (!isOpen(test) && !this.truth(test)) continue;
      if (fits === true && isOpen(test)) fits = asUnknown(test);
      if (fits === true) return this.#block(body, frame);
      const rest = cases.slice(i + 1);
      return this.#either(
        { run: () => this.#block(body, frame), leaves: leaves(body) },
        {
          run: () => this.#match(value, rest, frame),
          leaves: rest.length > 0 && rest.every((other) => leaves(other.body)),
        },
        fits,
        frame,
      );
    }
    return Signal.None;
  }

  /** Nobody knows which way it goes: not into an exception, and not out of the function. */
  #either(yes: Way, no: Way, why: Unknown, frame: Frame): Signal {
    if (yes.leaves && !no.leaves) return no.run();
    const decided = this.recorder === null || (no.leaves && !yes.leaves);
    return decided ? yes.run() : this.#fork(yes, no, why, frame);
  }

  /** Goes both ways. What both agree on is known; the first way is the one that is shown. */
  #fork(yes: Way, no: Way, why: Unknown, frame: Frame): Signal {
    const { locals } = frame;
    const before = [...locals];
    const restore = (scope: Iterable<[string, Value]>) => {
      locals.clear();
      for (const pair of scope) locals.set(...pair);
    };
    const way = ({ run }: Way) => {
      const signal = run();
      return { signal, locals: new Map(locals), returned: this.#returned };
    };
    let first;
    try {
      first = way(yes);
    } catch (error) {
      if (!(error instanceof Failure || error instanceof Raised)) throw error;
      // It did not go that way.
      restore(before);
      return no.run();
    }
    restore(before);
    let second;
    try {
      second = this.recorder?.aside(() => way(no));
    } catch (error) {
      if (!(error instanceof Failure || error instanceof Raised)) throw error;
    }
    restore(first.locals);
    this.#returned = first.returned;
    if (second === undefined || first.signal !== second.signal) return first.signal;
    const { reason } = why;
    if (first.signal === Signal.Return)
      this.#returned = joinedValue(first.returned, second.returned, reason);
    for (const [name, value] of second.locals) {
      const own = locals.get(name);
      locals.set(name, own === undefined ? value : joinedValue(own, value, reason));
    }
    return first.signal;
  }

  #raised(value: Value): Raised {
    const instance = value instanceof Class ? new Instance(value) : value;
    if (!(instance instanceof Instance)) return new Raised(say`the code raises an exception`);
    const given = instance.attributes.get("args");
    const text = given instanceof List && given.items.length > 0 ? `: ${show(given.items[0])}` : "";
    return new Raised(say`the code raises ${instance.cls.name}${text.slice(0, 200)}`, instance);
  }

  #delete(target: Expr, frame: Frame): void {
    if (target.kind === "name") frame.locals.delete(target.name);
    else if (target.kind === "attribute") {
      const object = this.evaluate(target.object, frame);
      if (object instanceof Instance) object.attributes.delete(target.name);
    } else if (target.kind === "subscript") {
      const object = this.evaluate(target.object, frame);
      const key = this.evaluate(target.index, frame);
      if (object instanceof Dict) object.entries.delete(keyOf(key));
      else if (object instanceof List && typeof key === "number") object.items.splice(key, 1);
      else if (isModule(object)) removeModule(object, key);
    }
  }

  truth(value: Value): boolean {
    if (value instanceof Instance) {
      const own = value.cls.find("__bool__") ?? value.cls.find("__len__");
      if (own instanceof Fn) return this.truth(this.callFunction(own, plainArgs([value])));
      const length = isModule(value) && !(value.cls.find("forward") instanceof Fn);
      return !length || !value.cls.lineage.some((c) => c.name === "ModuleList")
        ? true
        : value.attributes.size > 0;
    }
    return truth(value);
  }

  #bindImport(statement: Extract<Stmt, { kind: "import" }>, { file, locals }: Frame): void {
    const { module, names, as } = statement;
    if (names === null) {
      const [first] = module.split(".");
      locals.set(as ?? first, this.#import(as === null ? first : module, file));
      return;
    }
    for (const { name, as: own } of names) {
      const from = this.#import(module, file);
      if (name === "*") {
        if (from instanceof Namespace)
          for (const [key, value] of from.all?.() ?? [])
            if (!key.startsWith("_")) locals.set(key, value);
        continue;
      }
      let value = from instanceof Namespace ? from.member(name) : undefined;
      value ??= this.#import(module.endsWith(".") ? `${module}${name}` : `${module}.${name}`, file);
      if (value instanceof Unknown && from instanceof Unknown) value = from;
      locals.set(own, value);
    }
  }

  #function(node: Extract<Stmt, { kind: "function" }>, frame: Frame): Value {
    const names = node.decorators.map((d) =>
      d.kind === "name" || d.kind === "attribute" ? d.name : "",
    );
    const kind = names.includes("staticmethod")
      ? "static"
      : names.includes("classmethod")
        ? "class"
        : names.some((name) => /^(abstract|cached_)?property$/.test(name))
          ? "property"
          : "plain";
    const fn = new Fn(
      node.name,
      node.parameters,
      this.#defaults(node.parameters, frame),
      node.body,
      frame.scopes,
      frame.file,
      kind,
      node.yields,
    );
    if (names.includes("setter")) {
      const property = frame.locals.get(node.name);
      if (!(property instanceof Fn)) return fn;
      property.setter = fn;
      return property;
    }
    return kind === "plain" ? this.#decorated(fn, node.decorators, frame) : fn;
  }

  /** What the file's own decorators make of a function or class; those of packages change nothing. */
  #decorated(value: Value, decorators: readonly Expr[], frame: Frame): Value {
    return decorators.reduceRight<Value>((before, expression) => {
      try {
        const decorator = this.evaluate(expression, frame);
        const followed =
          decorator instanceof Fn ||
          decorator instanceof Bound ||
          (decorator instanceof Native && decorator.name === "dataclass");
        if (!followed) return before;
        const after = this.call(decorator, plainArgs([before]), frame.file.range(expression));
        return after instanceof Unknown || after === null ? before : after;
      } catch (error) {
        if (error instanceof NotKnown || error instanceof Raised) return before;
        throw error;
      }
    }, value);
  }

  #defaults(parameters: readonly Parameter[], frame: Frame): Map<string, Value> {
    return new Map(
      parameters.flatMap((p) =>
        p.default === null ? [] : [[p.name, this.evaluate(p.default, frame)] as const],
      ),
    );
  }

  #class(node: ClassNode, frame: Frame): Value {
    const bases = node.bases.flatMap((base): Class[] => {
      const value = this.evaluate(base, frame);
      if (value instanceof Class) return [value];
      // A base of another package whose name, or whose heir's forward, says what it is.
      const name = base.kind === "attribute" || base.kind === "name" ? base.name : "";
      const forward = node.body.some((s) => s.kind === "function" && s.name === "forward");
      return forward || /(Module|Classifier)$/.test(name) ? [moduleClass(this)] : [];
    });
    const members: Scope = new Map();
    const scopes = [members, ...frame.scopes];
    const declared: string[] = [];
    this.#block(node.body, { scopes, file: frame.file, fn: null, locals: members, declared });
    const cls = new Class(node.name, bases, members, node, frame.file);
    cls.fields = declared;
    for (const [name, member] of members)
      if (member instanceof Fn && member.owner === null)
        members.set(
          name,
          new Fn(
            member.name,
            member.parameters,
            member.defaults,
            member.body,
            // Methods do not see the names of the class's body.
            member.scopes[0] === members ? member.scopes.slice(1) : member.scopes,
            member.file,
            member.kind,
            member.yields,
            cls,
            member.setter && ownedBy(cls, member.setter),
          ),
        );
    if (cls.lineage.some((c) => c.name === "Enum" && c.file === null)) enumerated(cls);
    return this.#decorated(cls, node.decorators, frame);
  }

  // ## Assignment

  #give(at: (Expr | Stmt) & { readonly name: string }, value: Value, frame: Frame): void {
    (frame.outer?.get(at.name) ?? frame.locals).set(at.name, value);
    if (frame.fn === null) this.given.set(at, value);
  }

  #assign(target: Expr, value: Value, frame: Frame): void {
    switch (target.kind) {
      case "name":
        this.#give(target, value, frame);
        this.#note(target, value, frame);
        return;
      case "attribute": {
        const object = this.evaluate(target.object, frame);
        if (object instanceof Instance) {
          const property = object.cls.find(target.name);
          if (property instanceof Fn && property.setter !== null)
            this.callFunction(property.setter, plainArgs([object, value]));
          else this.setAttribute(object, target.name, value);
        } else if (object instanceof TensorValue && target.name === "requires_grad")
          object.requiresGrad = value === true;
        else if (object instanceof Class) object.members.set(target.name, value);
        return;
      }
      case "subscript": {
        const object = this.evaluate(target.object, frame);
        const key = this.evaluate(target.index, frame);
        if (object instanceof Dict) {
          this.bound(object.entries.size);
          object.set(key, value);
        } else if (object instanceof List && typeof key === "number") {
          const i = key < 0 ? key + object.items.length : key;
          if (i >= 0 && i < object.items.length) object.items[i] = value;
        } else if (object instanceof List && key instanceof Slice) {
          const [start, stop, step] = sliced(key, object.items.length);
          const items = iterate(this, value);
          if (step === 1 && !(items instanceof Unknown))
            object.items.splice(start, Math.max(0, stop - start), ...items);
        } else if (object instanceof Instance) {
          const method = object.cls.find("__setitem__");
          const children = [...object.attributes].filter(([, child]) => isModule(child));
          const name = typeof key === "number" ? children.at(key)?.[0] : show(key);
          if (method instanceof Fn) this.callFunction(method, plainArgs([object, key, value]));
          else if (isModule(object) && name !== undefined) this.setAttribute(object, name, value);
        }
        return;
      }
      case "tuple":
      case "list": {
        const items = iterate(this, value);
        const star = target.items.findIndex((item) => item.kind === "star");
        target.items.forEach((item, i) => {
          if (items instanceof Unknown) {
            this.#assign(item.kind === "star" ? item.value : item, items, frame);
            return;
          }
          const after = target.items.length - 1 - i;
          if (item.kind === "star")
            this.#assign(item.value, new List(items.slice(i, items.length - after)), frame);
          else {
            const at = star !== -1 && i > star ? items.length - 1 - after : i;
            const none = new Unknown(say`there is nothing to unpack`);
            this.#assign(item, at < items.length ? items[at] : none, frame);
          }
        });
        return;
      }
      case "star":
        this.#assign(target.value, value, frame);
        return;
      default:
        return;
    }
  }

  #note(target: Expr, value: Value, frame: Frame): void {
    if (libraryFiles.has(frame.file)) return;
    if (this.recorder !== null && (value instanceof TensorValue || value instanceof Unknown))
      this.recorder.assign(frame.file.range(target), value);
  }

  setAttribute(object: Instance, name: string, value: Value): void {
    this.bound(object.attributes.size);
    // PyTorch keeps modules in the order in which they became modules.
    if (isModule(value) && !isModule(object.attributes.get(name))) object.attributes.delete(name);
    object.attributes.set(name, value);
  }

  // ## Expressions

  evaluate(node: Expr, frame: Frame): Value {
    this.step();
    switch (node.kind) {
      case "name":
        return this.#lookUp(node.name, frame);
      case "int":
        return node.value;
      case "float":
        return new Float(node.value);
      case "constant":
        return node.value;
      case "string": {
        let text = "";
        for (const part of node.parts) {
          if (typeof part === "string") text += part;
          else {
            const value = this.evaluate(part, frame);
            if (value instanceof Unknown) return value;
            text += show(value);
          }
          this.bound(text.length);
        }
        return text;
      }
      case "binary": {
        const left = this.evaluate(node.left, frame);
        const right = this.evaluate(node.right, frame);
        return this.#at(node, frame, () => binary(this, node.op, left, right));
      }
      case "unary": {
        const value = this.evaluate(node.operand, frame);
        if (node.op === "not") return isOpen(value) ? asUnknown(value) : !this.truth(value);
        return unary(node.op, value);
      }
      case "logic": {
        const left = this.evaluate(node.left, frame);
        if (isOpen(left)) {
          const right = this.evaluate(node.right, frame);
          // `unknown and False` is false, whatever the unknown is.
          const decides = !isOpen(right) && this.truth(right) === (node.op === "or");
          return decides ? right : asUnknown(left);
        }
        return this.truth(left) === (node.op === "or") ? left : this.evaluate(node.right, frame);
      }
      case "compare": {
        let left = this.evaluate(node.first, frame);
        for (const { op, right: expression } of node.rest) {
          const right = this.evaluate(expression, frame);
          const isTensor = left instanceof TensorValue || right instanceof TensorValue;
          const holds =
            isTensor && /^[<>=!]/.test(op) && left !== null && right !== null
              ? this.#at(node, frame, () => binary(this, op, left, right))
              : compare(this, op, left, right);
          if (holds !== true) return holds;
          left = right;
        }
        return true;
      }
      case "attribute": {
        const object = this.evaluate(node.object, frame);
        return this.attribute(object, node.name);
      }
      case "subscript": {
        const object = this.evaluate(node.object, frame);
        const key = this.evaluate(node.index, frame);
        return this.#at(node, frame, () => index(this, object, key));
      }
      case "slice":
        return new Slice(
          node.parts.map((part) => {
            const value = part === null ? null : this.evaluate(part, frame);
            if (typeof value === "number" || value === null) return value;
            throw new NotKnown(
              value instanceof Unknown ? value.reason : say`the slice is not known`,
            );
          }),
        );
      case "call":
        return this.#call(node, frame);
      case "list":
      case "tuple":
      case "set": {
        const items: Value[] = [];
        for (const item of node.items) {
          if (item.kind !== "star") {
            items.push(this.evaluate(item, frame));
            continue;
          }
          const more = iterate(this, this.evaluate(item.value, frame));
          if (more instanceof Unknown) return more;
          this.bound(items.length + more.length);
          items.push(...more);
        }
        return new List(items, node.kind);
      }
      case "dict": {
        const dict = new Dict();
        for (const [key, expression] of node.pairs) {
          const value = this.evaluate(expression, frame);
          if (key !== null) dict.set(this.evaluate(key, frame), value);
          else if (value instanceof Dict)
            for (const pair of value.entries.values()) dict.set(...pair);
          else return new Unknown(say`the dictionary is not known`);
        }
        return dict;
      }
      case "comprehension":
        return this.#comprehension(node, frame);
      case "choice": {
        const test = this.evaluate(node.test, frame);
        if (isOpen(test)) {
          const yes = this.evaluate(node.yes, frame);
          return yes instanceof TensorValue ? yes : asUnknown(test);
        }
        return this.evaluate(this.truth(test) ? node.yes : node.no, frame);
      }
      case "lambda":
        return new Fn(
          "<lambda>",
          node.parameters,
          this.#defaults(node.parameters, frame),
          node.body,
          frame.scopes,
          frame.file,
          "plain",
          false,
        );
      case "walrus": {
        const value = this.evaluate(node.value, frame);
        this.#assign(node.target, value, frame);
        return value;
      }
      case "star":
        return this.evaluate(node.value, frame);
      case "formatted": {
        const value = this.evaluate(node.value, frame);
        if (value instanceof Unknown) return value;
        const plain = node.quoted ? show(value, true) : this.text(value);
        return node.spec === "" ? plain : formatted(node.quoted ? plain : value, node.spec);
      }
      case "yield": {
        const value = node.value === null ? null : this.evaluate(node.value, frame);
        const items = node.all ? iterate(this, value) : [value];
        if (items instanceof Unknown) return items;
        this.bound((frame.yielded?.length ?? 0) + items.length);
        frame.yielded?.push(...items);
        return null;
      }
      case "broken":
        return new Unknown(node.why);
    }
  }

  /** As `str` gives it. */
  text(value: Value): string {
    if (value instanceof Instance)
      for (const name of ["__str__", "__repr__"]) {
        const method = value.cls.find(name);
        if (method instanceof Fn)
          return show(this.attempt(() => this.callFunction(method, plainArgs([value]))));
      }
    return show(value);
  }

  #lookUp(name: string, { scopes }: Frame): Value {
    for (const scope of scopes) {
      const value = scope.get(name);
      if (value !== undefined) return value;
    }
    return builtins(this).get(name) ?? new Unknown(say`${name} is not defined here`);
  }

  #comprehension(node: Extract<Expr, { kind: "comprehension" }>, frame: Frame): Value {
    const locals: Scope = new Map();
    const inner = { ...frame, scopes: [locals, ...frame.scopes], locals, outer: new Map() };
    const items: Value[] = [];
    const dict = new Dict();
    const unknown: Unknown[] = [];
    const run = (clauses: readonly Clause[]): void => {
      const [clause, ...rest] = clauses;
      if (clauses.length === 0) {
        const value = this.evaluate(node.body, inner);
        if (node.key === null) items.push(value);
        else dict.set(this.evaluate(node.key, inner), value);
        this.bound(items.length);
        return;
      }
      const values = iterate(this, this.evaluate(clause.iterable, inner));
      if (values instanceof Unknown) {
        unknown.push(values);
        return;
      }
      for (const value of values) {
        this.#assign(clause.target, value, { ...inner });
        let passes = true;
        for (const condition of clause.conditions) {
          const test = this.evaluate(condition, inner);
          if (isOpen(test)) unknown.push(asUnknown(test));
          passes &&= !isOpen(test) && this.truth(test);
        }
        if (passes) run(rest);
      }
    };
    run(node.clauses);
    return unknown.at(0) ?? (node.of === "dict" ? dict : new List(items, node.of));
  }

  // ## Attributes

  attribute(object: Value, name: string): Value {
    if (object instanceof Unknown) return object;
    if (object instanceof Instance) {
      const own = object.attributes.get(name);
      if (own !== undefined) return own;
      const member = object.cls.find(name);
      if (member !== undefined) return this.#bind(object, object.cls, member);
      if (name === "__class__") return object.cls;
      const { cls } = object;
      const computed = cls.find("__getattr__");
      if (computed instanceof Fn) return this.callFunction(computed, plainArgs([object, name]));
      if (/^(__dict__|_modules|_parameters|_buffers)$/.test(name)) {
        const dict = new Dict();
        for (const [key, value] of object.attributes) {
          const isTensor = value instanceof TensorValue;
          const fits =
            name === "__dict__" ||
            (name === "_modules"
              ? isModule(value)
              : isTensor && value.isParameter === (name === "_parameters"));
          if (fits) dict.set(key, value);
        }
        return dict;
      }
      if (name === "__setattr__")
        return new Native(name, ({ positional: [key, value = null] }) => {
          this.setAttribute(object, show(key), value);
          return null;
        });
      if (name === "__getattr__" || name === "__getattribute__")
        return new Native(name, ({ positional: [key] }) => this.attribute(object, show(key)));
      if (isModule(object)) return this.#layerAttribute(object, name);
      return new Unknown(say`${cls.name} has no attribute ${name} that is known`);
    }
    if (object instanceof Super) {
      const { lineage } = object.self.cls;
      for (const cls of lineage.slice(lineage.indexOf(object.after) + 1)) {
        const member = cls.members.get(name);
        if (member !== undefined) return this.#bind(object.self, cls, member);
      }
      if (name === "__init__") return new Native(name, () => null);
      return name === "__setattr__"
        ? this.attribute(object.self, name)
        : new Unknown(say`no ${name}`);
    }
    if (object instanceof Class) {
      if (name === "__name__") return object.name;
      const member = object.find(name);
      if (member instanceof Fn && member.kind === "class") return new Bound(object, member);
      return member ?? new Unknown(say`${object.name} has no attribute ${name} that is known`);
    }
    if (object instanceof Namespace) {
      const member = object.member(name);
      if (member !== undefined) return member;
      return new Unknown(say`${object.name}.${name} is not followed`);
    }
    if (object instanceof Fn && name === "__name__") return object.name;
    if (object instanceof Native && object.members?.has(name)) return object.members.get(name)!;
    if (name === "__module__" || name === "__doc__") return "";
    if (name === "__class__" && object !== null)
      return new Class("type", [], new Map(), null, null);
    return tensorMethod(this, object, name);
  }

  #bind(self: Instance, cls: Class, member: Value): Value {
    if (member instanceof Native) return new Bound(self, member);
    if (!(member instanceof Fn)) return member;
    if (member.kind === "static") return member;
    if (member.kind === "class") return new Bound(cls, member);
    if (member.kind === "property") return this.callFunction(member, plainArgs([self]));
    return new Bound(self, member);
  }

  #layerAttribute(object: Instance, name: string): Value {
    const { layer } = object;
    if (layer !== null) {
      this.recorder?.touch(object);
      const parameter = ownParameters(object).find(([key]) => key === name)?.[1];
      if (parameter !== undefined) return parameter;
      const setting = object.settings?.get(name);
      if (setting !== undefined) return setting;
      if (name === "bias") return null;
    }
    return new Unknown(say`${object.cls.name} has no attribute ${name} that is known`);
  }

  // ## Calls

  #call(node: Extract<Expr, { kind: "call" }>, frame: Frame): Value {
    // What a package does in its own files is shown where the user calls it.
    const range = libraryFiles.has(frame.file) ? this.site : frame.file.range(node);
    if (node.callee.kind === "name" && node.callee.name === "super") {
      const result = this.#super(node.args, frame);
      if (result !== null) return result;
    }
    if (node.callee.kind === "attribute" && node.callee.name === "save_hyperparameters") {
      const object = this.evaluate(node.callee.object, frame);
      for (const { name } of frame.fn?.parameters.slice(1) ?? [])
        if (object instanceof Instance && name !== "")
          this.setAttribute(object, name, frame.locals.get(name) ?? null);
      return null;
    }
    if (node.callee.kind === "name" && /^(globals|locals|vars)$/.test(node.callee.name)) {
      const dict = new Dict();
      const scope = node.callee.name === "globals" ? frame.scopes.at(-1) : frame.locals;
      if (node.args.length === 0) {
        for (const pair of scope ?? []) dict.set(...pair);
        return dict;
      }
    }
    const callee = this.evaluate(node.callee, frame);
    const args = this.#arguments(node.args, frame, range);
    if (args instanceof Unknown) return args;
    return this.call(callee, args, range);
  }

  #super(args: readonly Argument[], frame: Frame): Value | null {
    const self = frame.locals.get(frame.fn?.parameters.at(0)?.name ?? "");
    const named = args.length > 0 ? this.evaluate(args[0].value, frame) : frame.fn?.owner;
    return self instanceof Instance && named instanceof Class ? new Super(self, named) : null;
  }

  #arguments(nodes: readonly Argument[], frame: Frame, range: SourceRange): Args | Unknown {
    const positional: Value[] = [];
    const ranges: (SourceRange | null)[] = [];
    const named = new Map<string, Value>();
    const namedRanges = new Map<string, SourceRange>();
    for (const { name, value: expression } of nodes) {
      const value = this.evaluate(expression, frame);
      const at = frame.file.range(expression);
      if (name === null) {
        positional.push(value);
        ranges.push(at);
      } else if (name === "*") {
        const items = iterate(this, value);
        if (items instanceof Unknown) return items;
        this.bound(positional.length + items.length);
        positional.push(...items);
        ranges.push(...items.map(() => null));
      } else if (name === "**") {
        if (!(value instanceof Dict)) return new Unknown(say`the named arguments are not known`);
        for (const [key, item] of value.entries.values()) named.set(show(key), item);
      } else {
        named.set(name, value);
        namedRanges.set(name, at);
      }
    }
    return { positional, named, ranges, namedRanges, range };
  }

  call(callee: Value, args: Args, range: SourceRange): Value {
    if (++this.#depth > this.limits.depth) {
      this.#depth--;
      throw new Exhausted(say`calls are nested more than ${this.limits.depth} deep`);
    }
    const outer = this.site;
    try {
      if (callee instanceof Unknown) return callee;
      if (callee instanceof Fn) return this.callFunction(callee, args);
      if (callee instanceof Bound) {
        const all = withSelf(callee.self, args);
        return callee.fn instanceof Fn
          ? this.callFunction(callee.fn, all)
          : this.#native(callee.fn, all, range);
      }
      if (callee instanceof Native) return this.#native(callee, args, range);
      if (callee instanceof Class) {
        if (callee.file !== null && libraryFiles.has(callee.file)) this.site = range;
        return this.instantiate(callee, args, range);
      }
      if (callee instanceof Instance) {
        const method = callee.cls.find("__call__");
        if (isModule(callee)) return this.#enter(callee, args, range);
        if (method instanceof Fn) return this.callFunction(method, withSelf(callee, args));
      }
      return new Unknown(say`what is called here is not known`);
    } finally {
      this.site = outer;
      this.#depth--;
    }
  }

  #native(native: Native, args: Args, range: SourceRange): Value {
    const inModule = this.#moduleDepth > 0 && native.name === "forward";
    if (!inModule) this.site = range;
    try {
      return native.call(args);
    } catch (error) {
      if (error instanceof NotKnown) return new Unknown(error.said);
      if (error instanceof ShapeError) throw new Failure(error, range, null, args.positional);
      throw error;
    }
  }

  /** What an operator does, with the place on its error. */
  #at(node: Span, frame: Frame, body: () => Value): Value {
    try {
      return body();
    } catch (error) {
      if (error instanceof NotKnown) return new Unknown(error.said);
      if (error instanceof ShapeError) throw new Failure(error, frame.file.range(node), null, []);
      throw error;
    }
  }

  callFunction(fn: Fn, args: Args): Value {
    this.step();
    const locals: Scope = new Map(fn.defaults);
    let i = 0;
    let named = new Map(args.named);
    for (const { name, kind } of fn.parameters) {
      if (kind === "rest") {
        if (name !== "") locals.set(name, tuple(args.positional.slice(i)));
        i = Infinity;
      } else if (kind === "named") {
        const rest = new Dict();
        for (const [key, value] of named) rest.set(key, value);
        locals.set(name, rest);
        named = new Map();
      } else if (i < args.positional.length) locals.set(name, args.positional[i++]);
      else {
        const given = named.get(name);
        if (given !== undefined) locals.set(name, given);
        else if (!locals.has(name))
          locals.set(name, new Unknown(say`${fn.name} was not given its argument ${name}`));
        named.delete(name);
      }
    }
    // A generator runs to its end at once.
    const yielded: Value[] = [];
    const frame: Frame = {
      ...{ scopes: [locals, ...fn.scopes], file: fn.file, fn, locals },
      ...{ outer: new Map<string, Scope>(), yielded },
    };
    if (!Array.isArray(fn.body)) return this.evaluate(fn.body as Expr, frame);
    const signal = this.#block(fn.body as readonly Stmt[], frame);
    const returned = signal === Signal.Return ? this.#returned : null;
    const result = fn.yields ? new List(yielded) : returned;
    this.#returned = null;
    if (!this.firstResult.has(fn)) this.firstResult.set(fn, result);
    return result;
  }

  instantiate(cls: Class, args: Args, range: SourceRange): Value {
    // What is said of a network walks over all of its modules, more than once.
    this.step(100);
    const instance = new Instance(cls);
    instance.definition = range;
    const init = cls.find("__init__");
    if (init instanceof Fn) this.callFunction(init, withSelf(instance, args));
    else if (init instanceof Native) this.#native(init, withSelf(instance, args), range);
    if (!this.firstInstance.has(cls)) this.firstInstance.set(cls, instance);
    return instance;
  }

  /** A call of a module in the source. */
  #enter(module: Instance, args: Args, range: SourceRange): Value {
    if (this.#moduleDepth === 0 && this.recorder === null)
      this.rootCalls.push({ module, inputs: args.positional.map(asItIs), range });
    if (!this.computing) return new Unknown(say`the network is only built`);
    this.site = range;
    return this.forward(module, args);
  }

  /** Runs a module's `forward`. */
  forward(module: Instance, args: Args): Value {
    this.step();
    this.recorder?.touch(module);
    if (++this.#moduleDepth > this.limits.depth)
      throw new Exhausted(say`modules are nested more than ${this.limits.depth} deep`);
    const { site } = this;
    if (!this.guessing && !args.positional.some((value) => value instanceof Unknown)) {
      const given = { inputs: args.positional.map(asItIs), range: site };
      if (!this.firstInputs.has(module)) this.firstInputs.set(module, given);
      if (!this.inputsOfClass.has(module.cls))
        this.inputsOfClass.set(module.cls, { module, ...given });
    }
    try {
      const forward = module.cls.find("forward");
      if (forward instanceof Fn) return this.callFunction(forward, withSelf(module, args));
      if (forward instanceof Native) return forward.call(withSelf(module, args));
      // What stands for something that is not followed says why.
      if (module.layer !== null) return module.layer.forward(args.positional, this);
      return new Unknown(say`${module.cls.name} has no forward`);
    } finally {
      this.#moduleDepth--;
    }
  }

  /** Runs one of PyTorch's own layers and shows it to who looks on. */
  runLayer(module: Instance, inputs: readonly Value[]): Value {
    this.step(4);
    const { layer, site } = this.#layerOf(module);
    let output: Value;
    const unknown = inputs.find((input) => input instanceof Unknown);
    this.recorder?.begin();
    try {
      if (unknown === undefined && module.lazy !== null && layer === module.lazy.waiting) {
        const made = module.lazy.make(inputs);
        [module.layer, module.settings] = [made.layer, made.settings];
        module.cls = module.lazy.becomes;
      }
      output = unknown ?? module.layer!.forward(inputs, this);
    } catch (error) {
      if (error instanceof ShapeError) throw new Failure(error, site, module, inputs);
      if (!(error instanceof NotKnown)) throw error;
      output = new Unknown(error.said);
    }
    if (output instanceof TensorValue)
      output = new TensorValue(output.tensor, output.field, module);
    this.recorder?.layer(module, inputs, output, site);
    return output;
  }

  #layerOf(module: Instance) {
    if (module.layer === null) throw new NotKnown(say`${module.cls.name} was not constructed`);
    return { layer: module.layer, site: this.site };
  }
}

/** Of two values the one they are, or unknown. */
function joinedValue(a: Value, b: Value, reason: Said): Value {
  if (a === b || a instanceof Unknown) return a;
  if (a instanceof Float && b instanceof Float && a.value === b.value) return a;
  const shape = (value: Value) => (value instanceof TensorValue ? value.shape.join() : null);
  if (shape(a) !== null && shape(a) === shape(b)) return a;
  if (a instanceof List && b instanceof List && a.items.length === b.items.length)
    return new List(
      a.items.map((item, i) => joinedValue(item, b.items[i], reason)),
      a.kind,
    );
  return new Unknown(say`it differs between the two ways of an if: ${reason}`);
}

/** A list may grow later. */
const asItIs = (value: Value): Value =>
  value instanceof List ? new List([...value.items], value.kind) : value;

const libraryFiles = new WeakSet<SourceFile>();

const withSelf = (self: Value, args: Args): Args => ({
  ...args,
  positional: [self, ...args.positional],
  ranges: [null, ...args.ranges],
});

/** Whether it cannot be said if the value is true. */
const isOpen = (value: Value): boolean => value instanceof Unknown || value instanceof TensorValue;

const asUnknown = (value: Value): Unknown =>
  value instanceof Unknown ? value : new Unknown(say`it depends on a tensor's numbers`);

const ownedBy = (cls: Class, fn: Fn): Fn => {
  fn.owner = cls;
  return fn;
};

/** Whether `except type:` catches an error. */
function catches(type: Value, error: unknown): boolean {
  // What PyTorch itself would raise, and what we could not follow.
  if (error instanceof Failure || error instanceof NotKnown) return true;
  if (!(error instanceof Raised)) return false;
  const { value } = error;
  if (value === null) return true;
  if (type instanceof List) return type.items.some((item) => catches(item, error));
  return !(type instanceof Class) || value.cls.lineage.includes(type);
}

/** The names that a statement would have bound. */
function boundBy(statement: Stmt): string[] {
  const names = (target: Expr): string[] =>
    target.kind === "name"
      ? [target.name]
      : target.kind === "tuple" || target.kind === "list"
        ? target.items.flatMap(names)
        : [];
  if (statement.kind === "assign") return statement.targets.flatMap(names);
  return statement.kind === "class" ? [statement.name] : [];
}
