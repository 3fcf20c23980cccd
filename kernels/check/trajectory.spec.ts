// # Training with kernels goes where the reference goes
//
// Small networks follow PyTorch for fifty steps, as the reference does (spec/trajectories.spec.ts). After
// that rounding alone drives two runs apart, so every network is started anew on the reference at each
// step from the state that programs of kernels have come to (restart.ts), and its loss must agree within a
// bound that is derived there.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import { runsOn, follow } from "../../spec/trajectories.js";
import { loadKernels } from "../backend.js";
import fc from "fast-check";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { winograd } from "../../spec/rounding.js";
import { restoreKernels } from "./guarded.js";
import { restarted, small, tiledBounds } from "./restart.js";

describe("trajectories with kernels", function () {
  this.timeout(120_000);
  this.slow(20_000);

  before(() => {
    assert(loadKernels(convnotes, { threads: 2 }).available);
  });
  after(restoreKernels);

  for (const run of runsOn("built-in"))
    it(`${run.model} has PyTorch's first fifty losses`, () => {
      follow(run, convnotes.builtInDataset().train, "cpu");
    });

  for (const name of small)
    it(`${name} has the reference's loss at every step`, () => {
      for (const { step, loss, expected, bound } of restarted(name, 3))
        assert(
          Math.abs(loss - expected) <= bound,
          `step ${step}: loss ${loss}, the reference has ${expected} ± ${bound}`,
        );
    });

  it("nin has it too, where convolutions come by tiles", () => {
    assert(loadKernels(convnotes, { threads: 2, rewrite: "always" }).available);
    const [{ loss, expected, bound, tiled }] = restarted("nin", 1);
    assert(tiled > 0);
    assert(Math.abs(loss - expected) <= bound, `${loss}, not ${expected} ± ${bound}`);
  });

  it("has the law's bound of tiles", () => {
    const sizes = fc.record({
      ...{ taps: fc.constantFrom(3, 5), images: fc.integer({ min: 1, max: 2 }) },
      ...{ channels: fc.integer({ min: 1, max: 3 }), results: fc.integer({ min: 1, max: 3 }) },
      ...{ rows: fc.integer({ min: 1, max: 5 }), columns: fc.integer({ min: 1, max: 5 }) },
      padding: fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 })),
      ...{ bias: fc.boolean(), seed: fc.nat() },
    });
    fc.assert(
      fc.property(sizes, (c) => {
        const [up, left] = c.padding;
        const height = c.rows + c.taps - 1 - 2 * up;
        const width = c.columns + c.taps - 1 - 2 * left;
        fc.pre(height > 0 && width > 0);
        convnotes.manualSeed(c.seed);
        const drawn = (...shape: number[]) => convnotes.rand(shape, { device: "reference" });
        const x = drawn(c.images, c.channels, height, width);
        const w = drawn(c.results, c.channels, c.taps, c.taps);
        const b = c.bias ? drawn(c.results) : null;
        const options = { padding: [up, left] as const };
        const inputs = [x, w, b].map(
          (t) => t && { shape: t.shape, data: Array.from(t.data, Number) },
        );
        const [wanted] = conv2d.bound({ inputs, options, dy: null }, winograd);
        const bounds = tiledBounds(x, w, b, options);
        assert.equal(bounds.length, wanted!.length);
        bounds.forEach((bound, i) => {
          // What underflows is counted more generously here.
          const ratio = bound / wanted![i];
          assert(ratio > 1 - 1e-12 && ratio < 1 + 1e-9, `${bound} ${wanted![i]}`);
        });
      }),
      { numRuns: 60 },
    );
  });
});
