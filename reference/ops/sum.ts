// # Sum
//
// Adds up the elements along some axes, or all of them. The note is `spec/ops/sum.md`.

import { axesOf, keptShape, reduced } from "../reduce.js";
import { defineOp } from "../op.js";

export interface ReduceOptions {
  /** The axes to reduce, negative ones counted from the end. Default: all. */
  readonly dim?: number | readonly number[];
  /** Whether reduced axes stay with size 1. Default: false. */
  readonly keepdim?: boolean;
}

/**
 * The sum over the axes `dim`.
 *
 * Shape: any → without the axes of `dim`, or with size 1 there under `keepdim`.
 * Throws: ShapeError for an axis that does not exist or is named twice.
 */
export const sum = defineOp("sum", {
  inputs: ["input"],

  // ## Shape: the axes that are left
  shape: ({ input }, o: ReduceOptions) => keptShape(input.shape, o),

  // ## Forward: $y_k = \sum_{i \to k} x_i$
  //
  // Element $i$ goes to the result $k$ that has the same indices on the axes that are left.
  forward({ input }, y, o: ReduceOptions) {
    reduced(input.shape, axesOf(input.shape, o), (i, k) => {
      y.data[k] += input.data[i];
    });
  },

  // ## Backward: $\bar x_i = \bar y_k$
  gradients: {
    input: {
      needs: [],
      run({ dy, input }, dx, o: ReduceOptions) {
        reduced(input.shape, axesOf(input.shape, o), (i, k) => {
          dx.data[i] = dy.data[k];
        });
      },
    },
  },
});
