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
import { type Graph, type GraphNode, multiplyAdds, trace } from "./trace.js";

/** One call of a layer: a module without children. */
export interface SummaryRow {
  /** Such as `net.0`. */
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
  readonly receptiveField: readonly [number, number] | null;
  /** Of the output. */
  readonly activationBytes: number;
}

export interface Summary {
  readonly model: string;
  readonly inputShape: Shape;
  readonly rows: readonly SummaryRow[];
  readonly parameters: number;
  readonly trainableParameters: number;
  readonly multiplyAdds: number;
  readonly parameterBytes: number;
  /** Of all layers' outputs: what training keeps for the backward pass, roughly. */
  readonly activationBytes: number;
  /** Why the table ends early. */
  readonly error?: string;
}

/**
 * Traces the network that `create` makes on an input of `inputShape`.
 *
 * A ShapeError on the way does not escape: it becomes `error`, behind the rows that worked.
 */
export function summarize(create: () => Module, inputShape: Shape): Summary {
  return withDevice("meta", () => {
    const model = create().eval();
    const input = zeros(inputShape);
    const calls: Call[] = [];
    const { graph, result: error } = trace((stepsSoFar) =>
      whileWatching(model, stepsSoFar, calls, () => {
        try {
          noGrad(() => model.call(input));
          return undefined;
        } catch (e) {
          if (e instanceof ShapeError) return e.message;
          throw e;
        }
      }),
    );
    const fields = receptiveFields(graph, input);
    const rows = calls.map(({ path, module, inputs, output, from, to }): SummaryRow => {
      const field = fields.get(graph.valueOf(output).id);
      return {
        path,
        module: module.getName(),
        inputShapes: inputs.map((t) => t.shape),
        outputShape: output.shape,
        parameters: total([...module.parameters()], (p) => p.size),
        multiplyAdds: total(graph.nodes.slice(from, to), (node) => multiplyAdds(graph, node)),
        receptiveField: field === undefined ? null : field.size,
        activationBytes: bytesOf(output),
      };
    });
    const parameters = [...model.parameters()];
    return {
      model: model.getName(),
      inputShape,
      rows,
      parameters: total(parameters, (p) => p.size),
      trainableParameters: total(parameters, (p) => (p.requiresGrad ? p.size : 0)),
      multiplyAdds: total(graph.nodes, (node) => multiplyAdds(graph, node)),
      parameterBytes: total(parameters, bytesOf),
      activationBytes: total(rows, (row) => row.activationBytes),
      ...(error === undefined ? {} : { error }),
    };
  });
}

const total = <T>(list: readonly T[], of: (item: T) => number): number =>
  list.reduce((sum, item) => sum + of(item), 0);

const bytesOf = (t: Tensor): number => t.size * elementBytes[t.dtype];

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
// $sj$. Where branches meet, the larger field counts. A layer that mixes all pixels ends it.

interface Field {
  readonly size: readonly [number, number];
  readonly jump: readonly [number, number];
}

function receptiveFields(graph: Graph, input: Tensor): Map<number, Field> {
  const fields = new Map<number, Field>();
  if (input.ndim !== 4) return fields;
  const start = graph.values.find((v) => v.source === input);
  if (start !== undefined) fields.set(start.id, { size: [1, 1], jump: [1, 1] });
  for (const node of graph.nodes) {
    const field = fieldAfter(graph, node, fields);
    const [output] = node.outputs;
    if (field !== undefined && output !== null) fields.set(output, field);
  }
  return fields;
}

function fieldAfter(
  graph: Graph,
  node: GraphNode,
  fields: ReadonlyMap<number, Field>,
): Field | undefined {
  const known = node.inputs.flatMap((id) =>
    id !== null && fields.has(id) ? [fields.get(id)!] : [],
  );
  if (known.length === 0 || node.primitive === "view") return undefined;
  const shapeOf = (id: number | null) => (id === null ? null : graph.values[id].shape);
  const [output] = node.outputs.map(shapeOf);
  if (output?.length !== 4) return undefined;
  const widest = (axis: 0 | 1) =>
    known.reduce((a, b) => (b.size[axis] > a.size[axis] ? b : a)).size[axis];
  const before: Field = { size: [widest(0), widest(1)], jump: known[0].jump };
  const window = node.primitive.window?.(
    node.inputs.map(shapeOf),
    node.outputs.map(shapeOf),
    node.options,
  );
  if (window === undefined) return before;
  const grown = (axis: 0 | 1) => before.size[axis] + (window.kernel[axis] - 1) * before.jump[axis];
  const spread = (axis: 0 | 1) => before.jump[axis] * window.stride[axis];
  return { size: [grown(0), grown(1)], jump: [spread(0), spread(1)] };
}

// ## The table as text

const grouped = (n: number): string => n.toLocaleString("en-US");

/** `1.5 MB`, in powers of 1000. */
export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** The summary as lines of text, columns aligned. */
export function formatSummary(summary: Summary): string {
  const header = ["layer", "", "output", "parameters", "multiply-adds", "field", "memory"];
  const cells = summary.rows.map((row) => [
    row.path,
    row.module,
    row.outputShape.join("×"),
    grouped(row.parameters),
    grouped(row.multiplyAdds),
    row.receptiveField?.join("×") ?? "",
    showBytes(row.activationBytes),
  ]);
  const isText = (column: number) => column < 2;
  const widths = header.map((_, c) => Math.max(...[header, ...cells].map((r) => r[c].length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, c) => (isText(c) ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join("  ")
      .trimEnd();
  const rule = "─".repeat(widths.reduce((sum, w) => sum + w + 2, -2));
  return [
    `${summary.model} on ${showShape(summary.inputShape)}`,
    rule,
    line(header),
    rule,
    ...cells.map(line),
    rule,
    `parameters: ${grouped(summary.parameters)} (${showBytes(summary.parameterBytes)})` +
      `, multiply-adds: ${grouped(summary.multiplyAdds)}` +
      `, activations: ${showBytes(summary.activationBytes)}`,
    ...(summary.error === undefined ? [] : [`error: ${summary.error}`]),
  ].join("\n");
}
