// # Summary
//
// The table of a network: for every call of a layer its output shape, parameters, multiply-adds,
// receptive field and memory. It comes from a trace on the `meta` device, so it costs nothing and
// works for networks that would fill no memory. When sizes do not fit, the table goes up to the
// layer that fails, and says why.

import { withDevice } from "./backend.js";
import { zeros } from "./create.js";
import { ShapeError } from "./errors.js";
import type { Module } from "./nn/module.js";
import { noGrad } from "./tape.js";
import { elementBytes, type Shape, showShape, type Tensor } from "./tensor.js";
import { type Graph, type GraphNode, type GraphValue, multiplyAdds, trace } from "./trace.js";

/** One call of a layer: a module without children. */
export interface SummaryRow {
  /** Such as `net.0`; a layer that is called twice has two rows. */
  readonly path: string;
  /** Such as `Conv2d`. */
  readonly module: string;
  readonly inputShapes: readonly Shape[];
  readonly outputShape: Shape;
  /** The layer's own; counted once in the total, however often the layer is called. */
  readonly parameters: number;
  readonly multiplyAdds: number;
  /**
   * Height and width of the region of the input that one output pixel depends on, in pixels; null
   * when it depends on all of it, or when the input is no image.
   */
  readonly receptiveField: readonly [height: number, width: number] | null;
  /** Of the output; 0 where it shares the input's numbers. */
  readonly activationBytes: number;
}

/** The rows, and what holds for the whole network. Units: memory is in bytes. */
export interface Summary {
  readonly model: string;
  readonly inputShape: Shape;
  readonly rows: readonly SummaryRow[];
  readonly parameters: number;
  readonly trainableParameters: number;
  readonly multiplyAdds: number;
  readonly parameterBytes: number;
  /** Of all layers' outputs together. */
  readonly activationBytes: number;
  /** At the worst moment of a forward pass: parameters, buffers, and what is still to be read. */
  readonly evaluationBytes: number;
  /**
   * At the worst moment of a forward and backward pass, gradients included; the optimiser's own
   * state comes on top. Null when no parameter is trained, or the table ends early.
   */
  readonly trainingBytes: number | null;
  /** Why the table ends early. */
  readonly error?: string;
}

/**
 * Traces the network that `create` makes, in evaluation, on an input of `inputShape`.
 *
 * A ShapeError on the way does not escape: it becomes `error`, behind the rows that worked.
 */
export function summarize(create: () => Module, inputShape: Shape): Summary {
  return withDevice("meta", () => {
    const model = create().eval();
    const input = zeros(inputShape);
    const calls: Call[] = [];
    const { graph, result: error } = trace((stepsSoFar) =>
      whileWatching(model, stepsSoFar, calls, () => noGrad(() => shapeErrorOf(model, input))),
    );
    const fieldOf = receptiveFields(graph, input);
    const rows = calls.map(({ path, module, inputs, output, from, to }): SummaryRow => {
      const shared = inputs.some((t) => t.storage === output.storage);
      return {
        path,
        module: module.getName(),
        inputShapes: inputs.map((t) => t.shape),
        outputShape: output.shape,
        parameters: total(module.parameters(), (p) => p.size),
        multiplyAdds: total(graph.nodes.slice(from, to), (node) => multiplyAdds(graph, node)),
        receptiveField: fieldOf(output),
        activationBytes: shared ? 0 : bytesOf(output),
      };
    });
    const parameters = [...model.parameters()];
    const buffers = Array.from(model.namedBuffers(), ([, buffer]) => buffer);
    const resident = total([...parameters, ...buffers, input], bytesOf);
    const training = error === undefined ? trainingGraph(model, input) : null;
    return {
      model: model.getName(),
      inputShape,
      rows,
      parameters: total(parameters, (p) => p.size),
      trainableParameters: total(parameters, (p) => (p.requiresGrad ? p.size : 0)),
      multiplyAdds: total(graph.nodes, (node) => multiplyAdds(graph, node)),
      parameterBytes: total(parameters, bytesOf),
      activationBytes: total(rows, (row) => row.activationBytes),
      evaluationBytes: resident + peakBytes(graph),
      trainingBytes: training && resident + peakBytes(training),
      ...(error === undefined ? {} : { error }),
    };
  });
}

function shapeErrorOf(model: Module, input: Tensor): string | undefined {
  try {
    model.call(input);
    return undefined;
  } catch (error) {
    if (error instanceof ShapeError) return error.message;
    throw error;
  }
}

const total = <T>(items: Iterable<T>, of: (item: T) => number): number => {
  let sum = 0;
  for (const item of items) sum += of(item);
  return sum;
};

const bytesOf = ({ shape, dtype }: Tensor | GraphValue): number =>
  shape.reduce((product, d) => product * d, elementBytes[dtype]);

// ## Which steps were whose

interface Call {
  readonly path: string;
  readonly module: Module;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  /** Its steps are those of the trace from `from` to before `to`. */
  readonly from: number;
  readonly to: number;
}

/** Runs `body` and notes every call of a module without children. */
function whileWatching<T>(
  model: Module,
  stepsSoFar: () => number,
  calls: Call[],
  body: () => T,
): T {
  const begun: number[] = [];
  const handles = [...model.namedModules()].flatMap(([path, module]) =>
    module.children().next().done
      ? [
          module.registerForwardPreHook(() => begun.push(stepsSoFar())),
          module.registerForwardHook((_, inputs, output) => {
            calls.push({ path, module, inputs, output, from: begun.pop()!, to: stepsSoFar() });
            return undefined;
          }),
        ]
      : [],
  );
  try {
    return body();
  } finally {
    for (const handle of handles) handle.remove();
  }
}

// ## Receptive fields
//
// One output pixel of a window of $k$ pixels depends on $k$ neighbours of the layer before, which
// are $j$ input pixels apart: the field grows by $(k-1)j$, and a stride of $s$ makes $j$ grow to
// $sj$. Where branches meet, the larger field counts. What mixes pixels in another way than
// through a window is taken to see the whole image.

interface Field {
  readonly size: readonly [height: number, width: number];
  readonly jump: readonly [height: number, width: number];
}

/** Operations whose output pixel sees one pixel of each input, and neighbours see neighbours. */
const pixelwise: ReadonlySet<string> = new Set([
  ...["add", "mul", "relu", "sigmoid", "tanh", "dropout", "batch_norm"],
  ...["concat", "pad", "narrow"],
]);

/** The field of any tensor of the trace; null for the whole image. */
function receptiveFields(graph: Graph, input: Tensor): (t: Tensor) => Field["size"] | null {
  const start: Field | null = input.ndim === 4 ? { size: [1, 1], jump: [1, 1] } : null;
  // Values that do not depend on the input, such as weights, are not in the map.
  const fields = new Map<number, Field | null>();
  for (const { id, source } of graph.values) if (source === input) fields.set(id, start);
  for (const node of graph.nodes) {
    const ids = node.inputs.filter((id) => id !== null && fields.has(id));
    if (ids.length === 0) continue;
    const field = fieldAfter(
      graph,
      node,
      ids.map((id) => fields.get(id!)!),
    );
    for (const id of node.outputs) if (id !== null) fields.set(id, field);
  }
  return (t) => (t === input ? start : fields.get(graph.valueOf(t).id))?.size ?? null;
}

function fieldAfter(
  graph: Graph,
  { primitive, name, inputs, outputs, options }: GraphNode,
  before: readonly (Field | null)[],
): Field | null {
  const shapesOf = (ids: readonly (number | null)[]) =>
    ids.map((id) => (id === null ? null : graph.values[id].shape));
  const known = before.filter((field) => field !== null);
  if (primitive === "view" || known.length < before.length) return null;
  const both = (along: (axis: 0 | 1) => number) => [along(0), along(1)] as const;
  if (primitive.window !== undefined) {
    const [{ size, jump }] = known;
    const { kernel, stride } = primitive.window(shapesOf(inputs), shapesOf(outputs), options);
    return {
      size: both((axis) => size[axis] + (kernel[axis] - 1) * jump[axis]),
      jump: both((axis) => stride[axis] * jump[axis]),
    };
  }
  if (!pixelwise.has(name)) return null;
  return {
    size: both((axis) => Math.max(...known.map(({ size }) => size[axis]))),
    // A coarse input, such as one number a channel, is spread over the pixels of a fine one.
    jump: both((axis) => Math.min(...known.map(({ jump }) => jump[axis]))),
  };
}

// ## Memory
//
// A result lives from the step that makes it to the last step that reads it; what nobody reads is
// what the computation was for, and stays. No plan can do with less than what lives at the worst
// moment, unless it computes things twice.

/** A forward and a backward pass; null when there is nothing to train. */
function trainingGraph(model: Module, input: Tensor): Graph | null {
  const { graph, result: trained } = trace(() => {
    const output = model.call(input);
    if (output.requiresGrad) output.backward(zeros(output.shape, { dtype: output.dtype }));
    return output.requiresGrad;
  });
  return trained ? graph : null;
}

/** The memory that a graph's results take at the worst moment. */
function peakBytes({ values, nodes }: Graph): number {
  const given = new Set(values.flatMap(({ source, storage }) => (source ? [storage] : [])));
  const bytes = new Map<number, number>();
  const madeBy = new Map<number, number>();
  const lastRead = new Map<number, number>();
  const ofEach = (ids: readonly (number | null)[], note: (value: GraphValue) => void) => {
    for (const id of ids) if (id !== null && !given.has(values[id].storage)) note(values[id]);
  };
  nodes.forEach(({ inputs, outputs }, step) => {
    ofEach(inputs, ({ storage }) => lastRead.set(storage, step));
    ofEach(outputs, (value) => {
      if (!madeBy.has(value.storage)) madeBy.set(value.storage, step);
      bytes.set(value.storage, bytesOf(value));
    });
  });
  // By how much the memory in use grows with each step.
  const growth = new Float64Array(nodes.length + 1);
  for (const [storage, step] of madeBy) {
    growth[step] += bytes.get(storage)!;
    growth[(lastRead.get(storage) ?? nodes.length - 1) + 1] -= bytes.get(storage)!;
  }
  let [inUse, peak] = [0, 0];
  for (const change of growth) peak = Math.max(peak, (inUse += change));
  return peak;
}

// ## The table as text

const grouped = (n: number): string => n.toLocaleString("en-US");

/** `1.50 MB`, in powers of 1000. */
export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

export interface FormatOptions {
  /** Characters in a line; the last columns that do not fit are left out. Default: all fit. */
  readonly width?: number;
}

/**
 * The summary as lines of text, columns aligned. Parameters stand in parentheses where the layer has
 * had a row before.
 */
export function formatSummary(summary: Summary, { width = Infinity }: FormatOptions = {}): string {
  const header = ["layer", "", "output", "parameters", "multiply-adds", "field", "memory"];
  const seen = new Set<string>();
  const parametersOf = ({ path, parameters }: SummaryRow): string => {
    if (seen.has(path)) return `(${grouped(parameters)})`;
    seen.add(path);
    return grouped(parameters);
  };
  const cells = summary.rows.map((row) => [
    row.path,
    row.module,
    row.outputShape.join("×"),
    parametersOf(row),
    grouped(row.multiplyAdds),
    row.receptiveField?.join("×") ?? "",
    row.activationBytes === 0 ? "" : showBytes(row.activationBytes),
  ]);
  const widths = header.map((_, c) => Math.max(...[header, ...cells].map((r) => r[c].length)));
  const widthOf = (columns: number) => widths.slice(0, columns).reduce((sum, w) => sum + w + 2, -2);
  let columns = widths.length;
  while (columns > 3 && widthOf(columns) > width) columns--;
  const isText = (column: number) => column < 2;
  const line = (row: readonly string[]) =>
    row
      .slice(0, columns)
      .map((cell, c) => (isText(c) ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join("  ")
      .trimEnd();
  const rule = "─".repeat(widthOf(columns));
  const { parameters, parameterBytes, trainingBytes, error } = summary;
  const training = trainingBytes === null ? "" : `, ${showBytes(trainingBytes)} to train`;
  return [
    `${summary.model} on ${showShape(summary.inputShape)}`,
    rule,
    line(header),
    rule,
    ...cells.map(line),
    rule,
    `parameters: ${grouped(parameters)} (${showBytes(parameterBytes)})`,
    `multiply-adds: ${grouped(summary.multiplyAdds)}`,
    `memory: ${showBytes(summary.evaluationBytes)} to evaluate${training}`,
    ...(error === undefined ? [] : [`error: ${error}`]),
  ].join("\n");
}
