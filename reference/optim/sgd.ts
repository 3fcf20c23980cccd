// # Stochastic gradient descent
//
// `ops/sgd.ts` has the formula; this keeps the running sum of each parameter's gradients.

import { zeros } from "../create.js";
import type { Parameter } from "../nn/module.js";
import { sgd } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { expectSetting, Optimizer, type Settings } from "./optimizer.js";

export interface SGDSettings {
  /** The length of a step, in units of parameter per gradient. Default: 0.001. */
  readonly lr?: number;
  /** How much of the last running sum is kept. Default: 0. */
  readonly momentum?: number;
  /** How much of the new gradient is held back from the running sum. Default: 0. */
  readonly dampening?: number;
  /** The pull towards zero: this multiple of the parameter joins the gradient. Default: 0. */
  readonly weightDecay?: number;
  /** Whether to step as if the running sum had moved on already. Default: false. */
  readonly nesterov?: boolean;
}

interface SGDGroup extends Settings {
  momentum: number;
  dampening: number;
  weight_decay: number;
  nesterov: boolean;
}

/**
 * Gradient descent, with momentum if wanted.
 *
 * Throws: RangeError for a setting out of range, or Nesterov's form without momentum.
 * Source: PyTorch's optim.SGD. Differs from PyTorch: one rounding a step, see `ops/sgd.ts`.
 */
export class SGD extends Optimizer<SGDGroup, { momentum_buffer: Tensor }> {
  constructor(parameters: Iterable<Parameter>, settings: SGDSettings = {}) {
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = settings;
    expectSetting("SGD: lr", lr, 0);
    expectSetting("SGD: momentum", momentum, 0);
    expectSetting("SGD: weightDecay", weightDecay, 0);
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new RangeError(
        `SGD: nesterov needs a momentum above 0 and no dampening, ` +
          `got momentum ${momentum} and dampening ${dampening}`,
      );
    super(parameters, { lr, momentum, dampening, weight_decay: weightDecay, nesterov });
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    { lr, momentum, dampening, weight_decay: weightDecay, nesterov }: SGDGroup,
    state?: { momentum_buffer: Tensor },
  ) {
    const options = { lr, momentum, dampening, weightDecay, nesterov, first: state === undefined };
    const { shape, dtype, device } = parameter;
    const buffer =
      momentum === 0 ? null : (state?.momentum_buffer ?? zeros(shape, { dtype, device }));
    sgd(parameter, gradient, buffer, options);
    return buffer === null ? undefined : { momentum_buffer: buffer };
  }
}
