// # Every CUDA kernel on the emulated device
//
// The kernels of `cuda/`, compiled for the emulated device, before the laws: with TF32 factors and without,
// threads and blocks in their usual order and in random ones, asynchronous copies early and late.

import assert from "node:assert/strict";
import fc from "fast-check";
import * as convnotes from "convnotes";
import type { Law } from "../../spec/laws.js";
import { float32, tf32 } from "../../spec/rounding.js";
import { loadKernels } from "../backend.js";
import { executeOn, judge } from "../check/judge.js";
import { laws } from "../check/laws.js";
import { onEmulatedDevice } from "./library.js";

/** Sums of products, for which tensor cores are used. */
const products = ["conv2d", "linear", "matmul"];

const onDevice = executeOn("emulated");

describe("CUDA kernels, emulated", function () {
  this.timeout(300_000);
  this.slow(10_000);
  onEmulatedDevice();

  /** Lets `emulated` compute with kernels, and with nothing else. */
  function begin(precision: "tf32" | "fp32", settings: string): Set<string> {
    const ran = new Set<string>();
    const status = loadKernels(
      {
        ...convnotes,
        runReference: (primitive, inputs, outputs, options) => {
          // There is nothing to compute where there is nothing.
          if (![...inputs, ...outputs].some((t) => t?.size === 0))
            throw new Error(`${primitive.name} has no kernel for these tensors`);
          convnotes.runReference(primitive, inputs, outputs, options);
        },
      },
      { precision, settings },
    );
    assert(status.available);
    const backend = convnotes.backendOf("emulated");
    convnotes.registerBackend({
      ...backend,
      run(primitive, ...rest) {
        ran.add(primitive.name);
        backend.run(primitive, ...rest);
      },
    });
    return ran;
  }

  const hold = (law: Law, runs: number, precision: "tf32" | "fp32") => {
    const rounded = precision === "tf32" && products.includes(law.stem) ? tf32 : float32;
    if (typeof law.exact !== "string")
      fc.assert(
        fc.property(law.exact, (c) => judge(law, c, null, undefined, onDevice)),
        { numRuns: runs },
      );
    fc.assert(
      fc.property(law.real, (c) => judge(law, c, rounded, undefined, onDevice)),
      { numRuns: runs },
    );
  };

  for (const law of laws)
    it(`${law.stem} keeps the law, rounded to TF32 and not`, () => {
      for (const precision of ["tf32", "fp32"] as const) {
        // Only products know the difference.
        if (precision === "fp32" && !products.includes(law.stem)) continue;
        const ran = begin(precision, "order=forward asynchrony=eager");
        hold(law, 25, precision);
        assert(ran.has(law.stem), `no kernel ran for ${law.stem}`);
      }
    });

  for (const law of laws)
    it(`${law.stem} gives the same bits in every order of threads`, () => {
      const results = (c: Parameters<typeof onDevice>[1], settings: string) => {
        begin("tf32", settings);
        return onDevice(law, c);
      };
      fc.assert(
        fc.property(law.real, fc.integer({ min: 1, max: 1e6 }), (c, seed) => {
          const usual = results(c, "order=forward asynchrony=eager");
          for (const settings of [
            "order=reverse asynchrony=late",
            `order=random asynchrony=random seed=${seed}`,
          ])
            assert.deepEqual(results(c, settings), usual);
        }),
        { numRuns: 5 },
      );
    });

  it("batch_norm keeps the law in channels of several parts, far from 0", () => {
    const noise = fc.integer({ min: -512, max: 512 }).map((k) => k / 512);
    const shapes = fc.constantFrom([2, 2, 37, 41], [1, 3, 2200], [300, 3]);
    const filled = (shape: readonly number[], numbers: fc.Arbitrary<number>) => {
      const length = shape.reduce((product, d) => product * d, 1);
      return fc.infiniteStream(numbers).map((from) => ({ shape, data: [...from.take(length)] }));
    };
    const cases = shapes.chain((shape) =>
      fc.record({
        inputs: fc
          .tuple(filled(shape, noise), fc.constantFrom(0, 1, -100, 3e4))
          .map(([{ data }, far]) => [
            { shape, data: data.map((v) => Math.fround(v + far)) },
            ...new Array<null>(4).fill(null),
          ]),
        options: fc.constant({ training: true }),
        dy: filled(shape, noise),
      }),
    );
    begin("tf32", "order=forward asynchrony=eager");
    const law = laws.find(({ stem }) => stem === "batch_norm")!;
    fc.assert(
      fc.property(cases, (c) => judge(law, c, float32, undefined, onDevice)),
      { numRuns: 10 },
    );
  });
});
