// # Arbitraries
//
// What the laws draw their cases from. Height and width, batch and channels, and each option per
// axis are drawn apart, so that no slip can hide behind equal sizes; options are left out at
// random, so that defaults are tested; gradients are drawn, never all ones.

import fc from "fast-check";
import type { Case, Shape, Values } from "./values.js";

// ## Numbers

/** So small that sums of products of any case stay whole in float32, and in BF16 before them. */
export const integers = fc.integer({ min: -8, max: 8 });

const float32 = (limit: number) =>
  fc.float({ min: -limit, max: limit, noNaN: true, noDefaultInfinity: true });

/**
 * Numbers of float32: ordinary ones, ties, both zeros, subnormals, and magnitudes up to 2⁵⁶,
 * whose products can still be added up.
 */
export const reals: fc.Arbitrary<number> = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -(2 ** 16), max: 2 ** 16 }).map((k) => k / 2 ** 13) },
  { weight: 2, arbitrary: fc.constantFrom(-1, -0.5, 0.5, 1) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0) },
  { weight: 1, arbitrary: fc.integer({ min: -7, max: 7 }).map((k) => k * 2 ** -149) },
  { weight: 2, arbitrary: float32(2 ** 56) },
);

/** The step of difference quotients (laws.ts) for formulas that are not linear. */
export const smallStep = 2 ** -17;

/** Numbers from −4 to 4 in steps of 2⁻⁸: adding a small step to one is exact in float64. */
export const ordinary = fc.integer({ min: -1024, max: 1024 }).map((k) => k / 256);

// ## Sizes

export const batch = fc.integer({ min: 1, max: 3 });
export const channels = fc.integer({ min: 1, max: 4 });

/** Any shape of up to four axes, of sizes 1 to 4. */
export const anyShape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 });

/** Values of a shape. */
export const valuesOf = (shape: Shape, numbers: fc.Arbitrary<number>): fc.Arbitrary<Values> => {
  const length = shape.reduce((product, d) => product * d, 1);
  return fc
    .array(numbers, { minLength: length, maxLength: length })
    .map((data) => ({ shape, data }));
};

/** The same, or nothing. */
export const optionalValuesOf = (shape: Shape, numbers: fc.Arbitrary<number>) =>
  fc.option(valuesOf(shape, numbers), { freq: 3 });

// ## Options

/** Options, each of them left out at random. */
export const optional = <T extends Record<string, fc.Arbitrary<unknown>>>(
  options: T,
): fc.Arbitrary<{ [K in keyof T]?: Drawn<T[K]> }> =>
  fc.record(options, { requiredKeys: [] }) as fc.Arbitrary<{ [K in keyof T]?: Drawn<T[K]> }>;

type Drawn<A> = A extends fc.Arbitrary<infer T> ? T : never;

/** One number for both axes, or one for each, drawn apart. */
export const pairOf = <T>(each: fc.Arbitrary<T>): fc.Arbitrary<T | readonly [T, T]> =>
  fc.oneof({ weight: 1, arbitrary: each }, { weight: 3, arbitrary: fc.tuple(each, each) });

/** `[rows, columns]` of an option of that kind. */
export const pair = <T>(value: T | readonly [T, T]): readonly [T, T] =>
  Array.isArray(value) ? (value as readonly [T, T]) : [value as T, value as T];

/**
 * Sizes `[H, W]` of an image that a window fits into, with its padding: from just so to a few
 * pixels more.
 */
export function sizesFor(
  kernel: readonly [number, number],
  { padding = 0, dilation = 1 }: { padding?: Pair; dilation?: Pair },
): fc.Arbitrary<[number, number]> {
  const along = (axis: 0 | 1) => {
    const span = pair(dilation)[axis] * (kernel[axis] - 1) + 1;
    const least = Math.max(1, span - 2 * pair(padding)[axis]);
    return fc.integer({ min: least, max: least + 5 });
  };
  return fc.tuple(along(0), along(1));
}

export type Pair = number | readonly [number, number];

// ## Gradients

/** Adds a gradient of the result's shape to each case; `shape` tells that shape. */
export const withGradient = <O extends object>(
  cases: fc.Arbitrary<Case<O>>,
  numbers: fc.Arbitrary<number>,
  shape: (c: Case<O>) => Shape,
): fc.Arbitrary<Case<O>> =>
  cases.chain((c) => valuesOf(shape(c), numbers).map((dy) => ({ ...c, dy })));
