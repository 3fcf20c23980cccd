// # The law of means
//
// The sum of the members over their number.

import fc from "fast-check";
import type { ReduceOptions } from "convnotes";
import { integers, ordinary, reals } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma, sumBound } from "../rounding.js";
import { at, build, map } from "../values.js";
import { members, reductions, refusals, resultIndex, resultShape } from "./sum.law.js";

const sum = (terms: readonly number[]) => terms.reduce((total, x) => total + x, 0);

/** Sizes that are powers of two: dividing by them is exact. */
const binary = fc.array(fc.constantFrom(1, 2, 4), { maxLength: 4 });

export const law: Law<ReduceOptions> = {
  stem: "mean",
  exact: reductions(integers, { shapes: binary }),
  real: reductions(reals),

  forward: (c) => [build(resultShape(c), (...k) => sum(members(c, k)) / members(c, k).length)],
  // One operation for the division, one for a factor 1/m that is rounded.
  bound: (c, a) => [
    build(resultShape(c), (...k) => {
      const terms = members(c, k).map(Math.abs);
      const count = terms.length;
      return sumBound(count, sum(terms) / count, a) + gamma(2, a) * (sum(terms) / count) + a.tiny;
    }).data,
  ],

  gradients: {
    input: {
      of(c) {
        const count = c.inputs[0]!.data.length / c.dy!.data.length;
        return build(c.inputs[0]!.shape, (...i) => at(c.dy!, resultIndex(c, i)) / count);
      },
      bound: (c, outputs, a) =>
        map(law.gradients!.input.of(c, outputs, 0), (x) => gamma(2, a) * Math.abs(x) + a.tiny).data,
    },
  },
  differences: { cases: reductions(ordinary), step: 1 },

  refusals: refusals("mean"),
};
