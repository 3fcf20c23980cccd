// # Permute
//
// The same numbers with the axes in another order: `[N, C, H, W]` becomes `[N, H, W, C]`. As
// tensors here are always contiguous, the numbers move. The note is `spec/ops/permute.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { type Shape, showShape, strides, type Tensor } from "../tensor.js";
import { walk } from "../walk.js";
import { say } from "../words.js";

export interface PermuteOptions {
  /** For each axis of the result, the axis of the input that it was; negative from the end. */
  readonly dims: readonly number[];
}

function axes({ dims }: PermuteOptions, input: Shape): number[] {
  const order = dims.map((d) => (d < 0 ? d + input.length : d));
  if (order.length !== input.length || input.some((_, axis) => !order.includes(axis)))
    throw new ShapeError(
      say`dims ${showShape(dims)} must name each of the ${input.length} axes of ${showShape(input)}
        once`,
      "dims",
    );
  return order;
}

/**
 * The input with its axes in the order `dims`, copied.
 *
 * Shape: axis `i` of the result has the size of the input's axis `dims[i]`.
 * Throws: ShapeError unless `dims` names every axis once.
 * Source: transposition, for any number of axes. Differs from PyTorch: copies, no view.
 */
export const permute = defineOp("permute", {
  inputs: ["input"],
  accepts: "any",

  // ## Shape: the sizes in the new order
  shape: ({ input }, o: PermuteOptions) => axes(o, input.shape).map((d) => input.shape[d]),

  // ## Forward: $y_{i_0 i_1 \ldots} = x_j$ with $j_{\mathrm{dims}[k]} = i_k$
  forward({ input }, y, o: PermuteOptions) {
    const own = strides(input.shape);
    const steps = axes(o, input.shape).map((d) => own[d]);
    walk(y.shape, steps, steps, (i, j) => {
      y.data[i] = input.data[j];
    });
  },

  // ## Backward: the inverse permutation
  gradients: {
    input: {
      needs: [],
      compose({ dy, input }, o): Tensor {
        const order = axes(o, input.shape);
        return permute(dy, { dims: order.map((_, axis) => order.indexOf(axis)) });
      },
    },
  },
});
