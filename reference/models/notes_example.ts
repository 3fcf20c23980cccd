// # The example module
//
// Two parts: one that turns an image into features, one that turns features into classes. The
// notes use such a module to show parameters, initialisation and files, before any network has a
// name.
//
// | layer | output | parameters |
// | --- | --- | ---: |

import { Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential } from "../nn/index.js";
import type { Tensor } from "../tensor.js";

/**
 * Classifies coloured images into ten classes.
 *
 * Shape: `[N, 3, 32, 32]` → `[N, 10]`.
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
