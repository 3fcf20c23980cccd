// # The law of the hyperbolic tangent
//
// $\tanh x = 1 - \frac{2}{e^{2x} + 1} = \frac{\mathrm{expm1}(2x)}{\mathrm{expm1}(2x) + 2}$, where
// $\mathrm{expm1}(z) = e^z - 1$ does not cancel near 0.

import { ordinary, reals, smallStep } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma } from "../rounding.js";
import { map } from "../values.js";
import { elementwise } from "./relu.law.js";

function tanh(x: number): number {
  const e = Math.expm1(-2 * Math.abs(x)); // in (−1, 0], so that nothing overflows
  return (Math.sign(x) * -e) / (e + 2);
}

export const law: Law = {
  stem: "tanh",
  exact: "the exponential of a whole number is whole at 0 only",
  real: elementwise(reals),

  forward: ({ inputs: [x] }) => [map(x!, tanh)],
  bound: ({ inputs: [x] }, a) => [x!.data.map((v) => 5 * a.unit * Math.abs(tanh(v)) + a.tiny)],

  gradients: {
    input: {
      of: ({ dy }, [y]) => map(dy!, (g, i) => g * (1 - y!.data[i]) * (1 + y!.data[i])),
      bound: ({ dy }, [y], a) =>
        dy!.data.map((g, i) => {
          const square = y!.data[i] ** 2;
          return Math.abs(g) * (a.unit * square + gamma(3, a) * (1 - square)) + a.tiny;
        }),
    },
  },
  differences: {
    cases: elementwise(ordinary),
    step: smallStep,
    // tanh‴ = −2 (1 − tanh²)(1 − 3 tanh²) is largest at 0.
    third: ({ dy }) => dy!.data.map(() => 2),
  },

  refusals: [],
};
