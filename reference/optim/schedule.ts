// # Learning-rate schedules
//
// A schedule changes the `lr` of every group of an optimiser, once an epoch: call `step()` after
// the optimiser's last step of the epoch. Values are computed from the previous ones in PyTorch's
// order of operations, so that they agree to the last bit.

import type { Optimizer } from "./optimizer.js";

export abstract class Schedule {
  /** Calls of `step` so far. */
  protected lastEpoch = 0;
  protected readonly baseLrs: readonly number[];

  constructor(protected readonly optimizer: Optimizer) {
    this.baseLrs = optimizer.paramGroups.map((g) => g.lr);
  }

  /** The new learning rate of a group from the one that it has and the one that it began with. */
  protected abstract next(lr: number, baseLr: number): number;

  step(): void {
    this.lastEpoch++;
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.next(group.lr, this.baseLrs[i]);
    });
  }

  /** The learning rate of each group. */
  getLastLr(): number[] {
    return this.optimizer.paramGroups.map((g) => g.lr);
  }

  stateDict(): { last_epoch: number; base_lrs: readonly number[] } {
    return { last_epoch: this.lastEpoch, base_lrs: this.baseLrs };
  }

  /** Goes on where the schedule stood that gave this state; the optimiser's state holds `lr`. */
  loadStateDict({ last_epoch }: { last_epoch: number }): void {
    this.lastEpoch = last_epoch;
  }
}

/** Multiplies the learning rate by `gamma` after every `stepSize` epochs. */
export class StepLR extends Schedule {
  constructor(
    optimizer: Optimizer,
    private readonly stepSize: number,
    { gamma = 0.1 } = {},
  ) {
    super(optimizer);
    this.gamma = gamma;
  }

  private readonly gamma: number;

  protected override next(lr: number): number {
    return this.lastEpoch % this.stepSize === 0 ? lr * this.gamma : lr;
  }
}

/**
 * Lowers the learning rate along half a cosine, from its beginning to `etaMin` after `tMax` epochs.
 *
 * Source: Loshchilov and Hutter 2017, without restarts; computed step by step as PyTorch does.
 */
export class CosineAnnealingLR extends Schedule {
  private readonly etaMin: number;

  constructor(
    optimizer: Optimizer,
    private readonly tMax: number,
    { etaMin = 0 } = {},
  ) {
    super(optimizer);
    this.etaMin = etaMin;
  }

  protected override next(lr: number, baseLr: number): number {
    const { lastEpoch, tMax, etaMin } = this;
    // Where the curve has reached its foot, the recursion below would divide by zero.
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0)
      return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2;
    return (
      ((1 + Math.cos((Math.PI * lastEpoch) / tMax)) /
        (1 + Math.cos((Math.PI * (lastEpoch - 1)) / tMax))) *
        (lr - etaMin) +
      etaMin
    );
  }
}
