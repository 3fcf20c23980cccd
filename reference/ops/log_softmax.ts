// # Logarithm of softmax
//
// Log-probabilities straight from scores. Taking the logarithm of a softmax would lose every
// probability that rounds to 0; here nothing is lost, since the logarithm is taken on paper. The
// note is `spec/ops/log_softmax.md`.

import { linesAlong, shiftedExponentials } from "../lines.js";
import { defineOp } from "../op.js";
import { axisOf } from "../reduce.js";
import type { SoftmaxOptions } from "./softmax.js";

/**
 * `x − log Σ exp(x)` along the axis `dim`.
 *
 * Shape: any → same.
 * Throws: ShapeError for an axis that does not exist.
 * Source: the notes on softmax regression. Differs from PyTorch: `dim` has no default.
 */
export const logSoftmax = defineOp("log_softmax", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape({ input }, o: SoftmaxOptions) {
    axisOf(input.shape, o.dim);
    return input.shape;
  },

  // ## Forward: $y_c = (x_c - a) - \log \sum_j e^{x_j - a}$ with $a = \max_j x_j$
  forward({ input }, y, o: SoftmaxOptions) {
    const lines = linesAlong(input.shape, axisOf(input.shape, o.dim));
    const { starts, count, step } = lines;
    for (const start of starts) {
      const { max, total } = shiftedExponentials(input.data, start, lines);
      const logTotal = Math.log(total);
      for (let i = start; i < start + count * step; i += step)
        y.data[i] = input.data[i] - max - logTotal;
    }
  },

  // ## Backward: $\bar x_c = \bar y_c - e^{y_c} \sum_j \bar y_j$
  gradients: {
    input: {
      needs: ["y"],
      run({ dy, y }, dx, o: SoftmaxOptions) {
        const { starts, count, step } = linesAlong(y.shape, axisOf(y.shape, o.dim));
        for (const start of starts) {
          const end = start + count * step;
          let total = 0;
          for (let i = start; i < end; i += step) total += dy.data[i];
          for (let i = start; i < end; i += step)
            dx.data[i] = dy.data[i] - Math.exp(y.data[i]) * total;
        }
      },
    },
  },
});
