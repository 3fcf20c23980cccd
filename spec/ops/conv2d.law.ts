// # The law of conv2d
//
// Every formula of the note (`conv2d.md`), index by index. An output pixel $(i, j)$ sees input pixel
// $(h, v)$ through tap $(a, b)$ exactly if $h = si + da - p$ and likewise for $v$; the gradients look
// for those outputs the other way round.

import type { Conv2dOptions } from "convnotes";
import fc from "fast-check";
import {
  batch,
  integers,
  optional,
  optionalValuesOf,
  ordinary,
  pair,
  pairOf,
  reals,
  sizesFor,
  valuesOf,
  withGradient,
} from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma, sumOfProducts } from "../rounding.js";
import { at, build, type Case, everyIndex, sizeOf, type Values } from "../values.js";
import { places } from "../windows.js";

type Conv = Case<Conv2dOptions>;

// ## Cases

const small = fc.integer({ min: 1, max: 3 });

export const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Conv> => {
  const drawn = fc
    .record({
      options: optional({
        stride: pairOf(small),
        padding: pairOf(fc.nat(2)),
        dilation: pairOf(fc.integer({ min: 1, max: 2 })),
        groups: small,
      }),
      n: batch,
      perGroup: fc.integer({ min: 1, max: 2 }),
      outPerGroup: fc.integer({ min: 1, max: 2 }),
      kernel: fc.tuple(small, small),
    })
    .chain((drawn) => sizesFor(drawn.kernel, drawn.options).map((size) => ({ ...drawn, size })))
    .chain(({ options, n, perGroup, outPerGroup, kernel, size }) => {
      const groups = options.groups ?? 1;
      return fc.record({
        inputs: fc.tuple(
          valuesOf([n, perGroup * groups, ...size], numbers),
          valuesOf([outPerGroup * groups, perGroup, ...kernel], numbers),
          optionalValuesOf([outPerGroup * groups], numbers),
        ),
        options: fc.constant(options),
        dy: fc.constant(null),
      });
    });
  return withGradient<Conv2dOptions>(drawn, numbers, outputShape);
};

/** All options, as `[rows, columns]`. */
const settings = ({ options: o }: Conv) => ({
  stride: pair(o.stride ?? 1),
  padding: pair(o.padding ?? 0),
  dilation: pair(o.dilation ?? 1),
  groups: o.groups ?? 1,
});

function outputShape(c: Conv): number[] {
  const [x, w] = c.inputs as [Values, Values];
  const window = { ...settings(c), kernel: [w.shape[2], w.shape[3]] as const };
  return [x.shape[0], w.shape[0], places(x, window, 0), places(x, window, 1)];
}

/** Those that Winograd's tiles are for, with more images or channels than lie side by side. */
export const tileCases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Conv> => {
  const many = fc.integer({ min: 13, max: 18 });
  const drawn = fc
    .tuple(
      fc
        .constantFrom(3, 5)
        .chain((taps) => fc.record({ taps: fc.constant(taps), padding: pairOf(fc.nat(taps)) })),
      fc.oneof(
        fc.record({ n: fc.integer({ min: 15, max: 34 }), channels: small, outs: small }),
        fc.record({ n: batch, channels: many, outs: small }),
        fc.record({ n: batch, channels: small, outs: many }),
      ),
    )
    .map(([options, sizes]) => ({ ...options, ...sizes }))
    .chain((drawn) => sizesFor([drawn.taps, drawn.taps], drawn).map((size) => ({ ...drawn, size })))
    .chain(({ taps, padding, n, channels, outs, size }) =>
      fc.record({
        inputs: fc.tuple(
          valuesOf([n, channels, ...size], numbers),
          valuesOf([outs, channels, taps, taps], numbers),
          optionalValuesOf([outs], numbers),
        ),
        options: fc.constant({ padding }),
        dy: fc.constant(null),
      }),
    );
  return withGradient<Conv2dOptions>(drawn, numbers, outputShape);
};

// ## Formulas

function forward(c: Conv): Values {
  const [x, w, bias] = c.inputs as [Values, Values, Values | null];
  const { stride, padding, dilation, groups } = settings(c);
  const [O, perGroup, K, L] = w.shape;
  return build(outputShape(c), (n, k, i, j) => {
    const group = Math.floor((k * groups) / O);
    let sum = bias ? at(bias, [k]) : 0;
    for (const [q, a, b] of everyIndex(perGroup, K, L)) {
      const h = stride[0] * i + dilation[0] * a - padding[0];
      const v = stride[1] * j + dilation[1] * b - padding[1];
      sum += at(w, [k, q, a, b]) * at(x, [n, group * perGroup + q, h, v], 0);
    }
    return sum;
  });
}

function dinput(c: Conv): Values {
  const [x, w] = c.inputs as [Values, Values];
  const { stride, padding, dilation, groups } = settings(c);
  const [O, perGroup, K, L] = w.shape;
  return build(x.shape, (n, channel, h, v) => {
    const group = Math.floor(channel / perGroup);
    let sum = 0;
    for (const [o, a, b] of everyIndex(O / groups, K, L)) {
      const k = group * (O / groups) + o;
      const i = (h + padding[0] - dilation[0] * a) / stride[0];
      const j = (v + padding[1] - dilation[1] * b) / stride[1];
      if (Number.isInteger(i) && Number.isInteger(j))
        sum += at(w, [k, channel % perGroup, a, b]) * at(c.dy!, [n, k, i, j], 0);
    }
    return sum;
  });
}

function dweight(c: Conv): Values {
  const [x, w] = c.inputs as [Values, Values];
  const { stride, padding, dilation, groups } = settings(c);
  const [O, perGroup] = w.shape;
  const [N, , rows, columns] = c.dy!.shape;
  return build(w.shape, (k, q, a, b) => {
    const channel = Math.floor((k * groups) / O) * perGroup + q;
    let sum = 0;
    for (const [n, i, j] of everyIndex(N, rows, columns)) {
      const h = stride[0] * i + dilation[0] * a - padding[0];
      const v = stride[1] * j + dilation[1] * b - padding[1];
      sum += at(c.dy!, [n, k, i, j]) * at(x, [n, channel, h, v], 0);
    }
    return sum;
  });
}

function dbias(c: Conv): Values {
  const [N, O, rows, columns] = c.dy!.shape;
  return build([O], (k) => {
    let sum = 0;
    for (const [n, i, j] of everyIndex(N, rows, columns)) sum += at(c.dy!, [n, k, i, j]);
    return sum;
  });
}

// ## Winograd's tiles
//
// What the note derives under “Fewer multiplications”, on absolute values. Tiles begin at even rows and
// columns of the result.

type Matrix = readonly (readonly number[])[];

/** $|B^T|$, $|G|$ and $|A^T|$ for windows of so many taps along an axis. */
export interface Tiles {
  readonly taps: number;
  readonly ofPixels: Matrix;
  readonly ofTaps: Matrix;
  readonly toResults: Matrix;
  /** Additions on the way to a result along an axis. */
  readonly additions: number;
}

const three: Tiles = {
  taps: 3,
  ofPixels: [
    [1, 0, 1, 0],
    [0, 1, 1, 0],
    [0, 1, 1, 0],
    [0, 1, 0, 1],
  ],
  ofTaps: [
    [1, 0, 0],
    [1 / 2, 1 / 2, 1 / 2],
    [1 / 2, 1 / 2, 1 / 2],
    [0, 0, 1],
  ],
  toResults: [
    [1, 1, 1, 0],
    [0, 1, 1, 1],
  ],
  additions: 2,
};

/** Three taps, and behind them two. */
const five: Tiles = {
  taps: 5,
  ofPixels: [
    ...three.ofPixels.map((row) => [...row, 0, 0]),
    [0, 0, 0, 1, 1, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 0, 0, 0, 1, 1],
  ],
  ofTaps: [
    ...three.ofTaps.map((row) => [...row, 0, 0]),
    [0, 0, 0, 1, 0],
    [0, 0, 0, 1, 1],
    [0, 0, 0, 0, 1],
  ],
  toResults: [
    [...three.toResults[0], 1, 1, 0],
    [...three.toResults[1], 0, 1, 1],
  ],
  additions: 3,
};

export const tilings: readonly Tiles[] = [three, five];

/** How many operations a term meets on its way to a result, of so many channels. */
export const tileDepth = (
  tiles: Tiles,
  channels: number,
  hasBias: boolean,
  a: Arithmetic,
): number => a.depth(channels) + 2 + 4 + 2 * tiles.additions + (hasBias ? 1 : 0);

/** $M X M^T$ */
function transformed(m: Matrix, x: Matrix): number[][] {
  const half = m.map((row) =>
    x[0].map((_, j) => row.reduce((sum, f, i) => (f === 0 ? sum : sum + f * x[i][j]), 0)),
  );
  return half.map((line) =>
    m.map((row) => row.reduce((sum, f, j) => (f === 0 ? sum : sum + f * line[j]), 0)),
  );
}

const transposed = (m: Matrix): Matrix => m[0].map((_, j) => m.map((row) => row[j]));

const square = (size: number, element: (a: number, b: number) => number): number[][] =>
  Array.from({ length: size }, (_, a) => Array.from({ length: size }, (_, b) => element(a, b)));

/** The tiles that a kernel which has them uses for this convolution. */
function tilesOf(c: Conv, a: Arithmetic): Tiles | undefined {
  const [, { shape }] = c.inputs as [Values, Values];
  const { stride, dilation, groups } = settings(c);
  if (!a.winograd || ![...stride, ...dilation, groups].every((n) => n === 1)) return undefined;
  return tilings.find(({ taps }) => shape[2] === taps && shape[3] === taps);
}

/** Beyond this a number may have left float32, and results are computed product by product. */
const LARGE = 2 ** 127;

/** The bound by tiles, or where it does not hold, whichever is wider. NaN is not wider. */
const holding = (most: number, bound: number, sharp: number): number =>
  most < LARGE || bound > sharp ? bound : sharp;

/** The transformed pixels of the tile at (2i, 2j) of the results, by channel. */
const pixelsOf = (
  { ofPixels, taps }: Tiles,
  image: Values,
  [above, before]: readonly [number, number],
  [n, i, j]: readonly number[],
): number[][][] =>
  Array.from({ length: image.shape[1] }, (_, q) =>
    transformed(
      ofPixels,
      square(taps + 1, (di, dj) =>
        Math.abs(at(image, [n, q, 2 * i + di - above, 2 * j + dj - before], 0)),
      ),
    ),
  );

const tilesIn = ([N, , H, W]: Values["shape"]) => everyIndex(N, Math.ceil(H / 2), Math.ceil(W / 2));

/**
 * How far results may be off that come by tiles: of a window over `image` from so many pixels before
 * each place, with weights `weight(k, q, a, b)`. `sharp` is the bound of the sum of products itself.
 */
function tileBound(
  tiles: Tiles,
  results: Values["shape"],
  image: Values,
  before: readonly [number, number],
  weight: (k: number, q: number, a: number, b: number) => number,
  bias: Values | null,
  a: Arithmetic,
  sharp: readonly number[],
): number[] {
  const [, O, H, W] = results;
  const C = image.shape[1];
  const taps = Array.from({ length: O }, (_, k) =>
    Array.from({ length: C }, (_, q) =>
      transformed(
        tiles.ofTaps,
        square(tiles.taps, (i, j) => Math.abs(weight(k, q, i, j))),
      ),
    ),
  );
  const parts = tiles.ofTaps.length;
  const factor = gamma(tileDepth(tiles, C, bias !== null, a), a);
  const bounds = [...sharp];
  for (const tile of tilesIn(results)) {
    const [n, i, j] = tile;
    const pixels = pixelsOf(tiles, image, before, tile);
    const lost = square(
      parts,
      (k, l) => pixels.reduce((sum, p) => sum + 3 * p[k][l] + 1, 0) * a.tiny,
    );
    for (let o = 0; o < O; o++) {
      const products = square(parts, (k, l) =>
        pixels.reduce((sum, p, q) => sum + p[k][l] * taps[o][q][k][l], 0),
      );
      const size = transformed(tiles.toResults, products);
      const underflow = transformed(tiles.toResults, lost);
      const most = Math.max(...[products, ...pixels, ...taps[o]].flat(2));
      for (const [di, dj] of everyIndex(Math.min(2, H - 2 * i), Math.min(2, W - 2 * j))) {
        const element = ((n * O + o) * H + 2 * i + di) * W + 2 * j + dj;
        const shift = bias ? Math.abs(bias.data[o]) : 0;
        const bound = factor * (size[di][dj] + shift) + (1 + factor) * underflow[di][dj];
        bounds[element] = holding(most, bound, sharp[element]);
      }
    }
  }
  return bounds;
}

/** The same of the gradient of the weight, whose sums go over images and tiles. */
function weightBound(
  tiles: Tiles,
  image: Values,
  dy: Values,
  before: readonly [number, number],
  a: Arithmetic,
  sharp: readonly number[],
): number[] {
  const [N, O, H, W] = dy.shape;
  const C = image.shape[1];
  const parts = tiles.ofTaps.length;
  const sums = Array.from({ length: O * C }, () => square(parts, () => 0));
  let most = 0;
  for (const tile of tilesIn(dy.shape)) {
    const [n, i, j] = tile;
    const pixels = pixelsOf(tiles, image, before, tile);
    const gradients = Array.from({ length: O }, (_, k) =>
      transformed(
        transposed(tiles.toResults),
        square(2, (di, dj) => Math.abs(at(dy, [n, k, 2 * i + di, 2 * j + dj], 0))),
      ),
    );
    // NaN stays.
    most = Math.max(most, ...[...pixels, ...gradients].flat(2));
    for (const [o, q, k, l] of everyIndex(O, C, parts, parts))
      sums[o * C + q][k][l] += gradients[o][k][l] * pixels[q][k][l];
  }
  const terms = N * Math.ceil(H / 2) * Math.ceil(W / 2);
  const factor = gamma(a.depth(terms) + 2 + 2 + 4, a);
  const toTaps = transposed(tiles.ofTaps);
  const lost = transformed(
    toTaps,
    square(parts, () => terms * a.tiny),
  );
  return sums.flatMap((sum, i) => {
    const sizes = transformed(toTaps, sum).flat();
    const largest = Math.max(most, ...sum.flat());
    return sizes.map((size, t) => {
      const underflow = (1 + factor) * lost.flat()[t] + 3 * a.tiny;
      return holding(largest, factor * size + underflow, sharp[i * sizes.length + t]);
    });
  });
}

// ## The law

const y = sumOfProducts(forward, ({ inputs: [, w] }) => 1 + sizeOf(w, 1, 2, 3));
const dx = sumOfProducts(dinput, ({ inputs: [, w] }) => sizeOf(w, 0, 2, 3));

const dw = sumOfProducts(dweight, ({ dy }) => sizeOf(dy, 0, 2, 3));

function forwardBound(c: Conv, a: Arithmetic): readonly number[] {
  const sharp = y.bound(c, null, a);
  const tiles = tilesOf(c, a);
  if (tiles === undefined) return sharp;
  const [x, w, bias] = c.inputs as [Values, Values, Values | null];
  const weight = (...index: number[]) => at(w, index);
  return tileBound(tiles, outputShape(c), x, settings(c).padding, weight, bias, a, sharp);
}

/** $\bar x$ is a convolution of $\bar y$ with the kernel turned about. */
function dinputBound(c: Conv, a: Arithmetic): readonly number[] {
  const sharp = dx.bound(c, null, a);
  const tiles = tilesOf(c, a);
  if (tiles === undefined) return sharp;
  const [x, w] = c.inputs as [Values, Values];
  const last = tiles.taps - 1;
  const [p, q] = settings(c).padding;
  const weight = (k: number, o: number, i: number, j: number) => at(w, [o, k, last - i, last - j]);
  return tileBound(tiles, x.shape, c.dy!, [last - p, last - q], weight, null, a, sharp);
}

function dweightBound(c: Conv, a: Arithmetic): readonly number[] {
  const sharp = dw.bound(c, null, a);
  const tiles = tilesOf(c, a);
  if (tiles === undefined) return sharp;
  return weightBound(tiles, c.inputs[0]!, c.dy!, settings(c).padding, a, sharp);
}

export const law: Law<Conv2dOptions> = {
  stem: "conv2d",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [y.of(c)],
  bound: (c, a) => [forwardBound(c, a)],

  gradients: {
    input: { of: dinput, bound: (c, _, a) => dinputBound(c, a) },
    weight: { of: dweight, bound: (c, _, a) => dweightBound(c, a) },
    bias: sumOfProducts(dbias, ({ dy }) => sizeOf(dy, 0, 2, 3)),
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[1, 4, 4], [1, 1, 3, 3], null],
      options: {},
      message: "conv2d: input must have 4 axes, got 3: [1, 4, 4]",
    },
    {
      inputs: [[2, 3, 8, 8], [6, 1, 5, 5], null],
      options: {},
      message:
        "conv2d: input [2, 3, 8, 8] has 3 channels, but weight [6, 1, 5, 5] expects 1; " +
        "set in_channels to 3",
    },
    {
      inputs: [[2, 4, 8, 8], [6, 1, 5, 5], null],
      options: { groups: 2 },
      message:
        "conv2d: input [2, 4, 8, 8] has 4 channels, but weight [6, 1, 5, 5] in 2 groups expects 2; " +
        "set in_channels to 4",
    },
    {
      inputs: [[2, 4, 8, 8], [6, 1, 5, 5], null],
      options: { groups: 4 },
      message: "conv2d: groups 4 must be a whole number that divides the 6 output channels",
    },
    {
      inputs: [[2, 1, 8, 8], [6, 1, 5, 5], [5]],
      options: {},
      message: "conv2d: bias has shape [5], expected [6] (one for each output channel)",
    },
    {
      inputs: [[2, 1, 8, 4], [6, 1, 5, 5], null],
      options: {},
      message:
        "conv2d: kernelSize 5 spans 5 pixels, but the width is 4; " +
        "use a smaller kernel, more padding or a larger image",
    },
    {
      inputs: [[2, 1, 3, 8], [6, 1, 3, 3], null],
      options: { padding: [1, 0], dilation: 3 },
      message:
        "conv2d: kernelSize 3 with dilation 3 spans 7 pixels, but the height is 3 + 2·1 of padding; " +
        "use a smaller kernel, more padding or a larger image",
    },
    {
      inputs: [[2, 1, 8, 8], [6, 1, 5, 5], null],
      options: { stride: [1, 0] },
      message: "conv2d: stride must be a whole number of at least 1, got 0",
    },
    {
      inputs: [[2, 1, 8, 8], [6, 1, 5, 5], null],
      options: { padding: -1 },
      message: "conv2d: padding must be a whole number of at least 0, got -1",
    },
  ],
};
