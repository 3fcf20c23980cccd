// # Losses

import { crossEntropy } from "../ops/index.js";
import type { CrossEntropyOptions } from "../ops/cross_entropy.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/**
 * Cross-entropy between logits and class indices (or class probabilities), in nats.
 *
 * Shape: `[N, C]` and `[N]` (or `[N, C]`) → a scalar, or `[N]` without reduction.
 * Source: PyTorch's nn.CrossEntropyLoss.
 */
export class CrossEntropyLoss extends Module {
  readonly #weight: Tensor | null;
  readonly #options: CrossEntropyOptions;

  constructor({
    weight = null,
    ...options
  }: CrossEntropyOptions & { weight?: Tensor | null } = {}) {
    super();
    this.#weight = weight;
    this.#options = options;
  }

  override forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.#weight, this.#options);
  }
}
