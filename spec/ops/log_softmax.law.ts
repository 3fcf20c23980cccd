// # The law of the logarithm of softmax
//
// Scores less the logarithm of what their exponentials add up to, row by row.

import fc from "fast-check";
import type { SoftmaxOptions } from "convnotes";
import { ordinary, reals, smallStep } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma } from "../rounding.js";
import { at, build } from "../values.js";
import { byRow, inRows, refusals, rowAt, secondOrder, totalError } from "./softmax.law.js";

const sum = (terms: readonly number[]) => terms.reduce((total, t) => total + t, 0);

export const law: Law<SoftmaxOptions> = {
  stem: "log_softmax",
  exact: "the logarithm of a whole number is whole at 1 only",
  real: fc.oneof(inRows(reals), inRows(ordinary, reals)),

  forward: (c) => [byRow(c, ({ shifted, total }, k) => shifted[k] - Math.log(total))],
  bound: (c, a) => [
    byRow(c, (row, k) => {
      const [z, log] = [row.shifted[k], Math.log(row.total)];
      return (
        (totalError(row, a) + a.unit * (3 * log + Math.abs(z) + Math.abs(z - log))) * secondOrder
      );
    }).data,
  ],

  gradients: {
    input: {
      of: (c, [y]) =>
        build(y!.shape, (...i) => at(c.dy!, i) - Math.exp(at(y!, i)) * sum(rowAt(c, c.dy!, i))),
      bound: (c, [y], a) =>
        build(y!.shape, (...i) => {
          const dys = rowAt(c, c.dy!, i);
          const share = Math.exp(at(y!, i)) * sum(dys.map(Math.abs));
          return (
            gamma(a.depth(dys.length) + 6, a) * share +
            a.unit * (Math.abs(at(c.dy!, i)) + share) +
            a.tiny * (1 + 6 * sum(dys.map(Math.abs)))
          );
        }).data,
    },
  },
  differences: {
    cases: inRows(ordinary),
    step: smallStep,
    // The third cumulant of the direction under the shares, whose size is at most 0.77.
    third: ({ dy }) => dy!.data.map(() => 1),
  },

  refusals: refusals("log_softmax"),
};
