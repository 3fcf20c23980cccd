// # AlexNet
//
// LeNet's plan, ten times larger: five convolutions, the first with a window of 11×11 pixels, then
// two linear layers of 4096 units that hold nine tenths of the parameters. Rectifiers instead of
// sigmoids, maximum instead of average pooling, and dropout to keep the large layers honest.
//
// | layer            | output    | parameters |
// | ---------------- | --------- | ---------: |
// | input            | 1×224×224 |            |
// | net.0 Conv2d     | 96×54×54  |     11,712 |
// | net.1 ReLU       | 96×54×54  |            |
// | net.2 MaxPool2d  | 96×26×26  |            |
// | net.3 Conv2d     | 256×26×26 |    614,656 |
// | net.4 ReLU       | 256×26×26 |            |
// | net.5 MaxPool2d  | 256×12×12 |            |
// | net.6 Conv2d     | 384×12×12 |    885,120 |
// | net.7 ReLU       | 384×12×12 |            |
// | net.8 Conv2d     | 384×12×12 |  1,327,488 |
// | net.9 ReLU       | 384×12×12 |            |
// | net.10 Conv2d    | 256×12×12 |    884,992 |
// | net.11 ReLU      | 256×12×12 |            |
// | net.12 MaxPool2d | 256×5×5   |            |
// | net.13 Flatten   | 6400      |            |
// | net.14 Linear    | 4096      | 26,218,496 |
// | net.15 ReLU      | 4096      |            |
// | net.16 Dropout   | 4096      |            |
// | net.17 Linear    | 4096      | 16,781,312 |
// | net.18 ReLU      | 4096      |            |
// | net.19 Dropout   | 4096      |            |
// | net.20 Linear    | 10        |     40,970 |
// | total            |           | 46,764,746 |

import {
  Conv2d,
  Dropout,
  Flatten,
  Linear,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 224, 224]` → `[N, 10]`; heights and widths from 193 to 224 fit the head.
 * Source: Krizhevsky, Sutskever and Hinton 2012, for one channel and one device as in the notes.
 */
export class AlexNet extends Module {
  readonly net = new Sequential(
    new Conv2d(1, 96, 11, { stride: 4, padding: 1 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
    new Conv2d(96, 256, 5, { padding: 2 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
    new Conv2d(256, 384, 3, { padding: 1 }),
    new ReLU(),
    new Conv2d(384, 384, 3, { padding: 1 }),
    new ReLU(),
    new Conv2d(384, 256, 3, { padding: 1 }),
    new ReLU(),
    new MaxPool2d(3, { stride: 2 }),
    new Flatten(),
    new Linear(6400, 4096),
    new ReLU(),
    new Dropout(0.5),
    new Linear(4096, 4096),
    new ReLU(),
    new Dropout(0.5),
    new Linear(4096, 10),
  );

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
