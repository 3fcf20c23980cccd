// # The law of maxima
//
// The largest of the members; the gradient goes to those that equal it, in equal parts.

import fc from "fast-check";
import type { ReduceOptions } from "convnotes";
import { anyShape, integers, reals } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case, map, type Values } from "../values.js";
import { withSpecials } from "./relu.law.js";
import { members, reductions, refusals, resultIndex, resultShape } from "./sum.law.js";

/** At most eight members, so that a gradient of multiples of 840 can be shared without rounding. */
const small = fc.array(fc.constantFrom(1, 2), { maxLength: 3 });
const divisible = integers.map((k) => 840 * k);

/** No two elements nearer than 1/4: no maximum changes hands when they move a little. */
const apart = anyShape.chain((shape) => {
  const size = shape.reduce((product, d) => product * d, 1);
  const distinct = fc
    .shuffledSubarray([...Array(size).keys()], { minLength: size })
    .map((order) => order.map((k) => (k - size / 2) / 4));
  return reductions(fc.constant(0), { shapes: fc.constant(shape), dy: integers }).chain((c) =>
    distinct.map((data) => ({ ...c, inputs: [{ shape, data }] })),
  );
});

function shared(c: Case<ReduceOptions>): Values {
  return build(c.inputs[0]!.shape, (...i) => {
    const all = members(c, resultIndex(c, i));
    const largest = Math.max(...all);
    const own = at(c.inputs[0]!, i) === largest ? at(c.dy!, resultIndex(c, i)) : 0;
    return own / all.filter((x) => x === largest).length; // NaN where the maximum is NaN
  });
}

export const law: Law<ReduceOptions> = {
  stem: "max",
  exact: reductions(integers, { shapes: small, dy: divisible }),
  real: fc.oneof(reductions(withSpecials, { dy: reals }), reductions(integers, { dy: reals })),

  forward: (c) => [build(resultShape(c), (...k) => Math.max(...members(c, k)))],
  bound: (c) => [build(resultShape(c), () => 0).data],

  gradients: {
    input: {
      of: shared,
      bound: (c, _, a) => map(shared(c), (x) => a.unit * Math.abs(x) + a.tiny).data,
    },
  },
  differences: { cases: apart, step: 1 / 16 },

  refusals: [
    ...refusals("max"),
    {
      inputs: [[3, 0]],
      options: { dim: 1 },
      message: "max: there is no largest of no elements: axis 1 of [3, 0] is empty",
    },
  ],
};
