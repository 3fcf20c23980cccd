// # VGG
//
// A network of blocks instead of layers. Each block is a few 3×3 convolutions and a pooling that
// halves the image; a list of (number of convolutions, channels) describes the whole network. Two
// 3×3 windows see as much as one of 5×5, with fewer parameters and one more rectifier.
//
// | layer            | output     | parameters |
// | ---------------- | ---------- | ---------: |
// | input            | 1×224×224  |            |
// | net.0 Sequential | 16×112×112 |        160 |
// | net.1 Sequential | 32×56×56   |      4,640 |
// | net.2 Sequential | 64×28×28   |     55,424 |
// | net.3 Sequential | 128×14×14  |    221,440 |
// | net.4 Sequential | 128×7×7    |    295,168 |
// | net.5 Flatten    | 6272       |            |
// | net.6 Linear     | 4096       | 25,694,208 |
// | net.7 ReLU       | 4096       |            |
// | net.8 Dropout    | 4096       |            |
// | net.9 Linear     | 4096       | 16,781,312 |
// | net.10 ReLU      | 4096       |            |
// | net.11 Dropout   | 4096       |            |
// | net.12 Linear    | 10         |     40,970 |
// | total            |            | 43,093,322 |

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

/** For each block, how many convolutions and how many channels. */
export type ConvArch = readonly (readonly [numConvs: number, outChannels: number])[];

/** What the notes train: VGG-11's eight convolutions at a quarter of their width. */
export const notesArch: ConvArch = [
  [1, 16],
  [1, 32],
  [2, 64],
  [2, 128],
  [2, 128],
];

/**
 * `numConvs` convolutions of 3×3 with rectifiers, then 2×2 maximum pooling.
 *
 * Shape: `[N, inChannels, H, W]` → `[N, outChannels, ⌊H/2⌋, ⌊W/2⌋]`.
 */
export function vggBlock(numConvs: number, inChannels: number, outChannels: number): Module {
  const layers = Array.from({ length: numConvs }, (_, i) => [
    new Conv2d(i === 0 ? inChannels : outChannels, outChannels, 3, { padding: 1 }),
    new ReLU(),
  ]);
  return new Sequential(...layers.flat(), new MaxPool2d(2, { stride: 2 }));
}

export interface VGGSettings {
  /** Default: 1. */
  readonly inChannels?: number;
  /** Height and width of the images, in pixels; the head depends on them. Default: 224. */
  readonly imageSize?: number;
  /** Units of the two hidden linear layers. Default: 4096. */
  readonly hidden?: number;
  /** The probability with which their outputs are dropped. Default: 0.5. */
  readonly dropout?: number;
}

/**
 * Classifies images into ten classes.
 *
 * Shape: `[N, inChannels, H, W]` → `[N, 10]`; H and W from `imageSize` 224 up to 255 fit the head.
 * Source: Simonyan and Zisserman 2015, narrowed as in the notes.
 */
export class VGG extends Module {
  readonly net: Sequential;

  constructor(
    convArch: ConvArch = notesArch,
    { inChannels = 1, imageSize = 224, hidden = 4096, dropout = 0.5 }: VGGSettings = {},
  ) {
    super();
    const blocks: Module[] = [];
    let [channels, size] = [inChannels, imageSize];
    for (const [numConvs, outChannels] of convArch) {
      blocks.push(vggBlock(numConvs, channels, outChannels));
      [channels, size] = [outChannels, Math.floor(size / 2)];
    }
    this.net = new Sequential(
      ...blocks,
      new Flatten(),
      new Linear(channels * size * size, hidden),
      new ReLU(),
      new Dropout(dropout),
      new Linear(hidden, hidden),
      new ReLU(),
      new Dropout(dropout),
      new Linear(hidden, 10),
    );
  }

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
