// # Traces
//
// A trace is the list of steps that a computation took: which primitive, on which values, with
// which options, inside which module. Run on the `meta` device it costs nothing, and everything
// that needs to know a network without computing it starts from here: the summary table, the
// editor, the planner, the export.
//
// Gradients and optimiser updates are primitives like the rest, so tracing a whole training step
// yields its whole graph.

import type { Primitive } from "./backend.js";
import { observed } from "./op.js";
import { currentPath } from "./scope.js";
import type { DType, Shape, Storage, Tensor } from "./tensor.js";

/** A value between two steps. Overwriting a tensor makes a new value in the same storage. */
export interface GraphValue {
  readonly id: number;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Values with the same number share their memory: views, and what is updated in place. */
  readonly storage: number;
  /** The tensor, where the value was there before the trace: a parameter, an input, a constant. */
  readonly source: Tensor | null;
}

export interface GraphNode {
  readonly primitive: Primitive | "view";
  readonly name: string;
  /** Positions in `Graph.values`; null where an optional input was left out. */
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  readonly options: object;
  /** The module that was running, such as `net.0`; `""` outside of all modules. */
  readonly path: string;
}

export interface Graph {
  readonly values: readonly GraphValue[];
  readonly nodes: readonly GraphNode[];
  /** The value that a tensor had at the end of the trace. Throws: RangeError if it took no part. */
  valueOf(tensor: Tensor): GraphValue;
}

/**
 * Runs `body` and records every step; its result comes beside the graph. `body` may ask how many
 * steps there have been, to know later which were whose.
 */
export function trace<T>(body: (stepsSoFar: () => number) => T): { graph: Graph; result: T } {
  const values: GraphValue[] = [];
  const nodes: GraphNode[] = [];
  const current = new Map<Tensor, GraphValue>();
  const storages = new Map<Storage, number>();

  const add = (tensor: Tensor, source: Tensor | null): number => {
    const storage = storages.get(tensor.storage) ?? storages.size;
    storages.set(tensor.storage, storage);
    const { shape, dtype } = tensor;
    const value = { id: values.length, shape, dtype, storage, source };
    values.push(value);
    current.set(tensor, value);
    return value.id;
  };
  const read = (tensor: Tensor): number => current.get(tensor)?.id ?? add(tensor, tensor);

  const result = observed(
    {
      step(primitive, inputs, outputs, options) {
        const ids = inputs.map((t) => t && read(t));
        nodes.push({
          primitive,
          name: primitive.name,
          inputs: ids,
          outputs: outputs.map((t) => t && add(t, null)),
          options,
          path: currentPath(),
        });
      },
      view(from, to) {
        const id = read(from);
        nodes.push({
          primitive: "view",
          name: "view",
          inputs: [id],
          outputs: [add(to, null)],
          options: {},
          path: currentPath(),
        });
      },
    },
    () => body(() => nodes.length),
  );
  const valueOf = (tensor: Tensor): GraphValue => {
    const value = current.get(tensor);
    if (value === undefined) throw new RangeError(`valueOf: ${String(tensor)} was not traced`);
    return value;
  };
  return { graph: { values, nodes, valueOf }, result };
}

/** The products that one step of a graph adds up. */
export const multiplyAdds = (graph: Graph, node: GraphNode): number =>
  node.primitive === "view"
    ? 0
    : node.primitive.multiplyAdds(
        node.inputs.map((id) => (id === null ? null : graph.values[id].shape)),
        node.outputs.map((id) => (id === null ? null : graph.values[id].shape)),
        node.options,
      );
