// # Training runs that PyTorch has made too
//
// `fixtures/trajectories.py` asked PyTorch for the losses of the first fifty steps from
// `manualSeed(0)`. Here the project's own training loop makes the same runs, on whatever device.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  beginning,
  type ImageDataset,
  LeNet,
  LeNetBN,
  makeOptimizer,
  manualSeed,
  type nn,
  type OptimizerSettings,
  train,
  VGG,
} from "convnotes";
import fixture from "./fixtures/trajectories.json" with { type: "json" };

const PROMISE = 1e-4;

const smallArch = [
  [1, 8],
  [1, 16],
] as const;

export const networks: Readonly<Record<string, () => nn.Module>> = {
  lenet: () => new LeNet(),
  lenet_bn: () => new LeNetBN(),
  small_vgg: () => new VGG(smallArch, { imageSize: 28, hidden: 64, dropout: 0 }),
};

export interface Run {
  readonly data: string;
  /** Of all images, then all labels. */
  readonly sha256: string;
  readonly model: string;
  readonly batchSize: number;
  readonly optimizer: { readonly name: string; readonly lr: number };
  readonly losses: readonly number[];
}

/** The losses of as many steps as the run has. */
function lossesOf(
  { model, batchSize, optimizer, losses }: Run,
  images: ImageDataset,
  device: string,
): number[] {
  manualSeed(0);
  const network = networks[model]().to(device);
  const settings = optimizer as OptimizerSettings;
  const result: number[] = [];
  for (const event of train({
    model: network,
    optimizer: makeOptimizer(network, settings),
    recipe: { model, epochs: 1, batchSize, optimizer: settings, pipeline: {} },
    train: images,
    test: images,
    device,
    progress: beginning(),
  })) {
    if (event.type === "step") result.push(event.loss);
    if (result.length === losses.length) break;
  }
  return result;
}

/** Throws: AssertionError for the first loss that is not PyTorch's. */
export function follow(run: Run, images: ImageDataset, device: string): void {
  const sha256 = createHash("sha256").update(images.images).update(images.labels).digest("hex");
  assert.equal(sha256, run.sha256, "these are not the images that PyTorch was given");
  const actual = lossesOf(run, images, device);
  assert.equal(actual.length, 50);
  run.losses.forEach((expected, i) => {
    const error = Math.abs(actual[i] - expected) / expected;
    assert.ok(error <= PROMISE, `step ${i + 1}: loss ${actual[i]}, PyTorch has ${expected}`);
  });
}

/** The runs on the built-in drawings, or on Fashion-MNIST. */
export const runsOn = (data: string): readonly Run[] =>
  fixture.runs.filter((run) => run.data === data);
