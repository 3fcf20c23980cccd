// # Position of the maximum
//
// Where along an axis the largest element stands: the class that a classifier chooses. Among
// equals the first counts. A position has no gradient. The note is `spec/ops/argmax.md`.

import { defineOp } from "../op.js";
import { axesOf, expectElements, keptShape, reduced } from "../reduce.js";
import { sizeOf } from "../tensor.js";

export interface ArgmaxOptions {
  /** The axis to search, negative counted from the end. Default: all, as one row. */
  readonly dim?: number;
  /** Whether the axis stays with size 1. Default: false. */
  readonly keepdim?: boolean;
}

/**
 * The index of the largest element along `dim`, as int64; the first NaN counts as largest.
 *
 * Shape: any → without the axis `dim`, or with size 1 there under `keepdim`.
 * Throws: ShapeError for an axis that is empty or does not exist.
 * Source: PyTorch's function on the CPU. Differs from it: the first of equals is promised.
 */
export const argmax = defineOp("argmax", {
  inputs: ["input"],
  accepts: "any",
  dtype: "int64",

  // ## Shape: the axes that are left
  shape({ input }, o: ArgmaxOptions) {
    expectElements(input.shape, axesOf(input.shape, o));
    return keptShape(input.shape, o);
  },

  // ## Forward: $y_k = \min \{ i : x_i = \max_{j \to k} x_j \}$
  forward({ input }, y, o: ArgmaxOptions) {
    const axes = axesOf(input.shape, o);
    const step = o.dim === undefined ? 1 : sizeOf(input.shape.slice(axes[0] + 1));
    const count = o.dim === undefined ? input.data.length : input.shape[axes[0]];
    const best = new Float64Array(y.data.length).fill(-Infinity);
    reduced(input.shape, axes, (i, k) => {
      const x = input.data[i];
      if (!(x > best[k]) && !(Number.isNaN(x) && !Number.isNaN(best[k]))) return;
      best[k] = x;
      y.data[k] = Math.floor(i / step) % count;
    });
  },
});
