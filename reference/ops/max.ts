// # Maximum
//
// The largest element along some axes, or of all. Where several are equally large, they share
// the gradient equally: every one of them could be moved alone to raise the maximum, and none of
// them is preferred. The note is `spec/ops/max.md`.

import { defineOp } from "../op.js";
import { axesOf, expectElements, keptShape, reduced } from "../reduce.js";
import type { ReduceOptions } from "./sum.js";

/**
 * The maximum over the axes `dim`; NaN where one of the elements is NaN.
 *
 * Shape: any → without the axes of `dim`, or with size 1 there under `keepdim`.
 * Throws: ShapeError for an axis that is empty, does not exist or is named twice.
 * Source: PyTorch's `amax`, ties included. `torch.max(x, dim)` gives one of them everything.
 */
export const max = defineOp("max", {
  inputs: ["input"],
  accepts: "any",

  // ## Shape: the axes that are left
  shape({ input }, o: ReduceOptions) {
    expectElements(input.shape, axesOf(input.shape, o));
    return keptShape(input.shape, o);
  },

  // ## Forward: $y_k = \max_{i \to k} x_i$
  forward({ input }, y, o: ReduceOptions) {
    y.data.fill(-Infinity);
    reduced(input.shape, axesOf(input.shape, o), (i, k) => {
      y.data[k] = Math.max(y.data[k], input.data[i]);
    });
  },

  // ## Backward: $\bar x_i = \bar y_k \, [x_i = y_k] / t_k$ with $t_k = \#\{i \to k : x_i = y_k\}$
  gradients: {
    input: {
      needs: ["input", "y"],
      run({ dy, input, y }, dx, o: ReduceOptions) {
        const axes = axesOf(input.shape, o);
        const ties = new Float64Array(y.data.length);
        reduced(input.shape, axes, (i, k) => {
          if (input.data[i] === y.data[k]) ties[k]++;
        });
        reduced(input.shape, axes, (i, k) => {
          dx.data[i] = (input.data[i] === y.data[k] ? dy.data[k] : 0) / ties[k];
        });
      },
    },
  },
});
