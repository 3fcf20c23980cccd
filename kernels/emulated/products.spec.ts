// # Products and what follows them, on the emulated device
//
// What no single operation asks of conv2d and linear: activations, their gradients and sums fused into
// what is written, which must give the very bits of one operation after another; and every way that a product
// may go on a GPU, whatever its size.

import assert from "node:assert/strict";
import fc from "fast-check";
import * as convnotes from "convnotes";
import type { Primitive, Tensor } from "convnotes";
import { integers, reals, valuesOf } from "../../spec/arbitraries.js";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { law as linear } from "../../spec/ops/linear.law.js";
import { law as matmul } from "../../spec/ops/matmul.law.js";
import { type Arithmetic, arithmeticWith, float32 } from "../../spec/rounding.js";
import { seed } from "../../spec/seed.js";
import type { Law } from "../../spec/laws.js";
import type { Case, Shape, Values } from "../../spec/values.js";
import { type KernelOptions, loadKernels } from "../backend.js";
import { restoreKernels } from "../check/guarded.js";
import { executeOn, judge } from "../check/judge.js";
import { emulatedKernels } from "./library.js";

const onDevice = executeOn("emulated");

describe("products on the emulated device", function () {
  this.timeout(300_000);
  this.slow(10_000);
  const library = process.env.CONVNOTES_EMULATED;
  const load = (options: KernelOptions) => {
    const runReference: typeof convnotes.runReference = (primitive, inputs, outputs, settings) => {
      // There is nothing to compute where there is nothing.
      if (![...inputs, ...outputs].some((t) => t?.size === 0))
        throw new RangeError(`${primitive.name} refuses`);
      convnotes.runReference(primitive, inputs, outputs, settings);
    };
    loadKernels({ ...convnotes, runReference }, options);
  };
  before(async () => {
    process.env.CONVNOTES_EMULATED = await emulatedKernels();
    load({});
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

  // ## Dropout

  const masks = fc.record({
    p: fc.oneof(
      fc.constantFrom(0, 0.5, 1, 1 - 2 ** -40),
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    ...{ step: fc.integer({ min: 0, max: 2 ** 32 - 1 }), layer: fc.nat(9) },
  });
  const strange = fc.oneof(
    { weight: 5, arbitrary: reals },
    { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
  );
  const perhaps = fc.constantFrom(null, "relu", "sigmoid");
  type Mask = typeof masks extends fc.Arbitrary<infer T> ? T : never;

  /** A product, what is added and an activation, and then dropout, in one kernel and in several. */
  function dropsForward(law: Law, c: Case, addend: Values | null, name: string | null, mask: Mask) {
    const { shape } = c.dy!;
    const fused = run(law.stem, [...c.inputs, addend], shape, {
      ...{ ...c.options, ...mask },
      ...(name && { activation: name }),
    });
    let y = run(law.stem, c.inputs, shape, c.options);
    if (addend) y = run("add", [y, addend], shape, {});
    if (name) y = run(name, [y], shape, {});
    assert.deepEqual(fused, run("dropout", [y], shape, mask));
    return y;
  }

  /** The gradients: of the product, of dropout behind what is added, and of an activation with result `y`. */
  function dropsBackward(
    law: Law,
    { inputs, dy, options }: Case,
    addend: Values | null,
    [name, y]: readonly [string | null, Values],
    mask: Mask,
  ): void {
    const [{ shape }, w] = inputs as [Values, Values];
    const kernel = `${law.stem}_backward_input`;
    const before = run(kernel, [dy, w, null, addend], shape, options);
    const dropped = run("dropout_backward_input", [before], shape, mask);
    const wanted = name ? run(`${name}_backward_input`, [dropped, y], shape, {}) : dropped;
    const fused = (gate: Values | null, how: object) =>
      run(kernel, [dy, w, gate, addend], shape, {
        ...{ ...options, ...mask, ...how },
        ...(name && { activation: name }),
      });
    assert.deepEqual(fused(name === null ? null : y, {}), wanted);
    if (name !== "relu") return;
    // What dropout gave tells as much as what it took, even of what is no number.
    const d = run("dropout", [y], shape, mask);
    assert.deepEqual(fused(d, {}), wanted);
    assert.deepEqual(fused(d, { dropped: true }), wanted);
  }

  for (const law of [conv2d, linear] as Law[]) {
    it(`${law.stem} drops what dropout would`, () => {
      fc.assert(
        fc.property(
          drawn(law.real, (c) => c.dy!.shape),
          ...[perhaps, masks],
          ({ c, addend }, name, mask) => void dropsForward(law, c, addend, name, mask),
        ),
        { numRuns: 40 },
      );
    });

    it(`${law.stem}'s gradient drops what dropout's would, before that of an activation`, () => {
      const cases = drawn(law.real, (c) => c.inputs[0]!.shape).chain((all) =>
        fc.record({
          all: fc.constant(all),
          y: valuesOf(all.c.inputs[0]!.shape, strange),
        }),
      );
      fc.assert(
        fc.property(cases, perhaps, masks, ({ all: { c, addend }, y }, name, mask) => {
          dropsBackward(law, c, addend, [name, y], mask);
        }),
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
    refuses([x, w], { p: 0.5, seed: 1, step: 0, layer: 0, dropped: true });
    refuses([x, w], { p: 0.5, seed: 1, step: 0, layer: -1 });
  });

  // ## Ways
  //
  // A product goes by mma.sync or by wgmma, in small tiles or in large ones, as its sizes and the GPU have it.
  // Here each way is taken whatever the size.

  const ways: Readonly<Record<string, string>> = {
    "mma.sync, small tiles": "architecture=890 largeTiles=bySize warpgroups=bySize",
    "mma.sync, large tiles": "architecture=890 largeTiles=always warpgroups=bySize",
    "wgmma, small tiles": "architecture=900 largeTiles=bySize warpgroups=always",
    "wgmma, large tiles": "architecture=900 largeTiles=always warpgroups=always",
    "wgmma, wide tiles": "architecture=900 wideTiles=always warpgroups=always",
  };
  const usual = "order=forward asynchrony=eager";
  const late = "order=reverse asynchrony=late";
  const random = `order=random asynchrony=random seed=${seed}`;

  for (const [way, settings] of Object.entries(ways))
    for (const precision of ["tf32", "bf16"] as const)
      it(`keeps the laws by ${way}, in ${precision}`, () => {
        load({ precision, settings: `${usual} ${settings}` });
        for (const law of [conv2d, linear, matmul] as Law[]) {
          const hold = (cases: fc.Arbitrary<Case>, a: Arithmetic | null) => {
            fc.assert(
              fc.property(cases, (c) => judge(law, c, a, undefined, onDevice)),
              { numRuns: 15 },
            );
          };
          assert(typeof law.exact !== "string");
          hold(law.exact, null);
          hold(law.real, arithmeticWith[precision]);
        }
      });

  // Numbers so small that every sum is exact, whatever the precision; sizes that fill several tiles and stages,
  // and the last of each in part.
  const filled = (shape: Shape, a: number, b: number): Values => {
    const number = (_: unknown, i: number) => ((i * a + ((i * b) >> 4)) % 7) - 3;
    return { shape, data: Array.from({ length: shape.reduce((n, d) => n * d, 1) }, number) };
  };
  type Numbers = readonly number[];
  const compare = (y: Numbers, wanted: Numbers) => {
    y.forEach((value, i) => {
      if (value !== wanted[i]) assert.fail(`number ${i} is ${value}, not ${wanted[i]}`);
    });
  };
  const sum = (count: number, term: (k: number) => number) => {
    let total = 0;
    for (let k = 0; k < count; k++) total += term(k);
    return total;
  };

  function multiply() {
    const [rows, K, columns] = [131, 150, 200];
    const [x, w] = [filled([rows, K], 3, 5), filled([columns, K], 5, 11)];
    const [bias, dy] = [filled([columns], 1, 2), filled([rows, columns], 2, 7)];
    const y = Array.from({ length: rows * columns }, (_, i) => {
      const [m, n] = [Math.floor(i / columns), i % columns];
      return Math.max(bias.data[n] + sum(K, (k) => x.data[m * K + k] * w.data[n * K + k]), 0);
    });
    compare(run("linear", [x, w, bias], [rows, columns], { activation: "relu" }).data, y);
    const dx = Array.from({ length: rows * K }, (_, i) => {
      const [m, k] = [Math.floor(i / K), i % K];
      return sum(columns, (n) => dy.data[m * columns + n] * w.data[n * K + k]);
    });
    compare(run("linear_backward_input", [dy, w], [rows, K], {}).data, dx);
    const dw = Array.from({ length: columns * K }, (_, i) => {
      const [n, k] = [Math.floor(i / K), i % K];
      return sum(rows, (m) => dy.data[m * columns + n] * x.data[m * K + k]);
    });
    compare(run("linear_backward_weight", [dy, x], [columns, K], {}).data, dw);
  }

  function convolve(groups: number) {
    const [N, c, o, size] = [3, 18, 66, 9];
    const [C, O] = [c * groups, o * groups];
    const x = filled([N, C, size, size], 3, 5);
    const [w, dy] = [filled([O, c, 3, 3], 5, 11), filled([N, O, size, size], 2, 7)];
    const inside = (i: number) => i >= 0 && i < size;
    const at = ({ data }: Values, plane: number, i: number, j: number) =>
      inside(i) && inside(j) ? data[(plane * size + i) * size + j] : 0;
    const each = (planes: number, of: (plane: number, i: number, j: number) => number) =>
      Array.from({ length: planes * size * size }, (_, k) =>
        of(Math.floor(k / size / size), Math.floor(k / size) % size, k % size),
      );
    const tap = (t: number) => [Math.floor((t % 9) / 3) - 1, (t % 3) - 1] as const;
    const y = each(N * O, (plane, i, j) => {
      const [n, k] = [Math.floor(plane / O), plane % O];
      const first = n * C + Math.floor(k / o) * c;
      return sum(c * 9, (t) => {
        const [a, b] = tap(t);
        return w.data[k * c * 9 + t] * at(x, first + Math.floor(t / 9), i + a, j + b);
      });
    });
    const options = { padding: 1, groups };
    compare(run("conv2d", [x, w, null], dy.shape, options).data, y);
    const dx = each(N * C, (plane, i, j) => {
      const [n, channel] = [Math.floor(plane / C), plane % C];
      const group = Math.floor(channel / c);
      return sum(o * 9, (t) => {
        const k = group * o + Math.floor(t / 9);
        const [a, b] = tap(t);
        const weight = w.data[(k * c + (channel % c)) * 9 + (t % 9)];
        return weight * at(dy, n * O + k, i - a, j - b);
      });
    });
    compare(run("conv2d_backward_input", [dy, w], x.shape, options).data, dx);
    const dw = Array.from({ length: O * c * 9 }, (_, k) => {
      const [out, t] = [Math.floor(k / c / 9), k % (c * 9)];
      const [a, b] = tap(t);
      const channel = Math.floor(out / o) * c + Math.floor(t / 9);
      return sum(N * size * size, (place) => {
        const [n, i, j] = [Math.floor(place / 81), Math.floor(place / 9) % 9, place % 9];
        return at(dy, n * O + out, i, j) * at(x, n * C + channel, i + a, j + b);
      });
    });
    compare(run("conv2d_backward_weight", [dy, x], w.shape, options).data, dw);
  }

  // The first layer's way: forward, of one channel, by 9 or 25 taps.
  for (const precision of ["tf32", "fp32"] as const)
    it(`keeps the law where images have one channel, in ${precision}`, () => {
      load({ precision, settings: usual });
      const shapes = fc.record({
        ...{ n: fc.integer({ min: 1, max: 3 }), out: fc.integer({ min: 1, max: 70 }) },
        ...{ kernel: fc.constantFrom([3, 3], [5, 5], [1, 9]), groups: fc.constantFrom(1, 2) },
        ...{ size: fc.constantFrom([9, 9], [11, 14]), bias: fc.boolean() },
        stride: fc.constantFrom(1, 2, 3),
        padding: fc.constantFrom(0, 1, 4),
      });
      const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<convnotes.Conv2dOptions>> =>
        shapes.chain(({ n, out, kernel, groups, size, bias, stride, padding }) =>
          fc.record({
            inputs: fc.tuple(
              valuesOf([n, groups, ...size], numbers),
              valuesOf([out * groups, 1, ...kernel], numbers),
              bias ? valuesOf([out * groups], numbers) : fc.constant(null),
            ),
            options: fc.constant({ stride, padding, groups }),
            dy: fc.constant(null),
          }),
        );
      const hold = (drawn: ReturnType<typeof cases>, a: Arithmetic | null) => {
        fc.assert(
          fc.property(drawn, (c) => judge(conv2d, c, a, undefined, onDevice)),
          { numRuns: 25 },
        );
      };
      hold(cases(integers), null);
      // Whatever the others do, this way rounds no factor.
      hold(cases(reals), float32);
    });

  for (const [way, settings] of Object.entries(ways))
    it(`multiplies and convolves by ${way}, in every order`, () => {
      for (const order of [usual, late, random])
        for (const precision of ["tf32", "bf16"] as const) {
          load({ precision, settings: `${order} ${settings}` });
          multiply();
          convolve(order === usual ? 2 : 1);
        }
    });

  /** Products of several tiles, with numbers that are infinite and none. */
  function drop(name: string | null) {
    const spoiled = (v: Values, ...places: Numbers): Values => {
      const data = [...v.data];
      places.forEach((place, i) => (data[place] = [NaN, Infinity, -Infinity][i % 3]));
      return { ...v, data };
    };
    const mask = { p: 0.4, seed: 0x9e3779b97f4a7c15n, step: 3, layer: 2 };
    // Of so many terms that they are split.
    const [rows, K, columns] = [131, 300, 70];
    const matrix = {
      inputs: [spoiled(filled([rows, K], 3, 5), 50, 100, 150), filled([columns, K], 5, 11)],
      ...{ options: {}, dy: spoiled(filled([rows, columns], 2, 7), 300, 600, 900) },
    };
    const [N, c, o, size] = [3, 18, 66, 9];
    const images = {
      inputs: [spoiled(filled([N, c, size, size], 3, 5), 10, 400), filled([o, c, 3, 3], 5, 11)],
      ...{ options: { padding: 1 }, dy: spoiled(filled([N, o, size, size], 2, 7), 99, 5000) },
    };
    const grey = {
      inputs: [spoiled(filled([2, 1, 9, 11], 3, 5), 60, 99), filled([70, 1, 3, 3], 5, 11)],
      ...{ options: { padding: 1 }, dy: filled([2, 70, 9, 11], 2, 7) },
    };
    for (const [law, { inputs, ...rest }] of [
      [linear, matrix] as const,
      [conv2d, images] as const,
      [conv2d, grey] as const,
    ]) {
      dropsForward(law, { inputs: [...inputs, null], ...rest }, null, name, mask);
      const y = spoiled(filled(inputs[0].shape, 1, 3), 7, 77, 100);
      dropsBackward(law, { inputs, ...rest }, null, [name, y], mask);
    }
  }

  for (const [way, settings] of Object.entries(ways))
    it(`drops by ${way}, in every order`, () => {
      [usual, late, random].forEach((order, i) => {
        load({ precision: i === 1 ? "bf16" : "tf32", settings: `${order} ${settings}` });
        drop([null, "relu", "sigmoid"][i]);
        drop("relu");
      });
    });

  it("does so without a race, an access out of bounds or a read of what nothing wrote", async () => {
    process.env.CONVNOTES_EMULATED = await emulatedKernels(true);
    for (const [i, settings] of Object.values(ways).entries()) {
      load({ precision: i % 2 === 0 ? "tf32" : "bf16", settings: `${random} ${settings}` });
      assert.match(convnotes.backendOf("emulated").describe!().name, /checking every access/);
      multiply();
      convolve(1);
      drop("relu");
    }
  });

  it("takes the precision that the environment asks for, and refuses what is none", () => {
    try {
      process.env.CONVNOTES_PRECISION = "bf16";
      load({});
      assert.equal(convnotes.backendOf("emulated").describe!().factors, "bf16");
      process.env.CONVNOTES_PRECISION = "fp16";
      load({});
      assert.throws(
        () => convnotes.backendOf("emulated"),
        /CONVNOTES_PRECISION is "fp16"; it can be tf32, bf16, fp32/,
      );
    } finally {
      delete process.env.CONVNOTES_PRECISION;
    }
  });

  it("refuses BF16 where tensor cores do not have it", () => {
    load({ precision: "bf16", settings: "architecture=750" });
    assert.throws(
      () => run("relu", [ones(2)], [2], {}),
      /bf16 needs a GPU of compute capability 8.0/,
    );
  });
});
