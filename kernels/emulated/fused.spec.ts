// # What follows other results, on the emulated device
//
// Activations, their gradients and sums that are fused into what rooms write (products have products.spec.ts),
// and the joint gradients of a batch normalisation: all must give the very bits of one operation after another.

import assert from "node:assert/strict";
import fc from "fast-check";
import * as convnotes from "convnotes";
import type { Primitive, Tensor } from "convnotes";
import { reals, valuesOf } from "../../spec/arbitraries.js";
import type { Law } from "../../spec/laws.js";
import { law as add } from "../../spec/ops/add.law.js";
import { law as adaptiveAvgPool2d } from "../../spec/ops/adaptive_avg_pool2d.law.js";
import { law as avgPool2d } from "../../spec/ops/avg_pool2d.law.js";
import { law as batchNorm } from "../../spec/ops/batch_norm.law.js";
import { law as dropout } from "../../spec/ops/dropout.law.js";
import { law as maxPool2d } from "../../spec/ops/max_pool2d.law.js";
import type { Case, Values } from "../../spec/values.js";
import { onEmulatedDevice, runKernel as run } from "./library.js";

describe("fused kernels on the emulated device", function () {
  this.timeout(120_000);
  this.slow(10_000);
  onEmulatedDevice(() => ({
    runReference: ({ name }: Primitive): never => {
      throw new RangeError(`${name} refuses`);
    },
  }));

  const onDevice = (v: Values | null): Tensor | null =>
    v && convnotes.fromData(Float32Array.from(v.data), v.shape, "emulated");

  const bits = (list: readonly (Tensor | null)[]) =>
    list.map((t) => t && Array.from(t.data, Number));

  const isFilled = ({ inputs, dy }: Case) => [...inputs, dy].every((v) => v?.data.length !== 0);

  const activations = ["relu", "sigmoid"] as const;

  // ## Gradients of activations

  /** Calls of kernels that can take a gate, with the shape of what they write. */
  const gated: readonly {
    readonly law: Law;
    readonly kernel: string;
    readonly inputs: (c: Case) => (Values | null)[];
    readonly shape: (c: Case) => readonly number[];
  }[] = [
    ...([maxPool2d, avgPool2d, adaptiveAvgPool2d, dropout] as Law[]).map((law) => ({
      law,
      kernel: `${law.stem}_backward_input`,
      inputs: ({ inputs, dy }: Case) => (law.stem === "max_pool2d" ? [dy, inputs[0]] : [dy]),
      shape: ({ inputs }: Case) => inputs[0]!.shape,
    })),
    {
      law: add,
      kernel: "add",
      inputs: ({ dy }) => [dy, dy],
      shape: ({ dy }) => dy!.shape,
    },
  ];

  for (const { law, kernel, inputs, shape } of gated)
    it(`${kernel} takes the gradients of activations as they would`, () => {
      const cases = law.real
        .filter(isFilled)
        .chain((c) => fc.tuple(fc.constant(c), valuesOf(shape(c), reals)));
      fc.assert(
        fc.property(cases, fc.constantFrom(...activations), ([c, y], activation) => {
          const [operands, gate] = [inputs(c).map(onDevice), onDevice(y)];
          const [dx] = run(kernel, operands, [shape(c)], c.options);
          const apart = run(`${activation}_backward_input`, [dx, gate], [shape(c)], {});
          const fused = run(kernel, [...operands, gate], [shape(c)], { ...c.options, activation });
          assert.deepEqual(bits(fused), bits(apart));
        }),
        { numRuns: 25 },
      );
    });

  it("add applies activations as they would", () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 });
    const pairs = shapes.chain((shape) => fc.tuple(valuesOf(shape, reals), valuesOf(shape, reals)));
    fc.assert(
      fc.property(pairs, fc.constantFrom(...activations), ([a, b], activation) => {
        const operands = [onDevice(a), onDevice(b)];
        const [sum] = run("add", operands, [a.shape], {});
        const apart = run(activation, [sum], [a.shape], {});
        assert.deepEqual(bits(run("add", operands, [a.shape], { activation })), bits(apart));
      }),
      { numRuns: 25 },
    );
  });

  it("max_pool2d drops what dropout would", () => {
    const masks = fc.record({
      p: fc.double({ min: 0, max: 1, noNaN: true }),
      ...{ seed: fc.nat(), step: fc.nat(), layer: fc.nat(9) },
    });
    fc.assert(
      fc.property((maxPool2d as Law).real.filter(isFilled), masks, (c, mask) => {
        const [operands, { shape }] = [c.inputs.map(onDevice), c.dy!];
        const [y] = run("max_pool2d", operands, [shape], c.options);
        const apart = run("dropout", [y], [shape], mask);
        const fused = run("max_pool2d", operands, [shape], { ...c.options, ...mask });
        assert.deepEqual(bits(fused), bits(apart));
      }),
      { numRuns: 25 },
    );
  });

  // ## Batch normalisation

  const norms = (batchNorm.real as fc.Arbitrary<Case>).chain((c) =>
    fc.tuple(fc.constant(c), valuesOf(c.inputs[0]!.shape, reals)),
  );

  it("batch_norm adds and applies activations as they would", () => {
    const wanted = fc.constantFrom(null, ...activations);
    fc.assert(
      fc.property(norms, wanted, fc.boolean(), ([c, other], activation, adds) => {
        const operands = c.inputs.map(onDevice);
        const [{ shape }, channels] = [c.inputs[0]!, [c.inputs[0]!.shape[1]]];
        const shapes = [shape, channels, channels];
        const [y, ...statistics] = run("batch_norm", operands, shapes, c.options);
        const addend = adds ? onDevice(other) : null;
        const sum = addend ? run("add", [y, addend], [shape], {})[0] : y;
        const last = activation ? run(activation, [sum], [shape], {})[0] : sum;
        const fused = run("batch_norm", [...operands, addend], shapes, {
          ...c.options,
          ...(activation && { activation }),
        });
        assert.deepEqual(bits(fused), bits([last, ...statistics]));
      }),
      { numRuns: 40 },
    );
  });

  it("batch_norm_backward gives all gradients that are asked for, as each kernel would", () => {
    const asked = fc.tuple(fc.boolean(), fc.boolean());
    fc.assert(
      fc.property(norms, asked, ([c], [weightToo, biasToo]) => {
        const [x, weight] = c.inputs.map(onDevice);
        const dy = onDevice(c.dy);
        const [shape, channels] = [c.inputs[0]!.shape, [c.inputs[0]!.shape[1]]];
        const { options } = c;
        const names = [channels, channels];
        const [, mean, variance] = run(
          "batch_norm",
          c.inputs.map(onDevice),
          [shape, ...names],
          options,
        );
        const apart = [
          ...run("batch_norm_backward_input", [dy, x, weight, mean, variance], [shape], options),
          ...(weightToo
            ? run("batch_norm_backward_weight", [dy, x, mean, variance], [channels], options)
            : [null]),
          ...(biasToo ? run("batch_norm_backward_bias", [dy], [channels], options) : [null]),
        ];
        const joint = run(
          "batch_norm_backward",
          [dy, x, weight, mean, variance],
          [shape, weightToo ? channels : null, biasToo ? channels : null],
          options,
        );
        assert.deepEqual(bits(joint), bits(apart));
      }),
      { numRuns: 40 },
    );
  });
});
