// # The law of Adam
//
// As for gradient descent: one element at a time, with the error that each number brings along.

import fc from "fast-check";
import type { AdamOptions } from "convnotes";
import { anyShape, optional, reals, valuesOf } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma } from "../rounding.js";
import { type Case, map } from "../values.js";
import { certain, combined, type Uncertain } from "./sgd.law.js";

// ## One element

export interface AdamState {
  readonly param: Uncertain;
  readonly mean: Uncertain;
  readonly meanSquare: Uncertain;
}

const size = ({ value, error }: Uncertain) => Math.abs(value) + error;

export function step(state: AdamState, g: number, o: AdamOptions, a: Arithmetic): AdamState {
  const { lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, decoupled = false } = o;
  const gradient = combined([[1, certain(g)], [decoupled ? 0 : weightDecay, state.param]], a); // prettier-ignore

  // m + (1 − β₁)(g − m): the difference rounds before it is multiplied.
  const m = state.mean;
  const mean: Uncertain = {
    value: beta1 * m.value + (1 - beta1) * gradient.value,
    error:
      beta1 * m.error +
      (1 - beta1) * gradient.error +
      gamma(5, a) * (size(m) + (1 - beta1) * (size(gradient) + size(m))) +
      2 * a.tiny,
  };

  const square: Uncertain = {
    value: gradient.value ** 2,
    error: (2 * Math.abs(gradient.value) + gradient.error) * gradient.error,
  };
  const sum = combined([[beta2, state.meanSquare], [1 - beta2, square]], a); // prettier-ignore
  const meanSquare: Uncertain = { value: sum.value, error: sum.error + gamma(3, a) * sum.value };

  // Each correction is a difference of 1 and a power that is off by a few units.
  const [left1, left2] = [beta1, beta2].map((beta) => 1 - beta ** o.step);
  const [kappa1, kappa2] = [left1, left2].map((left) => (8 * a.unit) / left);
  const root = Math.sqrt(meanSquare.value);
  const correction = Math.sqrt(left2);
  const divisor = root / correction + eps;
  // √(v + e) − √v = e / (√(v + e) + √v)
  const rootError = Math.min(
    Math.sqrt(meanSquare.error),
    root === 0 ? Infinity : meanSquare.error / root,
  );
  const divisorError = rootError / correction + (gamma(4, a) + kappa2) * divisor;
  const quotient = mean.value / divisor;
  const quotientError =
    divisorError < divisor
      ? (mean.error + Math.abs(quotient) * divisorError) / (divisor - divisorError)
      : Infinity;

  const stepSize = lr / left1;
  const p = state.param;
  return {
    param: {
      value: p.value * (decoupled ? 1 - lr * weightDecay : 1) - stepSize * quotient,
      error:
        p.error +
        stepSize * quotientError +
        gamma(4, a) * Math.abs(p.value) +
        (gamma(5, a) + kappa1) * stepSize * Math.abs(quotient) +
        4 * a.tiny * (1 + 1 / Math.max(divisor - divisorError, 0)),
    },
    mean,
    meanSquare,
  };
}

// ## All elements

const steps = ({ inputs: [p, g, m, v], options }: Case<AdamOptions>, a: Arithmetic) =>
  p!.data.map((value, i) => {
    const [mean, meanSquare] = [certain(m!.data[i]), certain(v!.data[i])];
    return step({ param: certain(value), mean, meanSquare }, g!.data[i], options, a);
  });

const cases: fc.Arbitrary<Case<AdamOptions>> = fc
  .record({
    shape: anyShape,
    options: fc
      .record({
        lr: fc.constantFrom(0.1, 0.003),
        step: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 10_000 })),
      })
      .chain((required) =>
        optional({
          beta1: fc.constantFrom(0, 0.5, 0.9),
          beta2: fc.constantFrom(0.5, 0.99),
          eps: fc.constantFrom(1e-8, 1e-3),
          weightDecay: fc.constantFrom(0, 0.01),
          decoupled: fc.boolean(),
        }).map((others) => ({ ...required, ...others })),
      ),
  })
  .chain(({ shape, options }) => {
    const values = valuesOf(shape, reals);
    const squares = valuesOf(shape, reals.map(Math.abs));
    return fc.record({
      inputs: fc.tuple(values, values, values, squares),
      options: fc.constant(options),
      dy: fc.constant(null),
    });
  });

export const law: Law<AdamOptions> = {
  stem: "adam",
  exact: "a quotient by a root is rounded",
  real: cases,

  forward(c) {
    const results = steps(c, { unit: 0, tiny: 0, depth: (n) => n });
    return [
      map(c.inputs[0]!, (_, i) => results[i].param.value),
      map(c.inputs[0]!, (_, i) => results[i].mean.value),
      map(c.inputs[0]!, (_, i) => results[i].meanSquare.value),
    ];
  },
  bound(c, a) {
    const results = steps(c, a);
    return [
      results.map(({ param }) => param.error),
      results.map(({ mean }) => mean.error),
      results.map(({ meanSquare }) => meanSquare.error),
    ];
  },

  refusals: [
    {
      inputs: [[2], [3], [2], [2]],
      options: { lr: 0.1, step: 1 },
      message: "adam: grad has shape [3], expected [2] (that of param)",
    },
    {
      inputs: [[2], [2], [2, 1], [2]],
      options: { lr: 0.1, step: 1 },
      message: "adam: exp_avg has shape [2, 1], expected [2] (that of param)",
    },
    {
      inputs: [[2], [2], [2], []],
      options: { lr: 0.1, step: 1 },
      message: "adam: exp_avg_sq has shape [], expected [2] (that of param)",
    },
  ],
};
