// # The law of gathering images
//
// Whole numbers throughout: a sum of all old pixels of a row, then of a column, times weights that are
// counted in units of $2^{-22}$. What is left of real numbers is rounded where torchvision rounds.

import fc from "fast-check";
import type { GatherImagesOptions } from "convnotes";
import { optional } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case, type Values } from "../values.js";

type Gather = Case<GatherImagesOptions>;

const sizes = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }));
const newSizes = fc.tuple(fc.integer({ min: 1, max: 21 }), fc.integer({ min: 1, max: 21 }));

/** Background and ink are as frequent as all shades between them. */
const bytes = fc.oneof(fc.constantFrom(0, 255), fc.integer({ min: 0, max: 255 }));

const valuesOf = (shape: number[], numbers: fc.Arbitrary<number>, dtype: "uint8" | "int64") => {
  const length = shape.reduce((product, d) => product * d, 1);
  return fc
    .array(numbers, { minLength: length, maxLength: length })
    .map((data): Values => ({ shape, data, dtype }));
};

const cases: fc.Arbitrary<Gather> = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), sizes)
  .chain(([count, batch, [height, width]]) =>
    fc.record({
      inputs: fc.tuple(
        valuesOf([count, height, width], bytes, "uint8"),
        valuesOf([batch], fc.nat(count - 1), "int64"),
      ),
      options: fc
        .tuple(
          optional({ size: newSizes }),
          fc.constantFrom({}, {}, { mean: 0.2860405969887955, std: 0.3530242445149223 }),
        )
        .map(([size, scale]) => ({ ...size, ...scale })),
      dy: fc.constant(null),
    }),
  );

// ## The formula

const UNIT = 2 ** 22;

/** By new pixel: the weight of each old one, in units. */
function weights(size: number, newSize: number): number[][] {
  const scale = size / newSize;
  const reach = Math.max(scale, 1);
  return Array.from({ length: newSize }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const own = Array.from({ length: size }, (_, j) =>
      Math.max(0, 1 - Math.abs((j - centre + 0.5) * (1 / reach))),
    );
    const total = own.reduce((sum, w) => sum + w, 0);
    return own.map((w) => Math.floor((w / total) * UNIT + 0.5));
  });
}

const rounded = (sum: number) => Math.floor((sum + UNIT / 2) / UNIT);

/** The `k`-th image, resized: bytes by row and column. */
function resized({ inputs: [images], options }: Gather, k: number) {
  const [, height, width] = images!.shape;
  const [newHeight, newWidth] = options.size ?? [height, width];
  const [down, across] = [weights(height, newHeight), weights(width, newWidth)];
  const sum = (own: readonly number[], term: (j: number) => number) =>
    rounded(own.reduce((total, w, j) => total + w * term(j), 0));
  const narrow = build([height, newWidth], (h, v) => sum(across[v], (j) => at(images!, [k, h, j])));
  return build([newHeight, newWidth], (i, v) => sum(down[i], (h) => at(narrow, [h, v])));
}

function forward(c: Gather): Values[] {
  const { mean = 0, std = 1 } = c.options;
  const [images, indices] = c.inputs;
  const size = c.options.size ?? images!.shape.slice(1);
  const made = indices!.data.map((k) => resized(c, k));
  return [
    build([made.length, 1, ...size], (b, _, i, v) => {
      const x = Math.fround(at(made[b], [i, v]) / 255);
      return Math.fround(Math.fround(x - Math.fround(mean)) / Math.fround(std));
    }),
  ];
}

export const law: Law<GatherImagesOptions> = {
  stem: "gather_images",
  exact: cases,
  real: cases,

  forward,
  bound: (c) => [forward(c)[0].data.map(() => 0)],

  refusals: [
    {
      inputs: [
        { shape: [2, 3], dtype: "uint8" },
        { shape: [1], dtype: "int64" },
      ],
      options: {},
      message: "gather_images: images must have 3 axes, got 2: [2, 3]",
    },
    {
      inputs: [
        { shape: [2, 3, 3], dtype: "uint8" },
        { shape: [1], dtype: "int64" },
      ],
      options: { size: [0, 4] },
      message:
        "gather_images: size is [0, 4] for images of [3, 3], expected whole numbers of at least 1 pixel",
    },
    {
      inputs: [
        { shape: [2, 3, 3], dtype: "uint8" },
        { shape: [1], dtype: "int64" },
      ],
      options: { std: 0 },
      message: "gather_images: std is 0, expected a finite number above 0",
    },
  ],
};
