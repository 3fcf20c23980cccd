// # Learning-rate schedules
//
// A schedule changes the `lr` of an optimiser once an epoch: call `step()` after the epoch's last
// step of the optimiser. Each value is computed from the one before, as in PyTorch, so a learning
// rate that was changed by hand is gone on from.

import type { Optimizer } from "./optimizer.js";

abstract class Schedule {
  readonly #optimizer: Optimizer;
  #lastEpoch = 0;
  #baseLr: number;

  constructor(optimizer: Optimizer) {
    this.#optimizer = optimizer;
    this.#baseLr = optimizer.paramGroups[0].lr;
  }

  /** The learning rate of `epoch`, from the one before it and the one at the beginning. */
  protected abstract next(epoch: number, lr: number, baseLr: number): number;

  /** Begins the next epoch. */
  step(): void {
    const [group] = this.#optimizer.paramGroups;
    this.#lastEpoch++;
    group.lr = this.next(this.#lastEpoch, group.lr, this.#baseLr);
  }

  /** The learning rate of each group. */
  getLastLr(): number[] {
    return this.#optimizer.paramGroups.map(({ lr }) => lr);
  }

  /** Where the schedule stands; the current learning rate is in the optimiser's state. */
  stateDict(): { last_epoch: number; base_lrs: number[] } {
    return { last_epoch: this.#lastEpoch, base_lrs: [this.#baseLr] };
  }

  /** Goes on where `stateDict` was called. */
  loadStateDict({ last_epoch, base_lrs }: ReturnType<Schedule["stateDict"]>): void {
    this.#lastEpoch = last_epoch;
    [this.#baseLr] = base_lrs;
  }
}

function expectEpochs(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${name} must be a whole number of epochs, at least 1, got ${value}`);
}

/**
 * Multiplies the learning rate by `gamma` (default 0.1) after every `stepSize` epochs.
 *
 * Throws: RangeError unless `stepSize` is a positive whole number.
 * Source: PyTorch's optim.lr_scheduler.StepLR.
 */
export class StepLR extends Schedule {
  readonly #stepSize: number;
  readonly #gamma: number;

  constructor(optimizer: Optimizer, stepSize: number, { gamma = 0.1 } = {}) {
    super(optimizer);
    expectEpochs("StepLR: stepSize", stepSize);
    this.#stepSize = stepSize;
    this.#gamma = gamma;
  }

  protected override next(epoch: number, lr: number): number {
    return epoch % this.#stepSize === 0 ? lr * this.#gamma : lr;
  }
}

/**
 * Lowers the learning rate along half a cosine, to `etaMin` (default 0) after `tMax` epochs:
 *
 * $$\eta_t = \eta_{\min} + \tfrac12 (\eta_0 - \eta_{\min}) \left(1 + \cos \frac{\pi t}{T}\right)$$
 *
 * and up again if it is stepped further.
 *
 * Throws: RangeError unless `tMax` is a positive whole number.
 * Source: Loshchilov and Hutter 2017, without restarts; PyTorch's CosineAnnealingLR. Differs from
 * PyTorch: by the last bits of the cosine, which is the JavaScript engine's.
 */
export class CosineAnnealingLR extends Schedule {
  readonly #tMax: number;
  readonly #etaMin: number;

  constructor(optimizer: Optimizer, tMax: number, { etaMin = 0 } = {}) {
    super(optimizer);
    expectEpochs("CosineAnnealingLR: tMax", tMax);
    this.#tMax = tMax;
    this.#etaMin = etaMin;
  }

  protected override next(epoch: number, lr: number, baseLr: number): number {
    const [T, etaMin] = [this.#tMax, this.#etaMin];
    // At its foot the curve has no height that could be scaled.
    if ((epoch - 1 - T) % (2 * T) === 0)
      return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / T))) / 2;
    const height = (t: number) => 1 + Math.cos((Math.PI * t) / T);
    return (height(epoch) / height(epoch - 1)) * (lr - etaMin) + etaMin;
  }
}
