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
import { compute, network } from "./drawn.js";
import type { Plan } from "./plan.js";

function load(options: KernelOptions): void {
  const status = loadKernels(convnotes, { threads: 2, grain: 0, poison: true, ...options });
  assert(status.available);
}

// ## Networks at random

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

  for (const { name } of convnotes.models)
    it(`${name} takes the same step, to the bit, whenever as many threads take it`, () => {
      // More than this machine may have at once: they come in any order.
      const options = { rewrite: "always", threads: 3 } as const;
      load(options);
      const once = trainStep(name, sizes[name] ?? 2, true);
      load(options);
      sameBits(trainStep(name, sizes[name] ?? 2, true), once);
    });

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
