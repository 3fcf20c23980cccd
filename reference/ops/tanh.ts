// # Hyperbolic tangent
//
// Squeezes any number into (−1, 1): the sigmoid stretched so that 0 stays 0. The note is
// `spec/ops/tanh.md`.

import { defineOp } from "../op.js";

/**
 * `tanh(x)`, element by element.
 *
 * Shape: any → same.
 * Source: LeCun et al. 1998, for LeNet. Differs from PyTorch: nowhere.
 */
export const tanh = defineOp("tanh", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape: ({ input }) => input.shape,

  // ## Forward: $y_i = \tanh x_i$
  forward({ input }, y) {
    for (let i = 0; i < y.data.length; i++) y.data[i] = Math.tanh(input.data[i]);
  },

  // ## Backward: $\bar x_i = \bar y_i \, (1 - y_i^2)$
  gradients: {
    input: {
      needs: ["y"],
      run({ dy, y }, dx) {
        for (let i = 0; i < dx.data.length; i++) dx.data[i] = dy.data[i] * (1 - y.data[i] ** 2);
      },
    },
  },
});
