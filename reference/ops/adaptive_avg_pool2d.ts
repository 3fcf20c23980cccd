// # Adaptive average pooling
//
// Cuts the image into as many parts as pixels are wanted and takes the mean of each. Where the
// sizes do not divide, neighbouring parts overlap. With one part it is global average pooling:
// one number a channel. The note is `spec/ops/adaptive_avg_pool2d.md`.

import { ShapeError } from "../errors.js";
import { defineOp, expectAxes } from "../op.js";
import type { Shape } from "../tensor.js";
import { pair, type Pair } from "../window.js";
import { say } from "../words.js";

export interface AdaptiveAvgPool2dOptions {
  /** Rows and columns of the result. */
  readonly outputSize: Pair;
}

// ## The parts
//
// Along an axis of length $H$, part $i$ of $H'$ reaches from $\lfloor iH/H' \rfloor$ to before
// $\lceil (i+1)H/H' \rceil$: every pixel is in a part, and no part is empty.

const parts = (size: number, count: number): (readonly [start: number, end: number])[] =>
  Array.from({ length: count }, (_, i) => [
    Math.floor((i * size) / count),
    Math.ceil(((i + 1) * size) / count),
  ]);

/** Visits every pixel `j` of every part `i`, with the number of pixels of that part. */
function everyPixel(
  input: Shape,
  output: Shape,
  visit: (i: number, j: number, count: number) => void,
): void {
  const [N, C, H, W] = input;
  const rows = parts(H, output[2]);
  const columns = parts(W, output[3]);
  let i = 0;
  for (let plane = 0; plane < N * C; plane++)
    for (const [top, bottom] of rows)
      for (const [left, right] of columns) {
        const count = (bottom - top) * (right - left);
        for (let h = top; h < bottom; h++)
          for (let w = left; w < right; w++) visit(i, (plane * H + h) * W + w, count);
        i++;
      }
}

/**
 * The mean of each of `outputSize` parts of each plane.
 *
 * Shape: `[N, C, H, W]` → `[N, C, …outputSize]`.
 * Throws: ShapeError for a size that is not a positive whole number.
 * Source: Lin et al. 2014 for the global form. Differs from PyTorch: no size may be None.
 */
export const adaptiveAvgPool2d = defineOp("adaptive_avg_pool2d", {
  inputs: ["input"],

  // ## Shape: $[N, C, H, W] \to [N, C, H', W']$ as asked
  shape({ input }, o: AdaptiveAvgPool2dOptions) {
    expectAxes("input", input.shape, 4);
    const size = pair(o.outputSize);
    for (const d of size)
      if (!Number.isInteger(d) || d < 1)
        throw new ShapeError(say`outputSize must be whole numbers of at least 1, got ${d}`);
    return [input.shape[0], input.shape[1], ...size];
  },

  // ## Forward: $y_i = \frac{1}{|P_i|} \sum_{j \in P_i} x_j$
  forward({ input }, y) {
    everyPixel(input.shape, y.shape, (i, j, count) => {
      y.data[i] += input.data[j] / count;
    });
  },

  // The parts of a receptive field are windows only where all are alike.
  window({ input }, y) {
    const along = (axis: 2 | 3) => Math.ceil(input[axis] / y[axis]);
    const kernel = [along(2), along(3)] as const;
    return { kernel, stride: kernel, padding: [0, 0] };
  },

  // ## Backward: $\bar x_j = \sum_{i \,:\, j \in P_i} \bar y_i / |P_i|$
  gradients: {
    input: {
      needs: [],
      run({ dy }, dx) {
        everyPixel(dx.shape, dy.shape, (i, j, count) => {
          dx.data[j] += dy.data[i] / count;
        });
      },
    },
  },
});
