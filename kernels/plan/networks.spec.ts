// # Whole steps as programs
//
// Kernels are judged one by one; here what matters is that a program puts them together rightly: values
// that share memory, layouts, fusions, views, updates moved up. Networks drawn at random, with numbers
// so small that nothing can round, must be equal to the reference in every result and gradient. And the
// notes' networks must take the same step, to the bit, as operation by operation with the same kernels,
// and in shared memory as with memory of its own for every value.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { restoreKernels } from "../check/guarded.js";
import { type KernelOptions, loadKernels } from "../backend.js";
import type { Plan } from "./plan.js";

type Tensor = convnotes.Tensor;
const { add, concat, conv2d, flatten, linear, maxPool2d, noGrad, relu, sgd } = convnotes;

function load(options: KernelOptions): void {
  const status = loadKernels(convnotes, { threads: 2, grain: 0, poison: true, ...options });
  assert(status.available);
}

// ## Networks at random

const layers = [
  "conv",
  "strided",
  "relu",
  "pool",
  "dilated",
  "residual",
  "both",
  "branches",
  "share",
] as const;

const network = fc.record({
  images: fc.integer({ min: 1, max: 36 }),
  size: fc.integer({ min: 3, max: 6 }),
  channels: fc.integer({ min: 1, max: 3 }),
  layers: fc.array(fc.constantFrom(...layers), { minLength: 1, maxLength: 5 }),
  update: fc.boolean(),
  numbers: fc.array(fc.integer({ min: -1, max: 1 }), { minLength: 40, maxLength: 80 }),
});

type Network = typeof network extends fc.Arbitrary<infer T> ? T : never;

/**
 * The results: scores, the gradient of the images, and that of each weight; or, with an update, each
 * weight after a step.
 */
function compute(net: Network, device: string, asProgram: boolean): number[][] {
  let drawn = 0;
  const next = () => net.numbers[drawn++ % net.numbers.length];
  const leaf = (shape: number[]) => {
    const t = convnotes.zeros(shape, { device, requiresGrad: true });
    for (let i = 0; i < t.size; i++) t.data[i] = next();
    return t;
  };
  // Weights are drawn while the layers are made, once for both ways of running them.
  const leaves: Tensor[] = [];
  const weight = (...shape: number[]) => {
    leaves.push(leaf(shape));
    return leaves[leaves.length - 1];
  };
  let shape = [net.channels, net.size, net.size];
  const steps: ((x: Tensor) => Tensor)[] = [];
  const conv = (inC: number, outC: number, k: number, stride: number) => {
    const [w, b] = [weight(outC, inC, k, k), next() > 0 ? weight(outC) : null];
    return (x: Tensor) => conv2d(x, w, b, { stride, padding: k >> 1 });
  };
  for (const layer of net.layers) {
    const [C, H, W] = shape;
    if (layer === "conv") {
      steps.push(conv(C, 2, 3, 1));
      shape = [2, H, W];
    } else if (layer === "strided") {
      steps.push(conv(C, 3, 3, 2));
      shape = [3, (H + 1) >> 1, (W + 1) >> 1];
    } else if (layer === "relu") steps.push((x) => relu(x));
    else if (layer === "pool" && H >= 2) {
      steps.push((x) => maxPool2d(x, { kernelSize: 2, stride: 1 }));
      shape = [C, H - 1, W - 1];
    } else if (layer === "dilated" && H >= 3) {
      // Windows do not begin in the order of the pixels that they see, and an activation waits for them.
      const options = { kernelSize: 4, stride: 1, padding: 2, dilation: 2 };
      steps.push((x) => maxPool2d(relu(x), options));
      shape = [C, H - 2, W - 2];
    } else if (layer === "residual") {
      const inner = conv(C, C, 3, 1);
      steps.push((x) => relu(add(inner(x), x)));
    } else if (layer === "both") {
      // What an activation reads is read by another as well.
      const inner = conv(C, C, 3, 1);
      steps.push((x) => {
        const y = inner(x);
        return add(relu(y), y);
      });
    } else if (layer === "branches") {
      const [a, b] = [conv(C, 1, 1, 1), conv(C, 2, 3, 1)];
      steps.push((x) => concat([relu(a(x)), b(x), x], { dim: 1 }));
      shape = [C + 3, H, W];
    } else if (layer === "share") {
      // The same weight twice: its gradients are added up.
      const same = conv(C, C, 1, 1);
      steps.push((x) => same(relu(same(x))));
    }
  }
  const head = weight(2, shape[0] * shape[1] * shape[2]);
  const x = leaf([net.images, net.channels, net.size, net.size]);
  const dy = leaf([net.images, 2]).detach();
  const step = () => {
    const scores = linear(
      flatten(
        steps.reduce((t, f) => f(t), x),
        { startDim: 1, endDim: -1 },
      ),
      head,
      null,
    );
    scores.backward(dy);
    const gradients = leaves.flatMap((t) => (t.grad ? [t.grad] : []));
    if (!net.update) return [scores, x.grad!, ...gradients];
    noGrad(() => {
      leaves.forEach((t, i) => {
        const momentum = i % 2 === 0 ? 0.5 : 0;
        const buffer = momentum > 0 ? convnotes.zeros(t.shape, { device }) : null;
        if (t.grad) sgd(t, t.grad, buffer, { lr: 0.5, momentum, first: true });
      });
    });
    return [scores, x.grad!];
  };
  const numbers = (results: readonly Tensor[]) =>
    [...results, ...(net.update ? leaves : [])].map((t) => Array.from(t.data, Number));
  if (!asProgram) return numbers(step());
  const { graph, result } = convnotes.trace(() => convnotes.uncomputed(step));
  const program = convnotes.backendOf(device).compile!({ graph, inputs: [x, dy], outputs: result });
  program.run([x, dy], result, new Map());
  return numbers(result);
}

describe("programs of networks", () => {
  after(restoreKernels);

  for (const rewrite of ["always", "never"] as const)
    it(`are equal to the reference where nothing rounds, rewritten ${rewrite}`, () => {
      load({ rewrite });
      let inRange = 0;
      fc.assert(
        fc.property(network, (net) => {
          const expected = compute(net, "reference", false);
          // Beyond this a sum could have rounded on the way.
          if (expected.flat().some((v) => Math.abs(v) > 2 ** 20)) return;
          inRange++;
          const actual = compute(net, "cpu", true);
          actual.forEach((values, k) => values.forEach((v, i) => assert(v === expected[k][i])));
          assert.equal(actual.length, expected.length);
        }),
        { numRuns: 60 },
      );
      assert(inRange > 30);
    });
});

// ## The notes' networks

/** A step on made-up images: the loss, and all parameters and statistics after it. */
function trainStep(name: string, images: number, asProgram: boolean): Buffer[] {
  const entry = convnotes.modelNamed(name);
  convnotes.manualSeed(1);
  const model = entry.create();
  const [C, H, W] = entry.inputShape;
  const x = convnotes.zeros([images, C, H, W]);
  for (let i = 0; i < x.size; i++) x.data[i] = ((i * 7919) % 256) / 256;
  const labels = convnotes.fromData(
    BigInt64Array.from({ length: images }, (_, i) => BigInt(i % 10)),
  );
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const step = new convnotes.TrainingStep(model, optimizer, "cpu");
  const losses = [1, 2].map((n) => {
    convnotes.dropoutState.setStep(n);
    if (asProgram) {
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
  return [Float64Array.from(losses), ...[...model.stateDict()].map(([, t]) => t.data)].map(
    ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength),
  );
}

const sameBits = (a: readonly Buffer[], b: readonly Buffer[]) =>
  assert(a.length === b.length && a.every((bits, i) => bits.equals(b[i])));

describe("programs of the notes' networks", () => {
  after(restoreKernels);

  const sizes: Record<string, number> = { lenet: 33, lenet_bn: 17, notes_example: 20 };
  for (const { name } of convnotes.models) {
    const images = sizes[name] ?? 2;
    it(`${name} takes the very step that its operations take one by one`, () => {
      load({ rewrite: "never" });
      sameBits(trainStep(name, images, true), trainStep(name, images, false));
    });

    it(`${name} takes the same step in shared memory as in memory of its own`, () => {
      load({ rewrite: "always" });
      const shared = trainStep(name, images, true);
      load({ rewrite: "always", apart: true });
      sameBits(trainStep(name, images, true), shared);
    });
  }

  it("needs hardly more memory than is alive at once", () => {
    load({});
    for (const { name, create, inputShape } of convnotes.models) {
      const model = create();
      const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01 });
      const images = sizes[name] ?? 16;
      const [x, labels] = [
        convnotes.zeros([images, ...inputShape]),
        convnotes.fromData(new BigInt64Array(images)),
      ];
      const step = convnotes.traceStep(model, optimizer, x, labels);
      const program = convnotes.backendOf("cpu").compile!(step);
      const { arenaBytes, lowerBoundBytes } = program.plan as Plan;
      assert(arenaBytes <= 1.02 * lowerBoundBytes, `${name}: ${arenaBytes / lowerBoundBytes}`);
    }
  });
});
