// # Sigmoid
//
// Squeezes any number into (0, 1): the chance of one of two classes, and the activation of the
// first convolutional networks. Its gradient is largest at 0 and fades on both sides, which is
// what ReLU was brought in to avoid. The note is `spec/ops/sigmoid.md`.

import { defineOp } from "../op.js";

/**
 * `1 / (1 + exp(−x))`, element by element.
 *
 * Shape: any → same.
 * Source: the logistic function, Verhulst 1845. Differs from PyTorch: nowhere.
 */
export const sigmoid = defineOp("sigmoid", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape: ({ input }) => input.shape,

  // ## Forward: $y_i = \sigma(x_i) = 1 / (1 + e^{-x_i})$
  forward({ input }, y) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = 1 / (1 + Math.exp(-input.data[i]));
  },

  // ## Backward: $\bar x_i = \bar y_i \, y_i (1 - y_i)$
  gradients: {
    input: {
      needs: ["y"],
      run({ dy, y }, dx) {
        for (let i = 0; i < dx.data.length; i++)
          dx.data[i] = dy.data[i] * y.data[i] * (1 - y.data[i]);
      },
    },
  },
});
