// # The law of matmul
//
// The note is `matmul.md`.

import fc from "fast-check";
import { integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { sumOfProducts } from "../rounding.js";
import { at, build, type Case, everyIndex, type Values } from "../values.js";

const size = fc.integer({ min: 1, max: 6 });

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case> =>
  withGradient(
    fc.tuple(size, size, size).chain(([rows, inner, columns]) =>
      fc.record({
        inputs: fc.tuple(valuesOf([rows, inner], numbers), valuesOf([inner, columns], numbers)),
        options: fc.constant({}),
        dy: fc.constant(null),
      }),
    ),
    numbers,
    ({ inputs: [a, b] }) => [a!.shape[0], b!.shape[1]],
  );

/** `shape[m, n]` is the sum over k of the products `term(m, n, k)`. */
const products = (
  shape: readonly [number, number],
  count: number,
  term: (m: number, n: number, k: number) => number,
): Values =>
  build(shape, (m, n) => {
    let sum = 0;
    for (const [k] of everyIndex(count)) sum += term(m, n, k);
    return sum;
  });

const sizes = ({ inputs: [a, b] }: Case) => [a!.shape[0], b!.shape[1], b!.shape[0]] as const;

const forward = (c: Case): Values => {
  const [[a, b], [M, N, K]] = [c.inputs, sizes(c)];
  return products([M, N], K, (m, n, k) => at(a!, [m, k]) * at(b!, [k, n]));
};

const dinput = (c: Case): Values => {
  const [[, b], [M, N, K]] = [c.inputs, sizes(c)];
  return products([M, K], N, (m, k, n) => at(c.dy!, [m, n]) * at(b!, [k, n]));
};

const dother = (c: Case): Values => {
  const [[a], [M, N, K]] = [c.inputs, sizes(c)];
  return products([K, N], M, (k, n, m) => at(a!, [m, k]) * at(c.dy!, [m, n]));
};

const y = sumOfProducts(forward, (c) => sizes(c)[2]);

export const law: Law = {
  stem: "matmul",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [y.of(c)],
  bound: (c, a) => [y.bound(c, null, a)],

  gradients: {
    input: sumOfProducts(dinput, (c) => sizes(c)[1]),
    other: sumOfProducts(dother, (c) => sizes(c)[0]),
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [
        [2, 3],
        [4, 5],
      ],
      options: {},
      message: "matmul: input [2, 3] has 3 columns, but other [4, 5] has 4 rows",
    },
    {
      inputs: [
        [2, 3, 4],
        [4, 5],
      ],
      options: {},
      message: "matmul: input must have 2 axes, got 3: [2, 3, 4]",
    },
    {
      inputs: [[2, 3], [3]],
      options: {},
      message: "matmul: other must have 2 axes, got 1: [3]",
    },
  ],
};
