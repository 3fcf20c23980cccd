// # Adam and AdamW
//
// `ops/adam.ts` has the formula; this keeps the running means of each parameter's gradients.

import { zeros } from "../create.js";
import type { Parameter } from "../nn/module.js";
import { adam } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { expectSetting, Optimizer, type Settings } from "./optimizer.js";

export interface AdamSettings {
  /** The length of a step, about the change of each element. Default: 0.001. */
  readonly lr?: number;
  /** How much of the running means of gradient and square is kept. Default: 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Keeps the divisor from vanishing, in units of the gradient. Default: 1e−8. */
  readonly eps?: number;
  /** The pull towards zero. Default: 0 for Adam, 0.01 for AdamW. */
  readonly weightDecay?: number;
}

interface AdamGroup extends Settings {
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
}

interface AdamState extends Readonly<Record<string, Tensor | number>> {
  /** Steps so far. */
  readonly step: number;
  readonly exp_avg: Tensor;
  readonly exp_avg_sq: Tensor;
}

/**
 * Steps of about the same length for every element.
 *
 * Throws: RangeError for a setting out of range.
 * Source: PyTorch's optim.Adam. Differs from PyTorch: one rounding a step, see `ops/adam.ts`.
 */
export class Adam extends Optimizer<AdamGroup, AdamState> {
  /** Whether the pull towards zero acts on the parameter itself, not on its gradient. */
  protected readonly decoupled: boolean = false;

  constructor(parameters: Iterable<Parameter>, settings: AdamSettings = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = settings;
    const { name } = new.target;
    expectSetting(`${name}: lr`, lr, 0);
    expectSetting(`${name}: betas[0]`, betas[0], 0, 1);
    expectSetting(`${name}: betas[1]`, betas[1], 0, 1);
    expectSetting(`${name}: eps`, eps, 0);
    expectSetting(`${name}: weightDecay`, weightDecay, 0);
    super(parameters, { lr, betas, eps, weight_decay: weightDecay });
  }

  protected override update(
    parameter: Parameter,
    gradient: Tensor,
    { lr, betas: [beta1, beta2], eps, weight_decay: weightDecay }: AdamGroup,
    state?: AdamState,
  ): AdamState {
    const { shape, dtype, device } = parameter;
    const exp_avg = state?.exp_avg ?? zeros(shape, { dtype, device });
    const exp_avg_sq = state?.exp_avg_sq ?? zeros(shape, { dtype, device });
    const step = (state?.step ?? 0) + 1;
    const { decoupled } = this;
    const options = { lr, beta1, beta2, eps, weightDecay, decoupled, step };
    adam(parameter, gradient, exp_avg, exp_avg_sq, options);
    return { step, exp_avg, exp_avg_sq };
  }
}

/** Adam whose pull towards zero is not rescaled by the running means. Source: optim.AdamW. */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(parameters: Iterable<Parameter>, settings: AdamSettings = {}) {
    super(parameters, { ...settings, weightDecay: settings.weightDecay ?? 0.01 });
  }
}
