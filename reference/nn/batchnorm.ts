// # Batch normalisation layers
//
// In training, normalise by the batch and keep running statistics; in evaluation, normalise by
// those. `ops/batch_norm.ts` computes both.

import { CannotCompile, isComputing } from "../backend.js";
import { ones, zeros } from "../create.js";
import { ShapeError } from "../errors.js";
import { batchNorm } from "../ops/index.js";
import { showShape, type Tensor } from "../tensor.js";
import { Module, Parameter } from "./module.js";
import { printedBool, printedNumber } from "./printed.js";
import { say } from "../words.js";

export interface BatchNormSettings {
  /** Added to the variance, in units of x². Default: 1e−5. */
  readonly eps?: number;
  /** The weight of a new batch in the running statistics; null averages all. Default: 0.1. */
  readonly momentum?: number | null;
  /** Whether a scale (`weight`) and a shift (`bias`) are learned. Default: true. */
  readonly affine?: boolean;
  /** Whether the shift is among them. Default: true. */
  readonly bias?: boolean;
  /** Whether running statistics are kept; without them evaluation uses the batch. Default: true. */
  readonly trackRunningStats?: boolean;
}

/**
 * What both share. `weight` and `bias` are `[C]`, or null without `affine`; `running_mean`,
 * `running_var` (unbiased) are `[C]`, or null without `trackRunningStats`.
 *
 * Source: nn.BatchNorm1d and nn.BatchNorm2d of PyTorch 2.13; older ones print no `bias=`.
 */
export abstract class BatchNorm extends Module {
  weight: Parameter | null;
  bias: Parameter | null;
  declare readonly running_mean: Tensor | null;
  declare readonly running_var: Tensor | null;
  /** Batches seen in training, int64. Shape: `[]`. */
  declare readonly num_batches_tracked: Tensor | null;
  readonly #numFeatures: number;
  readonly #settings: Required<Omit<BatchNormSettings, "bias">>;

  constructor(
    numFeatures: number,
    {
      eps = 1e-5,
      momentum = 0.1,
      affine = true,
      bias = true,
      trackRunningStats = true,
    }: BatchNormSettings = {},
  ) {
    super();
    this.#numFeatures = numFeatures;
    this.#settings = { eps, momentum, affine, trackRunningStats };
    this.weight = affine ? new Parameter(ones([numFeatures])) : null;
    this.bias = affine && bias ? new Parameter(zeros([numFeatures])) : null;
    const track = trackRunningStats;
    this.buffer("running_mean", track ? zeros([numFeatures]) : null);
    this.buffer("running_var", track ? ones([numFeatures]) : null);
    this.buffer("num_batches_tracked", track ? zeros([], { dtype: "int64" }) : null);
  }

  /** Throws: ShapeError for an input of the wrong number of axes. */
  protected abstract checkAxes(x: Tensor): void;

  override forward(x: Tensor): Tensor {
    this.checkAxes(x);
    const { eps, momentum, trackRunningStats } = this.#settings;
    const batches = this.training && isComputing() ? this.#countBatch() : 1;
    if (momentum === null && !isComputing())
      throw new CannotCompile(
        "momentum null weighs each batch differently, by how many there were",
      );
    return batchNorm(x, this.weight, this.bias, this.running_mean, this.running_var, {
      training: this.training || !trackRunningStats,
      momentum: momentum ?? 1 / batches,
      eps,
    });
  }

  /** Counts a batch that was normalised without `forward`, by a program. */
  countBatch(): void {
    if (this.training) this.#countBatch();
  }

  /** Counts the batch and returns how many there have been. */
  #countBatch(): number {
    const counter = this.num_batches_tracked;
    if (counter === null || counter.storage.data === null) return 1;
    return counter.fill_(counter.item() + 1).item();
  }

  override extraRepr(): string {
    const { eps, momentum, affine, trackRunningStats } = this.#settings;
    return (
      `${this.#numFeatures}, eps=${printedNumber(eps)}, ` +
      `momentum=${momentum === null ? "None" : printedNumber(momentum)}, ` +
      `affine=${printedBool(affine)}, bias=${printedBool(this.bias !== null)}, ` +
      `track_running_stats=${printedBool(trackRunningStats)}`
    );
  }
}

/**
 * Normalises each feature over the batch (and positions).
 *
 * Shape: `[N, C]` or `[N, C, L]` → same.
 * Throws: ShapeError for other inputs, and in training on one value per feature.
 */
export class BatchNorm1d extends BatchNorm {
  protected override checkAxes(x: Tensor): void {
    if (x.ndim !== 2 && x.ndim !== 3)
      throw new ShapeError(
        say`input must be [N, C] or [N, C, L], got ${showShape(x.shape)}`,
        "input",
      );
  }
}

/**
 * Normalises each channel over images and pixels.
 *
 * Shape: `[N, C, H, W]` → same.
 * Throws: ShapeError for other inputs, and in training on one value per channel.
 */
export class BatchNorm2d extends BatchNorm {
  protected override checkAxes(x: Tensor): void {
    if (x.ndim !== 4)
      throw new ShapeError(say`input must be [N, C, H, W], got ${showShape(x.shape)}`, "input");
  }
}
