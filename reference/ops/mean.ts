// # Mean
//
// The average of the elements along some axes, or of all. The note is `spec/ops/mean.md`.

import { defineOp } from "../op.js";
import { axesOf, keptShape, reduced } from "../reduce.js";
import { sizeOf } from "../tensor.js";
import type { ReduceOptions } from "./sum.js";

/**
 * The mean over the axes `dim`; NaN over no elements.
 *
 * Shape: any → without the axes of `dim`, or with size 1 there under `keepdim`.
 * Throws: ShapeError for an axis that does not exist or is named twice.
 */
export const mean = defineOp("mean", {
  inputs: ["input"],

  // ## Shape: the axes that are left
  shape: ({ input }, o: ReduceOptions) => keptShape(input.shape, o),

  // ## Forward: $y_k = \frac{1}{m} \sum_{i \to k} x_i$
  //
  // $m$ elements $i$ go to the result $k$.
  forward({ input }, y, o: ReduceOptions) {
    reduced(input.shape, axesOf(input.shape, o), (i, k) => {
      y.data[k] += input.data[i];
    });
    const count = input.data.length / y.data.length;
    for (let k = 0; k < y.data.length; k++) y.data[k] /= count;
  },

  // ## Backward: $\bar x_i = \bar y_k / m$
  gradients: {
    input: {
      needs: [],
      run({ dy, input }, dx, o: ReduceOptions) {
        const count = sizeOf(input.shape) / sizeOf(dy.shape);
        reduced(input.shape, axesOf(input.shape, o), (i, k) => {
          dx.data[i] = dy.data[k] / count;
        });
      },
    },
  },
});
