// # Multiplication
//
// Element by element, with broadcasting as in addition. Each factor's gradient is the other
// factor, summed where the factor was repeated. The note is `spec/ops/mul.md`.

import { broadcast, broadcastShape } from "../broadcast.js";
import { defineOp } from "../op.js";

/**
 * `input · other`, element by element.
 *
 * Shape: two shapes that broadcast → their common shape.
 * Throws: ShapeError when two sizes differ and neither is 1.
 * Source: Leibniz's product rule. Differs from PyTorch: floating-point tensors only.
 */
export const mul = defineOp("mul", {
  inputs: ["input", "other"],

  // ## Shape: axis by axis the larger size
  shape: ({ input, other }) => broadcastShape(input.shape, other.shape),

  // ## Forward: $y_i = a_i b_i$
  forward({ input, other }, y) {
    broadcast([input, other], y.shape, (i, a, b) => {
      y.data[i] = input.data[a] * other.data[b];
    });
  },

  // ## Backward: $\bar a = \bar y\, b,\ \bar b = \bar y\, a$, summed over repeated axes
  gradients: {
    input: {
      needs: ["other"],
      run({ dy, input, other }, dinput) {
        broadcast([input, other], dy.shape, (i, a, b) => {
          dinput.data[a] += dy.data[i] * other.data[b];
        });
      },
    },
    other: {
      needs: ["input"],
      run({ dy, input, other }, dother) {
        broadcast([input, other], dy.shape, (i, a, b) => {
          dother.data[b] += dy.data[i] * input.data[a];
        });
      },
    },
  },
});
