// # VGG
//
// A network of blocks instead of layers. Each block is a few 3×3 convolutions and a pooling that
// halves the image; a list of (number of convolutions, channels) describes the whole network. Two
// 3×3 windows see as much as one of 5×5, with fewer parameters and one more rectifier.
//
// | layer | output | parameters |
// | --- | --- | ---: |

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

/** What the notes train: VGG-11's eight convolutions at a quarter of their width and less. */
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
}

/**
 * Classifies images into ten classes.
 *
 * Shape: `[N, inChannels, imageSize, imageSize]` → `[N, 10]`.
 * Source: Simonyan and Zisserman 2015, narrowed as in the notes.
 */
export class VGG extends Module {
  readonly net: Sequential;

  constructor(
    convArch: ConvArch = notesArch,
    { inChannels = 1, imageSize = 224, hidden = 4096 }: VGGSettings = {},
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
      new Dropout(0.5),
      new Linear(hidden, hidden),
      new ReLU(),
      new Dropout(0.5),
      new Linear(hidden, 10),
    );
  }

  override forward(x: Tensor): Tensor {
    return this.net.call(x);
  }
}
