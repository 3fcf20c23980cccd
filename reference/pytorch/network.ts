// # One network
//
// A module that the source constructs is run twice on `meta` tensors, with batches of two and of
// three: what differs is the batch, and is written `N`. What is seen on the way becomes the layers'
// calls.

import { withDevice } from "../backend.js";
import { zeros } from "../create.js";
import { noGrad } from "../tape.js";
import { sizeOf } from "../tensor.js";
import { type Graph, multiplyAdds, trace } from "../trace.js";
import type {
  Dim,
  Finding,
  LayerCall,
  NetworkInput,
  SourceRange,
  Totals,
  ValueHint,
} from "./analysis.js";
import { Failure, type Interpreter } from "./interpreter.js";
import { arithmeticOf, type Layer, ownParameters } from "./layers.js";
import {
  type Field,
  Fn,
  type Instance,
  isModule,
  List,
  modulesOf,
  plainArgs,
  Raised,
  show,
  TensorValue,
  Unknown,
  type Value,
} from "./values.js";
import { moduleClass } from "./torch.js";
import { type Said, say } from "../words.js";

/** Sizes of one input, the batch's place first. */
export interface Sizes {
  readonly sizes: readonly number[];
  /** Whether it holds whole numbers, such as words. */
  readonly whole?: boolean;
  /** Where a list of tensors is given: all of them. */
  readonly parts?: readonly Sizes[];
}

interface LayerRecord {
  readonly module: Instance;
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly call: SourceRange;
  readonly multiplyAdds: number;
}

export interface Pass {
  readonly layers: readonly LayerRecord[];
  readonly values: readonly { readonly range: SourceRange; readonly value: Value }[];
  readonly output: Value;
  readonly failure: Failure | null;
  /** Whether the code itself refused, by an exception. */
  readonly raised: boolean;
  /** Where the output is a function's softmax: its place. */
  readonly softmax: SourceRange | null;
  /** The layers that ran, also on ways that may not be taken. */
  readonly touched: ReadonlySet<Instance>;
  readonly multiplyAdds: number;
}

/** Runs a module on inputs of the given sizes with `batch` in the first place. */
export function runOnce(
  run: Interpreter,
  module: Instance,
  inputs: readonly Sizes[],
  batch: number,
  counted = true,
): Pass {
  const layers: (Omit<LayerRecord, "multiplyAdds"> & {
    from: number;
    to: number;
    extra: number;
  })[] = [];
  const values: { range: SourceRange; value: Value }[] = [];
  const touched = new Set<Instance>();
  const skipped: [from: number, to: number][] = [];
  let failure: Failure | null = null;
  let raised = false;
  for (const part of modulesOf(module).keys())
    if (part.lazy !== null) [part.cls, part.layer] = [part.lazy.cls, part.lazy.waiting];
  const body = (stepsSoFar: () => number): Value => {
    let from = 0;
    let extra = 0;
    run.extraMultiplyAdds = 0;
    run.recorder = {
      begin() {
        [from, extra] = [stepsSoFar(), run.extraMultiplyAdds];
      },
      touch: (part) => touched.add(part),
      layer(layer, given, output, call) {
        run.bound(5 * layers.length);
        layers.push({
          ...{ module: layer, inputs: given, output, call, from, to: stepsSoFar() },
          extra: run.extraMultiplyAdds - extra,
        });
      },
      assign: (range, value) => values.push({ range, value }),
      aside(action) {
        const outer = run.recorder;
        const [start, products] = [stepsSoFar(), run.extraMultiplyAdds];
        run.recorder = {
          begin: () => {},
          touch: (part) => touched.add(part),
          layer: () => {},
          assign: () => {},
          aside: (inner) => inner(),
        };
        try {
          return action();
        } finally {
          run.recorder = outer;
          run.extraMultiplyAdds = products;
          skipped.push([start, stepsSoFar()]);
        }
      },
    };
    run.site = module.definition ?? run.site;
    run.guessing = !counted;
    const given = ({ sizes, whole, parts }: Sizes): Value => {
      if (parts !== undefined) return new List(parts.map(given));
      const shape = [batch, ...sizes];
      const field: Field | null = shape.length === 4 ? { size: [1, 1], jump: [1, 1] } : null;
      return new TensorValue(zeros(shape, { dtype: whole ? "int64" : "float32" }), field);
    };
    const tensors = inputs.map(given);
    try {
      return run.attempt(() => {
        try {
          return run.forward(module, plainArgs(tensors));
        } catch (error) {
          raised = error instanceof Raised;
          throw error;
        }
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failure = error;
      return new Unknown(error.said);
    } finally {
      run.recorder = null;
      run.guessing = false;
    }
  };
  const { graph, result } = withDevice("meta", () =>
    noGrad(() => (counted ? trace(body) : { graph: null, result: body(() => 0) })),
  );
  const products = (from: number, to: number) => (graph === null ? 0 : productsOf(graph, from, to));
  return {
    layers: layers.map(({ from, to, extra, ...rest }) => ({
      ...rest,
      multiplyAdds: products(from, to) + extra,
    })),
    ...{ values, output: result, failure, raised, touched },
    softmax: run.softmax !== null && run.softmax.of === result ? run.softmax.range : null,
    multiplyAdds:
      products(0, graph?.nodes.length ?? 0) -
      skipped.reduce((sum, [from, to]) => sum + products(from, to), 0) +
      run.extraMultiplyAdds,
  };
}

function productsOf(graph: Graph, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += multiplyAdds(graph, graph.nodes[i]);
  return sum;
}

// ## Two passes, one answer

const [two, three] = [2, 3];

/** `N`, where the sizes grow with the batch. */
function dim(a: number, b: number | undefined): Dim {
  if (b === undefined || a === b) return a;
  const slope = b - a;
  const rest = a - two * slope;
  const times = slope === 1 ? "N" : `N·${slope}`;
  return rest === 0 ? times : `${times} ${rest < 0 ? "−" : "+"} ${Math.abs(rest)}`;
}

const dims = (a: TensorValue, b: Value | undefined): Dim[] =>
  a.shape.map((d, i) => dim(d, b instanceof TensorValue ? b.shape.at(i) : undefined));

const tensorIn = (value: Value | undefined): TensorValue | null =>
  value instanceof TensorValue ? value : value instanceof List ? tensorIn(value.items.at(0)) : null;

/** A quantity that grows evenly with the batch, for `n` images. */
const forBatch = (a: number, b: number | undefined, n: number): number =>
  b === undefined ? (a / two) * n : a + (b - a) * (n - two);

const bytes = (value: Value, inputs: readonly Value[]): number => {
  if (value instanceof List)
    return value.items.reduce<number>((sum, v) => sum + bytes(v, inputs), 0);
  if (!(value instanceof TensorValue)) return 0;
  const { storage, shape } = value.tensor;
  const shared = inputs.some((v) => v instanceof TensorValue && v.tensor.storage === storage);
  return shared ? 0 : sizeOf(shape) * 4;
};

export interface Outcome {
  readonly calls: readonly LayerCall[];
  readonly values: readonly ValueHint[];
  readonly output: readonly Dim[] | null;
  readonly totals: Totals;
  readonly failed: Finding | null;
  readonly notes: readonly Finding[];
}

/** Everything about a network on inputs of the given sizes. */
export function inspect(
  run: Interpreter,
  module: Instance,
  inputs: readonly Sizes[],
  source: NetworkInput["source"],
  batch: number,
  text: string,
): Outcome {
  const a = runOnce(run, module, inputs, two);
  const b = runOnce(run, module, inputs, three);
  // Where both went the same way, the same places answer each other.
  const alike = a.layers.length === b.layers.length && a.values.length === b.values.length;
  const paths = modulesOf(module);
  const seen = new Set<Instance>();
  let activationBytes = 0;
  const calls = a.layers.map((record, i): LayerCall => {
    const other = alike ? b.layers[i] : undefined;
    const { module: layer, inputs: given, output } = record;
    const { parameters, formula } = parametersOf(layer.layer);
    const shared = seen.has(layer);
    seen.add(layer);
    const first = tensorIn(given.at(0));
    const out = tensorIn(output);
    const { window } = layer.layer!;
    const memory = forBatch(
      bytes(output, given),
      other && bytes(other.output, other.inputs),
      batch,
    );
    activationBytes += memory;
    const unknown = output instanceof Unknown ? output.reason : undefined;
    return {
      path: paths.get(layer) ?? "",
      className: layer.cls.name,
      printed: printedOf(run, layer),
      inputs: given.flatMap((value, k) =>
        value instanceof TensorValue ? [dims(value, other?.inputs.at(k))] : [],
      ),
      output: out && dims(out, tensorIn(other?.output) ?? undefined),
      ...(unknown === undefined ? {} : { unknown }),
      arithmetic: window !== undefined && first !== null ? arithmeticOf(window, first.shape) : [],
      parameters,
      parameterFormula: formula,
      shared,
      multiplyAdds: forBatch(record.multiplyAdds, other?.multiplyAdds, batch),
      activationBytes: memory,
      receptiveField: out?.field?.size ?? null,
      definition: layer.definition ?? record.call,
      call: record.call,
    };
  });
  const values = a.values.map(({ range, value }, i): ValueHint => {
    if (value instanceof TensorValue)
      return { range, shape: dims(value, alike ? b.values[i].value : undefined) };
    return { range, shape: null, unknown: value instanceof Unknown ? value.reason : say`unknown` };
  });
  const out = tensorIn(a.output);
  const output = out && dims(out, tensorIn(b.output) ?? undefined);
  // An input that is only assumed, and that no layer has seen which cares, may well be another.
  const cares = ({ module: { layer } }: LayerRecord) => (layer?.parameters.size ?? 0) > 0;
  const doubtful = source === "assumed" && !a.layers.some(cares);
  const failed = a.failure && !doubtful ? findingOf(a.failure, a, b) : null;
  const complete = failed === null && out !== null && calls.every((c) => c.output !== null);
  return {
    calls,
    values,
    output,
    totals: {
      ...countParameters(module),
      multiplyAdds: forBatch(a.multiplyAdds, alike ? b.multiplyAdds : undefined, batch),
      activationBytes,
      complete,
    },
    failed,
    notes: notesOn(a, module, complete, source, text, () => inTraining(run, module, inputs)),
  };
}

/** The layers that run while a network is trained; null where that cannot be said. */
function inTraining(run: Interpreter, module: Instance, inputs: readonly Sizes[]) {
  const { members } = moduleClass(run);
  members.set("training", true);
  try {
    const { failure, raised, touched } = runOnce(run, module, inputs, two, false);
    return failure === null && !raised ? touched : null;
  } finally {
    members.set("training", false);
  }
}

// ## Parameters

function parametersOf(layer: Layer | null): { parameters: number; formula: string } {
  const shapes = [...(layer?.parameters.values() ?? [])];
  return {
    parameters: shapes.reduce((sum, shape) => sum + sizeOf(shape), 0),
    formula:
      layer?.parameterFormula ??
      (shapes.length === 0 ? "0" : shapes.map((shape) => shape.join("·")).join(" + ")),
  };
}

function countParameters(module: Instance): { parameters: number; trainable: number } {
  let [parameters, trainable] = [0, 0];
  const seen = new Set<object>();
  for (const part of modulesOf(module).keys())
    for (const [, { tensor, requiresGrad }] of ownParameters(part)) {
      if (seen.has(tensor)) continue;
      seen.add(tensor);
      parameters += tensor.size;
      if (requiresGrad) trainable += tensor.size;
    }
  return { parameters, trainable };
}

// ## The printed form

/** What PyTorch prints for a module. */
export function printedOf(
  run: Interpreter,
  module: Instance,
  depth = 0,
  room = { left: 4000 },
): string {
  if (--room.left < 0 || depth > 20) return "…";
  const { name } = module.cls;
  // Most are layers of the library, which hold nothing that prints.
  if (module.cls.file === null && module.attributes.size === 0 && !module.layer?.inner)
    return `${name}(${module.layer?.extra ?? ""})`;
  if (module.cls.find("__repr__") instanceof Fn) return run.text(module);
  const own = module.cls.find("extra_repr");
  const described =
    own instanceof Fn ? run.attempt(() => run.callFunction(own, plainArgs([module]))) : null;
  const extra = typeof described === "string" ? described : (module.layer?.extra ?? "");
  const moved = (text: string) => text.replaceAll("\n", "\n  ");
  const children = [...module.attributes].filter(([, child]) => isModule(child));
  const texts: [key: string, text: string][] = [];
  for (const [key, child] of children) {
    texts.push([key.slice(0, 200), moved(printedOf(run, child as Instance, depth + 1, room))]);
    if (room.left < 0) break;
  }
  const isList = module.cls.lineage.some((c) => c.name === "ModuleList" && c.file === null);
  const lines = isList
    ? runs(texts)
    : [...(module.layer?.inner ?? []), ...texts.map(([key, text]) => `(${key}): ${text}`)];
  const parameters = [...module.attributes].flatMap(([key, value]) =>
    module.cls.name === "ParameterList" && value instanceof TensorValue
      ? [`  (${key}): Parameter containing: [torch.float32 of size ${value.shape.join("x")}]`]
      : [],
  );
  lines.push(...parameters);
  if (lines.length === 0) return `${name}(${extra})`;
  if (extra !== "") lines.unshift(extra);
  return `${name}(\n  ${lines.join("\n  ")}\n)`;
}

/** Neighbours of a list that print alike stand together. */
function runs(texts: string[][]): string[] {
  const groups: { first: number; last: number; text: string }[] = [];
  texts.forEach(([, text], i) => {
    const group = groups.at(-1);
    if (group?.text === text) group.last = i;
    else groups.push({ first: i, last: i, text });
  });
  return groups.map(({ first, last, text }) =>
    first === last ? `(${first}): ${text}` : `(${first}-${last}): ${last - first + 1} x ${text}`,
  );
}

// ## Findings

/** `N×16×5×5`. */
export const showDims = (shape: readonly Dim[]): string => shape.join("×");

export function findingOf(failure: Failure, a?: Pass, b?: Pass): Finding {
  const { error, module, inputs } = failure;
  const { argument, expected, actual } = error;
  const range = (argument !== undefined && module?.argumentRanges.get(argument)) || null;
  const other = b?.failure?.inputs.at(0);
  const arrived = tensorIn(inputs.at(0));
  const refused = module === null ? error.said : say`${module.cls.name}: ${error.said}`;
  const literal = range !== null && actual !== undefined && range.end - range.start < 8;
  const last = a?.layers.at(-1);
  const from = arrived?.madeBy ?? (module === null ? null : (last?.module ?? null));
  return {
    severity: "error",
    code: "shape",
    message:
      arrived === null ? refused : say`${refused} (the input is ${showDims(dims(arrived, other))})`,
    range: range ?? module?.definition ?? failure.range,
    ...(expected === undefined ? {} : { expected: String(expected) }),
    ...(actual === undefined ? {} : { got: String(actual) }),
    related: [
      ...(from?.definition
        ? [{ range: from.definition, message: say`${from.cls.name} comes before it` }]
        : []),
      { range: failure.range, message: say`it is called here` },
    ],
    ...(literal && argument !== undefined && settable.has(argument)
      ? {
          fix: {
            title: say`Set ${argument} to ${actual}`,
            edits: [{ range, text: String(actual) }],
          },
        }
      : {}),
  };
}

const settable: ReadonlySet<string> = new Set([
  ...["in_features", "in_channels", "num_features", "num_channels", "input_size"],
  ...["normalized_shape", "embed_dim"],
]);

/** What is legal, but probably not meant. */
function notesOn(
  { layers, output, failure, touched, softmax }: Pass,
  root: Instance,
  complete: boolean,
  source: NetworkInput["source"],
  text: string,
  trained: () => ReadonlySet<Instance> | null,
): Finding[] {
  const notes: Finding[] = [];
  const add = (
    code: Finding["code"],
    module: Instance,
    message: Said,
    argument?: string,
    fix?: Finding["fix"],
  ) => {
    const range = (argument && module.argumentRanges.get(argument)) || module.definition;
    if (range === null) return;
    notes.push({ severity: "note", code, message, range, related: [], ...(fix ? { fix } : {}) });
  };
  const paths = modulesOf(root);
  for (const { module, inputs } of layers) {
    const [x] = inputs;
    const before = x instanceof TensorValue ? x.madeBy : null;
    const is = (m: Instance | null, name: RegExp) => m !== null && name.test(m.cls.name);
    if (
      is(module, /^BatchNorm/) &&
      is(before, /^Conv\dd$/) &&
      before!.settings?.get("bias") === true
    )
      add(
        "bias-before-batch-norm",
        before!,
        say`its bias does nothing: the batch normalisation after it takes the mean away; bias=False
          saves ${show(before!.settings.get("out_channels") ?? null)} parameters`,
      );
    const sibling = (m: Instance) => (paths.get(m) ?? "").replace(/[^.]*$/, "");
    const neighbours = before !== null && sibling(before) === sibling(module);
    if (is(module, /^Linear$/) && is(before, /^Linear$/) && neighbours)
      add("no-relu", module, say`two linear layers with nothing between them are one linear layer`);
    const { window } = module.layer!;
    if (window !== undefined && x instanceof TensorValue && source !== "assumed")
      for (const axis of [0, 1] as const) {
        const size = x.shape[axis + 2];
        const [k, s, p] = [window.kernel[axis], window.stride[axis], window.padding[axis]];
        const lost = (size + 2 * p - k) % s;
        if (k !== s || lost === 0 || window.ceilMode || window.dilation[axis] !== 1) continue;
        const rows = lost === 1 ? say`the last row is` : say`the last ${lost} rows are`;
        const columns = lost === 1 ? say`the last column is` : say`the last ${lost} columns are`;
        const many = axis === 0 ? rows : columns;
        add("odd-size", module, say`${many} never seen: ${size} does not divide by ${s}`);
        break;
      }
  }
  const last = layers.at(-1);
  const isLast =
    last?.output instanceof TensorValue &&
    output instanceof TensorValue &&
    last.output.tensor === output.tensor &&
    /^(Log)?Softmax$/.test(last.module.cls.name);
  const where = isLast ? last.module.definition : softmax;
  if (failure === null && where !== null && /CrossEntropyLoss|cross_entropy/.test(text))
    notes.push({
      severity: "note",
      code: "softmax-before-cross-entropy",
      message: say`the cross-entropy loss takes the softmax itself; twice makes learning slow`,
      range: where,
      related: [],
    });
  if (complete) {
    const unused = [...paths].filter(
      ([m]) => m.layer !== null && !touched.has(m) && !/Loss$|^Identity$/.test(m.cls.name),
    );
    const elsewhere = unused.length > 0 ? trained() : touched;
    for (const [module, path] of unused)
      if (elsewhere?.has(module) === false)
        add("unused-layer", module, say`${path} is never used in forward`);
  }
  const unique = new Map(notes.map((n) => [`${n.code} ${n.range.start} ${n.range.end}`, n]));
  return [...unique.values()];
}
