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
import { sumOfProducts } from "../rounding.js";
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

// ## The law

const y = sumOfProducts(forward, ({ inputs: [, w] }) => 1 + sizeOf(w, 1, 2, 3));

export const law: Law<Conv2dOptions> = {
  stem: "conv2d",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [y.of(c)],
  bound: (c, a) => [y.bound(c, null, a)],

  gradients: {
    input: sumOfProducts(dinput, ({ inputs: [, w] }) => sizeOf(w, 0, 2, 3)),
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
