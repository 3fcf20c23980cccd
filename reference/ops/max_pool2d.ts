// # Maximum pooling
//
// Every output pixel is the largest input pixel under its window. Padding never wins: it counts
// as −∞. The note is `spec/ops/max_pool2d.md`.

import { poolShape, poolWindow } from "../pooling.js";
import { defineOp } from "../op.js";
import { planes, type WindowOptions, windows, windowOf } from "../window.js";

// ## The winner
//
// The first of the largest pixels, row by row; a NaN beats everything, the last one wins, so that
// a broken number is never hidden. A window whose taps all step over the image sees no pixel: its
// maximum is −∞ and its gradient goes nowhere.

function winner(plane: ArrayLike<number>, pixels: Int32Array): number | undefined {
  let best = pixels.at(0);
  if (best === undefined) return undefined;
  for (const j of pixels) if (plane[j] > plane[best] || Number.isNaN(plane[j])) best = j;
  return best;
}

/**
 * The largest pixel of each window of each plane.
 *
 * Shape: `[N, C, H, W]` → `[N, C, H', W']`.
 * Throws: ShapeError when the window exceeds the padded image or padding exceeds half of it.
 * Source: the notes on pooling. Differs from PyTorch: indices are not returned; the gradient of a
 * window that sees no pixel is dropped, where PyTorch 2.13 writes outside its memory.
 */
export const maxPool2d = defineOp("max_pool2d", {
  inputs: ["input"],

  // ## Shape: $[N, C, H, W] \to [N, C, H', W']$
  shape: ({ input }, o: WindowOptions) => poolShape(input.shape, o),

  // ## Forward: $y_i = \max_{j \in W_i} x_j$
  forward({ input }, y, o: WindowOptions) {
    const list = windows([input.shape[2], input.shape[3]], windowOf(o));
    let i = 0;
    for (const plane of planes(input.shape, input.data))
      for (const { pixels } of list) {
        const best = winner(plane, pixels);
        y.data[i++] = best === undefined ? -Infinity : plane[best];
      }
  },

  window: (_, __, o: WindowOptions) => poolWindow(o),

  // ## Backward: $\bar x_j = \sum_{i \,:\, j \text{ won } W_i} \bar y_i$
  gradients: {
    input: {
      needs: ["input"],
      run({ dy, input }, dx, o: WindowOptions) {
        const list = windows([dx.shape[2], dx.shape[3]], windowOf(o));
        const gradients = [...planes(dx.shape, dx.data)];
        let i = 0;
        [...planes(dx.shape, input.data)].forEach((plane, k) => {
          for (const { pixels } of list) {
            const best = winner(plane, pixels);
            if (best !== undefined) gradients[k][best] += dy.data[i];
            i++;
          }
        });
      },
    },
  },
});
