// # Dropout
//
// Zeroes each element with probability $p$ and scales the others up, so that the expectation
// stays. The mask follows from (seed, step, layer) alone (random.ts), so that every backend draws
// the same one, and the backward pass draws it again instead of keeping it. The note is
// `spec/ops/dropout.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { type DropoutCall, dropoutMask } from "../random.js";
import { say } from "../words.js";

export interface DropoutOptions extends DropoutCall {
  /** The probability of being zeroed, from 0 to 1. */
  readonly p: number;
}

/** What kept elements are multiplied by; nothing is kept at p = 1. */
const scale = (p: number): number => (p === 1 ? 0 : 1 / (1 - p));

function apply(x: ArrayLike<number>, y: Float64Array, o: DropoutOptions): void {
  const mask = new Uint8Array(y.length);
  dropoutMask(mask, o.p, o);
  for (let i = 0; i < y.length; i++) y[i] = mask[i] === 1 ? x[i] * scale(o.p) : 0;
}

/**
 * Drops elements at random.
 *
 * Shape: any → same.
 * Throws: ShapeError unless 0 ≤ p ≤ 1.
 * Source: Srivastava et al. 2014. Differs from PyTorch: the mask comes from Philox 4×32-10.
 */
export const dropout = defineOp("dropout", {
  inputs: ["input"],

  // ## Shape: that of the input
  shape({ input }, o: DropoutOptions) {
    if (!(o.p >= 0 && o.p <= 1))
      throw new ShapeError(say`p must be a probability from 0 to 1, got ${o.p}`, "p");
    return input.shape;
  },

  // ## Forward: $y_i = m_i x_i / (1-p)$
  forward: ({ input }, y, o: DropoutOptions) => apply(input.data, y.data, o),

  // ## Backward: $\bar x_i = m_i \bar y_i / (1-p)$
  gradients: {
    input: { needs: [], run: ({ dy }, dx, o: DropoutOptions) => apply(dy.data, dx.data, o) },
  },
});
