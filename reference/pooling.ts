// # Pooling
//
// What maximum and average pooling share beside the windows themselves: the shape rule and the
// receptive window.

import type { ReceptiveWindow } from "./backend.js";
import { ShapeError } from "./errors.js";
import { expectAxes } from "./op.js";
import { type Shape, showShape } from "./tensor.js";
import { outputSize, windowOf, type WindowOptions } from "./window.js";
import { say } from "./words.js";

/**
 * `[N, C, H, W]` → `[N, C, H', W']`.
 *
 * Throws: ShapeError when padding exceeds half the window: some window would see no pixel.
 */
export function poolShape(input: Shape, options: WindowOptions): number[] {
  expectAxes("input", input, 4);
  const window = windowOf(options);
  for (const axis of [0, 1] as const) {
    const [padding, kernel] = [window.padding[axis], window.kernel[axis]];
    if (2 * padding > kernel)
      throw new ShapeError(
        say`padding ${padding} exceeds half of kernelSize ${kernel}, so a window could see no pixel
          (input ${showShape(input)})`,
        "padding",
      );
  }
  return [input[0], input[1], ...outputSize([input[2], input[3]], window)];
}

export function poolWindow(options: WindowOptions): ReceptiveWindow {
  const { kernel, stride, padding, dilation } = windowOf(options);
  const span = (axis: 0 | 1) => dilation[axis] * (kernel[axis] - 1) + 1;
  return { kernel: [span(0), span(1)], stride, padding };
}
