// # The residual block
//
// Two convolutions learn what to add to their input. Where the input has other sizes than the
// result, a 1×1 convolution brings it there.

import { add, relu } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { BatchNorm2d } from "./batchnorm.js";
import { Conv2d } from "./conv.js";
import { Module } from "./module.js";

export interface ResidualSettings {
  /** Whether a 1×1 convolution adapts the input. Default: false. */
  readonly use1x1Conv?: boolean;
  /** Of the first convolution, and of the 1×1 one. Default: 1. */
  readonly strides?: number;
}

/**
 * `relu(f(x) + x)`, or `relu(f(x) + conv1x1(x))`.
 *
 * Shape: `[N, inChannels, H, W]` → `[N, numChannels, ⌈H/strides⌉, ⌈W/strides⌉]`.
 * Source: He et al. 2016, figure 2; names as in the Dive into Deep Learning.
 */
export class Residual extends Module {
  readonly conv1: Conv2d;
  readonly conv2: Conv2d;
  readonly conv3: Conv2d | null;
  readonly bn1: BatchNorm2d;
  readonly bn2: BatchNorm2d;

  constructor(
    inChannels: number,
    numChannels: number,
    { use1x1Conv = false, strides = 1 }: ResidualSettings = {},
  ) {
    super();
    this.conv1 = new Conv2d(inChannels, numChannels, 3, { padding: 1, stride: strides });
    this.conv2 = new Conv2d(numChannels, numChannels, 3, { padding: 1 });
    this.conv3 = use1x1Conv ? new Conv2d(inChannels, numChannels, 1, { stride: strides }) : null;
    this.bn1 = new BatchNorm2d(numChannels);
    this.bn2 = new BatchNorm2d(numChannels);
  }

  override forward(x: Tensor): Tensor {
    const y = relu(this.bn1.call(this.conv1.call(x)));
    return relu(add(this.bn2.call(this.conv2.call(y)), this.conv3?.call(x) ?? x));
  }
}
