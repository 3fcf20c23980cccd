// # The first steps of training are PyTorch's
//
// Fifty steps from `manualSeed(0)`, weights and order from the generator, through the project's own
// training loop: every loss is PyTorch's to a ten-thousandth. Both sides compute in float32 with
// sums in another order, and training amplifies the difference, so no rounding bound is meaningful
// over many steps; 10⁻⁴ is what this project promises. (`spec/fixtures/trajectories.py` makes the
// fixture.)

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
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

const PROMISE = 1e-4;

interface Fixture {
  readonly steps: number;
  readonly batchSize: number;
  readonly data: Readonly<
    Record<
      "fashion_mnist" | "built_in",
      {
        readonly sha256: string;
        readonly runs: Readonly<
          Record<string, { optimizer: OptimizerSettings; losses: readonly number[] }>
        >;
      }
    >
  >;
}

const fixture = JSON.parse(readFileSync("spec/fixtures/trajectories.json", "utf8")) as Fixture;

const smallArch = [
  [1, 8],
  [1, 16],
  [2, 32],
] as const;

const create: Readonly<Record<string, () => nn.Module>> = {
  lenet: () => new LeNet(),
  lenet_bn: () => new LeNetBN(),
  small_vgg: () => new VGG(smallArch, { imageSize: 28, hidden: 64, dropout: 0 }),
};

function losses(model: string, optimizer: OptimizerSettings, images: ImageDataset): number[] {
  manualSeed(0);
  const network = create[model]().to("reference");
  const run = train({
    model: network,
    optimizer: makeOptimizer(network, optimizer),
    recipe: { model, epochs: 1, batchSize: fixture.batchSize, optimizer, pipeline: {} },
    train: images,
    test: images,
    device: "reference",
    progress: beginning(),
    maxBatches: fixture.steps,
  });
  const result: number[] = [];
  for (const event of run) {
    if (event.type !== "step") break;
    result.push(event.loss);
  }
  return result;
}

function compare(data: keyof Fixture["data"], images: ImageDataset): void {
  const { sha256, runs } = fixture.data[data];
  const hash = createHash("sha256").update(images.images).update(images.labels).digest("hex");
  assert.equal(hash, sha256, "the images are not those of the fixture");
  for (const [model, { optimizer, losses: expected }] of Object.entries(runs)) {
    const actual = losses(model, optimizer, images);
    assert.equal(actual.length, fixture.steps);
    actual.forEach((loss, i) => {
      const error = Math.abs(loss - expected[i]) / expected[i];
      assert.ok(error <= PROMISE, `${model}, step ${i + 1}: ${loss}, PyTorch has ${expected[i]}`);
    });
  }
}

describe("trajectories", function () {
  this.timeout(120_000);
  this.slow(60_000);

  it("follow PyTorch for fifty steps on the built-in images", () => {
    compare("built_in", builtInDataset().train);
  });

  it("follow PyTorch for fifty steps on Fashion-MNIST, where CONVNOTES_DATA names it", async function () {
    if (!process.env.CONVNOTES_DATA) {
      this.test!.title += " (it does not: set it to the folder with the four files)";
      this.skip();
    }
    const data = await loadFashionMnist({ network: false });
    compare("fashion_mnist", data.train);
  });
});
