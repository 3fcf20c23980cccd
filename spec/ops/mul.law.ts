// # The law of multiplication
//
// As for addition, with a product in the place of the sum.

import { integers, ordinary, reals } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, sumBound } from "../rounding.js";
import { at, build, type Case } from "../values.js";
import { broadcast, broadcasting, commonShape, overPlaces } from "./add.law.js";

const gradientOf = (k: 0 | 1) => {
  const products = (c: Case, sign: (x: number) => number) =>
    overPlaces(c, c.inputs[k]!, (i) => sign(at(c.dy!, i) * broadcast(c.inputs[1 - k]!, i)));
  return {
    of: (c: Case) => products(c, (x) => x).total,
    bound(c: Case, _: unknown, a: Arithmetic) {
      const { total, count } = products(c, Math.abs);
      return total.data.map((sum) => sumBound(count, sum, a));
    },
  };
};

export const law: Law = {
  stem: "mul",
  exact: broadcasting(integers),
  real: broadcasting(reals),

  forward: (c) => [
    build(commonShape(c), (...i) => broadcast(c.inputs[0]!, i) * broadcast(c.inputs[1]!, i)),
  ],
  bound: (c, a) => [law.forward(c)[0]!.data.map((y) => sumBound(1, Math.abs(y), a))],

  gradients: { input: gradientOf(0), other: gradientOf(1) },
  differences: { cases: broadcasting(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3], [2]],
      options: {},
      message:
        "mul: shapes [2, 3] and [2] do not go together: " +
        "axis -1 has sizes 3 and 2, which must be equal or one of them 1",
    },
  ],
};
