// # Stochastic gradient descent
//
// One step of the optimiser, written into the parameter: downhill along the gradient, or along a
// running sum of gradients (momentum), which carries on where the gradients agree and damps
// where they flip. The note is `spec/ops/sgd.md`.

import { ShapeError } from "../errors.js";
import { defineOp, expectShape } from "../op.js";
import { say } from "../words.js";

export interface SgdOptions {
  /** The length of a step, in units of parameter per gradient. */
  readonly lr: number;
  /** How much of the last running sum is kept, a fraction in [0, 1). Default: 0. */
  readonly momentum?: number;
  /** How much of the new gradient is held back from the running sum. Default: 0. */
  readonly dampening?: number;
  /** Whether to step as if the running sum had moved on already. Default: false. */
  readonly nesterov?: boolean;
  /** The pull towards zero: this multiple of the parameter joins the gradient. Default: 0. */
  readonly weightDecay?: number;
  /** Whether this is the first step, which starts the running sum undamped. Default: false. */
  readonly first?: boolean;
}

/**
 * Moves `param` one step and updates `momentum_buffer`, both in place.
 *
 * Shape: `grad` and `momentum_buffer` are of `param`'s shape; without momentum the buffer is
 * null, or is left alone.
 * Throws: ShapeError when shapes differ, or when momentum is asked for without a buffer.
 * Source: Sutskever et al. 2013, in PyTorch's form. Differs from PyTorch: each result is
 * computed in float64 and rounded once, where PyTorch rounds after every operation.
 */
export const sgd = defineOp("sgd", {
  inputs: ["param", "grad", "momentum_buffer?"],
  outputs: ["param", "momentum_buffer"],

  // ## Shape: all alike
  shape({ param, grad, momentum_buffer }, o: SgdOptions) {
    expectShape("grad", grad.shape, param.shape, say`that of param`);
    if (!o.momentum) return { param: param.shape, momentum_buffer: null };
    if (momentum_buffer === null)
      throw new ShapeError(say`momentum ${o.momentum} needs a momentum_buffer of param's shape`);
    expectShape("momentum_buffer", momentum_buffer.shape, param.shape, say`that of param`);
    return { param: param.shape, momentum_buffer: param.shape };
  },

  // ## Forward: the step
  //
  // $$g' = g + \lambda p, \qquad b' = \mu b + (1 - \tau) g', \qquad p' = p - \eta\, b'$$
  //
  // with learning rate $\eta$, weight decay $\lambda$, momentum $\mu$ and dampening $\tau$. The
  // first step sets $b' = g'$; Nesterov's form steps along $g' + \mu b'$, and without momentum
  // the step is along $g'$.
  forward({ param, grad, momentum_buffer }, y, o: SgdOptions) {
    const { lr, momentum = 0, dampening = 0, weightDecay = 0 } = o;
    for (let i = 0; i < param.data.length; i++) {
      const g = grad.data[i] + weightDecay * param.data[i];
      let direction = g;
      if (momentum !== 0) {
        const b = o.first ? g : momentum * momentum_buffer!.data[i] + (1 - dampening) * g;
        y.momentum_buffer.data[i] = b;
        direction = o.nesterov ? g + momentum * b : b;
      }
      y.param.data[i] = param.data[i] - lr * direction;
    }
  },
});
