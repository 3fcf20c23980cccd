// # Windows, counted
//
// What the laws of convolution and pooling share: where windows stand, found by stepping along the
// axis instead of by the closed formula, and pooling's cases.

import fc from "fast-check";
import { batch, channels, optional, pair, pairOf, sizesFor, valuesOf } from "./arbitraries.js";
import { type Case, everyIndex, type Values } from "./values.js";

type Two = readonly [number, number];

export interface Settings {
  readonly kernel: Two;
  readonly stride: Two;
  readonly padding: Two;
  readonly dilation: Two;
  readonly ceilMode?: boolean;
}

/**
 * How many windows stand along an axis of `[N, C, H, W]`. Each must end inside the padded image;
 * in `ceilMode` one more may overhang it, if pixels are left over and it starts before the right
 * padding.
 */
export function places({ shape }: Values, o: Settings, axis: 0 | 1): number {
  const end = shape[2 + axis] + o.padding[axis];
  const span = o.dilation[axis] * (o.kernel[axis] - 1) + 1;
  let count = 0;
  let start = -o.padding[axis];
  for (; start + span <= end; start += o.stride[axis]) count++;
  const leftOver = start - o.stride[axis] + span < end;
  if (o.ceilMode && leftOver && start < shape[2 + axis]) count++;
  return count;
}

// ## Pooling

export interface PoolOptions {
  readonly kernelSize: number | Two;
  readonly stride?: number | Two;
  readonly padding?: number | Two;
  readonly dilation?: number | Two;
  readonly ceilMode?: boolean;
}

/** All options, as `[rows, columns]`; windows lie side by side unless told otherwise. */
export const settings = (o: PoolOptions): Settings => ({
  kernel: pair(o.kernelSize),
  stride: pair(o.stride ?? o.kernelSize),
  padding: pair(o.padding ?? 0),
  dilation: pair(o.dilation ?? 1),
  ceilMode: o.ceilMode ?? false,
});

/** The shape of what pooling gives. */
export function pooledShape({ inputs: [x], options }: Case<PoolOptions>): number[] {
  const o = settings(options);
  return [x!.shape[0], x!.shape[1], places(x!, o, 0), places(x!, o, 1)];
}

/** Row and column of every tap of the window at output pixel `(i, j)`, padding included. */
export function taps(o: Settings, i: number, j: number): (readonly [h: number, v: number])[] {
  return Array.from(
    everyIndex(...o.kernel),
    ([a, b]) =>
      [
        i * o.stride[0] + a * o.dilation[0] - o.padding[0],
        j * o.stride[1] + b * o.dilation[1] - o.padding[1],
      ] as const,
  );
}

export const insideImage = ({ shape }: Values, h: number, v: number): boolean =>
  h >= 0 && h < shape[2] && v >= 0 && v < shape[3];

/** Images with windows that fit, and `more` options; `images` draws the pixels of a shape. */
export function poolCases<T extends Record<string, fc.Arbitrary<unknown>>>(
  images: (shape: readonly number[]) => fc.Arbitrary<Values>,
  more: T,
) {
  const kernels = pairOf(fc.integer({ min: 1, max: 4 }));
  return kernels
    .chain((kernelSize) => {
      // Of a window of k taps, at most k/2 may be padding.
      const padding = (axis: 0 | 1) => fc.nat(Math.floor(pair(kernelSize)[axis] / 2));
      return optional({
        stride: pairOf(fc.integer({ min: 1, max: 3 })),
        padding: fc.tuple(padding(0), padding(1)),
        ceilMode: fc.boolean(),
        ...more,
      }).map((options) => ({ kernelSize, ...options }));
    })
    .chain((options) =>
      fc
        .tuple(batch, channels, sizesFor(pair(options.kernelSize), options as PoolOptions))
        .chain(([n, c, size]) => images([n, c, ...size]))
        .map((x) => ({ inputs: [x], options, dy: null })),
    );
}

/** The same with any numbers as pixels. */
export const pixels = (numbers: fc.Arbitrary<number>) => (shape: readonly number[]) =>
  valuesOf(shape, numbers);
