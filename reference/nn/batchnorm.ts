// # Batch normalisation layers
//
// In training, normalise by the batch and keep running statistics; in evaluation, normalise by
// those. `ops/batch_norm.ts` computes both.

import { ones, zeros } from "../create.js";
import { ShapeError } from "../errors.js";
import { batchNorm } from "../ops/index.js";
import { showShape, type Tensor } from "../tensor.js";
import { Module, Parameter } from "./module.js";
import { printedBool, printedNumber } from "./printed.js";

export interface BatchNormSettings {
  /** Added to the variance, in units of x². Default: 1e−5. */
  readonly eps?: number;
  /** The weight of a new batch in the running statistics; null averages all. Default: 0.1. */
  readonly momentum?: number | null;
  /** Whether a scale (`weight`) and a shift (`bias`) are learned. Default: true. */
  readonly affine?: boolean;
  /** Whether running statistics are kept; without them evaluation uses the batch. Default: true. */
  readonly trackRunningStats?: boolean;
}

abstract class BatchNorm extends Module {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly #numFeatures: number;
  readonly #settings: Required<BatchNormSettings>;

  constructor(
    numFeatures: number,
    { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true }: BatchNormSettings = {},
  ) {
    super();
    this.#numFeatures = numFeatures;
    this.#settings = { eps, momentum, affine, trackRunningStats };
    this.weight = affine ? new Parameter(ones([numFeatures])) : null;
    this.bias = affine ? new Parameter(zeros([numFeatures])) : null;
    if (trackRunningStats) {
      this.registerBuffer("running_mean", zeros([numFeatures]));
      this.registerBuffer("running_var", ones([numFeatures]));
      this.registerBuffer("num_batches_tracked", zeros([], { dtype: "int64" }));
    }
  }

  protected abstract checkAxes(x: Tensor): void;

  override forward(x: Tensor): Tensor {
    this.checkAxes(x);
    const { eps, momentum, trackRunningStats } = this.#settings;
    const seen = this.training ? this.#countBatch() : 1;
    return batchNorm(
      x,
      this.weight,
      this.bias,
      this.buffer("running_mean"),
      this.buffer("running_var"),
      { training: this.training || !trackRunningStats, momentum: momentum ?? 1 / seen, eps },
    );
  }

  /** Counts the batch and returns how many there have been. */
  #countBatch(): number {
    const counter = this.buffer("num_batches_tracked");
    if (counter === null || counter.storage.data === null) return 1;
    counter.fill_(counter.item() + 1);
    return counter.item();
  }

  override extraRepr(): string {
    const { eps, momentum, affine, trackRunningStats } = this.#settings;
    return (
      `${this.#numFeatures}, eps=${printedNumber(eps)}, ` +
      `momentum=${momentum === null ? "None" : printedNumber(momentum)}, ` +
      `affine=${printedBool(affine)}, track_running_stats=${printedBool(trackRunningStats)}`
    );
  }
}

/** Normalises each feature. Shape: `[N, C]` or `[N, C, L]` → same. */
export class BatchNorm1d extends BatchNorm {
  protected override checkAxes(x: Tensor): void {
    if (x.ndim !== 2 && x.ndim !== 3)
      throw new ShapeError(`expected 2 or 3 axes, got ${showShape(x.shape)}`, "input");
  }
}

/** Normalises each channel over images and pixels. Shape: `[N, C, H, W]` → same. */
export class BatchNorm2d extends BatchNorm {
  protected override checkAxes(x: Tensor): void {
    if (x.ndim !== 4) throw new ShapeError(`expected 4 axes, got ${showShape(x.shape)}`, "input");
  }
}
