// # Stochastic gradient descent
//
// `ops/sgd.ts` has the formula; this keeps the momentum of each parameter.

import { zeros } from "../create.js";
import type { Parameter } from "../nn/module.js";
import { sgd } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { expectSetting, Optimizer, type ParameterState } from "./optimizer.js";

export interface SGDSettings {
  /** Learning rate. Default: 0.001. */
  lr?: number;
  /** Fraction of the last step that is kept, in [0, 1). Default: 0. */
  momentum?: number;
  /** Fraction of the gradient kept from the running sum. Default: 0. */
  dampening?: number;
  /** Pull towards zero. Default: 0. */
  weightDecay?: number;
  /** Whether to look ahead along the momentum. Default: false. */
  nesterov?: boolean;
}

/** Source: PyTorch's optim.SGD. */
export class SGD extends Optimizer<Required<SGDSettings>> {
  /** Throws: RangeError for a setting out of range, or Nesterov without momentum. */
  constructor(parameters: Iterable<Parameter>, settings: SGDSettings = {}) {
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = settings;
    expectSetting("lr", lr, 0);
    expectSetting("momentum", momentum, 0);
    expectSetting("weightDecay", weightDecay, 0);
    if (nesterov && (momentum <= 0 || dampening !== 0))
      throw new RangeError("nesterov needs a momentum above 0 and a dampening of 0");
    super(parameters, { lr, momentum, dampening, weightDecay, nesterov });
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    { params: _, ...settings }: Required<SGDSettings> & { params?: unknown },
    state: ParameterState,
  ): void {
    let buffer = state.momentum_buffer as Tensor | undefined;
    const first = buffer === undefined;
    if (first && settings.momentum !== 0) {
      const { shape, dtype, device } = parameter;
      state.momentum_buffer = buffer = zeros(shape, { dtype, device });
    }
    sgd(parameter, gradient, buffer ?? null, { ...settings, first });
  }
}
