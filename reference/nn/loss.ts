// # Losses

import { crossEntropy, type CrossEntropyOptions } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

export interface CrossEntropySettings extends CrossEntropyOptions {
  /** The importance of each class, a buffer. Shape: `[C]`. Default: all 1. */
  readonly weight?: Tensor | null;
}

/**
 * Cross-entropy between logits and class indices (or class probabilities).
 *
 * Shape: `[N, C]` and `[N]` (or `[N, C]`) → `[]`, or `[N]` with `reduction: "none"`.
 * Units: nats.
 * Source: PyTorch's nn.CrossEntropyLoss; `ops/cross_entropy.ts` has the formula.
 */
export class CrossEntropyLoss extends Module {
  declare readonly weight: Tensor | null;
  readonly #options: CrossEntropyOptions;

  constructor({ weight = null, ...options }: CrossEntropySettings = {}) {
    super();
    this.buffer("weight", weight);
    this.#options = options;
  }

  override forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.weight, this.#options);
  }
}
