// # Slices on the emulated device
//
// Every kernel that takes slices, before the law of its operation: as a program that cuts what it reads out of a
// larger tensor and puts what it writes into one, beside numbers that are none. And whole networks of
// concatenations, which must give the very bits that kernels give one by one.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { reals, valuesOf } from "../../spec/arbitraries.js";
import { type Law, operationOf } from "../../spec/laws.js";
import { law as adaptiveAvgPool2d } from "../../spec/ops/adaptive_avg_pool2d.law.js";
import { law as add } from "../../spec/ops/add.law.js";
import { law as avgPool2d } from "../../spec/ops/avg_pool2d.law.js";
import { law as batchNorm } from "../../spec/ops/batch_norm.law.js";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { law as maxPool2d } from "../../spec/ops/max_pool2d.law.js";
import { law as relu } from "../../spec/ops/relu.law.js";
import { law as sigmoid } from "../../spec/ops/sigmoid.law.js";
import { law as tanh } from "../../spec/ops/tanh.law.js";
import { float32, tf32 } from "../../spec/rounding.js";
import type { Case, Values } from "../../spec/values.js";
import { loadKernels } from "../backend.js";
import { judge } from "../check/judge.js";
import type { GpuAddon } from "../gpu.js";
import { partedNetwork, stepOf } from "../plan/drawn_parts.js";
import type { Plan } from "../plan/plan.js";
import type { HostProgram } from "../plan/program.js";
import { onEmulatedDevice } from "./library.js";

type Tensor = convnotes.Tensor;

/** Channels of others before and behind those that are meant. */
interface Around {
  readonly before: number;
  readonly behind: number;
}

const around: fc.Arbitrary<Around> = fc.record({
  before: fc.integer({ min: 0, max: 3 }),
  behind: fc.integer({ min: 1, max: 3 }),
});

/** As a run of channels of a larger tensor, all else of which is NaN. */
function widened({ shape, data }: Values, { before, behind }: Around): Values {
  const [N, C, ...rest] = shape;
  const area = rest.reduce((product, d) => product * d, 1);
  const image = (before + C + behind) * area;
  const wide = new Array<number>(N * image).fill(NaN);
  data.forEach(
    (v, i) => (wide[Math.floor(i / (C * area)) * image + before * area + (i % (C * area))] = v),
  );
  return { shape: [N, before + C + behind, ...rest], data: wide };
}

/** The run again. */
function inner(t: Tensor, C: number, { before, behind }: Around): Values {
  const [N, all, ...rest] = t.shape;
  assert.equal(all, before + C + behind);
  const area = rest.reduce((product, d) => product * d, 1);
  const data = Array.from({ length: N * C * area }, (_, i) =>
    Number(t.data[Math.floor(i / (C * area)) * all * area + before * area + (i % (C * area))]),
  );
  return { shape: [N, C, ...rest], data };
}

const tensorOf = ({ shape, data }: Values): Tensor =>
  convnotes.fromData(Float32Array.from(data), shape, "emulated");

describe("slices on the emulated device", function () {
  this.timeout(300_000);
  this.slow(10_000);
  onEmulatedDevice();

  const load = (
    settings = "order=forward asynchrony=eager",
    rewrite: "always" | "never" = "always",
  ) => assert(loadKernels(convnotes, { rewrite, poison: true, settings }).available);

  /** By kernel, how often it was given a slice, or gave one. */
  const sliced = new Map<string, number>();

  /** What `execute` of judge.ts gives, by a program in which the images are slices. */
  function executeInSlices(law: Law, c: Case, [reads, writes]: readonly [Around, Around]) {
    const op = operationOf(convnotes, law.stem);
    const { inputs, outputs: names } = op.primitives[0];
    const nameOf = (i: number) => inputs[i].replace(/\?$/, "");
    /** Whether an input is images. */
    const isImages = (i: number) => i === 0 || law.stem === "add";
    const leaves = c.inputs.map((v, i) => {
      const t = v && tensorOf(isImages(i) ? widened(v, reads) : v);
      if (t && law.gradients?.[nameOf(i)]) t.requiresGrad = true;
      return t;
    });
    const one = tensorOf({ shape: [1], data: [1] });
    const [N, C, ...rest] = c.dy!.shape;
    const others = [writes.before, writes.behind].map((count) =>
      tensorOf(widened({ shape: [N, 0, ...rest], data: [] }, { before: count, behind: 0 })),
    );
    const dy = tensorOf(widened(c.dy!, writes));
    const { graph, result } = convnotes.trace(() =>
      convnotes.uncomputed(() => {
        const operands = leaves.map((t, i) => {
          if (t === null || !isImages(i)) return t;
          const length = c.inputs[i]!.shape[1];
          return convnotes.narrow(convnotes.mul(t, one), { dim: 1, start: reads.before, length });
        });
        const results = op.all(...operands, c.options);
        const y = results[names[0]]!;
        const parts = [others[0], y, others[1]].filter((t) => t.size > 0);
        const whole = convnotes.mul(convnotes.concat(parts, { dim: 1 }), one);
        if (law.gradients) whole.backward(dy);
        const rests = names.slice(1).map((name) => results[name] ?? null);
        return { outputs: [whole, ...rests], gradients: leaves.map((t) => t?.grad ?? null) };
      }),
    );
    const { outputs, gradients } = result;
    const wanted = [...outputs, ...gradients].filter((t) => t !== null);
    const traced = { graph, inputs: [], outputs: wanted };
    const program = convnotes.backendOf("emulated").compile!(traced);
    program.run([], wanted, new Map());
    const { buffers, calls } = program.plan as Plan;
    for (const { kernel, inputs, outputs } of calls)
      for (const [what, list] of [
        ["reads", inputs],
        ["writes", outputs],
      ] as const)
        for (const b of list) {
          if (b === null || !(buffers[b].gap ?? 0)) continue;
          const key = `${kernel} ${what}`;
          sliced.set(key, (sliced.get(key) ?? 0) + 1);
        }
    const read = (t: Tensor): Values => ({ shape: t.shape, data: Array.from(t.data, Number) });
    return {
      names,
      outputs: outputs.map((t, k) => t && (k === 0 ? inner(t, C, writes) : read(t))),
      gradients: gradients.flatMap((t, index) => {
        if (t === null) return [];
        const value = isImages(index) ? inner(t, c.inputs[index]!.shape[1], reads) : read(t);
        return [{ name: nameOf(index), index, value }];
      }),
    };
  }

  const isFilled = ({ inputs, dy }: Case) => [...inputs, dy].every((v) => v?.data.length !== 0);
  const hasChannels = ({ inputs: [x], dy }: Case) =>
    x!.shape.length > 1 && dy!.shape.length === x!.shape.length;
  const isAlike = ({ inputs, dy }: Case) =>
    [...inputs, dy].every((v) => v!.shape.join() === dy!.shape.join());

  /** Of an activation in front of a concatenation, the gradient is that of the whole, which is no slice. */
  const laws: readonly { readonly law: Law; readonly gradients: readonly string[] }[] = [
    { law: conv2d, gradients: ["_input", "_weight", "_bias"] },
    { law: batchNorm, gradients: [""] },
    ...([maxPool2d, avgPool2d, adaptiveAvgPool2d, tanh] as Law[]).map((law) => ({
      law,
      gradients: ["_input"],
    })),
    ...([relu, sigmoid, add] as Law[]).map((law) => ({ law, gradients: [] })),
  ];

  for (const { law, gradients } of laws) {
    const { stem } = law;
    it(`${stem} keeps the law where its images lie apart`, () => {
      const cases = (all: fc.Arbitrary<Case>) =>
        all.filter((c) => isFilled(c) && hasChannels(c) && (stem !== "add" || isAlike(c)));
      const run = (exactly: boolean) => (c: Case, of: readonly [Around, Around]) =>
        judge(
          law,
          c,
          exactly ? null : stem === "conv2d" ? tf32 : float32,
          undefined,
          (law: Law, c: Case) => executeInSlices(law, c, of),
        );
      for (const settings of [
        "order=forward asynchrony=eager",
        "order=random asynchrony=random seed=11",
      ]) {
        load(settings);
        const pairs = fc.tuple(around, around);
        fc.assert(fc.property(cases(law.real), pairs, run(false)), { numRuns: 25 });
        if (typeof law.exact !== "string")
          fc.assert(fc.property(cases(law.exact), pairs, run(true)), { numRuns: 25 });
      }
      const count = (what: string) => sliced.get(what) ?? 0;
      assert(count(`${stem} reads`) > 10 && count(`${stem} writes`) > 10);
      for (const of of gradients) assert(count(`${stem}_backward${of} reads`) > 10, of);
    });
  }

  // ## Every way of a convolution
  //
  // As in products.spec.ts; with pixels that are infinite, so that results have to be computed again where they
  // lie, and images of one channel, which have a way of their own.

  const ways = {
    "mma.sync, small tiles": "architecture=890 largeTiles=bySize warpgroups=bySize",
    "mma.sync, large tiles": "architecture=890 largeTiles=always warpgroups=bySize",
    "wgmma, small tiles": "architecture=900 largeTiles=bySize warpgroups=always",
    "wgmma, large tiles": "architecture=900 largeTiles=always warpgroups=always",
    "wgmma, wide tiles": "architecture=900 wideTiles=always warpgroups=always",
  };

  const oneChannel: fc.Arbitrary<Case> = fc
    .record({
      ...{ n: fc.integer({ min: 1, max: 3 }), out: fc.integer({ min: 1, max: 5 }) },
      ...{ taps: fc.constantFrom(3, 5), height: fc.integer({ min: 3, max: 6 }) },
      ...{ width: fc.integer({ min: 3, max: 6 }), stride: fc.constantFrom(1, 2) },
    })
    .chain(({ n, out, taps, height, width, stride }) => {
      const padding = taps >> 1;
      const places = (size: number) => Math.floor((size - 1) / stride) + 1;
      return fc.record({
        inputs: fc.tuple(
          valuesOf([n, 1, height, width], reals),
          valuesOf([out, 1, taps, taps], reals),
          fc.constant(null),
        ),
        options: fc.constant({ stride, padding }),
        dy: valuesOf([n, out, places(height), places(width)], reals),
      });
    });

  /** With a pixel that is infinite, or without. */
  const spoiled = (cases: fc.Arbitrary<Case>) =>
    fc.tuple(cases, fc.option(fc.nat())).map(([c, place]): Case => {
      if (place === null) return c;
      const [x, ...others] = c.inputs;
      const data = [...x!.data];
      data[place % data.length] = Infinity;
      return { ...c, inputs: [{ ...x!, data }, ...others] };
    });

  for (const [way, settings] of Object.entries(ways))
    it(`conv2d gives the same bits in slices by ${way}`, () => {
      const real = (conv2d as Law).real.filter(isFilled);
      const run = (c: Case, rewrite: "always" | "never", of: readonly [Around, Around]) => {
        load(`order=random asynchrony=random seed=5 ${settings}`, rewrite);
        return executeInSlices(conv2d, c, of);
      };
      const before = sliced.get("conv2d writes") ?? 0;
      fc.assert(
        fc.property(spoiled(fc.oneof(real, oneChannel)), around, around, (c, reads, writes) => {
          const of = [reads, writes] as const;
          assert.deepEqual(run(c, "always", of), run(c, "never", of));
        }),
        { numRuns: 25 },
      );
      assert((sliced.get("conv2d writes") ?? 0) > before + 10);
    });

  // ## What is refused

  it("are refused where they do not lie in the arena, are bound, or no kernel takes them", () => {
    const place = `${process.platform}-${process.arch}`;
    const { Gpu, GpuProgram, Program } = createRequire(import.meta.url)(
      join(import.meta.dirname, "..", "build", place, "convnotes.node"),
    ) as GpuAddon & { Program: HostProgram };
    const gpu = new Gpu(process.env.CONVNOTES_EMULATED!, 0);
    const float = { dtype: "float32", shape: [2, 3] };
    /** A program of one call, from a place to a slice of 28 bytes. */
    const description = (kernel: string, to: object, more: object = {}) => ({
      ...{ arenaBytes: 128, guard: null, poison: false },
      places: [
        { ...float, offset: 0 },
        { ...float, offset: 64, ...to },
      ],
      steps: [{ kernel, inputs: [0], outputs: [1], options: {}, varying: [], ...more }],
    });
    const make = (to: object, kernel = "relu", more: object = {}) =>
      new GpuProgram(gpu, description(kernel, to, more));
    make({ first: 1, gap: 1 });
    // Six numbers of 4 bytes: what is before them and between two images has to fit into 64.
    make({ first: 10 });
    make({ gap: 10 });
    assert.throws(() => make({ first: 11 }), /lies outside the arena/);
    assert.throws(() => make({ gap: 11 }), /lies outside the arena/);
    assert.throws(() => make({ gap: 2 ** 40 }), /gap between images is too large/);
    for (const wrong of [-1, 0.5, NaN, "1", 2 ** 41, null]) {
      assert.throws(() => make({ first: wrong }), /first must be a whole number/);
      assert.throws(() => make({ gap: wrong }), /gap must be a whole number/);
    }
    assert.throws(() => make({ gap: 1, shape: [] }), /gap between images is too large/);
    assert.throws(() => make({ bound: 0, gap: 1 }), /bound as a whole/);
    const softmax = { options: { dim: 1 } };
    make({}, "softmax", softmax);
    assert.throws(() => make({ gap: 1 }, "softmax", softmax), /output 0 is a slice/);
    assert.throws(() => new Program(description("relu", { gap: 1 })), /is a slice/);
  });

  // ## Networks

  it("give the very bits of kernels one by one, in every order", () => {
    const bits = (tensors: readonly Tensor[]) =>
      tensors.map(({ data }) => Array.from(data, Number));
    let copies = 0;
    fc.assert(
      fc.property(partedNetwork, fc.integer({ min: 1, max: 1e6 }), (net, seed) => {
        load();
        const expected = bits(stepOf(net, "emulated").run());
        for (const settings of [
          "order=reverse asynchrony=late",
          `order=random asynchrony=random seed=${seed}`,
        ]) {
          load(settings);
          const { run, inputs } = stepOf(net, "emulated");
          const { graph, result } = convnotes.trace(() => convnotes.uncomputed(run));
          const traced = { graph, inputs, outputs: result };
          const program = convnotes.backendOf("emulated").compile!(traced);
          program.run(inputs, result, new Map());
          assert.deepEqual(bits(result), expected);
          const { calls } = program.plan as Plan;
          copies += calls.filter(({ kernel }) => kernel === "concat" || kernel === "narrow").length;
        }
      }),
      { numRuns: 30 },
    );
    assert(copies > 0);
  });
});
