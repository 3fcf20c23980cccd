// # ResNet-18
//
// Layers that learn what to add to their input instead of what to replace it by: a block with zero
// weights is then the identity, and a deeper network can do all that a shallower one can. Eight
// residual blocks of two convolutions, with the stem and the head 18 layers that learn.
//
// | layer | output | parameters |
// | --- | --- | ---: |
// | `net.0.0` Conv2d | 64×48×48 | 3,200 |
// | `net.0.1` BatchNorm2d | 64×48×48 | 128 |
// | `net.0.2` ReLU | 64×48×48 |  |
// | `net.0.3` MaxPool2d | 64×24×24 |  |
// | `net.b2.0.conv1` Conv2d | 64×24×24 | 36,928 |
// | `net.b2.0.bn1` BatchNorm2d | 64×24×24 | 128 |
// | `net.b2.0.conv2` Conv2d | 64×24×24 | 36,928 |
// | `net.b2.0.bn2` BatchNorm2d | 64×24×24 | 128 |
// | `net.b2.1.conv1` Conv2d | 64×24×24 | 36,928 |
// | `net.b2.1.bn1` BatchNorm2d | 64×24×24 | 128 |
// | `net.b2.1.conv2` Conv2d | 64×24×24 | 36,928 |
// | `net.b2.1.bn2` BatchNorm2d | 64×24×24 | 128 |
// | `net.b3.0.conv1` Conv2d | 128×12×12 | 73,856 |
// | `net.b3.0.bn1` BatchNorm2d | 128×12×12 | 256 |
// | `net.b3.0.conv2` Conv2d | 128×12×12 | 147,584 |
// | `net.b3.0.bn2` BatchNorm2d | 128×12×12 | 256 |
// | `net.b3.0.conv3` Conv2d | 128×12×12 | 8,320 |
// | `net.b3.1.conv1` Conv2d | 128×12×12 | 147,584 |
// | `net.b3.1.bn1` BatchNorm2d | 128×12×12 | 256 |
// | `net.b3.1.conv2` Conv2d | 128×12×12 | 147,584 |
// | `net.b3.1.bn2` BatchNorm2d | 128×12×12 | 256 |
// | `net.b4.0.conv1` Conv2d | 256×6×6 | 295,168 |
// | `net.b4.0.bn1` BatchNorm2d | 256×6×6 | 512 |
// | `net.b4.0.conv2` Conv2d | 256×6×6 | 590,080 |
// | `net.b4.0.bn2` BatchNorm2d | 256×6×6 | 512 |
// | `net.b4.0.conv3` Conv2d | 256×6×6 | 33,024 |
// | `net.b4.1.conv1` Conv2d | 256×6×6 | 590,080 |
// | `net.b4.1.bn1` BatchNorm2d | 256×6×6 | 512 |
// | `net.b4.1.conv2` Conv2d | 256×6×6 | 590,080 |
// | `net.b4.1.bn2` BatchNorm2d | 256×6×6 | 512 |
// | `net.b5.0.conv1` Conv2d | 512×3×3 | 1,180,160 |
// | `net.b5.0.bn1` BatchNorm2d | 512×3×3 | 1,024 |
// | `net.b5.0.conv2` Conv2d | 512×3×3 | 2,359,808 |
// | `net.b5.0.bn2` BatchNorm2d | 512×3×3 | 1,024 |
// | `net.b5.0.conv3` Conv2d | 512×3×3 | 131,584 |
// | `net.b5.1.conv1` Conv2d | 512×3×3 | 2,359,808 |
// | `net.b5.1.bn1` BatchNorm2d | 512×3×3 | 1,024 |
// | `net.b5.1.conv2` Conv2d | 512×3×3 | 2,359,808 |
// | `net.b5.1.bn2` BatchNorm2d | 512×3×3 | 1,024 |
// | `net.last.0` AdaptiveAvgPool2d | 512×1×1 |  |
// | `net.last.1` Flatten | 512 |  |
// | `net.last.2` Linear | 10 | 5,130 |

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
 * Shape: `[N, 1, 96, 96]` → `[N, 10]`; other sizes fit as well.
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
