// # The first steps of training are PyTorch's
//
// Fifty steps through the project's own training loop, from `manualSeed(0)`: weights and the order
// of the images come from the generator, as they do in PyTorch, and so every loss must be PyTorch's.
// Both sides round to float32 in other places, and every step builds on the last, so no bound from
// rounding says anything after many steps; one part in ten thousand is what this project promises.
// `fixtures/trajectories.py` asked PyTorch.

import assert from "node:assert/strict";
import { builtInDataset, type ImageDataset } from "convnotes";
import { loadFashionMnist } from "convnotes/node";
import { follow, networks, runsOn } from "./trajectories.js";

describe("trajectories", function () {
  this.timeout(60_000);
  this.slow(30_000);

  describe("on the built-in drawings", () => {
    let images: ImageDataset;
    before(() => {
      images = builtInDataset().train;
    });
    for (const run of runsOn("built-in"))
      it(`${run.model} has PyTorch's first fifty losses`, () => follow(run, images, "reference"));
  });

  describe("on Fashion-MNIST (wants CONVNOTES_DATA to name the folder with its files)", () => {
    let images: ImageDataset;
    before(async function () {
      if (!process.env.CONVNOTES_DATA) this.skip();
      images = (await loadFashionMnist({ network: false })).train;
    });
    for (const run of runsOn("Fashion-MNIST"))
      it(`${run.model} has PyTorch's first fifty losses`, () => follow(run, images, "reference"));
  });

  it("have a run of every network on both", () => {
    for (const data of ["built-in", "Fashion-MNIST"])
      assert.deepEqual(
        runsOn(data).map((run) => run.model),
        Object.keys(networks),
      );
  });
});
