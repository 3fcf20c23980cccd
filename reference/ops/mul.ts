// # Multiplication
//
// Element by element, with broadcasting as in addition. Each factor's gradient is the other
// factor, summed where the factor was repeated. The note is `spec/ops/mul.md`.

import { broadcast, broadcastShape, sumTo } from "../broadcast.js";
import { defineOp } from "../op.js";
import type { Tensor } from "../tensor.js";

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
      compose: ({ dy, input, other }): Tensor => sumTo(mul(dy, other), input.shape),
    },
    other: {
      needs: ["input"],
      compose: ({ dy, input, other }): Tensor => sumTo(mul(dy, input), other.shape),
    },
  },
});
