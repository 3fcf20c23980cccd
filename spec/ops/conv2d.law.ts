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
import { sumBound } from "../rounding.js";
import { absolute, at, build, type Case, everyIndex, type Values } from "../values.js";

type Conv = Case<Conv2dOptions>;

// ## Cases

const small = fc.integer({ min: 1, max: 3 });

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Conv> => {
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
  return withGradient<Conv2dOptions>(drawn, numbers, (c) => outputShape(c));
};

// ## Shape

/** All options, as `[rows, columns]`. */
const settings = ({ options: o }: Conv) => ({
  stride: pair(o.stride ?? 1),
  padding: pair(o.padding ?? 0),
  dilation: pair(o.dilation ?? 1),
  groups: o.groups ?? 1,
});

/** Counts the places one by one: how many windows start so that they end inside. */
function places(size: number, kernel: number, stride: number, padding: number, dilation: number) {
  let count = 0;
  for (let start = -padding; start + dilation * (kernel - 1) < size + padding; start += stride)
    count++;
  return count;
}

function outputShape(c: Conv): number[] {
  const [x, w] = c.inputs as [Values, Values];
  const { stride, padding, dilation } = settings(c);
  const along = (axis: 0 | 1) =>
    places(x.shape[2 + axis], w.shape[2 + axis], stride[axis], padding[axis], dilation[axis]);
  return [x.shape[0], w.shape[0], along(0), along(1)];
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

// ## Bounds
//
// Each is a sum of products: the number of terms, and the formula on absolute values.

const bounded =
  (formula: (c: Conv) => Values, terms: (c: Conv) => number): Law<Conv2dOptions>["bound"] =>
  (c, a) => [formula(absolute(c)).data.map((size) => sumBound(terms(c), size, a))];

const sumOf = (formula: (c: Conv) => Values, terms: (c: Conv) => number) => ({
  of: formula,
  bound: (c: Conv, _: unknown, a: Parameters<Law["bound"]>[1]) => bounded(formula, terms)(c, a)[0]!,
});

const sizes = (v: Values | null) => v!.shape;

export const law: Law<Conv2dOptions> = {
  stem: "conv2d",
  exact: cases(integers),
  real: cases(reals),
  forward: (c) => [forward(c)],
  bound: bounded(forward, ({ inputs: [, w] }) => sizes(w)[1] * sizes(w)[2] * sizes(w)[3] + 1),
  gradients: {
    input: sumOf(dinput, ({ inputs: [, w] }) => sizes(w)[0] * sizes(w)[2] * sizes(w)[3]),
    weight: sumOf(dweight, ({ dy }) => sizes(dy)[0] * sizes(dy)[2] * sizes(dy)[3]),
    bias: sumOf(dbias, ({ dy }) => sizes(dy)[0] * sizes(dy)[2] * sizes(dy)[3]),
  },
  differences: { cases: cases(ordinary), step: 1 },
  refusals: [],
};
