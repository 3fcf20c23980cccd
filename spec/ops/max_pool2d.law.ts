// # The law of max_pool2d
//
// The note is `max_pool2d.md`. Nothing is rounded, so all bounds are 0, and NaN and infinities are
// among the numbers.

import type { WindowOptions } from "convnotes";
import fc from "fast-check";
import { integers, pairOf, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { sumBound } from "../rounding.js";
import { absolute, at, build, type Case, everyIndex, type Shape, type Values } from "../values.js";
import { insideImage, pixels, poolCases, pooledShape, settings, taps } from "../windows.js";

type Pool = Case<WindowOptions>;

const cases = (images: (shape: Shape) => fc.Arbitrary<Values>, gradients: fc.Arbitrary<number>) =>
  withGradient<WindowOptions>(
    poolCases(images, { dilation: pairOf(fc.integer({ min: 1, max: 3 })) }),
    gradients,
    pooledShape,
  );

/** So few different numbers that most windows have ties. */
const ties = fc.integer({ min: -1, max: 2 });

const withBroken = fc.oneof(
  { weight: 12, arbitrary: reals },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
);

/**
 * Multiples of 4, all different: moving each by up to 1 leaves the winners where they are.
 */
const apart = (shape: Shape): fc.Arbitrary<Values> =>
  valuesOf(shape, fc.nat(2 ** 20)).map(({ data }) => {
    const order = data.map((key, i) => ({ key, i })).sort((p, q) => p.key - q.key || p.i - q.i);
    const rank: number[] = [];
    order.forEach(({ i }, place) => (rank[i] = 4 * (place - data.length / 2)));
    return { shape, data: rank };
  });

// ## Formulas

/** Offset of the pixel that wins in the window at `(i, j)`; undefined where none is seen. */
function winner(c: Pool, n: number, k: number, i: number, j: number) {
  const x = c.inputs[0]!;
  const seen = taps(settings(c.options), i, j)
    .filter(([h, v]) => insideImage(x, h, v))
    .map(([h, v]) => ({ h, v, value: at(x, [n, k, h, v]) }));
  const largest = Math.max(...seen.map(({ value }) => value));
  return (
    seen.filter(({ value }) => Number.isNaN(value)).at(-1) ??
    seen.find(({ value }) => value === largest)
  );
}

const forward = (c: Pool): Values =>
  build(pooledShape(c), (n, k, i, j) => winner(c, n, k, i, j)?.value ?? -Infinity);

function dinput(c: Pool): Values {
  const [N, C, rows, columns] = c.dy!.shape;
  const won = Array.from(everyIndex(N, C, rows, columns), (index) => {
    const [n, k, i, j] = index;
    return { n, k, ...winner(c, n, k, i, j), dy: at(c.dy!, index) };
  });
  return build(c.inputs[0]!.shape, (n, k, h, v) =>
    won
      .filter((w) => w.n === n && w.k === k && w.h === h && w.v === v)
      .reduce((sum, { dy }) => sum + dy, 0),
  );
}

export const law: Law<WindowOptions> = {
  stem: "max_pool2d",
  exact: cases(pixels(ties), integers),
  real: cases(pixels(withBroken), reals),
  pinned: {
    // Both taps step over the image.
    exact: [
      [
        {
          inputs: [{ shape: [1, 1, 2, 1], data: [0, 0] }],
          options: { kernelSize: [2, 1], stride: 2, padding: [1, 0], dilation: [3, 3] },
          dy: { shape: [1, 1, 1, 1], data: [1] },
        },
        0,
      ],
    ],
  },

  forward: (c) => [forward(c)],
  bound: (c) => [forward(c).data.map(() => 0)],

  gradients: {
    input: {
      of: dinput,
      // A pixel wins in at most as many windows as a window has taps.
      bound(c, _, a) {
        const { kernel } = settings(c.options);
        const sizes = dinput({ ...c, dy: absolute(c).dy });
        return sizes.data.map((size) => sumBound(kernel[0] * kernel[1], size, a));
      },
    },
  },
  differences: {
    cases: cases(apart, integers).filter((c) => forward(c).data.every(Number.isFinite)),
    step: 1,
  },

  refusals: [
    {
      inputs: [[4, 6]],
      options: { kernelSize: 2 },
      message: "max_pool2d: input must have 4 axes, got 2: [4, 6]",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: [3, 2], padding: [1, 2] },
      message:
        "max_pool2d: padding 2 exceeds half of kernelSize 2, " +
        "so a window could see no pixel (input [1, 1, 4, 6])",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: 3, dilation: 2 },
      message:
        "max_pool2d: kernelSize 3 with dilation 2 spans 5 pixels, but the height is 4; " +
        "use a smaller kernel, more padding or a larger image",
    },
    {
      inputs: [[1, 1, 4, 6]],
      options: { kernelSize: 2, dilation: 0 },
      message: "max_pool2d: dilation must be a whole number of at least 1, got 0",
    },
  ],
};
