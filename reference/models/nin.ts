// # Network in network
//
// After each convolution, two more of 1×1: a small fully connected network that is applied at every
// pixel. The last block has one channel for each class, and the mean over the image is the answer:
// no linear layers, and so a twentieth of AlexNet's parameters.
//
// | layer                   | output    | parameters |
// | ----------------------- | --------- | ---------: |
// | input                   | 1×224×224 |            |
// | net.0 Sequential        | 96×54×54  |     30,336 |
// | net.1 MaxPool2d         | 96×26×26  |            |
// | net.2 Sequential        | 256×26×26 |    746,240 |
// | net.3 MaxPool2d         | 256×12×12 |            |
// | net.4 Sequential        | 384×12×12 |  1,180,800 |
// | net.5 MaxPool2d         | 384×5×5   |            |
// | net.6 Dropout           | 384×5×5   |            |
// | net.7 Sequential        | 10×5×5    |     34,790 |
// | net.8 AdaptiveAvgPool2d | 10×1×1    |            |
// | net.9 Flatten           | 10        |            |
// | total                   |           |  1,992,166 |

import {
  AdaptiveAvgPool2d,
  Conv2d,
  Dropout,
  Flatten,
  MaxPool2d,
  Module,
  ReLU,
  Sequential,
} from "../nn/index.js";
import type { Tensor } from "../tensor.js";
import type { Conv2dSettings } from "../nn/conv.js";

/** A convolution and two of 1×1, each with a rectifier. Shape: as the first convolution's. */
export function ninBlock(
  inChannels: number,
  outChannels: number,
  kernelSize: number,
  settings: Conv2dSettings,
): Module {
  return new Sequential(
    new Conv2d(inChannels, outChannels, kernelSize, settings),
    new ReLU(),
    new Conv2d(outChannels, outChannels, 1),
    new ReLU(),
    new Conv2d(outChannels, outChannels, 1),
    new ReLU(),
  );
}

/**
 * Classifies grey images into ten classes.
 *
 * Shape: `[N, 1, 224, 224]` → `[N, 10]`; other sizes fit as well, down to 67.
 * Source: Lin, Chen and Yan 2014, on AlexNet's windows as in the notes.
 */
export class NiN extends Module {
  readonly net = new Sequential(
    ninBlock(1, 96, 11, { stride: 4, padding: 0 }),
    new MaxPool2d(3, { stride: 2 }),
    ninBlock(96, 256, 5, { stride: 1, padding: 2 }),
    new MaxPool2d(3, { stride: 2 }),
    ninBlock(256, 384, 3, { stride: 1, padding: 1 }),
    new MaxPool2d(3, { stride: 2 }),
    new Dropout(0.5),
    ninBlock(384, 10, 3, { stride: 1, padding: 1 }),
    new AdaptiveAvgPool2d([1, 1]),
    new Flatten(),
  );

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
