// # Softmax
//
// Turns a row of scores into a row of probabilities: positive, adding up to 1, and the larger
// the score, the larger the share. Shifting all scores changes nothing, so the largest is moved
// to 0 first and nothing overflows. The note is `spec/ops/softmax.md`.

import { linesAlong, shiftedExponentials } from "../lines.js";
import { defineOp } from "../op.js";
import { axisOf } from "../reduce.js";

export interface SoftmaxOptions {
  /** The axis along which the results add up to 1, negative counted from the end. */
  readonly dim: number;
}

/**
 * `exp(x) / Σ exp(x)` along the axis `dim`.
 *
 * Shape: any → same.
 * Throws: ShapeError for an axis that does not exist.
 * Source: Bridle 1990. Differs from PyTorch: `dim` has no default.
 */
export const softmax = defineOp("softmax", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape({ input }, o: SoftmaxOptions) {
    axisOf(input.shape, o.dim);
    return input.shape;
  },

  // ## Forward: $y_c = e^{x_c - a} / \sum_j e^{x_j - a}$ with $a = \max_j x_j$
  forward({ input }, y, o: SoftmaxOptions) {
    const lines = linesAlong(input.shape, axisOf(input.shape, o.dim));
    const { starts, count, step } = lines;
    for (const start of starts) {
      const { max, total } = shiftedExponentials(input.data, start, lines);
      for (let i = start; i < start + count * step; i += step)
        y.data[i] = Math.exp(input.data[i] - max) / total;
    }
  },

  // ## Backward: $\bar x_c = y_c \, (\bar y_c - \sum_j \bar y_j y_j)$
  gradients: {
    input: {
      needs: ["y"],
      run({ dy, y }, dx, o: SoftmaxOptions) {
        const { starts, count, step } = linesAlong(y.shape, axisOf(y.shape, o.dim));
        for (const start of starts) {
          const end = start + count * step;
          let mean = 0;
          for (let i = start; i < end; i += step) mean += dy.data[i] * y.data[i];
          for (let i = start; i < end; i += step) dx.data[i] = y.data[i] * (dy.data[i] - mean);
        }
      },
    },
  },
});
