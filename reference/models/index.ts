// # The notes' networks
//
// In the order of the notes. Each file is to be read beside its chapter.

import { didYouMean } from "../errors.js";
import type { Module } from "../nn/module.js";
import { AlexNet } from "./alexnet.js";
import { GoogLeNet } from "./googlenet.js";
import { LeNet } from "./lenet.js";
import { LeNetBN } from "./lenet_bn.js";
import { NiN } from "./nin.js";
import { NotesExample } from "./notes_example.js";
import { ResNet18 } from "./resnet.js";
import { VGG } from "./vgg.js";

export { AlexNet, GoogLeNet, LeNet, LeNetBN, NiN, NotesExample, ResNet18, VGG };
export { notesArch, vggBlock, type ConvArch, type VGGSettings } from "./vgg.js";
export { ninBlock } from "./nin.js";

export interface ModelEntry {
  /** What the command calls it; also the name of its file. */
  readonly name: string;
  readonly title: string;
  /** The shape of one image, `[C, H, W]`. */
  readonly inputShape: readonly [channels: number, height: number, width: number];
  readonly create: () => Module;
}

/** All networks of the notes, in their order. */
export const models: readonly ModelEntry[] = [
  {
    name: "notes_example",
    title: "the notes' example module",
    inputShape: [3, 32, 32],
    create: () => new NotesExample(),
  },
  { name: "lenet", title: "LeNet", inputShape: [1, 28, 28], create: () => new LeNet() },
  {
    name: "lenet_bn",
    title: "LeNet with batch normalisation",
    inputShape: [1, 28, 28],
    create: () => new LeNetBN(),
  },
  { name: "alexnet", title: "AlexNet", inputShape: [1, 224, 224], create: () => new AlexNet() },
  {
    name: "vgg",
    title: "VGG, narrowed as in the notes",
    inputShape: [1, 224, 224],
    create: () => new VGG(),
  },
  { name: "nin", title: "Network in network", inputShape: [1, 224, 224], create: () => new NiN() },
  { name: "googlenet", title: "GoogLeNet", inputShape: [1, 96, 96], create: () => new GoogLeNet() },
  { name: "resnet", title: "ResNet-18", inputShape: [1, 96, 96], create: () => new ResNet18() },
];

/** Throws: RangeError for a name that is not in the table, with the nearest one. */
export function modelNamed(name: string): ModelEntry {
  const entry = models.find((m) => m.name === name);
  if (entry === undefined) {
    const names = models.map((m) => m.name);
    throw new RangeError(
      `there is no model "${name}".${didYouMean(name, names)} Models: ${names.join(", ")}`,
    );
  }
  return entry;
}
