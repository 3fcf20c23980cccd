// # What verification notices
//
// A check that finds nothing proves little before it has been seen to find something. Calls of every
// operation are judged as training would have them judged, in part, and right ones pass; then faults of
// the kinds that kernels have are put into their results, and each must be noticed.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { operationOf, rooms } from "../../spec/laws.js";
import { seed } from "../../spec/seed.js";
import { dataOf } from "../../spec/values.js";
import { loadKernels } from "../backend.js";
import { judgeCall, type KernelCall } from "./call.js";
import { cutCall, drawCut, type Held } from "./cut.js";
import { detection } from "./detection.js";
import { instructionSets, restoreKernels } from "./guarded.js";
import { laws } from "./laws.js";
import { Sampler, VerificationError } from "./sampler.js";
import { verifyKernels, verifyModel } from "./verify.js";

type Tensor = convnotes.Tensor;

const namesOf = (stem: string) => operationOf(convnotes, stem).primitives[0];

const heldOf = (t: Tensor | null): Held | null =>
  t && { data: t.data, shape: t.shape, layout: "plain" };

/** A call of `stem`'s forward on the reference, as it lies in memory. */
function callOf(stem: string, inputs: readonly (Tensor | null)[], options: object) {
  const op = operationOf(convnotes, stem);
  const [primitive] = op.primitives;
  const results = op.all(...inputs, options);
  const outputs = primitive.outputs.map((name) => results[name]);
  return { primitive, inputs: inputs.map(heldOf), outputs: outputs.map(heldOf), options, path: "" };
}

/** A convolution with as many images and channels as make cutting worth its while. */
function convolution(): ReturnType<typeof callOf> {
  convnotes.manualSeed(seed);
  const at = { device: "reference" };
  const x = convnotes.randn([5, 4, 9, 7], at);
  const w = convnotes.randn([6, 4, 3, 3], at);
  return callOf("conv2d", [x, w, convnotes.randn([6], at)], { padding: [1, 1], stride: [2, 1] });
}

/** Whether a sampler that looks often enough notices. */
function isNoticed(call: ReturnType<typeof callOf>): boolean {
  const sampler = new Sampler({ share: 1, seed });
  try {
    for (let look = 0; look < 400; look++) sampler.judge(call, namesOf);
    return false;
  } catch (error) {
    assert.ok(error instanceof VerificationError, String(error));
    return true;
  }
}

describe("verification", function () {
  this.timeout(60_000);

  it("knows the law of every operation", () => {
    assert.deepEqual(
      laws.map((law) => law.stem).sort(),
      rooms()
        .map((law) => law.stem)
        .filter((stem) => stem !== "reshape")
        .sort(),
    );
  });

  for (const law of laws)
    it(`passes right calls of ${law.stem}, whole and in part, and notices a wrong element`, () => {
      const op = operationOf(convnotes, law.stem);
      const [primitive] = op.primitives;
      const isList = primitive.inputs[0].startsWith("...");
      let noticed = 0;
      fc.assert(
        fc.property(law.real, fc.nat(), (c, start) => {
          const tensors = c.inputs.map(
            (v) => v && convnotes.fromData(dataOf(v, Float32Array), v.shape, "reference"),
          );
          const inputs = tensors.map((t) => heldOf(t && t.clone()));
          const results = isList ? op.all(tensors, c.options) : op.all(...tensors, c.options);
          const outputs = primitive.outputs.map((name) => heldOf(results[name]));
          let state = start;
          const random = () => ((state = (state * 16807 + 11) % 2147483647), state / 2147483647);
          const shapes = (list: readonly (Held | null)[]) => list.map((t) => t && t.shape);
          const cut = drawCut(law.stem, shapes(inputs), shapes(outputs), c.options, random);
          const parts = cutCall(law.stem, inputs, outputs, cut, []);
          const call: KernelCall = { primitive, ...parts, options: c.options };
          for (const verdict of judgeCall(call, namesOf))
            assert.equal(verdict.violation, undefined);

          const [first] = parts.outputs;
          if (first === null || first.data.length === 0) return;
          const place = start % first.data.length;
          const wrong = first.data.map((v, i) => (i === place ? v * 3 + 1e30 : v));
          const faulty = {
            ...call,
            outputs: [{ ...first, data: wrong }, ...parts.outputs.slice(1)],
          };
          const [verdict] = judgeCall(faulty, namesOf);
          if (verdict.violation !== undefined) noticed++;
        }),
        { numRuns: 40 },
      );
      assert.ok(noticed > 0, "no wrong element was noticed");
    });

  // ## Faults that kernels have

  it("passes a right convolution", () => assert.equal(isNoticed(convolution()), false));

  const spoiled = (change: (y: Float32Array, shape: readonly number[]) => void) => {
    const call = convolution();
    const [y] = call.outputs;
    const data = Float32Array.from(y!.data as Float32Array);
    change(data, y!.shape);
    return { ...call, outputs: [{ ...y!, data }] };
  };
  const faults: Readonly<Record<string, () => ReturnType<typeof callOf>>> = {
    "a last row that was left out": () =>
      spoiled((y, [, , H, W]) => {
        for (let i = 0; i < y.length; i++) if (Math.floor(i / W) % H === H - 1) y[i] = 0;
      }),
    "a tile whose edge is shifted by one": () =>
      spoiled((y, [, , , W]) => {
        for (let i = 0; i < y.length; i++) if (i % W === W - 1) y[i] = y[i - 1];
      }),
    "a buffer of the call before": () => spoiled((y) => y.copyWithin(0, y.length / 2)),
    "an element that nobody wrote": () => spoiled((y) => (y[y.length - 1] = NaN)),
    "inputs cut to TF32": () => {
      const call = convolution();
      // The truth is computed from the numbers as they were; the kernel saw 10 bits of them.
      const rough = call.inputs.map((t, k) => {
        if (t === null || k === 2) return t;
        const data = Float32Array.from(t.data as Float32Array);
        const bits = new Uint32Array(data.buffer);
        bits.forEach((b, i) => (bits[i] = b & 0xffffe000));
        return { ...t, data };
      });
      const [x, w, bias] = rough.map((t) =>
        convnotes.fromData(t!.data as Float32Array, t!.shape, "reference"),
      );
      return { ...call, outputs: callOf("conv2d", [x, w, bias], call.options).outputs };
    },
    "two sums that ran into one another": () =>
      spoiled((y) => {
        y[3] += y[4];
      }),
  };
  for (const [fault, make] of Object.entries(faults))
    it(`notices ${fault}`, () => assert.ok(isNoticed(make())));

  // ## Long sums

  it("notices a dropped product the more often the narrower the bound is", () => {
    for (const isa of instructionSets()) {
      loadKernels(convnotes, { isa });
      const seen = detection(4608, 512);
      assert.equal(seen.falseAlarms, 0);
      assert.equal(seen.onWholeNumbers, 1);
      assert.ok(seen.inChunks > 0.6 && seen.byAdditions < 0.5, JSON.stringify(seen));
    }
    restoreKernels();
  });

  // ## On this machine

  const here = instructionSets();
  const needs = here.length > 0 ? it : it.skip;

  needs("certifies every kernel", () => {
    const certificate = verifyKernels({ device: "cpu", seed, runs: 20 });
    assert.deepEqual(
      certificate.operations.filter((seen) => seen.failure !== undefined),
      [],
    );
    assert.ok(certificate.passed);
    assert.equal(certificate.operations.length, laws.length);
    assert.ok(certificate.operations.some((seen) => seen.worst > 0.1));
  });

  for (const model of ["lenet", "lenet_bn"])
    needs(`looks at the calls of ${model} as they are fused, and finds them right`, () => {
      const options = { device: "cpu", model, batch: 17, seed, steps: 300, milliseconds: 20_000 };
      const certificate = verifyModel(options);
      assert.deepEqual(certificate.unchecked, []);
      assert.ok(certificate.passed, JSON.stringify(certificate.operations.at(-1)));
      const seen = new Set(certificate.operations.map(({ operation }) => operation));
      for (const operation of ["conv2d", "conv2d_backward_weight", "linear", "adam"])
        assert.ok(seen.has(operation), `${operation} was not looked at`);
    });

  for (const momentum of [0, 0.9])
    needs(`looks at an update within its gradient, with momentum ${momentum}`, () => {
      const sampler = new Sampler({ share: 1, seed });
      loadKernels(convnotes, { sampler, rewrite: "always" });
      try {
        const net = new convnotes.nn.Linear(9, 10);
        const optimizer = new convnotes.optim.SGD(net.parameters(), { lr: 0.1, momentum });
        const step = new convnotes.TrainingStep(net, optimizer, "cpu");
        const labels = convnotes.fromData(BigInt64Array.of(3n, 1n, 4n));
        for (let i = 0; i < 60; i++) step.run(convnotes.randn([3, 9]), labels);
        assert.equal(step.reason, null);
        assert.deepEqual([...sampler.unchecked], []);
        assert.ok(sampler.tallies.get("linear_backward_weight")!.calls > 0);
      } finally {
        restoreKernels();
      }
    });

  needs("ends a step with a wrong result, and says where and what", () => {
    // A law that takes the kernels' own results for wrong: no rounding is allowed at all.
    const sampler = new Sampler({ share: 1, seed });
    const judge = sampler.judge.bind(sampler);
    sampler.judge = (call, names) => {
      const [first] = call.outputs;
      const isConv = call.primitive.name === "conv2d";
      const data = Float32Array.from(first!.data as Float32Array, (v) => (isConv ? v + 1 : v));
      judge({ ...call, outputs: [{ ...first!, data }, ...call.outputs.slice(1)] }, names);
    };
    loadKernels(convnotes, { sampler });
    try {
      const net = new convnotes.LeNet();
      const step = new convnotes.TrainingStep(
        net,
        new convnotes.optim.SGD(net.parameters()),
        "cpu",
      );
      const [x, y] = [convnotes.randn([4, 1, 28, 28]), convnotes.fromData(new BigInt64Array(4))];
      assert.throws(
        () => {
          for (let i = 0; i < 200; i++) step.run(x, y);
        },
        (error) => {
          assert.ok(error instanceof VerificationError);
          assert.match(
            error.message,
            /^conv2d in net\.\d: y\[.*\] is .*, but the formula gives .* ± /,
          );
          assert.ok("inputs" in error.replay);
          return true;
        },
      );
    } finally {
      restoreKernels();
    }
  });
});
