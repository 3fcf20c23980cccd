// # ResNet-18
//
// Layers that learn what to add to their input instead of what to replace it by: a block with zero
// weights is then the identity, and a deeper network can do all that a shallower one can. Eight
// residual blocks of two convolutions, with the stem and the head 18 layers that learn.
//
// | layer               | output    | parameters |
// | ------------------- | --------- | ---------: |
// | input               | 1×96×96   |            |
// | net.0 Sequential    | 64×24×24  |      3,328 |
// | net.b2 Sequential   | 64×24×24  |    148,224 |
// | net.b3 Sequential   | 128×12×12 |    525,952 |
// | net.b4 Sequential   | 256×6×6   |  2,100,480 |
// | net.b5 Sequential   | 512×3×3   |  8,395,264 |
// | net.last Sequential | 10        |      5,130 |
// | total               |           | 11,178,378 |

import {
  AdaptiveAvgPool2d,
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Residual,
  Sequential,
} from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/** Residual blocks of one width; all but the first group begin by halving the image. */
function group(numResiduals: number, inChannels: number, channels: number, first = false): Module {
  const blocks = Array.from({ length: numResiduals }, (_, i) =>
    i === 0 && !first
      ? new Residual(inChannels, channels, { use1x1Conv: true, strides: 2 })
      : new Residual(channels, channels),
  );
  return new Sequential(...blocks);
}

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 96, 96]` → `[N, 10]`; any other size fits as well.
 * Source: He et al. 2016, table 1, 18 layers, as in the notes.
 */
export class ResNet18 extends Module {
  readonly net = new Sequential({
    "0": new Sequential(
      new Conv2d(1, 64, 7, { stride: 2, padding: 3 }),
      new BatchNorm2d(64),
      new ReLU(),
      new MaxPool2d(3, { stride: 2, padding: 1 }),
    ),
    b2: group(2, 64, 64, true),
    b3: group(2, 64, 128),
    b4: group(2, 128, 256),
    b5: group(2, 256, 512),
    last: new Sequential(new AdaptiveAvgPool2d([1, 1]), new Flatten(), new Linear(512, 10)),
  });

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
