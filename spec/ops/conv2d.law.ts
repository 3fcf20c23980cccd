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
      fc.record({ padding: pairOf(fc.nat(3)) }),
      fc.oneof(
        fc.record({ n: fc.integer({ min: 15, max: 34 }), channels: small, outs: small }),
        fc.record({ n: batch, channels: many, outs: small }),
        fc.record({ n: batch, channels: small, outs: many }),
      ),
    )
    .map(([options, sizes]) => ({ ...options, ...sizes }))
    .chain((drawn) => sizesFor([3, 3], drawn).map((size) => ({ ...drawn, size })))
    .chain(({ padding, n, channels, outs, size }) =>
      fc.record({
        inputs: fc.tuple(
          valuesOf([n, channels, ...size], numbers),
          valuesOf([outs, channels, 3, 3], numbers),
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
// columns of the result; $B^T$, $G$ and $A^T$ take four pixels, three taps and four products.

type Matrix = readonly (readonly number[])[];

const forPixels: Matrix = [
  [1, 0, 1, 0],
  [0, 1, 1, 0],
  [0, 1, 1, 0],
  [0, 1, 0, 1],
];
const forTaps: Matrix = [
  [1, 0, 0],
  [1 / 2, 1 / 2, 1 / 2],
  [1 / 2, 1 / 2, 1 / 2],
  [0, 0, 1],
];
const forResults: Matrix = [
  [1, 1, 1, 0],
  [0, 1, 1, 1],
];

/** $M X M^T$ */
function transformed(m: Matrix, x: Matrix): number[][] {
  const half = m.map((row) =>
    x[0].map((_, j) => row.reduce((sum, f, i) => (f === 0 ? sum : sum + f * x[i][j]), 0)),
  );
  return half.map((line) =>
    m.map((row) => row.reduce((sum, f, j) => (f === 0 ? sum : sum + f * line[j]), 0)),
  );
}

const square = (size: number, element: (a: number, b: number) => number): number[][] =>
  Array.from({ length: size }, (_, a) => Array.from({ length: size }, (_, b) => element(a, b)));

/** Whether a kernel that has Winograd's tiles uses them for this convolution. */
const inTiles = (c: Conv, a: Arithmetic): boolean => {
  const [, { shape }] = c.inputs as [Values, Values];
  const { stride, dilation, groups } = settings(c);
  const isThree = shape[2] === 3 && shape[3] === 3;
  return a.winograd === true && isThree && [...stride, ...dilation, groups].every((n) => n === 1);
};

/** Beyond this a number may have left float32, and results are computed product by product. */
const LARGE = 2 ** 127;

/**
 * How far results may be off that come by tiles: of a window over `image` from so many pixels before
 * each place, with weights `weight(k, q, a, b)`. `sharp` is the bound of the sum of products itself.
 */
function tileBound(
  results: Values["shape"],
  image: Values,
  [above, before]: readonly [number, number],
  weight: (k: number, q: number, a: number, b: number) => number,
  bias: Values | null,
  a: Arithmetic,
  sharp: readonly number[],
): number[] {
  const [N, O, H, W] = results;
  const C = image.shape[1];
  const taps = Array.from({ length: O }, (_, k) =>
    Array.from({ length: C }, (_, q) =>
      transformed(
        forTaps,
        square(3, (i, j) => Math.abs(weight(k, q, i, j))),
      ),
    ),
  );
  const factor = gamma(a.depth(C) + 10 + (bias ? 1 : 0), a);
  const bounds = [...sharp];
  for (const [n, i, j] of everyIndex(N, Math.ceil(H / 2), Math.ceil(W / 2))) {
    const pixels = Array.from({ length: C }, (_, q) =>
      transformed(
        forPixels,
        square(4, (di, dj) =>
          Math.abs(at(image, [n, q, 2 * i + di - above, 2 * j + dj - before], 0)),
        ),
      ),
    );
    const lost = square(4, (k, l) => pixels.reduce((sum, p) => sum + 3 * p[k][l] + 1, 0) * a.tiny);
    for (let o = 0; o < O; o++) {
      const products = square(4, (k, l) =>
        pixels.reduce((sum, p, q) => sum + p[k][l] * taps[o][q][k][l], 0),
      );
      const size = transformed(forResults, products);
      const underflow = transformed(forResults, lost);
      const most = Math.max(...[products, ...pixels, ...taps[o]].flat(2));
      for (const [di, dj] of everyIndex(Math.min(2, H - 2 * i), Math.min(2, W - 2 * j))) {
        const element = ((n * O + o) * H + 2 * i + di) * W + 2 * j + dj;
        const shift = bias ? Math.abs(bias.data[o]) : 0;
        const bound = factor * (size[di][dj] + shift) + (1 + factor) * underflow[di][dj];
        // NaN is not below.
        if (most < LARGE) bounds[element] = bound;
        else if (bound > bounds[element]) bounds[element] = bound;
      }
    }
  }
  return bounds;
}

// ## The law

const y = sumOfProducts(forward, ({ inputs: [, w] }) => 1 + sizeOf(w, 1, 2, 3));
const dx = sumOfProducts(dinput, ({ inputs: [, w] }) => sizeOf(w, 0, 2, 3));

function forwardBound(c: Conv, a: Arithmetic): readonly number[] {
  const sharp = y.bound(c, null, a);
  if (!inTiles(c, a)) return sharp;
  const [x, w, bias] = c.inputs as [Values, Values, Values | null];
  const weight = (...index: number[]) => at(w, index);
  return tileBound(outputShape(c), x, settings(c).padding, weight, bias, a, sharp);
}

/** $\bar x$ is a convolution of $\bar y$ with the kernel turned about. */
function dinputBound(c: Conv, a: Arithmetic): readonly number[] {
  const sharp = dx.bound(c, null, a);
  if (!inTiles(c, a)) return sharp;
  const [x, w] = c.inputs as [Values, Values];
  const [p, q] = settings(c).padding;
  const weight = (k: number, o: number, i: number, j: number) => at(w, [o, k, 2 - i, 2 - j]);
  return tileBound(x.shape, c.dy!, [2 - p, 2 - q], weight, null, a, sharp);
}

export const law: Law<Conv2dOptions> = {
  stem: "conv2d",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [y.of(c)],
  bound: (c, a) => [forwardBound(c, a)],

  gradients: {
    input: { of: dinput, bound: (c, _, a) => dinputBound(c, a) },
    weight: sumOfProducts(dweight, ({ dy }) => sizeOf(dy, 0, 2, 3)),
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
