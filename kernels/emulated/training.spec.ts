// # Whole steps on the emulated device
//
// LeNet with batch normalisation trains for a few steps, as programs that are captured and replayed. Every
// call of every step can be looked at, and what is replayed is, bit for bit, what runs call by call.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import { type KernelOptions, loadKernels } from "../backend.js";
import { restoreKernels } from "../check/guarded.js";
import { Sampler } from "../check/sampler.js";
import { buildEmulated } from "./build.js";

const BATCH = 2;

/** Trains for so many steps; what is learned, and the losses. */
async function train(steps: number, options: KernelOptions) {
  assert(loadKernels(convnotes, options).available);
  convnotes.manualSeed(3);
  const model = convnotes.modelNamed("lenet_bn").create().to("emulated");
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
  const step = new convnotes.TrainingStep(model, optimizer, "emulated");
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const x = convnotes.randn([BATCH, 1, 28, 28]).to("emulated");
    const labels = convnotes.tensor(
      Array.from({ length: BATCH }, (_, k) => (3 * k + i) % 10),
      { dtype: "int64", device: "emulated" },
    );
    losses.push(step.run(x, labels).loss);
    // JavaScript gives memory back between two turns.
    await new Promise((resolve) => void setImmediate(resolve));
  }
  const state = [...model.stateDict()].map(([name, t]) => [name, [...t.to("cpu").data]] as const);
  return { losses, state, model };
}

describe("training on the emulated device", function () {
  this.timeout(300_000);
  this.slow(20_000);
  const known = process.env.CONVNOTES_EMULATED;
  before(async () => {
    const sources = ["all.cu", "library.cu"].map((name) => `kernels/cuda/${name}`);
    process.env.CONVNOTES_EMULATED = await buildEmulated({
      ...{ name: "kernels", sources, checks: false, library: true },
    });
  });
  after(() => {
    if (known === undefined) delete process.env.CONVNOTES_EMULATED;
    else process.env.CONVNOTES_EMULATED = known;
    restoreKernels();
  });

  it("keeps every law while it trains, and replays what it does call by call", async () => {
    const sampler = new Sampler({ share: 1, seed: 1, now: () => 0 });
    const looked = await train(6, { sampler });
    for (const name of ["conv2d_backward_weight", "batch_norm", "cross_entropy", "linear", "sgd"])
      assert.ok(sampler.tallies.has(name), name);
    assert.deepEqual([...sampler.unchecked], []);
    const replayed = await train(6, {});
    assert.deepEqual(replayed.losses, looked.losses);
    assert.deepEqual(replayed.state, looked.state);
    assert.ok(replayed.losses.every(Number.isFinite));
  });

  it("gives the same bits whatever runs first", async () => {
    const usual = await train(4, { settings: "order=forward asynchrony=eager" });
    const other = await train(4, { settings: "order=random asynchrony=random seed=11" });
    assert.deepEqual(other.state, usual.state);
  });

  it("takes weights from the host, and gives them back", () => {
    assert(loadKernels(convnotes, {}).available);
    const model = convnotes.modelNamed("lenet").create();
    const before = [...model.stateDict()].map(([, t]) => [...t.data]);
    model.to("emulated").to("cpu");
    assert.deepEqual(
      [...model.stateDict()].map(([, t]) => [...t.data]),
      before,
    );
  });

  it("says what is missing when the device is full, and goes on with less", () => {
    assert(loadKernels(convnotes, { settings: "memory=2000000" }).available);
    assert.throws(
      () => convnotes.relu(convnotes.zeros([1000, 1000], { device: "emulated" })),
      /a tensor needs 4 MB, but the device has \d+ MB free of 2 MB; a smaller batch or smaller images/,
    );
    const small = convnotes.relu(convnotes.full([10], 2, { device: "emulated" }));
    assert.deepEqual([...small.data], new Array(10).fill(2));
    assert(loadKernels(convnotes, { settings: "memory=4294967296" }).available);
  });
});
