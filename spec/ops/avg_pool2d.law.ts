// # The law of avg_pool2d
//
// The note is `avg_pool2d.md`. A window's divisor is the number of its taps inside the padded image,
// or inside the image itself where padding does not count.

import type { AvgPool2dOptions } from "convnotes";
import fc from "fast-check";
import { integers, ordinary, reals, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma, sumBound } from "../rounding.js";
import { absolute, at, build, type Case, everyIndex, type Values } from "../values.js";
import { insideImage, pixels, poolCases, pooledShape, settings, taps } from "../windows.js";

type Pool = Case<AvgPool2dOptions>;

export const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Pool> =>
  withGradient<AvgPool2dOptions>(
    poolCases(pixels(numbers), { countIncludePad: fc.boolean() }),
    numbers,
    pooledShape,
  );

// Windows have at most 4 · 4 taps, so every divisor is a product of two numbers up to 4, and
// divides 144: means of multiples of 144 are whole.
const multiples = integers.map((k) => 144 * k);

/** The pixels that the window at `(i, j)` sees, and what their sum is divided by. */
function windowAt(c: Pool, i: number, j: number) {
  const x = c.inputs[0]!;
  const o = settings(c.options);
  const all = taps(o, i, j);
  const seen = all.filter(([h, v]) => insideImage(x, h, v));
  const padded = all.filter(
    ([h, v]) => h < x.shape[2] + o.padding[0] && v < x.shape[3] + o.padding[1],
  );
  return { seen, divisor: c.options.countIncludePad === false ? seen.length : padded.length };
}

const forward = (c: Pool): Values =>
  build(pooledShape(c), (n, k, i, j) => {
    const { seen, divisor } = windowAt(c, i, j);
    return seen.reduce((sum, [h, v]) => sum + at(c.inputs[0]!, [n, k, h, v]), 0) / divisor;
  });

const dinput = (c: Pool): Values => {
  const [, , rows, columns] = c.dy!.shape;
  const windows = Array.from(everyIndex(rows, columns), ([i, j]) => ({
    i,
    j,
    ...windowAt(c, i, j),
  }));
  return build(c.inputs[0]!.shape, (n, k, h, v) =>
    windows
      .filter(({ seen }) => seen.some(([a, b]) => a === h && b === v))
      .reduce((sum, { i, j, divisor }) => sum + at(c.dy!, [n, k, i, j]) / divisor, 0),
  );
};

// A sum of up to `terms` and a division, or a factor that is rounded, for each.
const meanBound = (size: number, terms: number, a: Arithmetic) =>
  sumBound(terms, size, a) + gamma(2, a) * size + 2 * a.tiny;

const tapsOf = (o: AvgPool2dOptions) => settings(o).kernel[0] * settings(o).kernel[1];

export const law: Law<AvgPool2dOptions> = {
  stem: "avg_pool2d",
  exact: cases(multiples),
  real: cases(reals),

  forward: (c) => [forward(c)],
  bound: (c, a) => [forward(absolute(c)).data.map((size) => meanBound(size, tapsOf(c.options), a))],

  gradients: {
    input: {
      of: dinput,
      // A pixel lies in at most as many windows as a window has taps.
      bound: (c, _, a) =>
        dinput(absolute(c)).data.map((size) => meanBound(size, tapsOf(c.options), a)),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[1, 4, 6]],
      options: { kernelSize: 2 },
      message: "avg_pool2d: input must have 4 axes, got 3: [1, 4, 6]",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: 2, padding: 2 },
      message:
        "avg_pool2d: padding 2 exceeds half of kernelSize 2, " +
        "so a window could see no pixel (input [1, 1, 4, 6])",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: [2, 7] },
      message:
        "avg_pool2d: kernelSize 7 spans 7 pixels, but the width is 6; " +
        "use a smaller kernel, more padding or a larger image",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: 0.5 },
      message: "avg_pool2d: kernelSize must be a whole number of at least 1, got 0.5",
    },
  ],
};
