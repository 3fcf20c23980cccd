// # Training with kernels goes where the reference goes
//
// Small networks follow PyTorch for fifty steps, as the reference does (spec/trajectories.spec.ts). After
// that rounding alone drives two runs apart, so every network is started anew on the reference at each
// step from the state that the kernels have come to (restart.ts), and its loss must agree within a
// bound that is derived there.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import { runsOn, follow } from "../../spec/trajectories.js";
import { loadKernels } from "../backend.js";
import { restoreKernels } from "./guarded.js";
import { restarted, small } from "./restart.js";

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
});
