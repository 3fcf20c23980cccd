// # LeNet with batch normalisation
//
// LeNet with its activations normalised before each sigmoid: over images and pixels behind a
// convolution, over images behind a linear layer. 452 parameters more, and it learns much faster.
//
// | layer              | output   | parameters |
// | ------------------ | -------- | ---------: |
// | input              | 1×28×28  |            |
// | net.0 Conv2d       | 6×28×28  |        156 |
// | net.1 BatchNorm2d  | 6×28×28  |         12 |
// | net.2 Sigmoid      | 6×28×28  |            |
// | net.3 AvgPool2d    | 6×14×14  |            |
// | net.4 Conv2d       | 16×10×10 |      2,416 |
// | net.5 BatchNorm2d  | 16×10×10 |         32 |
// | net.6 Sigmoid      | 16×10×10 |            |
// | net.7 AvgPool2d    | 16×5×5   |            |
// | net.8 Flatten      | 400      |            |
// | net.9 Linear       | 120      |     48,120 |
// | net.10 BatchNorm1d | 120      |        240 |
// | net.11 Sigmoid     | 120      |            |
// | net.12 Linear      | 84       |     10,164 |
// | net.13 BatchNorm1d | 84       |        168 |
// | net.14 Sigmoid     | 84       |            |
// | net.15 Linear      | 10       |        850 |
// | total              |          |     62,158 |

import {
  AvgPool2d,
  BatchNorm1d,
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  Module,
  Sequential,
  Sigmoid,
} from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 28, 28]` → `[N, 10]`; heights and widths from 28 to 31 fit the head.
 * Source: LeCun et al. 1998 with Ioffe and Szegedy 2015, as the notes combine them.
 */
export class LeNetBN extends Module {
  readonly net = new Sequential(
    new Conv2d(1, 6, 5, { padding: 2 }),
    new BatchNorm2d(6),
    new Sigmoid(),
    new AvgPool2d(2, { stride: 2 }),
    new Conv2d(6, 16, 5),
    new BatchNorm2d(16),
    new Sigmoid(),
    new AvgPool2d(2, { stride: 2 }),
    new Flatten(),
    new Linear(400, 120),
    new BatchNorm1d(120),
    new Sigmoid(),
    new Linear(120, 84),
    new BatchNorm1d(84),
    new Sigmoid(),
    new Linear(84, 10),
  );

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
