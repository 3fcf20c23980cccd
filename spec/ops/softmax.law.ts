// # The law of softmax
//
// The formula row by row. What is derived here for one row of scores, the logarithm and the
// cross-entropy build on.

import fc from "fast-check";
import type { SoftmaxOptions } from "convnotes";
import { anyShape, ordinary, reals, valuesOf, withGradient, smallStep } from "../arbitraries.js";
import type { Law, Refusal } from "../laws.js";
import { type Arithmetic, gamma } from "../rounding.js";
import { at, build, type Case, type Values } from "../values.js";

// ## One row

/** Scores shifted so that the largest is 0, what they add up to, and their shares of it. */
export interface Row {
  /** $x_c - a \le 0$ */
  readonly shifted: readonly number[];
  /** $D = \sum e^{x_c - a} \ge 1$ */
  readonly total: number;
  /** $g_c = e^{x_c - a} / D$ */
  readonly shares: readonly number[];
}

export function rowOf(scores: readonly number[]): Row {
  const shifted = scores.map((x) => x - Math.max(...scores));
  const total = shifted.reduce((sum, z) => sum + Math.exp(z), 0);
  return { shifted, total, shares: shifted.map((z) => Math.exp(z) / total) };
}

/** $r_c = u|x_c - a| + 5u$: the relative error of $e^{x_c - a}$. */
const exponentialError = (z: number, a: Arithmetic) => a.unit * (Math.abs(z) + 5);

/** $\sum_i g_i r_i + \gamma_d$: the relative error of $D$. */
export const totalError = ({ shifted, shares }: Row, a: Arithmetic): number =>
  shares.reduce((sum, g, i) => sum + g * exponentialError(shifted[i], a), 0) +
  gamma(a.depth(shares.length), a);

/** Covers the products of errors, in bounds that add errors up. */
export const secondOrder = 1 + 1e-4;

/** How far the share of class `c` may be off. */
export const shareBound = (row: Row, c: number, a: Arithmetic): number =>
  row.shares[c] *
    (exponentialError(row.shifted[c], a) + totalError(row, a) + a.unit) *
    secondOrder +
  6 * a.tiny;

// ## All rows

const axisOf = ({ inputs: [x], options: { dim } }: Case<SoftmaxOptions>) =>
  dim < 0 ? dim + x!.shape.length : dim;

/** The elements of `v` in the row of `index`. */
export function rowAt(c: Case<SoftmaxOptions>, v: Values, index: readonly number[]): number[] {
  const axis = axisOf(c);
  return Array.from({ length: v.shape[axis] }, (_, k) => at(v, index.with(axis, k)));
}

/** For each element its row of scores and its place therein. */
export const byRow = (
  c: Case<SoftmaxOptions>,
  element: (row: Row, place: number) => number,
): Values =>
  build(c.inputs[0]!.shape, (...index) =>
    element(rowOf(rowAt(c, c.inputs[0]!, index)), index[axisOf(c)]),
  );

export const inRows = (
  numbers: fc.Arbitrary<number>,
  dy: fc.Arbitrary<number> = numbers,
): fc.Arbitrary<Case<SoftmaxOptions>> =>
  withGradient(
    anyShape
      .filter((shape) => shape.length > 0)
      .chain((shape) =>
        fc.record({
          inputs: fc.tuple(valuesOf(shape, numbers)),
          options: fc.record({ dim: fc.integer({ min: -shape.length, max: shape.length - 1 }) }),
          dy: fc.constant(null),
        }),
      ),
    dy,
    ({ inputs: [x] }) => x!.shape,
  );

/** What softmax and its logarithm refuse. */
export const refusals = (stem: string): Refusal<SoftmaxOptions>[] => [
  {
    inputs: [[2, 3]],
    options: { dim: 2 },
    message: `${stem}: axis 2 does not exist in [2, 3]; allowed are -2 to 1`,
  },
];

// ## Softmax

const sum = (terms: readonly number[]) => terms.reduce((total, t) => total + t, 0);

export const law: Law<SoftmaxOptions> = {
  stem: "softmax",
  exact: "the exponential of a whole number is whole at 0 only",
  real: fc.oneof(inRows(reals), inRows(ordinary, reals)),

  forward: (c) => [byRow(c, ({ shares }, k) => shares[k])],
  bound: (c, a) => [byRow(c, (row, k) => shareBound(row, k, a)).data],

  gradients: {
    input: {
      of(c, [y]) {
        const rows = (v: Values, i: number[]) => rowAt(c, v, i);
        return build(y!.shape, (...i) => {
          const [ys, dys] = [rows(y!, i), rows(c.dy!, i)];
          return at(y!, i) * (at(c.dy!, i) - sum(ys.map((p, k) => p * dys[k])));
        });
      },
      bound: (c, [y], a) =>
        build(y!.shape, (...i) => {
          const [ys, dys] = [rowAt(c, y!, i), rowAt(c, c.dy!, i)];
          const total = sum(ys.map((p, k) => Math.abs(p * dys[k])));
          return (
            at(y!, i) *
              (gamma(a.depth(ys.length) + 2, a) * total + gamma(2, a) * Math.abs(at(c.dy!, i))) +
            (ys.length + 1) * a.tiny
          );
        }).data,
    },
  },
  differences: {
    cases: inRows(ordinary),
    step: smallStep,
    // y‴ = y ((v − μ)³ − 3 (v − μ) Var − κ₃), with |v − μ| ≤ 2, Var ≤ 1, |κ₃| ≤ 1 and y ≤ 1.
    third: ({ dy }) => dy!.data.map(() => 8 + 6 + 1),
  },

  refusals: refusals("softmax"),
};
