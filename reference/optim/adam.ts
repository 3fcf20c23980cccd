// # Adam and AdamW
//
// `ops/adam.ts` has the formula; this keeps the running means of each parameter.

import { zeros } from "../create.js";
import type { Parameter } from "../nn/module.js";
import { adam } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { expectSetting, Optimizer, type ParameterState } from "./optimizer.js";

export interface AdamSettings {
  /** Learning rate. Default: 0.001. */
  lr?: number;
  /** How much of the running means of the gradient and its square is kept. Default: 0.9, 0.999. */
  betas?: readonly [number, number];
  /** Keeps the divisor from vanishing. Default: 1e−8. */
  eps?: number;
  /** Pull towards zero. Default: 0, for AdamW 0.01. */
  weightDecay?: number;
}

/** Source: PyTorch's optim.Adam. */
export class Adam extends Optimizer<Required<AdamSettings>> {
  /** Throws: RangeError for a setting out of range. */
  constructor(parameters: Iterable<Parameter>, settings: AdamSettings = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = settings;
    expectSetting("lr", lr, 0);
    expectSetting("betas[0]", betas[0], 0, 1);
    expectSetting("betas[1]", betas[1], 0, 1);
    expectSetting("eps", eps, 0);
    expectSetting("weightDecay", weightDecay, 0);
    super(parameters, { lr, betas, eps, weightDecay });
  }

  /** Whether the pull towards zero bypasses the running means. */
  protected get decoupled(): boolean {
    return false;
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    { lr, betas, eps, weightDecay }: Required<AdamSettings>,
    state: ParameterState,
  ): void {
    const { shape, dtype, device } = parameter;
    const mean = (name: string) => (state[name] ??= zeros(shape, { dtype, device })) as Tensor;
    const step = Number(state.step ?? 0) + 1;
    state.step = step;
    const [beta1, beta2] = betas;
    adam(parameter, gradient, mean("exp_avg"), mean("exp_avg_sq"), {
      ...{ lr, beta1, beta2, eps, weightDecay, step },
      decoupled: this.decoupled,
    });
  }
}

/** Adam whose weight decay is decoupled. Source: PyTorch's optim.AdamW. */
export class AdamW extends Adam {
  constructor(
    parameters: Iterable<Parameter>,
    { weightDecay = 0.01, ...settings }: AdamSettings = {},
  ) {
    super(parameters, { ...settings, weightDecay });
  }

  protected override get decoupled(): boolean {
    return true;
  }
}
