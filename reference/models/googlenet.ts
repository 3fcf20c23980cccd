// # GoogLeNet
//
// Which window is best, 1×1, 3×3 or 5×5? All of them, side by side: nine Inception blocks in three
// groups, behind a stem that makes the image small first.
//
// | layer | output | parameters |
// | --- | --- | ---: |
// | `net.0.0` Conv2d | 64×48×48 | 3,200 |
// | `net.0.1` ReLU | 64×48×48 |  |
// | `net.0.2` MaxPool2d | 64×24×24 |  |
// | `net.1.0` Conv2d | 64×24×24 | 4,160 |
// | `net.1.1` ReLU | 64×24×24 |  |
// | `net.1.2` Conv2d | 192×24×24 | 110,784 |
// | `net.1.3` ReLU | 192×24×24 |  |
// | `net.1.4` MaxPool2d | 192×12×12 |  |
// | `net.2.0.b1_1` Conv2d | 64×12×12 | 12,352 |
// | `net.2.0.b2_1` Conv2d | 96×12×12 | 18,528 |
// | `net.2.0.b2_2` Conv2d | 128×12×12 | 110,720 |
// | `net.2.0.b3_1` Conv2d | 16×12×12 | 3,088 |
// | `net.2.0.b3_2` Conv2d | 32×12×12 | 12,832 |
// | `net.2.0.b4_1` MaxPool2d | 192×12×12 |  |
// | `net.2.0.b4_2` Conv2d | 32×12×12 | 6,176 |
// | `net.2.1.b1_1` Conv2d | 128×12×12 | 32,896 |
// | `net.2.1.b2_1` Conv2d | 128×12×12 | 32,896 |
// | `net.2.1.b2_2` Conv2d | 192×12×12 | 221,376 |
// | `net.2.1.b3_1` Conv2d | 32×12×12 | 8,224 |
// | `net.2.1.b3_2` Conv2d | 96×12×12 | 76,896 |
// | `net.2.1.b4_1` MaxPool2d | 256×12×12 |  |
// | `net.2.1.b4_2` Conv2d | 64×12×12 | 16,448 |
// | `net.2.2` MaxPool2d | 480×6×6 |  |
// | `net.3.0.b1_1` Conv2d | 192×6×6 | 92,352 |
// | `net.3.0.b2_1` Conv2d | 96×6×6 | 46,176 |
// | `net.3.0.b2_2` Conv2d | 208×6×6 | 179,920 |
// | `net.3.0.b3_1` Conv2d | 16×6×6 | 7,696 |
// | `net.3.0.b3_2` Conv2d | 48×6×6 | 19,248 |
// | `net.3.0.b4_1` MaxPool2d | 480×6×6 |  |
// | `net.3.0.b4_2` Conv2d | 64×6×6 | 30,784 |
// | `net.3.1.b1_1` Conv2d | 160×6×6 | 82,080 |
// | `net.3.1.b2_1` Conv2d | 112×6×6 | 57,456 |
// | `net.3.1.b2_2` Conv2d | 224×6×6 | 226,016 |
// | `net.3.1.b3_1` Conv2d | 24×6×6 | 12,312 |
// | `net.3.1.b3_2` Conv2d | 64×6×6 | 38,464 |
// | `net.3.1.b4_1` MaxPool2d | 512×6×6 |  |
// | `net.3.1.b4_2` Conv2d | 64×6×6 | 32,832 |
// | `net.3.2.b1_1` Conv2d | 128×6×6 | 65,664 |
// | `net.3.2.b2_1` Conv2d | 128×6×6 | 65,664 |
// | `net.3.2.b2_2` Conv2d | 256×6×6 | 295,168 |
// | `net.3.2.b3_1` Conv2d | 24×6×6 | 12,312 |
// | `net.3.2.b3_2` Conv2d | 64×6×6 | 38,464 |
// | `net.3.2.b4_1` MaxPool2d | 512×6×6 |  |
// | `net.3.2.b4_2` Conv2d | 64×6×6 | 32,832 |
// | `net.3.3.b1_1` Conv2d | 112×6×6 | 57,456 |
// | `net.3.3.b2_1` Conv2d | 144×6×6 | 73,872 |
// | `net.3.3.b2_2` Conv2d | 288×6×6 | 373,536 |
// | `net.3.3.b3_1` Conv2d | 32×6×6 | 16,416 |
// | `net.3.3.b3_2` Conv2d | 64×6×6 | 51,264 |
// | `net.3.3.b4_1` MaxPool2d | 512×6×6 |  |
// | `net.3.3.b4_2` Conv2d | 64×6×6 | 32,832 |
// | `net.3.4.b1_1` Conv2d | 256×6×6 | 135,424 |
// | `net.3.4.b2_1` Conv2d | 160×6×6 | 84,640 |
// | `net.3.4.b2_2` Conv2d | 320×6×6 | 461,120 |
// | `net.3.4.b3_1` Conv2d | 32×6×6 | 16,928 |
// | `net.3.4.b3_2` Conv2d | 128×6×6 | 102,528 |
// | `net.3.4.b4_1` MaxPool2d | 528×6×6 |  |
// | `net.3.4.b4_2` Conv2d | 128×6×6 | 67,712 |
// | `net.3.5` MaxPool2d | 832×3×3 |  |
// | `net.4.0.b1_1` Conv2d | 256×3×3 | 213,248 |
// | `net.4.0.b2_1` Conv2d | 160×3×3 | 133,280 |
// | `net.4.0.b2_2` Conv2d | 320×3×3 | 461,120 |
// | `net.4.0.b3_1` Conv2d | 32×3×3 | 26,656 |
// | `net.4.0.b3_2` Conv2d | 128×3×3 | 102,528 |
// | `net.4.0.b4_1` MaxPool2d | 832×3×3 |  |
// | `net.4.0.b4_2` Conv2d | 128×3×3 | 106,624 |
// | `net.4.1.b1_1` Conv2d | 384×3×3 | 319,872 |
// | `net.4.1.b2_1` Conv2d | 192×3×3 | 159,936 |
// | `net.4.1.b2_2` Conv2d | 384×3×3 | 663,936 |
// | `net.4.1.b3_1` Conv2d | 48×3×3 | 39,984 |
// | `net.4.1.b3_2` Conv2d | 128×3×3 | 153,728 |
// | `net.4.1.b4_1` MaxPool2d | 832×3×3 |  |
// | `net.4.1.b4_2` Conv2d | 128×3×3 | 106,624 |
// | `net.4.2` AdaptiveAvgPool2d | 1024×1×1 |  |
// | `net.4.3` Flatten | 1024 |  |
// | `net.5` Linear | 10 | 10,250 |

import {
  AdaptiveAvgPool2d,
  Conv2d,
  Flatten,
  Inception,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from "../nn/index.js";
import type { Tensor } from "../tensor.js";

const halve = () => new MaxPool2d(3, { stride: 2, padding: 1 });

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 96, 96]` → `[N, 10]`; any size from 33 fits.
 * Source: Szegedy et al. 2015, table 1, without the auxiliary classifiers, as in the notes.
 */
export class GoogLeNet extends Module {
  readonly net = new Sequential(
    new Sequential(new Conv2d(1, 64, 7, { stride: 2, padding: 3 }), new ReLU(), halve()),
    new Sequential(
      new Conv2d(64, 64, 1),
      new ReLU(),
      new Conv2d(64, 192, 3, { padding: 1 }),
      new ReLU(),
      halve(),
    ),
    new Sequential(
      new Inception(192, 64, [96, 128], [16, 32], 32),
      new Inception(256, 128, [128, 192], [32, 96], 64),
      halve(),
    ),
    new Sequential(
      new Inception(480, 192, [96, 208], [16, 48], 64),
      new Inception(512, 160, [112, 224], [24, 64], 64),
      new Inception(512, 128, [128, 256], [24, 64], 64),
      new Inception(512, 112, [144, 288], [32, 64], 64),
      new Inception(528, 256, [160, 320], [32, 128], 128),
      halve(),
    ),
    new Sequential(
      new Inception(832, 256, [160, 320], [32, 128], 128),
      new Inception(832, 384, [192, 384], [48, 128], 128),
      new AdaptiveAvgPool2d([1, 1]),
      new Flatten(),
    ),
    new Linear(1024, 10),
  );

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
