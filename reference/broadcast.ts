// # Broadcasting
//
// Two shapes go together when, matched from the last axis backwards, each pair of sizes is equal
// or holds a 1; a missing axis counts as 1. The smaller tensor is repeated along its 1s. What is
// repeated on the way forward is summed on the way back: `sumTo`.

import { ShapeError } from "./errors.js";
import { reshape } from "./ops/reshape.js";
import { sum } from "./ops/sum.js";
import { sameShape, type Shape, showShape, strides, type Tensor } from "./tensor.js";
import { walk } from "./walk.js";
import { say } from "./words.js";

/** The common shape. Throws: ShapeError when two sizes differ and neither is 1. */
export function broadcastShape(a: Shape, b: Shape): number[] {
  const axes = Math.max(a.length, b.length);
  return Array.from({ length: axes }, (_, i) => {
    const [p, q] = [a[a.length - axes + i] ?? 1, b[b.length - axes + i] ?? 1];
    if (p !== q && p !== 1 && q !== 1)
      throw new ShapeError(
        say`shapes ${showShape(a)} and ${showShape(b)} do not go together: axis ${i - axes} has
          sizes ${p} and ${q}, which must be equal or one of them 1`,
        "other",
        p,
        q,
      );
    return p === 1 ? q : p;
  });
}

/**
 * Visits every element `i` of `shape`, with the offsets `a` and `b` of the two elements, one of
 * each operand, that stand there.
 */
export function broadcast(
  operands: readonly [{ readonly shape: Shape }, { readonly shape: Shape }],
  shape: Shape,
  visit: (i: number, a: number, b: number) => void,
): void {
  const steps = operands.map((operand) => {
    const own = strides(operand.shape);
    return shape.map((_, i) => {
      const axis = operand.shape.length - shape.length + i;
      return axis < 0 || operand.shape[axis] === 1 ? 0 : own[axis];
    });
  });
  walk(shape, steps[0], steps[1], visit);
}

/** The gradient `dy` of a broadcast result, summed over every axis that was repeated. */
export function sumTo(dy: Tensor, shape: Shape): Tensor {
  if (sameShape(dy.shape, shape)) return dy;
  const missing = dy.ndim - shape.length;
  const dim = dy.shape.flatMap((d, i) =>
    i < missing || (shape[i - missing] === 1 && d !== 1) ? [i] : [],
  );
  return reshape(dim.length === 0 ? dy : sum(dy, { dim }), { shape });
}
