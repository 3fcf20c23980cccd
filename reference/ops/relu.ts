// # Rectified linear unit
//
// Keeps what is positive and clips the rest to zero, element by element. Its gradient passes
// where the input was positive; at zero itself the derivative is taken to be 0, as in PyTorch.
// The note is `spec/ops/relu.md`.

import { defineOp } from "../op.js";

/**
 * `max(x, 0)`, element by element.
 *
 * Shape: any → same.
 * Source: Nair and Hinton 2010. Differs from PyTorch: nowhere; NaN stays NaN.
 */
export const relu = defineOp("relu", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape: ({ input }) => input.shape,

  // ## Forward: $y_i = \max(x_i, 0)$
  forward({ input }, y) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = input.data[i] < 0 ? 0 : input.data[i];
  },

  // ## Backward: $\bar x_i = \bar y_i \, [x_i > 0]$
  //
  // The result is positive exactly where the input was, so the input need not be kept.
  gradients: {
    input: {
      needs: ["y"],
      run({ dy, y }, dx) {
        for (let i = 0; i < dx.data.length; i++) dx.data[i] = y.data[i] <= 0 ? 0 : dy.data[i];
      },
    },
  },
});
