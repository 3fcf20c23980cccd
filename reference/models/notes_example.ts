// # The example module
//
// Two parts: one that turns an image into features, one that turns features into classes. The
// notes use such a module to show parameters, initialisation and files, before any network has a
// name.
//
// | layer                          | output   | parameters |
// | ------------------------------ | -------- | ---------: |
// | input                          | 3×32×32  |            |
// | feature_extraction.0 Conv2d    | 32×30×30 |        896 |
// | feature_extraction.1 ReLU      | 32×30×30 |            |
// | feature_extraction.2 MaxPool2d | 32×15×15 |            |
// | feature_extraction.3 Conv2d    | 64×13×13 |     18,496 |
// | feature_extraction.4 ReLU      | 64×13×13 |            |
// | feature_extraction.5 MaxPool2d | 64×6×6   |            |
// | feature_extraction.6 Conv2d    | 64×4×4   |     36,928 |
// | feature_extraction.7 ReLU      | 64×4×4   |            |
// | feature_extraction.8 Flatten   | 1024     |            |
// | classification.0 Linear        | 64       |     65,600 |
// | classification.1 ReLU          | 64       |            |
// | classification.2 Linear        | 10       |        650 |
// | total                          |          |    122,570 |

import { Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential } from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/**
 * Classifies coloured images into ten classes.
 *
 * Shape: `[N, 3, 32, 32]` → `[N, 10]`; heights and widths from 30 to 33 fit the head.
 * Source: the notes' chapter on modules and parameters; the sizes are ours.
 */
export class NotesExample extends Module {
  readonly feature_extraction = new Sequential(
    new Conv2d(3, 32, 3),
    new ReLU(),
    new MaxPool2d(2),
    new Conv2d(32, 64, 3),
    new ReLU(),
    new MaxPool2d(2),
    new Conv2d(64, 64, 3),
    new ReLU(),
    new Flatten(),
  );
  readonly classification = new Sequential(new Linear(1024, 64), new ReLU(), new Linear(64, 10));

  override forward(x: Tensor): Tensor {
    return this.classification.call(this.feature_extraction.call(x));
  }
}
