// # Programs on the emulated device
//
// What the planner makes of a step for GPUs: sums, activations and gradients that join what they follow, and
// memory that is shared. Networks drawn at random must be equal to the reference where nothing rounds; the
// notes' networks must take the very step that their kernels take one by one.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { loadKernels } from "../backend.js";
import { compute, network } from "../plan/drawn.js";
import type { Call, Plan } from "../plan/plan.js";
import { onEmulatedDevice } from "./library.js";

const { nn } = convnotes;

/** GoogLeNet and ResNet in small: an inception block, and a residual one that makes images smaller. */
const branched = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { stride: 2 }),
    new nn.ReLU(),
    new nn.Inception(4, 2, [2, 3], [1, 2], 2),
    new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
    new nn.Residual(9, 6, { use1x1Conv: true, strides: 2 }),
    new nn.Residual(6, 6),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(6, 12),
    new nn.ReLU(),
    new nn.Dropout(0.5),
    new nn.Linear(12, 10),
  );

const networks: Readonly<Record<string, () => convnotes.nn.Module>> = {
  lenet: () => convnotes.modelNamed("lenet").create(),
  lenet_bn: () => convnotes.modelNamed("lenet_bn").create(),
  branched,
};

/** Two steps of a network on made-up images: losses, and what it has learned, bit by bit. */
function train(name: string, how: "program" | "calls") {
  convnotes.manualSeed(1);
  const model = networks[name]().to("emulated");
  const x = convnotes.zeros([3, 1, 28, 28], { device: "emulated" });
  for (let i = 0; i < x.size; i++) x.data[i] = ((i * 7919) % 256) / 256;
  const labels = convnotes.tensor([3, 1, 4], { dtype: "int64", device: "emulated" });
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const step = new convnotes.TrainingStep(model, optimizer, "emulated");
  const losses = [1, 2, 3].map((n) => {
    convnotes.dropoutState.setStep(n);
    if (how === "program") {
      const { loss } = step.run(x, labels);
      assert.equal(step.reason, null);
      return loss;
    }
    optimizer.zeroGrad();
    const loss = convnotes.crossEntropy(model.call(x), labels, null);
    loss.backward();
    optimizer.step();
    return loss.item();
  });
  return [losses, ...[...model.stateDict()].map(([, t]) => Array.from(t.data, Number))];
}

/** The plan of a training step. */
function planOf(model: convnotes.nn.Module, inputShape: readonly number[]): Plan {
  model.to("emulated");
  const { plan } = convnotes.uncomputed(() => {
    const x = convnotes.zeros([2, ...inputShape], { device: "emulated" });
    const labels = convnotes.zeros([2], { dtype: "int64", device: "emulated" });
    const optimizer = new convnotes.optim.Adam(model.parameters(), { lr: 0.01 });
    const traced = convnotes.traceStep(model, optimizer, x, labels);
    return convnotes.backendOf("emulated").compile!(traced);
  });
  return plan as Plan;
}

const count = ({ calls }: Plan, ...kernels: string[]) =>
  calls.filter((call: Call) => kernels.includes(call.kernel)).length;

describe("programs on the emulated device", function () {
  this.timeout(120_000);
  this.slow(10_000);
  onEmulatedDevice();
  const load = (rewrite: "always" | "never", apart = false) =>
    assert(loadKernels(convnotes, { rewrite, apart, poison: true }).available);

  for (const rewrite of ["always", "never"] as const)
    it(`are equal to the reference where nothing rounds, rewritten ${rewrite}`, () => {
      load(rewrite);
      let inRange = 0;
      fc.assert(
        fc.property(network, (net) => {
          const expected = compute(net, "reference", false);
          // Beyond this a factor could have been rounded to TF32.
          if (expected.flat().some((v) => Math.abs(v) > 2 ** 11)) return;
          inRange++;
          const actual = compute(net, "emulated", true);
          actual.forEach((values, k) => values.forEach((v, i) => assert(v === expected[k][i])));
          assert.equal(actual.length, expected.length);
        }),
        { numRuns: 30 },
      );
      assert(inRange > 10);
    });

  for (const name of Object.keys(networks))
    it(`take the very steps of ${name} that its kernels take one by one`, () => {
      load("always");
      const calls = train(name, "calls");
      assert.deepEqual(train(name, "program"), calls);
      load("always", true);
      assert.deepEqual(train(name, "program"), calls);
      load("never");
      assert.deepEqual(train(name, "program"), calls);
    });

  it("take the same steps, whichever of them are timed and whichever halt", () => {
    load("always");
    const steps = (timed: readonly number[], halted: readonly number[]) => {
      convnotes.manualSeed(1);
      const model = networks.lenet().to("emulated");
      const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1 });
      const images = (value: number) =>
        convnotes.fromData(new Float32Array(2 * 28 * 28).fill(value), [2, 1, 28, 28], "emulated");
      const [x, spoiled] = [images(0.5), images(NaN)];
      const labels = convnotes.tensor([3, 1], { dtype: "int64", device: "emulated" });
      const traced = convnotes.traceStep(model, optimizer, x, labels);
      const program = convnotes.backendOf("emulated").compile!(traced);
      const outputs = traced.outputs.map((t) =>
        convnotes.emptyTensor(t.shape, t.dtype, "emulated"),
      );
      for (let n = 0; n < 4; n++) {
        program.times = timed.includes(n) ? new Float64Array(program.calls.length) : null;
        if (halted.includes(n)) program.run([spoiled, labels], outputs, new Map());
        program.run([x, labels], outputs, new Map());
      }
      return [...model.stateDict()].map(([, t]) => Array.from(t.data, Number));
    };
    const plain = steps([], []);
    for (const timed of [[1], [0, 2]]) assert.deepEqual(steps(timed, []), plain);
    for (const halted of [[0], [2]]) assert.deepEqual(steps([], halted), plain);
  });

  it("copy no part of a concatenation of GoogLeNet, and show where parts lie", () => {
    load("always");
    const { create, inputShape } = convnotes.modelNamed("googlenet");
    const plan = planOf(create(), inputShape);
    assert.equal(count(plan, "concat", "narrow", "relu_backward_input"), 0);
    const evaluated = planOf(create().eval(), inputShape);
    assert.equal(count(evaluated, "concat"), 0);
    // Of nine blocks four parts each, forward and backward.
    assert.equal(plan.buffers.filter(({ gap = 0 }) => gap > 0).length, 72);
  });

  it("join what follows to what it follows", () => {
    load("always");
    const plan = planOf(branched(), [1, 28, 28]);
    // Every rectifier has a product, a sum or a batch normalisation before it.
    assert.equal(count(plan, "relu"), 0);
    // And its gradient what gives dy; of the inception block, that of all parts.
    assert.equal(count(plan, "relu_backward_input"), 0);
    // Parts are computed where they belong.
    assert.equal(count(plan, "concat", "narrow"), 0);
    // Residual sums, forward and backward, and those of paths that meet again.
    assert.equal(count(plan, "add"), 0);
    assert.equal(count(plan, "batch_norm_backward"), 4);
    const gradients = ["input", "weight", "bias"].map((name) => `batch_norm_backward_${name}`);
    assert.equal(count(plan, ...gradients), 0);
    // Updates stand together at the end, where one launch serves them all.
    const first = plan.calls.findIndex(({ kernel }) => kernel === "adam");
    assert.ok(plan.calls.slice(first).every(({ kernel }) => kernel === "adam"));
  });
});
