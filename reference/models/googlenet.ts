// # GoogLeNet
//
// Which window is best, 1×1, 3×3 or 5×5? All of them, side by side: nine Inception blocks in three
// groups, behind a stem that makes the image small first.
//
// | layer            | output    | parameters |
// | ---------------- | --------- | ---------: |
// | input            | 1×96×96   |            |
// | net.0 Sequential | 64×24×24  |      3,200 |
// | net.1 Sequential | 192×12×12 |    114,944 |
// | net.2 Sequential | 480×6×6   |    552,432 |
// | net.3 Sequential | 832×3×3   |  2,809,168 |
// | net.4 Sequential | 1024      |  2,487,536 |
// | net.5 Linear     | 10        |     10,250 |
// | total            |           |  5,977,530 |

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
 * Shape: `[N, 1, 96, 96]` → `[N, 10]`; any other size fits as well.
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
