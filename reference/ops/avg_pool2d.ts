// # Average pooling
//
// Every output pixel is the mean of the input pixels under its window. Images and channels
// never mix, and nothing is learned. The formula, its gradient and its rounding bound are
// derived in the note, `spec/ops/avg_pool2d.md`.

import { defineOp } from "../op.js";
import type { Shape } from "../tensor.js";
import { planes, windows, windowOf, type WindowOptions } from "../window.js";
import { poolShape, poolWindow } from "../pooling.js";

export interface AvgPool2dOptions extends Omit<WindowOptions, "dilation"> {
  /** Whether padded zeros count in the divisor. Default: true, as in PyTorch. */
  readonly countIncludePad?: boolean;
}

// ## The divisor $d_i$
//
// With `ceilMode` the last window may overhang the padded image; it is then divided only by
// the part of it that lies inside. Forward and backward must agree on that number, so one
// list of windows hands it to both.

const means = (input: Shape, o: AvgPool2dOptions) =>
  windows([input[2], input[3]], windowOf(o)).map(({ pixels, inside }) => ({
    pixels,
    divisor: (o.countIncludePad ?? true) ? inside : pixels.length,
  }));

/**
 * The mean of each window of each plane.
 *
 * Shape: `[N, C, H, W]` → `[N, C, H', W']`.
 * Throws: ShapeError when the window exceeds the padded image or padding exceeds half of it.
 * Source: the notes on pooling. Differs from PyTorch: no `divisor_override`.
 */
export const avgPool2d = defineOp("avg_pool2d", {
  inputs: ["input"],

  // ## Shape: $[N, C, H, W] \to [N, C, H', W']$
  shape: ({ input }, o: AvgPool2dOptions) => poolShape(input.shape, o),

  // ## Forward: $y_i = \frac{1}{d_i} \sum_{j \in W_i} x_j$
  forward({ input }, y, o: AvgPool2dOptions) {
    const list = means(input.shape, o);
    let i = 0;
    for (const plane of planes(input.shape, input.data))
      for (const { pixels, divisor } of list) {
        let sum = 0;
        for (const j of pixels) sum += plane[j];
        y.data[i++] = sum / divisor;
      }
  },

  window: (_, __, o: AvgPool2dOptions) => poolWindow(o),

  // ## Backward: $\bar x_j = \sum_{i \,:\, j \in W_i} \bar y_i / d_i$
  //
  // Each window hands its gradient back in equal shares; where windows overlap, shares add.
  gradients: {
    input: {
      needs: [],
      run({ dy, input }, dx, o: AvgPool2dOptions) {
        const list = means(input.shape, o);
        let i = 0;
        for (const plane of planes(dx.shape, dx.data))
          for (const { pixels, divisor } of list) {
            const share = dy.data[i++] / divisor;
            for (const j of pixels) plane[j] += share;
          }
      },
    },
  },
});
