// # The Inception block
//
// Four paths look at the same image with windows of different sizes, and their channels are put
// side by side. 1×1 convolutions before the large windows keep the cost down.

import { concat, relu } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { Conv2d } from "./conv.js";
import { Module } from "./module.js";
import { MaxPool2d } from "./pooling.js";

/**
 * Shape: `[N, inChannels, H, W]` → `[N, c1 + c2[1] + c3[1] + c4, H, W]`.
 * Source: Szegedy et al. 2015, figure 2(b); names as in the Dive into Deep Learning.
 */
export class Inception extends Module {
  readonly b1_1: Conv2d;
  readonly b2_1: Conv2d;
  readonly b2_2: Conv2d;
  readonly b3_1: Conv2d;
  readonly b3_2: Conv2d;
  readonly b4_1: MaxPool2d;
  readonly b4_2: Conv2d;

  /** `c2` and `c3` give the channels of the reduction, then those of the large window. */
  constructor(
    inChannels: number,
    c1: number,
    c2: readonly [number, number],
    c3: readonly [number, number],
    c4: number,
  ) {
    super();
    this.b1_1 = new Conv2d(inChannels, c1, 1);
    this.b2_1 = new Conv2d(inChannels, c2[0], 1);
    this.b2_2 = new Conv2d(c2[0], c2[1], 3, { padding: 1 });
    this.b3_1 = new Conv2d(inChannels, c3[0], 1);
    this.b3_2 = new Conv2d(c3[0], c3[1], 5, { padding: 2 });
    this.b4_1 = new MaxPool2d(3, { stride: 1, padding: 1 });
    this.b4_2 = new Conv2d(inChannels, c4, 1);
  }

  override forward(x: Tensor): Tensor {
    const b1 = relu(this.b1_1.call(x));
    const b2 = relu(this.b2_2.call(relu(this.b2_1.call(x))));
    const b3 = relu(this.b3_2.call(relu(this.b3_1.call(x))));
    const b4 = relu(this.b4_2.call(this.b4_1.call(x)));
    return concat([b1, b2, b3, b4], { dim: 1 });
  }
}
