// # The tape
//
// Reverse-mode differentiation. While operations run, the tape notes which operation made which
// tensor from which others; `backward` walks the notes from the result to the leaves and asks
// each operation for the gradients of its inputs:
//
// $$\bar x = \sum_{y \text{ made from } x} \left(\frac{\partial y}{\partial x}\right)^{\!\top} \bar y.$$
//
// The tape knows no operation by name. Gradients are computed by operations, so a trace of a
// training step records the backward pass like any other computation. Absent on purpose:
// gradients of gradients.

import { ShapeError } from "./errors.js";
import { emptyTensor, sameShape, showShape, type GradientNode, type Tensor } from "./tensor.js";
import { say } from "./words.js";

// ## Whether to record

let enabled = true;

/** Whether operations are recorded now; `noGrad` switches it off. */
export const gradEnabled = (): boolean => enabled;

/** Runs `body` without recording, as `with torch.no_grad()` does: for evaluation and updates. */
export function noGrad<T>(body: () => T): T {
  const before = enabled;
  enabled = false;
  try {
    return body();
  } finally {
    enabled = before;
  }
}

// ## One note

/**
 * Computes the gradient of one input from that of the result. `index` is the input's position.
 */
export type GradientRule = (index: number, dy: Tensor) => Tensor;

class Node implements GradientNode {
  constructor(
    readonly operation: string,
    public inputs: readonly (Tensor | null)[],
    /** What the rule reads, with the version each had when it was saved. */
    public saved: readonly (readonly [Tensor, number])[],
    public rule: GradientRule | null,
  ) {}

  backward(root: Tensor, gradient: Tensor | undefined, retainGraph: boolean): void {
    if (gradient === undefined) {
      if (root.size !== 1)
        throw new ShapeError(
          say`backward: a tensor of shape ${showShape(root.shape)} needs its gradient as an
            argument; only a single value has 1 as its obvious gradient`,
        );
      gradient = emptyTensor(root.shape, root.dtype, root.device).fill_(1);
    }
    if (!sameShape(root.shape, gradient.shape))
      throw new ShapeError(
        say`backward: the gradient has shape ${showShape(gradient.shape)}, the tensor
          ${showShape(root.shape)}`,
      );
    noGrad(() => sweep(root, gradient, retainGraph));
  }
}

/**
 * Notes that `output` was made from `inputs`. `saved` lists the tensors whose values the rule
 * reads; overwriting one of them before `backward` is an error.
 */
export function record(
  operation: string,
  output: Tensor,
  inputs: readonly (Tensor | null)[],
  saved: readonly Tensor[],
  rule: GradientRule,
): void {
  output.requiresGrad = true;
  output.node = new Node(
    operation,
    inputs,
    saved.map((t) => [t, t.storage.version] as const),
    rule,
  );
}

// ## The walk
//
// A tensor's gradient is complete once every operation that used it has been walked, so nodes
// are visited in reverse topological order. The search keeps its own stack: a network of a
// thousand layers must not overflow JavaScript's.

function sweep(root: Tensor, gradient: Tensor, retainGraph: boolean): void {
  const gradients = new Map<Tensor, Tensor>([[root, gradient]]);
  // A gradient may be handed to several tensors (addition does); each leaf owns a copy of its own.
  const owned = new Set<object>([gradient.storage]);
  const keep = (t: Tensor, g: Tensor) => {
    const own = owned.has(g.storage) ? g.clone() : g;
    owned.add(own.storage);
    t.grad = t.grad === null ? own : accumulate(t.grad, own);
  };

  for (const t of fromResultToLeaves(root)) {
    const dy = gradients.get(t);
    if (dy === undefined) continue;
    gradients.delete(t);
    if (t.retainsGrad || t.isLeaf) keep(t, dy);
    const node = t.node as Node | null;
    if (node === null) continue;
    if (node.rule === null)
      throw new Error(
        `backward: ${node.operation} was already walked and its saved tensors are gone; ` +
          `call backward({ retainGraph: true }) the first time to walk it twice`,
      );
    for (const [saved, version] of node.saved)
      if (saved.storage.version !== version)
        throw new Error(
          `backward: a tensor ${showShape(saved.shape)} that ${node.operation} needs for its ` +
            `gradient was overwritten since (version ${saved.storage.version}, saved ${version}); ` +
            `overwrite a clone() instead, or after backward`,
        );
    node.inputs.forEach((x, index) => {
      if (x === null || !x.requiresGrad) return;
      const dx = node.rule!(index, dy);
      const sum = gradients.get(x);
      gradients.set(x, sum === undefined ? dx : accumulate(sum, dx));
    });
    if (!retainGraph) {
      node.inputs = [];
      node.saved = [];
      node.rule = null;
    }
  }
}

/** Every tensor through which gradients flow, each after all tensors computed from it. */
function fromResultToLeaves(root: Tensor): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>([root]);
  const stack: { tensor: Tensor; next: number }[] = [{ tensor: root, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const inputs = (top.tensor.node as Node | null)?.inputs ?? [];
    const x = inputs[top.next++];
    if (top.next > inputs.length) {
      order.push(top.tensor);
      stack.pop();
    } else if (x !== null && x.requiresGrad && !seen.has(x)) {
      seen.add(x);
      stack.push({ tensor: x, next: 0 });
    }
  }
  return order.reverse();
}

// Addition is an operation like any other; it introduces itself when it is loaded (ops/add.ts).
let accumulate: (a: Tensor, b: Tensor) => Tensor = () => {
  throw new Error("tape: no operation has offered to add gradients; import ops/index.js");
};

/** Names the operation that adds two gradients of one tensor. */
export function accumulateWith(add: (a: Tensor, b: Tensor) => Tensor): void {
  accumulate = add;
}
