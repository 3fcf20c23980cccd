// # Looking at the models of a TypeScript file
//
// Runs inside of the process that runs the user's file, on the `convnotes` that the file itself uses. The
// file runs on `meta` tensors, so that it computes nothing; modules that it makes, and calls that it makes
// of them, are noted with the places where they stand. Each network is then run twice, with batches of two
// and of three: what differs is the batch.

import {
  customarySizes,
  type FittingSizes,
  fittingSizes,
  manualSeed,
  nn,
  noGrad,
  observed,
  type Said,
  saidBy,
  say,
  type Shape,
  ShapeError,
  showOutputSize,
  summarize,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import type {
  Dim,
  Finding,
  LayerCall,
  NetworkInput,
  SourceRange,
  ValueHint,
} from "convnotes/pytorch";
import { type NetworkOutputs, type NoOutputs, outputsOfModel, SEED } from "../outputs.js";
import type { Traced, TracedNetwork, TraceQuestion } from "./question.js";
import { callAt, type CallText, declaredNames } from "./scan.js";

/** What only the process knows. */
export interface Ground {
  /** Runs the user's file. */
  load(): void;
  /** What stands under a name that the file declares; undefined where it never came to that. */
  named(name: string): unknown;
  /** Where the user's file is in what is running now, the innermost place first. */
  places(): readonly number[];
  /** Where an error began, if in the user's file. */
  placeOf(error: unknown): number | null;
}

type Source = TraceQuestion["source"];

interface Made {
  readonly place: CallText;
  /** What it was first called with, outside of all modules. */
  given?: { readonly shapes: readonly Shape[]; readonly place: CallText };
}

/** What the file's networks are. */
export function look(question: TraceQuestion, ground: Ground): Traced {
  const eye = new Eye(question, ground);
  const stopped = eye.load();
  const findings: Finding[] = [];
  const candidates = eye.candidates();
  // Those that contain others go first: the others are shown what they are given there.
  const inner = new Set(
    candidates.flatMap(({ module }) =>
      [...module.modules()].filter((m) => m !== module && isOwn(m)).map((m) => m.constructor),
    ),
  );
  const made = new Map<string, TracedNetwork>();
  for (const last of [false, true])
    for (const { module, ...name } of candidates)
      if (inner.has(module.constructor) === last) {
        const network = withDevice("meta", () => noGrad(() => eye.network(module, name)));
        made.set(name.name, network);
        if (network.failed) findings.push(network.failed);
      }
  const networks = candidates.map(({ name }) => made.get(name)!);
  // A network that refuses its input says so itself.
  if (stopped && (stopped.code !== "shape" || findings.length === 0)) findings.push(stopped);
  return { networks, findings };
}

/** What the layers of a network put out. Here the file runs with numbers. */
export function compute(
  { outputs, source }: TraceQuestion,
  ground: Ground,
  networks: readonly TracedNetwork[],
): NetworkOutputs | NoOutputs {
  const network = networks.find(({ name }) => name === outputs?.network);
  if (!outputs || !network) return { unavailable: say`there is no such network any more` };
  const model = withDevice("reference", () => {
    manualSeed(SEED);
    try {
      ground.load();
    } catch {
      // What came before stands.
    }
    const value = ground.named(network.name);
    if (!isModuleClass(value)) return value;
    manualSeed(SEED);
    return new value();
  });
  if (!(model instanceof nn.Module)) return { unavailable: say`${source.file} ends before it` };
  try {
    return outputsOfModel(network, model, outputs.image ?? 0, outputs.weights ?? null);
  } catch (error) {
    return { unavailable: saidBy(error) };
  }
}

class Eye {
  readonly #source: Source;
  readonly #question: TraceQuestion;
  readonly #ground: Ground;
  readonly #made = new Map<nn.Module, Made>();
  /** What the first module of each class was given inside of a network. */
  readonly #within = new Map<unknown, NonNullable<Made["given"]>>();

  constructor(question: TraceQuestion, ground: Ground) {
    this.#source = question.source;
    this.#question = question;
    this.#ground = ground;
  }

  #range = ({ start, end }: { start: number; end: number }): SourceRange => ({
    file: this.#source.file,
    start,
    end,
  });

  /** The innermost construction, else the innermost call, that is under way in the file. */
  #construction(): CallText | null {
    const places = this.#ground.places();
    const place = places.find((at) => /^new\b/.test(this.#source.text.slice(at, at + 4)));
    return places.length === 0 ? null : callAt(this.#source.text, place ?? places[0]);
  }

  /** The innermost call that is under way, with the names before it: `this.net.call(x)`. */
  #call(): CallText | null {
    const [place] = this.#ground.places();
    if ((place as number | undefined) === undefined) return null;
    const { text } = this.#source;
    const call = callAt(text, place);
    let { start } = call;
    while (start > 0 && /[\w$.#]/.test(text[start - 1])) start--;
    return { ...call, start };
  }

  // ## What the file makes

  /** Notes every module that `body` makes, and what modules are called with there. */
  #watch(body: () => void): void {
    const handles: nn.Handle[] = [];
    let depth = 0;
    const note = (module: nn.Module) => {
      const place = this.#construction();
      if (place === null) return;
      const made: Made = { place };
      this.#made.set(module, made);
      handles.push(
        module.registerForwardPreHook((_, inputs) => {
          const call = depth++ === 0 ? this.#call() : null;
          if (call) made.given ??= { shapes: inputs.map(({ shape }) => shape), place: call };
        }),
        module.registerForwardHook(() => {
          depth--;
          return undefined;
        }),
      );
    };
    try {
      nn.whileMaking(note, body);
    } finally {
      for (const handle of handles) handle.remove();
    }
  }

  /** Runs the file; what ends it early is said at its place. */
  load(): Finding | null {
    let finding: Finding | null = null;
    this.#watch(() => {
      try {
        withDevice("meta", () => this.#ground.load());
      } catch (error) {
        finding = this.#finding(error, []);
      }
    });
    return finding;
  }

  /** The networks that it declares: modules, and classes of modules that ask for nothing. */
  candidates(): { name: string; range: SourceRange; module: nn.Module }[] {
    const spoken = new Set<unknown>();
    return declaredNames(this.#source.text).flatMap(({ name, start, end }) => {
      const value = this.#ground.named(name);
      const module = this.#moduleOf(value);
      if (module === null || (module === value && spoken.has(module.constructor))) return [];
      spoken.add(value);
      return [{ name, range: this.#range({ start, end }), module }];
    });
  }

  #moduleOf(value: unknown): nn.Module | null {
    if (value instanceof nn.Module) return value;
    if (!isModuleClass(value) || value.length > 0) return null;
    let module: nn.Module | null = null;
    this.#watch(() => {
      try {
        withDevice("meta", () => (module = new value()));
      } catch {
        // An abstract class, or one that asks for more than it says.
      }
    });
    return module;
  }

  // ## One network

  network(module: nn.Module, { name, range }: { name: string; range: SourceRange }): TracedNetwork {
    refuseAsShape(module);
    const input = this.#input(module, name);
    const { batch } = this.#question;
    const shape = (n: number) => [n, ...input.sizes];
    const [a, b] = [2, 3].map((n) => summarize(() => module, shape(n)));
    const walk = this.#walk(module, shape(2));
    const other = this.#walk(module, shape(3));
    const per = (x: number, y: number) => x + (y - x) * (batch - 2);
    const seen = new Set<string>();
    const modules = new Map(module.namedModules());
    const calls = a.rows.map((row, i): LayerCall => {
      const layer = modules.get(row.path)!;
      const parameters = [...layer.parameters()].map((p) => p.shape.join("·") || "1");
      const shared = seen.has(row.path);
      seen.add(row.path);
      const made = this.#made.get(layer);
      const { place } = walk.calls[i];
      const call = this.#range(place ?? made?.place ?? { start: 0, end: 0 });
      return {
        path: row.path,
        className: row.module,
        printed: String(layer),
        inputs: row.inputShapes.map((s, k) => dims(s, b.rows[i].inputShapes[k])),
        output: dims(row.outputShape, b.rows[i].outputShape),
        arithmetic: walk.calls[i].arithmetic,
        parameters: row.parameters,
        parameterFormula: parameters.join(" + ") || "0",
        shared,
        multiplyAdds: per(row.multiplyAdds, b.rows[i].multiplyAdds),
        activationBytes: per(row.activationBytes, b.rows[i].activationBytes),
        receptiveField: row.receptiveField,
        definition: made ? this.#range(made.place) : call,
        call,
      };
    });
    const failed =
      walk.failed === null ? null : this.#finding(walk.failed.error, walk.failed.layers);
    const values = walk.values.flatMap(({ place, shape: s }, i): ValueHint[] => {
      const same = other.values.length === walk.values.length ? other.values[i].shape : s;
      return [{ range: this.#range(place), shape: dims(s, same) }];
    });
    return {
      ...{ name, range, calls, values, failed },
      input: {
        shape: ["N", ...input.sizes],
        source: input.source,
        ...(input.range && { range: this.#range(input.range) }),
        ...(input.interval && { interval: input.interval }),
      },
      output: walk.output && dims(walk.output, other.output ?? walk.output),
      totals: {
        parameters: a.parameters,
        trainable: a.trainableParameters,
        multiplyAdds: per(a.multiplyAdds, b.multiplyAdds),
        activationBytes: per(a.activationBytes, b.activationBytes),
        complete: failed === null,
      },
      printed: String(module),
    };
  }

  /** One pass that notes the places of the calls, of layers and of operations outside of layers. */
  #walk(module: nn.Module, shape: Shape) {
    const calls: { place: CallText | null; arithmetic: readonly string[] }[] = [];
    const values: { place: CallText; shape: Shape }[] = [];
    const running: { layer: nn.Module; inputs: readonly Tensor[] }[] = [];
    let arithmetic: readonly string[] = [];
    const note = (tensor: Tensor | null) => {
      const place = running.length === 0 && tensor ? this.#call() : null;
      if (!place || !tensor) return;
      // Of the steps of one call, the last is its result.
      if (values.at(-1)?.place.start === place.start) values.pop();
      values.push({ place, shape: tensor.shape });
    };
    const inner = [...module.modules()].filter((m) => m !== module && isOwn(m));
    const given = inner.map((part) =>
      part.registerForwardPreHook((_, inputs) => {
        const place = this.#within.has(part.constructor) ? null : this.#call();
        const shapes = inputs.map(({ shape: s }) => s);
        if (place) this.#within.set(part.constructor, { shapes, place });
      }),
    );
    const handles = [...module.modules()].flatMap((layer) =>
      layer.children().next().done
        ? [
            layer.registerForwardPreHook((_, inputs) => {
              arithmetic = [];
              running.push({ layer, inputs });
            }),
            layer.registerForwardHook(() => {
              running.pop();
              calls.push({ place: this.#call(), arithmetic });
              return undefined;
            }),
          ]
        : [],
    );
    const result: { output: Shape | null; failed: { error: unknown; layers: Module[] } | null } = {
      output: null,
      failed: null,
    };
    const step = {
      step: (...[primitive, inputs, outputs, options]: Parameters<Observer["step"]>) => {
        const shapes = [inputs, outputs].map((list) => list.map((t) => t && t.shape));
        const window = primitive.window?.(shapes[0], shapes[1], options);
        const [size] = shapes[0];
        if (window && size?.length === 4) arithmetic = arithmeticOf(window, size, shapes[1][0]);
        note(outputs[0]);
      },
      view: (_: Tensor, to: Tensor) => note(to),
    };
    try {
      result.output = observed(step, () => module.eval().call(zeros(shape))).shape;
    } catch (error) {
      result.failed = { error, layers: running };
    } finally {
      for (const handle of [...given, ...handles]) handle.remove();
    }
    // What the call of a layer shows needs no second hint.
    const shown = new Set(calls.map(({ place }) => place?.end));
    const own = values.filter(({ place }) => !shown.has(place.end));
    return { ...result, calls, values: own };
  }

  #finding(thrown: unknown, running: readonly Module[]): Finding {
    const error = (thrown instanceof ShapeError && thrown.cause) || thrown;
    const message = forAnyBatch(error instanceof Error ? saidBy(error) : say`${String(error)}`);
    const at = this.#ground.placeOf(error);
    const call = at === null ? null : callAt(this.#source.text, at);
    const inner = running.at(-1);
    const made = inner && this.#made.get(inner.layer);
    const place = made?.place ?? call ?? { start: 0, end: 0, arguments: [] };
    if (!(error instanceof ShapeError))
      return {
        ...{ severity: "note", code: "unknown", range: this.#range(place), related: [] },
        message: say`the file is not followed beyond this: ${message}`,
      };
    const { argument, expected, actual } = error;
    const first = /^(in_channels|in_features|num_features)$/.test(argument ?? "");
    const number = first ? place.arguments.at(0) : undefined;
    const literal = number && this.#source.text.slice(number.start, number.end) === String(actual);
    return {
      ...{ severity: "error", code: "shape", message },
      range: this.#range(number ?? place),
      ...(expected === undefined ? {} : { expected: String(expected) }),
      ...(actual === undefined ? {} : { got: String(actual) }),
      related: call ? [{ range: this.#range(call), message: say`it is called here` }] : [],
      ...(literal && {
        fix: {
          title: say`Set ${argument!} to ${expected!}`,
          edits: [{ range: this.#range(number), text: String(expected) }],
        },
      }),
    };
  }

  // ## The input

  #input(module: nn.Module, name: string): Input {
    const chosen = this.#question.inputs[name] as readonly number[] | undefined;
    if (chosen) return { sizes: chosen, source: "chosen" };
    const given =
      this.#made.get(module)?.given ??
      [...this.#made].find(([m, { given: g }]) => g && m.constructor === module.constructor)?.[1]
        .given ??
      this.#within.get(module.constructor);
    if (given?.shapes.length) {
      const [first] = given.shapes;
      return { sizes: first.slice(1), source: "call", range: given.place };
    }
    const comment =
      /\b(?:inputs?|shape):?\W{0,4}[([]\s*(?:N\s*[,×])?\s*(\d+(?:\s*[,×]\s*\d+){1,3})\s*[)\]]/i.exec(
        this.#source.text,
      );
    if (comment) {
      const sizes = comment[1].split(/[,×]/).map(Number);
      const own = sizes.length === 4 ? sizes.slice(1) : sizes;
      const range = { start: comment.index, end: comment.index + comment[0].length };
      if (own.every((d) => d >= 1 && d <= 1e5) && fits(module, own))
        return { sizes: own, source: "comment", range };
    }
    return solved(module);
  }
}

interface Module {
  readonly layer: nn.Module;
}

type Observer = NonNullable<Parameters<typeof observed>[0]>;

interface Input {
  readonly sizes: readonly number[];
  readonly source: NetworkInput["source"];
  readonly range?: { readonly start: number; readonly end: number };
  readonly interval?: FittingSizes;
}

/** Whatever goes wrong in a network ends its table, as sizes do that do not fit. */
function refuseAsShape(module: nn.Module): void {
  const forward = module.forward.bind(module);
  module.forward = (...inputs) => {
    try {
      return forward(...inputs);
    } catch (error) {
      if (error instanceof ShapeError) throw error;
      const refusal = new ShapeError(error instanceof Error ? saidBy(error) : String(error));
      refusal.cause = error;
      throw refusal;
    }
  };
}

/** Whether its class is the user's: two Sequentials have nothing in common. */
const isOwn = (module: nn.Module): boolean => !library.has(module.constructor);
const library = new Set<unknown>(Object.values(nn));

const isModuleClass = (value: unknown): value is new () => nn.Module =>
  typeof value === "function" && value.prototype instanceof nn.Module;

const fits = (module: nn.Module, sizes: readonly number[]): boolean =>
  withDevice("meta", () =>
    noGrad(() => {
      try {
        module.eval().call(zeros([2, ...sizes]));
        return true;
      } catch {
        return false;
      }
    }),
  );

/** From what the first layer takes, and which images the rest admits. */
function solved(module: nn.Module): Input {
  for (const [, layer] of module.namedModules()) {
    const [, kind, size] = /^(Conv2d|BatchNorm2d|Linear)\((?:in_features=)?(\d+)/.exec(
      String(layer),
    ) ?? [null, "", ""];
    if (kind === "") continue;
    const channels = Number(size);
    if (kind === "Linear") {
      const side = Math.sqrt(channels);
      const image = [1, side, side];
      const sizes = Number.isInteger(side) && fits(module, image) ? image : [channels];
      return { sizes, source: "solved" };
    }
    const of = (side: number) => [channels, side, side];
    const side = customarySizes.find((s) => fits(module, of(s)));
    if (side === undefined) return { sizes: of(channels === 1 ? 28 : 224), source: "assumed" };
    const small = channels === 1 ? 28 : 32;
    if (side === 224 && [small, 97, 160, 448].every((s) => fits(module, of(s))))
      return { sizes: of(224), source: "assumed" };
    const interval = fittingSizes(side, (s) => fits(module, of(s)));
    return { sizes: of(side), source: "solved", interval };
  }
  return { sizes: [3, 224, 224], source: "assumed" };
}

/** The batch that was tried with is nobody's. */
function forAnyBatch({ words, values }: Said): Said {
  const input = /\binput \{(\d+)\}/.exec(words)?.[1];
  return {
    words,
    values: values.map((value, i) => {
      if (typeof value === "object") return forAnyBatch(value);
      const text = String(i) === input ? /^\[2\b/ : /(?<=\binput )\[2\b/;
      return typeof value === "string" ? value.replace(text, "[N") : value;
    }),
  };
}

const dims = (a: Shape, b: Shape): Dim[] =>
  a.map((size, i) => {
    const slope = b[i] - size;
    return slope === 0 ? size : slope === 1 ? "N" : `N·${slope}`;
  });

type Window = Parameters<typeof showOutputSize>[1];

/** Empty where the size does not follow from the window alone. */
function arithmeticOf(
  window: Pick<Window, "kernel" | "stride" | "padding">,
  input: Shape,
  output: Shape | null,
): string[] {
  const whole: Window = { ...window, dilation: [1, 1], ceilMode: false };
  const lines = ([0, 1] as const).map((axis) => showOutputSize(input[axis + 2], whole, axis));
  const right = lines.every((line, axis) => line.endsWith(`= ${output?.[axis + 2]}`));
  return right ? [...new Set(lines)] : [];
}
