// # The law of the sigmoid
//
// The formula is taken in the form whose exponential cannot overflow.

import { ordinary, reals, smallStep } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma } from "../rounding.js";
import { map, type Values } from "../values.js";
import { elementwise } from "./relu.law.js";

const sigmoid = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));

/** $\bar y\, y\, (1 - y)$ for the $y$ that is given. */
const gradient = (dy: Values, y: Values): Values =>
  map(dy, (g, i) => g * y.data[i] * (1 - y.data[i]));

export const law: Law = {
  stem: "sigmoid",
  exact: "the exponential of a whole number is whole at 0 only",
  real: elementwise(reals),

  forward: ({ inputs: [x] }) => [map(x!, sigmoid)],
  // Where exp(−x) overflows, the result is less than the smallest normal number, tiny / unit.
  bound: ({ inputs: [x] }, a) => [x!.data.map((v) => 8 * a.unit * sigmoid(v) + a.tiny / a.unit)],

  gradients: {
    input: {
      of: ({ dy }, [y]) => gradient(dy!, y!),
      bound: ({ dy }, [y], a) =>
        gradient(dy!, y!).data.map(
          (dx, i) => gamma(3, a) * Math.abs(dx) + (2 + Math.abs(dy!.data[i])) * a.tiny,
        ),
    },
  },
  differences: {
    cases: elementwise(ordinary),
    step: smallStep,
    // σ‴ = σ′ (1 − 6σ + 6σ²) is largest at 0.
    third: ({ dy }) => dy!.data.map(() => 1 / 8),
  },

  refusals: [],
};
