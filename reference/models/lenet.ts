// # LeNet
//
// Two rounds of convolution and pooling halve the image twice and deepen it to 16 channels; three
// linear layers turn what is left into ten classes. The network that read the digits on cheques,
// and still the smallest that shows what a convolutional network is.
//
// | layer           | output   | parameters |
// | --------------- | -------- | ---------: |
// | input           | 1×28×28  |            |
// | net.0 Conv2d    | 6×28×28  |        156 |
// | net.1 Sigmoid   | 6×28×28  |            |
// | net.2 AvgPool2d | 6×14×14  |            |
// | net.3 Conv2d    | 16×10×10 |      2,416 |
// | net.4 Sigmoid   | 16×10×10 |            |
// | net.5 AvgPool2d | 16×5×5   |            |
// | net.6 Flatten   | 400      |            |
// | net.7 Linear    | 120      |     48,120 |
// | net.8 Sigmoid   | 120      |            |
// | net.9 Linear    | 84       |     10,164 |
// | net.10 Sigmoid  | 84       |            |
// | net.11 Linear   | 10       |        850 |
// | total           |          |     61,706 |

import { AvgPool2d, Conv2d, Flatten, Linear, Module, Sequential, Sigmoid } from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 28, 28]` → `[N, 10]`; heights and widths from 28 to 31 fit the head.
 * Source: LeCun et al. 1998, as the notes have it: sigmoid and average pooling throughout, and a
 * plain linear layer for the Gaussian one at the end.
 */
export class LeNet extends Module {
  readonly net = new Sequential(
    new Conv2d(1, 6, 5, { padding: 2 }),
    new Sigmoid(),
    new AvgPool2d(2, { stride: 2 }),
    new Conv2d(6, 16, 5),
    new Sigmoid(),
    new AvgPool2d(2, { stride: 2 }),
    new Flatten(),
    new Linear(400, 120),
    new Sigmoid(),
    new Linear(120, 84),
    new Sigmoid(),
    new Linear(84, 10),
  );

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
