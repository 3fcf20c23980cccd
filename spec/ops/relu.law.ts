// # The law of the rectified linear unit
//
// A comparison and a copy: nothing is rounded, whatever the numbers.

import fc from "fast-check";
import { anyShape, integers, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Case, map } from "../values.js";

/** Activations take any shape and have no options; all of them draw their cases here. */
export const elementwise = (
  numbers: fc.Arbitrary<number>,
  dy: fc.Arbitrary<number> = numbers,
): fc.Arbitrary<Case> =>
  withGradient(
    anyShape
      .chain((shape) => valuesOf(shape, numbers))
      .map((x) => ({ inputs: [x], options: {}, dy: null })),
    dy,
    ({ inputs: [x] }) => x!.shape,
  );

/** Also NaN and infinities, which no comparison may lose. */
export const withSpecials = fc.oneof(
  { weight: 12, arbitrary: reals },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
);

/** At least 1/4 away from the kink. */
const apart = integers.map((k) => (k >= 0 ? k + 1 : k) / 4);

export const law: Law = {
  stem: "relu",
  exact: elementwise(integers),
  real: elementwise(withSpecials, reals),

  forward: ({ inputs: [x] }) => [map(x!, (v) => Math.max(v, 0))],
  bound: ({ inputs: [x] }) => [x!.data.map(() => 0)],

  gradients: {
    input: {
      of: ({ inputs: [x], dy }) => map(dy!, (g, i) => (x!.data[i] <= 0 ? 0 : g)),
      bound: ({ dy }) => dy!.data.map(() => 0),
    },
  },
  differences: { cases: elementwise(apart, integers), step: 1 / 8 },

  refusals: [],
};
