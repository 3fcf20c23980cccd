// # The first steps of training are PyTorch's
//
// Fifty steps through the project's own training loop, from `manualSeed(0)`: weights and the order
// of the images come from the generator, as they do in PyTorch, and so every loss must be PyTorch's.
// Both sides round to float32 in other places, and every step builds on the last, so no bound from
// rounding says anything after many steps; one part in ten thousand is what this project promises.
// `fixtures/trajectories.py` asked PyTorch.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  beginning,
  builtInDataset,
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
import { loadFashionMnist } from "convnotes/node";
import fixture from "./fixtures/trajectories.json" with { type: "json" };

const PROMISE = 1e-4;

const smallArch = [
  [1, 8],
  [1, 16],
] as const;

const networks: Readonly<Record<string, () => nn.Module>> = {
  lenet: () => new LeNet(),
  lenet_bn: () => new LeNetBN(),
  small_vgg: () => new VGG(smallArch, { imageSize: 28, hidden: 64, dropout: 0 }),
};

interface Run {
  readonly data: string;
  /** Of all images, then all labels. */
  readonly sha256: string;
  readonly model: string;
  readonly batchSize: number;
  readonly optimizer: { readonly name: string; readonly lr: number };
  readonly losses: readonly number[];
}

/** The losses of as many steps as the run has, on the reference. */
function lossesOf({ model, batchSize, optimizer, losses }: Run, images: ImageDataset): number[] {
  manualSeed(0);
  const network = networks[model]().to("reference");
  const settings = optimizer as OptimizerSettings;
  const result: number[] = [];
  for (const event of train({
    model: network,
    optimizer: makeOptimizer(network, settings),
    recipe: { model, epochs: 1, batchSize, optimizer: settings, pipeline: {} },
    train: images,
    test: images,
    device: "reference",
    progress: beginning(),
  })) {
    if (event.type === "step") result.push(event.loss);
    if (result.length === losses.length) break;
  }
  return result;
}

function follow(run: Run, images: ImageDataset): void {
  const sha256 = createHash("sha256").update(images.images).update(images.labels).digest("hex");
  assert.equal(sha256, run.sha256, "these are not the images that PyTorch was given");
  const actual = lossesOf(run, images);
  assert.equal(actual.length, 50);
  run.losses.forEach((expected, i) => {
    const error = Math.abs(actual[i] - expected) / expected;
    assert.ok(error <= PROMISE, `step ${i + 1}: loss ${actual[i]}, PyTorch has ${expected}`);
  });
}

const runsOn = (data: string): readonly Run[] => fixture.runs.filter((run) => run.data === data);

describe("trajectories", function () {
  this.timeout(60_000);
  this.slow(30_000);

  describe("on the built-in drawings", () => {
    let images: ImageDataset;
    before(() => {
      images = builtInDataset().train;
    });
    for (const run of runsOn("built-in"))
      it(`${run.model} has PyTorch's first fifty losses`, () => follow(run, images));
  });

  describe("on Fashion-MNIST (wants CONVNOTES_DATA to name the folder with its files)", () => {
    let images: ImageDataset;
    before(async function () {
      if (!process.env.CONVNOTES_DATA) this.skip();
      images = (await loadFashionMnist({ network: false })).train;
    });
    for (const run of runsOn("Fashion-MNIST"))
      it(`${run.model} has PyTorch's first fifty losses`, () => follow(run, images));
  });

  it("have a run of every network on both", () => {
    for (const data of ["built-in", "Fashion-MNIST"])
      assert.deepEqual(
        runsOn(data).map((run) => run.model),
        Object.keys(networks),
      );
  });
});
