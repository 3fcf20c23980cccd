// # Addition
//
// Element by element, with broadcasting: axes are matched from the last one backwards, and an
// axis of size 1 (or a missing one) is repeated to the other's size. Repeating a value adds up
// its gradients, which is what `sumTo` does. The note is `spec/ops/add.md`.

import { broadcast, broadcastShape, sumTo } from "../broadcast.js";
import { defineOp } from "../op.js";
import { accumulateWith } from "../tape.js";

/**
 * `input + other`.
 *
 * Shape: two shapes that broadcast → their common shape.
 * Throws: ShapeError when two sizes differ and neither is 1.
 */
export const add = defineOp("add", {
  inputs: ["input", "other"],

  // ## Shape: axis by axis the larger size
  shape: ({ input, other }) => broadcastShape(input.shape, other.shape),

  // ## Forward: $y_i = a_i + b_i$
  forward({ input, other }, y) {
    broadcast([input, other], y.shape, (i, a, b) => {
      y.data[i] = input.data[a] + other.data[b];
    });
  },

  // ## Backward: $\bar a = \bar y,\ \bar b = \bar y$, summed over repeated axes
  gradients: {
    input: { needs: [], compose: ({ dy, input }) => sumTo(dy, input.shape) },
    other: { needs: [], compose: ({ dy, other }) => sumTo(dy, other.shape) },
  },
});

accumulateWith(add);
