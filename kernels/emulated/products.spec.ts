// # Products and what follows them, on the emulated device
//
// What no single operation asks of conv2d and linear: activations, their gradients and sums fused into
// what is written, which must give the very bits of one operation after another; and shapes that are large
// enough for the large tiles.

import assert from "node:assert/strict";
import fc from "fast-check";
import * as convnotes from "convnotes";
import type { Primitive, Tensor } from "convnotes";
import { reals, valuesOf } from "../../spec/arbitraries.js";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { law as linear } from "../../spec/ops/linear.law.js";
import type { Case, Shape, Values } from "../../spec/values.js";
import { loadKernels } from "../backend.js";
import { restoreKernels } from "../check/guarded.js";
import { buildEmulated } from "./build.js";

describe("products on the emulated device", function () {
  this.timeout(120_000);
  this.slow(10_000);
  const library = process.env.CONVNOTES_EMULATED;
  before(async () => {
    const sources = ["all.cu", "library.cu"].map((name) => `kernels/cuda/${name}`);
    process.env.CONVNOTES_EMULATED = await buildEmulated({
      ...{ name: "kernels", sources, checks: false, library: true },
    });
    const runReference = ({ name }: Primitive): never => {
      throw new RangeError(`${name} refuses`);
    };
    loadKernels({ ...convnotes, runReference });
  });
  after(() => {
    if (library === undefined) delete process.env.CONVNOTES_EMULATED;
    else process.env.CONVNOTES_EMULATED = library;
    restoreKernels();
  });

  const tensorOf = (v: Values): Tensor =>
    convnotes.fromData(Float32Array.from(v.data), v.shape, "emulated");

  /** The result of a kernel, by its name alone. */
  function run(name: string, inputs: readonly (Values | null)[], shape: Shape, options: object) {
    const y = convnotes.zeros(shape, { device: "emulated" });
    const primitive = { name, inputs: inputs.map(() => "") } as unknown as Primitive;
    const operands = inputs.map((v) => v && tensorOf(v));
    convnotes.backendOf("emulated").run(primitive, operands, [y], options);
    return { shape, data: Array.from(y.data as Float32Array) };
  }

  /** A case, a tensor to add and a result of an activation, of the shape of the output or of the input. */
  const drawn = (cases: fc.Arbitrary<Case>, of: (c: Case) => Shape) =>
    cases
      .filter(({ inputs, dy }) => [...inputs, dy].every((v) => v?.data.length !== 0))
      .chain((c) =>
        fc.record({
          c: fc.constant(c),
          addend: fc.option(valuesOf(of(c), reals)),
          gate: valuesOf(of(c), reals),
        }),
      );

  for (const law of [conv2d, linear])
    for (const activation of ["relu", "sigmoid"] as const) {
      it(`${law.stem} adds and applies ${activation} as ${activation} and add would`, () => {
        fc.assert(
          fc.property(
            drawn(law.real, (c) => c.dy!.shape),
            ({ c, addend }) => {
              const { shape } = c.dy!;
              const fused = run(law.stem, [...c.inputs, addend], shape, {
                ...c.options,
                activation,
              });
              let y = run(law.stem, c.inputs, shape, c.options);
              if (addend) y = run("add", [y, addend], shape, {});
              assert.deepEqual(fused, run(activation, [y], shape, {}));
            },
          ),
          { numRuns: 40 },
        );
      });

      it(`${law.stem}'s gradient adds and passes ${activation} as their gradients would`, () => {
        fc.assert(
          fc.property(
            drawn(law.real, (c) => c.inputs[0]!.shape),
            ({ c: { inputs, dy, options }, addend, gate }) => {
              const [{ shape }, w] = inputs as [Values, Values];
              const name = `${law.stem}_backward_input`;
              const fused = run(name, [dy, w, gate, addend], shape, { ...options, activation });
              let dx = run(name, [dy, w], shape, options);
              if (addend) dx = run("add", [dx, addend], shape, {});
              const wanted = run(`${activation}_backward_input`, [dx, gate], shape, {});
              assert.deepEqual(fused, wanted);
              if (!addend) return;
              assert.deepEqual(run(name, [dy, w, null, addend], shape, options), dx);
            },
          ),
          { numRuns: 40 },
        );
      });
    }

  const ones = (...shape: number[]): Values => ({
    shape,
    data: new Array<number>(shape.reduce((n, d) => n * d, 1)).fill(1),
  });

  it("refuses what it does not know, and what the host's kernels do not do", () => {
    const [x, w] = [ones(2, 3), ones(4, 3)];
    const refuses = (inputs: readonly Values[], options: object, device = "emulated") =>
      assert.throws(
        () =>
          device === "cpu"
            ? convnotes
                .backendOf("cpu")
                .run(
                  { name: "linear", inputs: ["", ""] } as unknown as Primitive,
                  [convnotes.ones([2, 3]), convnotes.ones([4, 3])],
                  [convnotes.ones([2, 4])],
                  options,
                )
            : run("linear", inputs, [2, 4], options),
        /linear refuses/,
      );
    refuses([x, w], { activation: "tanh" });
    refuses([x, w, ones(4), ones(2, 5)], {});
    refuses([x, w], { activation: "relu" }, "cpu");
  });

  // Numbers so small that every sum is exact; a tile of 128 × 128 is taken where 256 of them are filled.
  const some = (a: number, b: number) => (i: number) => ((i * a + ((i * b) >> 4)) % 7) - 3;
  const filled = (shape: Shape, number: (i: number) => number): Values => ({
    shape,
    data: Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => number(i)),
  });

  it("multiplies by large tiles", () => {
    const [rows, K, columns] = [16 * 128 - 3, 19, 16 * 128 - 65];
    const [a, b] = [filled([rows, K], some(3, 5)), filled([columns, K], some(5, 11))];
    const bias = filled([columns], some(1, 2));
    const y = run("linear", [a, b, bias], [rows, columns], { activation: "relu" });
    y.data.forEach((value, i) => {
      const [m, n] = [Math.floor(i / columns), i % columns];
      let sum = bias.data[n];
      for (let k = 0; k < K; k++) sum += a.data[m * K + k] * b.data[n * K + k];
      if (value !== Math.max(sum, 0)) assert.fail(`y[${m}, ${n}] is ${value}, not ${sum}`);
    });
  });

  it("convolves by large tiles", () => {
    const [N, C, O, size] = [65, 2, 130, 16];
    const [x, w] = [filled([N, C, size, size], some(3, 5)), filled([O, C, 3, 3], some(5, 11))];
    const y = run("conv2d", [x, w, null], [N, O, size, size], { padding: 1 });
    const at = (n: number, c: number, i: number, j: number) =>
      i < 0 || j < 0 || i >= size || j >= size ? 0 : x.data[((n * C + c) * size + i) * size + j];
    y.data.forEach((value, k) => {
      const [n, o] = [Math.floor(k / size / size / O), Math.floor(k / size / size) % O];
      const [i, j] = [Math.floor(k / size) % size, k % size];
      let sum = 0;
      for (let c = 0; c < C; c++)
        for (let a = 0; a < 3; a++)
          for (let b = 0; b < 3; b++)
            sum += w.data[((o * C + c) * 3 + a) * 3 + b] * at(n, c, i + a - 1, j + b - 1);
      if (value !== sum) assert.fail(`y[${n}, ${o}, ${i}, ${j}] is ${value}, not ${sum}`);
    });
  });
});
