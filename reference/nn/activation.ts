// # Activations and dropout

import { dropout, relu, sigmoid, softmax, tanh } from "../ops/index.js";
import { dropoutState } from "../random.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";
import { printedNumber } from "./printed.js";

/** `max(x, 0)`. Shape: any → same. */
export class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** `1/(1 + e⁻ˣ)`. Shape: any → same. */
export class Sigmoid extends Module {
  override forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** The hyperbolic tangent. Shape: any → same. */
export class Tanh extends Module {
  override forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** Positive numbers that add up to 1 along the axis `dim`. Shape: any → same. */
export class Softmax extends Module {
  constructor(private readonly dim: number) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return softmax(x, { dim: this.dim });
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

/**
 * In training, zeroes each element with probability `p` and divides the rest by 1 − p, so that the
 * expectation stays; in evaluation, the identity.
 *
 * Shape: any → same.
 * Throws: RangeError unless 0 ≤ p ≤ 1.
 * Source: Srivastava et al. 2014. Differs from PyTorch: the mask comes from Philox (random.ts).
 */
export class Dropout extends Module {
  constructor(private readonly p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1))
      throw new RangeError(`Dropout: p must be a probability from 0 to 1, got ${p}`);
  }

  override forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, { p: this.p, ...dropoutState.nextLayer() }) : x;
  }

  override extraRepr(): string {
    return `p=${printedNumber(this.p)}, inplace=False`;
  }
}
