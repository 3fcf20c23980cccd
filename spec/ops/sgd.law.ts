// # The law of gradient descent
//
// One element at a time, with the error that each number brings along: so the same lines bound a
// single step and, applied again and again, a whole trajectory.

import fc from "fast-check";
import type { SgdOptions } from "convnotes";
import { anyShape, integers, optional, reals, valuesOf } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma } from "../rounding.js";
import { type Case, map } from "../values.js";

// ## One element

/** A number, and how far a computation may be off it. */
export interface Uncertain {
  readonly value: number;
  readonly error: number;
}

export const certain = (value: number): Uncertain => ({ value, error: 0 });

/** $\sum k_i x_i$ for exact factors, with a rounding for each product and sum and one to spare. */
export function combined(
  terms: readonly (readonly [factor: number, x: Uncertain])[],
  a: Arithmetic,
): Uncertain {
  const used = terms.filter(([factor]) => factor !== 0);
  const sum = (of: (factor: number, x: Uncertain) => number) =>
    used.reduce((total, [factor, x]) => total + of(factor, x), 0);
  const size = sum((factor, x) => Math.abs(factor * x.value));
  return {
    value: sum((factor, x) => factor * x.value),
    error:
      sum((factor, x) => Math.abs(factor) * x.error) +
      gamma(used.length + 2, a) * size +
      used.length * a.tiny,
  };
}

export interface SgdState {
  readonly param: Uncertain;
  /** Null before the first step, and without momentum. */
  readonly buffer: Uncertain | null;
}

/** The step along the gradient `g`. */
export function step(
  { param, buffer }: SgdState,
  g: number,
  o: SgdOptions,
  a: Arithmetic,
): SgdState {
  const { lr, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = o;
  const gradient = combined([[1, certain(g)], [weightDecay, param]], a); // prettier-ignore
  const isFirst = o.first || buffer === null;
  const sum = isFirst ? gradient : combined([[momentum, buffer], [1 - dampening, gradient]], a); // prettier-ignore
  const direction =
    momentum === 0 ? gradient : nesterov ? combined([[1, gradient], [momentum, sum]], a) : sum; // prettier-ignore
  return {
    param: combined([[1, param], [-lr, direction]], a), // prettier-ignore
    buffer: momentum === 0 ? null : sum,
  };
}

// ## All elements

const steps = ({ inputs: [p, g, b], options }: Case<SgdOptions>, a: Arithmetic): SgdState[] =>
  p!.data.map((value, i) => {
    const state = { param: certain(value), buffer: b && certain(b.data[i]) };
    return step(state, g!.data[i], options, a);
  });

const cases = (
  numbers: fc.Arbitrary<number>,
  lr: fc.Arbitrary<number>,
  fraction: fc.Arbitrary<number>,
): fc.Arbitrary<Case<SgdOptions>> =>
  fc
    .record({
      shape: anyShape,
      lr,
      others: optional({
        momentum: fraction,
        dampening: fraction,
        weightDecay: fraction,
        nesterov: fc.boolean(),
        first: fc.boolean(),
      }),
      hasBuffer: fc.boolean(),
    })
    .chain(({ shape, lr, others, hasBuffer }) => {
      const values = valuesOf(shape, numbers);
      const buffer = others.momentum || hasBuffer ? values : fc.constant(null);
      return fc.record({
        inputs: fc.tuple(values, values, buffer),
        options: fc.constant({ lr, ...others }),
        dy: fc.constant(null),
      });
    });

export const law: Law<SgdOptions> = {
  stem: "sgd",
  exact: cases(integers, fc.constantFrom(0.25, 0.5, 1), fc.constantFrom(0, 0.25, 0.5)),
  real: cases(reals, fc.constantFrom(0.1, 0.003, 2), fc.constantFrom(0, 0.01, 0.9)),

  forward(c) {
    const results = steps(c, { unit: 0, tiny: 0, depth: (n) => n });
    return [
      map(c.inputs[0]!, (_, i) => results[i].param.value),
      c.options.momentum ? map(c.inputs[0]!, (_, i) => results[i].buffer!.value) : null,
    ];
  },
  bound(c, a) {
    const results = steps(c, a);
    return [
      results.map(({ param }) => param.error),
      c.options.momentum ? results.map(({ buffer }) => buffer!.error) : null,
    ];
  },

  refusals: [
    {
      inputs: [[2, 3], [3, 2], null],
      options: { lr: 0.1 },
      message: "sgd: grad has shape [3, 2], expected [2, 3] (that of param)",
    },
    {
      inputs: [[2, 3], [2, 3], null],
      options: { lr: 0.1, momentum: 0.9 },
      message: "sgd: momentum 0.9 needs a momentum_buffer of param's shape",
    },
    {
      inputs: [[2, 3], [2, 3], [3]],
      options: { lr: 0.1, momentum: 0.9 },
      message: "sgd: momentum_buffer has shape [3], expected [2, 3] (that of param)",
    },
  ],
};
