// # Adam
//
// One step of the optimiser, written into the parameter: along a running mean of the gradients,
// divided by a running root mean square, so that every element moves about as far as any other.
// Both means start at zero and are corrected for it. The note is `spec/ops/adam.md`.

import { defineOp, expectShape } from "../op.js";
import { say } from "../words.js";

export interface AdamOptions {
  /** The length of a step, about the change of each element in units of the parameter. */
  readonly lr: number;
  /** How much of the running mean is kept at each step. Default: 0.9. */
  readonly beta1?: number;
  /** How much of the running mean of squares is kept. Default: 0.999. */
  readonly beta2?: number;
  /** Keeps the divisor from vanishing, in units of the gradient. Default: 1e−8. */
  readonly eps?: number;
  /** The pull towards zero. Default: 0. */
  readonly weightDecay?: number;
  /** Whether the pull acts on the parameter itself (AdamW), not on its gradient. Default: false. */
  readonly decoupled?: boolean;
  /** The number of this step, from 1 on. */
  readonly step: number;
}

/**
 * Moves `param` one step and updates both running means, all in place.
 *
 * Shape: all inputs are of `param`'s shape.
 * Throws: ShapeError when shapes differ.
 * Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 for `decoupled`. Differs
 * from PyTorch: each result is computed in float64 and rounded once, where PyTorch rounds after
 * every operation.
 */
export const adam = defineOp("adam", {
  inputs: ["param", "grad", "exp_avg", "exp_avg_sq"],
  outputs: ["param", "exp_avg", "exp_avg_sq"],

  // ## Shape: all alike
  shape({ param, grad, exp_avg, exp_avg_sq }) {
    expectShape("grad", grad.shape, param.shape, say`that of param`);
    expectShape("exp_avg", exp_avg.shape, param.shape, say`that of param`);
    expectShape("exp_avg_sq", exp_avg_sq.shape, param.shape, say`that of param`);
    return { param: param.shape, exp_avg: param.shape, exp_avg_sq: param.shape };
  },

  // ## Forward: the step
  //
  // $$m' = \beta_1 m + (1-\beta_1) g, \qquad v' = \beta_2 v + (1-\beta_2) g^2, \qquad
  //   p' = p - \frac{\eta}{1-\beta_1^t} \cdot
  //   \frac{m'}{\sqrt{v'} / \sqrt{1-\beta_2^t} + \varepsilon}$$
  //
  // at step $t$. Weight decay $\lambda$ first adds $\lambda p$ to $g$ or, decoupled, first
  // shrinks $p$ by the factor $1 - \eta\lambda$.
  forward({ param, grad, exp_avg, exp_avg_sq }, y, o: AdamOptions) {
    const { lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, step } = o;
    const stepSize = lr / (1 - beta1 ** step);
    const rootCorrection = Math.sqrt(1 - beta2 ** step);
    for (let i = 0; i < param.data.length; i++) {
      const p = param.data[i] * (o.decoupled ? 1 - lr * weightDecay : 1);
      const g = grad.data[i] + (o.decoupled ? 0 : weightDecay * param.data[i]);
      const m = exp_avg.data[i] + (1 - beta1) * (g - exp_avg.data[i]);
      const v = beta2 * exp_avg_sq.data[i] + (1 - beta2) * g * g;
      y.exp_avg.data[i] = m;
      y.exp_avg_sq.data[i] = v;
      y.param.data[i] = p - (stepSize * m) / (Math.sqrt(v) / rootCorrection + eps);
    }
  },
});
