// # The law of linear
//
// The note is `linear.md`. Rows may lie along any number of axes; the oracle goes by rows.

import fc from "fast-check";
import {
  integers,
  optionalValuesOf,
  ordinary,
  reals,
  valuesOf,
  withGradient,
} from "../arbitraries.js";
import type { Law } from "../laws.js";
import { sumOfProducts } from "../rounding.js";
import { at, build, type Case, type Values } from "../values.js";

const size = fc.integer({ min: 1, max: 5 });

export const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case> =>
  withGradient(
    fc.tuple(fc.array(size, { maxLength: 3 }), size, size).chain(([rows, inputs, outputs]) =>
      fc.record({
        inputs: fc.tuple(
          valuesOf([...rows, inputs], numbers),
          valuesOf([outputs, inputs], numbers),
          optionalValuesOf([outputs], numbers),
        ),
        options: fc.constant({}),
        dy: fc.constant(null),
      }),
    ),
    numbers,
    ({ inputs: [x, w] }) => [...x!.shape.slice(0, -1), w!.shape[0]],
  );

const sum = (count: number, term: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => term(i)).reduce((total, t) => total + t, 0);

// ## Formulas

function forward({ inputs: [x, w, bias] }: Case): Values {
  const [O, I] = w!.shape;
  return build([...x!.shape.slice(0, -1), O], (...index) => {
    const row = index.slice(0, -1);
    const o = index[index.length - 1];
    return sum(I, (i) => at(x!, [...row, i]) * at(w!, [o, i])) + (bias ? at(bias, [o]) : 0);
  });
}

const dinput = ({ inputs: [x, w], dy }: Case): Values =>
  build(x!.shape, (...index) => {
    const row = index.slice(0, -1);
    const i = index[index.length - 1];
    return sum(w!.shape[0], (o) => at(dy!, [...row, o]) * at(w!, [o, i]));
  });

const outputsOf = ({ dy }: Case): number => dy!.shape[dy!.shape.length - 1];
const rowsOf = (c: Case): number => c.dy!.data.length / outputsOf(c);

/** The same numbers as rows. */
const asRows = (v: Values, rows: number): Values => ({
  ...v,
  shape: [rows, v.data.length / rows],
});

const dweight = (c: Case): Values => {
  const [x, dy] = [asRows(c.inputs[0]!, rowsOf(c)), asRows(c.dy!, rowsOf(c))];
  return build(c.inputs[1]!.shape, (o, i) => sum(rowsOf(c), (n) => at(dy, [n, o]) * at(x, [n, i])));
};

const dbias = (c: Case): Values =>
  build([outputsOf(c)], (o) => sum(rowsOf(c), (n) => at(asRows(c.dy!, rowsOf(c)), [n, o])));

// ## The law

const y = sumOfProducts(forward, ({ inputs: [, w] }) => w!.shape[1] + 1);

export const law: Law = {
  stem: "linear",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [y.of(c)],
  bound: (c, a) => [y.bound(c, null, a)],

  gradients: {
    input: sumOfProducts(dinput, ({ inputs: [, w] }) => w!.shape[0]),
    weight: sumOfProducts(dweight, rowsOf),
    bias: sumOfProducts(dbias, rowsOf),
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[256, 576], [120, 400], [120]],
      options: {},
      message:
        "linear: input [256, 576] has 576 features, but weight [120, 400] expects 400; " +
        "set in_features to 576",
    },
    {
      inputs: [[256, 400], [120, 400], [84]],
      options: {},
      message: "linear: bias has shape [84], expected [120] (one for each output)",
    },
    {
      inputs: [[256, 400], [400], null],
      options: {},
      message: "linear: weight must have 2 axes, got 1: [400]",
    },
    {
      inputs: [[], [120, 400], null],
      options: {},
      message: "linear: input must have at least 1 axis, got 0",
    },
  ],
};
