// # The law of adaptive_avg_pool2d
//
// The note is `adaptive_avg_pool2d.md`. Pixel $h$ of $H$ lies in part $i$ of $H'$ exactly if the
// stretches $[h, h+1)$ and $[iH/H', (i+1)H/H')$ overlap, so no pixel is rounded away.

import type { AdaptiveAvgPool2dOptions } from "convnotes";
import fc from "fast-check";
import {
  batch,
  channels,
  integers,
  ordinary,
  pair,
  pairOf,
  reals,
  valuesOf,
  withGradient,
} from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma, sumBound } from "../rounding.js";
import { absolute, at, build, type Case, everyIndex, type Values } from "../values.js";

type Pool = Case<AdaptiveAvgPool2dOptions>;

const SIDE = 6;
const side = fc.integer({ min: 1, max: SIDE });

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Pool> =>
  withGradient<AdaptiveAvgPool2dOptions>(
    fc.tuple(batch, channels, side, side).chain((shape) =>
      fc.record({
        inputs: fc.tuple(valuesOf(shape, numbers)),
        options: fc.record({ outputSize: pairOf(fc.integer({ min: 1, max: 7 })) }),
        dy: fc.constant(null),
      }),
    ),
    numbers,
    outputShape,
  );

// A part has at most 6 · 6 pixels, so their number divides 60²: means of multiples of 3600 are whole.
const multiples = integers.map((k) => 3600 * k);

const outputShape = ({ inputs: [x], options }: Pool) => [
  x!.shape[0],
  x!.shape[1],
  ...pair(options.outputSize),
];

/** Whether pixel `h` of `size` lies in part `i` of `count`; multiplied out, so all is whole. */
const overlap = (h: number, size: number, i: number, count: number) =>
  h * count < (i + 1) * size && (h + 1) * count > i * size;

function pixelsOf(c: Pool, i: number, j: number): number[][] {
  const [, , H, W] = c.inputs[0]!.shape;
  const [rows, columns] = pair(c.options.outputSize);
  return [...everyIndex(H, W)].filter(
    ([h, v]) => overlap(h, H, i, rows) && overlap(v, W, j, columns),
  );
}

const forward = (c: Pool): Values =>
  build(outputShape(c), (n, k, i, j) => {
    const pixels = pixelsOf(c, i, j);
    return pixels.reduce((sum, [h, v]) => sum + at(c.inputs[0]!, [n, k, h, v]), 0) / pixels.length;
  });

function dinput(c: Pool): Values {
  const parts = Array.from(everyIndex(...pair(c.options.outputSize)), ([i, j]) => ({
    i,
    j,
    pixels: pixelsOf(c, i, j),
  }));
  return build(c.inputs[0]!.shape, (n, k, h, v) =>
    parts
      .filter(({ pixels }) => pixels.some(([a, b]) => a === h && b === v))
      .reduce((sum, { i, j, pixels }) => sum + at(c.dy!, [n, k, i, j]) / pixels.length, 0),
  );
}

// A sum of up to `terms` and a division, or a factor that is rounded, for each.
const meanBound = (size: number, terms: number, a: Arithmetic) =>
  sumBound(terms, size, a) + gamma(2, a) * size + 2 * a.tiny;

export const law: Law<AdaptiveAvgPool2dOptions> = {
  stem: "adaptive_avg_pool2d",
  exact: cases(multiples),
  real: cases(reals),

  forward: (c) => [forward(c)],
  bound: (c, a) => [forward(absolute(c)).data.map((size) => meanBound(size, SIDE * SIDE, a))],

  gradients: {
    input: {
      of: dinput,
      bound: (c, _, a) =>
        dinput(absolute(c)).data.map((size) => {
          const [rows, columns] = pair(c.options.outputSize);
          return meanBound(size, rows * columns, a);
        }),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3, 8]],
      options: { outputSize: 1 },
      message: "adaptive_avg_pool2d: input must have 4 axes, got 3: [2, 3, 8]",
    },
    {
      inputs: [[2, 3, 8, 8]],
      options: { outputSize: [1, 0] },
      message: "adaptive_avg_pool2d: outputSize must be whole numbers of at least 1, got 0",
    },
  ],
};
