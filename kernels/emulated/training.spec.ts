// # Whole steps on the emulated device
//
// LeNet with batch normalisation trains for a few steps, as programs that are captured and replayed. Every
// call of every step can be looked at, and what is replayed is, bit for bit, what runs call by call.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import { type KernelOptions, loadKernels } from "../backend.js";
import { Sampler } from "../check/sampler.js";
import { onEmulatedDevice } from "./library.js";

const BATCH = 2;

const { nn } = convnotes;

const networks = {
  lenet_bn: () => convnotes.modelNamed("lenet_bn").create(),
  /** Masks behind a pool, a rectifier and a sigmoid. */
  dropping: () =>
    new nn.Sequential(
      ...[new nn.Conv2d(1, 3, 5), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Dropout(0.3)],
      ...[new nn.Conv2d(3, 2, 3), new nn.Flatten()],
      ...[new nn.Linear(200, 30), new nn.ReLU(), new nn.Dropout(0.6)],
      ...[new nn.Linear(30, 20), new nn.Sigmoid(), new nn.Dropout(0.4), new nn.Linear(20, 10)],
    ),
  /** Parts that are computed where they belong. */
  parted: () =>
    new nn.Sequential(
      ...[new nn.Conv2d(1, 3, 5, { stride: 4 }), new nn.ReLU()],
      ...[new nn.Inception(3, 2, [2, 3], [1, 2], 2), new nn.MaxPool2d(2)],
      ...[new nn.Inception(9, 1, [2, 2], [2, 3], 1), new nn.AdaptiveAvgPool2d(1)],
      ...[new nn.Flatten(), new nn.Linear(7, 10)],
    ),
};

/** Trains for so many steps; what is learned, and the losses. */
async function train(
  steps: number,
  options: KernelOptions,
  network: keyof typeof networks = "lenet_bn",
) {
  assert(loadKernels(convnotes, options).available);
  convnotes.manualSeed(3);
  const model: convnotes.nn.Module = networks[network]().to("emulated");
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
  const step = new convnotes.TrainingStep(model, optimizer, "emulated");
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const x = convnotes.randn([BATCH, 1, 28, 28]).to("emulated");
    const labels = convnotes.tensor(
      Array.from({ length: BATCH }, (_, k) => (3 * k + i) % 10),
      { dtype: "int64", device: "emulated" },
    );
    convnotes.dropoutState.setStep(i);
    losses.push(step.run(x, labels).loss);
    assert.equal(step.reason, null);
    // JavaScript gives memory back between two turns.
    await new Promise((resolve) => void setImmediate(resolve));
  }
  const state = [...model.stateDict()].map(([name, t]) => [name, [...t.to("cpu").data]] as const);
  return { losses, state, model };
}

describe("training on the emulated device", function () {
  this.timeout(300_000);
  this.slow(20_000);
  onEmulatedDevice();

  it("keeps every law while it trains, and replays what it does call by call", async () => {
    const sampler = new Sampler({ share: 1, seed: 1, now: () => 0 });
    // One call of each step, and none is left out for long.
    let drawn = 0;
    const random = () => ((++drawn * (Math.sqrt(5) - 1)) / 2) % 1;
    const looked = await train(70, { sampler: Object.assign(sampler, { random }) });
    for (const name of ["conv2d_backward_weight", "batch_norm", "cross_entropy", "linear", "sgd"])
      assert.ok(sampler.tallies.has(name), name);
    assert.deepEqual([...sampler.unchecked], []);
    const replayed = await train(70, {});
    assert.deepEqual(replayed.losses, looked.losses);
    assert.deepEqual(replayed.state, looked.state);
    assert.ok(replayed.losses.every(Number.isFinite));
  });

  it("looks at parts of what is dropped, where they stand", async () => {
    const sampler = new Sampler({ share: 1, seed: 1, now: () => 0 });
    const looked = await train(120, { sampler }, "dropping");
    assert.deepEqual([...sampler.unchecked], []);
    for (const name of ["linear", "linear_backward_input", "max_pool2d", "conv2d_backward_input"])
      assert.ok(sampler.tallies.has(name), name);
    assert.deepEqual((await train(120, {}, "dropping")).state, looked.state);
  });

  it("looks at slices, and at one activation's gradient of many parts", async () => {
    const sampler = new Sampler({ share: 1, seed: 1, now: () => 0 });
    const looked = await train(150, { sampler }, "parted");
    assert.deepEqual([...sampler.unchecked], []);
    assert.ok(!sampler.tallies.has("concat") && !sampler.tallies.has("narrow"));
    for (const name of ["conv2d", "conv2d_backward_input", "max_pool2d_backward_input"])
      assert.ok(sampler.tallies.has(name), name);
    assert.deepEqual((await train(150, {}, "parted")).state, looked.state);
  });

  it("gives the same bits whatever runs first", async () => {
    const usual = await train(4, { settings: "order=forward asynchrony=eager" });
    const other = await train(4, { settings: "order=random asynchrony=random seed=11" });
    assert.deepEqual(other.state, usual.state);
  });

  it("gathers its batches on the device, as the host would make them", () => {
    assert(loadKernels(convnotes, {}).available);
    const data = convnotes.builtInDataset({ train: 6, test: 4 });
    const images = convnotes.fromData(data.train.images, [6, 28, 28], "emulated");
    const indices = convnotes.fromData(BigInt64Array.from([4n, 0n, 5n]), [3], "emulated");
    // Several tiles, enlarged and made smaller.
    for (const size of [224, 96, 65, 7]) {
      const x = convnotes.gatherImages(images, indices, { size: [size, size] });
      assert.deepEqual(x.data, convnotes.makeBatch(data.train, [4, 0, 5], { resize: size }).x);
    }

    const trained = (device: string) => {
      convnotes.manualSeed(5);
      const model = convnotes.modelNamed("lenet").create().to("emulated");
      const optimizer = convnotes.makeOptimizer(model, { name: "adam", lr: 0.01 });
      const recipe = { ...convnotes.recipes.get("lenet")!, batchSize: 2, epochs: 1 };
      const progress = convnotes.beginning();
      if (device === "emulated")
        return [
          ...convnotes.train({ model, optimizer, recipe, ...data, device, progress }),
        ].flatMap((event) => (event.type === "step" ? [event.loss] : []));
      const order = convnotes.shuffledOrder(data.train.count, convnotes.defaultGenerator);
      const step = new convnotes.TrainingStep(model.train(), optimizer, "emulated");
      return convnotes.batchRanges(data.train.count, 2).map(([start, end]) => {
        const { x, shape, labels } = convnotes.makeBatch(
          data.train,
          order.subarray(start, end),
          recipe.pipeline,
        );
        const onDevice = (t: convnotes.Tensor) => t.to("emulated");
        return step.run(
          onDevice(convnotes.fromData(x, shape)),
          onDevice(convnotes.fromData(labels, [labels.length])),
        ).loss;
      });
    };
    const losses = trained("emulated");
    assert.equal(losses.length, 3);
    assert.deepEqual(losses, trained("host"));
  });

  it("takes weights from the host, and gives them back", () => {
    assert(loadKernels(convnotes, {}).available);
    const model = convnotes.modelNamed("lenet").create();
    const before = [...model.stateDict()].map(([, t]) => [...t.data]);
    model.to("emulated").to("reference").to("emulated").to("cpu");
    assert.deepEqual(
      [...model.stateDict()].map(([, t]) => [...t.data]),
      before,
    );
  });

  it("leaves everything as it was where the loss is not finite", async () => {
    assert(loadKernels(convnotes, {}).available);
    convnotes.manualSeed(3);
    const model = convnotes.modelNamed("lenet").create().to("emulated");
    const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
    const step = new convnotes.TrainingStep(model, optimizer, "emulated");
    const labels = convnotes.tensor([1, 2], { dtype: "int64", device: "emulated" });
    const run = (value: number) =>
      step.run(convnotes.full([2, 1, 28, 28], value, { device: "emulated" }), labels).loss;
    const state = () => [...model.stateDict()].map(([, t]) => [...t.data]);
    // Call by call, while the step is captured, and replayed.
    for (let i = 0; i < 4; i++) {
      const before = state();
      assert(Number.isNaN(run(NaN)));
      assert.deepEqual(state(), before);
      assert(Number.isFinite(run(0.5)));
      assert.notDeepEqual(state(), before);
      await new Promise((resolve) => void setImmediate(resolve));
    }
    assert.equal(step.reason, null);
  });

  it("says what is missing when the device is full, and goes on with less", () => {
    assert(loadKernels(convnotes, {}).available);
    // What other tests have left lies there until garbage is collected.
    const { totalBytes, freeBytes } = convnotes.backendOf("emulated").describe!();
    const memory = totalBytes - freeBytes + 2e6;
    assert(loadKernels(convnotes, { settings: `memory=${memory}` }).available);
    assert.throws(
      () => convnotes.relu(convnotes.zeros([4000, 4000], { device: "emulated" })),
      /a tensor needs 64 MB, but the device has \d+ MB free of \d+ MB; a smaller batch or smaller images/,
    );
    const small = convnotes.relu(convnotes.full([10], 2, { device: "emulated" }));
    assert.deepEqual([...small.data], new Array(10).fill(2));
  });
});
