// # The law of positions
//
// The first index along the axis, or in the row of all elements, whose element no other exceeds; NaN
// exceeds everything.

import fc from "fast-check";
import type { ArgmaxOptions } from "convnotes";
import { integers } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { build, type Case } from "../values.js";
import { withSpecials } from "./relu.law.js";
import { members, reductions, resultShape } from "./sum.law.js";

/** The cases of reductions that name at most one axis, without gradient. */
const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<ArgmaxOptions>> =>
  reductions(numbers).map(({ inputs, options: { dim, keepdim } }) => {
    const axis = typeof dim === "object" ? dim[0] : dim;
    return { inputs, options: { ...(axis !== undefined && { dim: axis }), keepdim }, dy: null };
  });

export const law: Law<ArgmaxOptions> = {
  stem: "argmax",
  exact: cases(integers),
  real: cases(withSpecials),

  forward: (c) => [
    {
      ...build(resultShape(c), (...k) => {
        const along = members(c, k);
        const largest = (x: number) => along.every((other) => other <= x);
        return along.findIndex(along.some(Number.isNaN) ? Number.isNaN : largest);
      }),
      dtype: "int64",
    },
  ],
  bound: (c) => [build(resultShape(c), () => 0).data],

  refusals: [
    {
      inputs: [[2, 3]],
      options: { dim: -3 },
      message: "argmax: axis -3 does not exist in [2, 3]; allowed are -2 to 1",
    },
    {
      inputs: [[0, 3]],
      options: {},
      message: "argmax: there is no largest of no elements: axis 0 of [0, 3] is empty",
    },
  ],
};
