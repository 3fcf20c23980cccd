// # Statistics that products leave
//
// A convolution or a linear layer that leaves the parts of its result's statistics must leave the very bits that
// a batch normalisation finds in a pass of its own, whichever way the product goes, with results that are no numbers
// and with those that were computed again. And what comes of the parts must be as near to the formula as a channel
// far from 0 allows, which the law of the operation does not ask for.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import type { Primitive, Tensor } from "convnotes";
import { law as conv2d } from "../../spec/ops/conv2d.law.js";
import { law as linear } from "../../spec/ops/linear.law.js";
import { float32, gamma } from "../../spec/rounding.js";
import { seed } from "../../spec/seed.js";
import type { Law } from "../../spec/laws.js";
import type { Case, Shape, Values } from "../../spec/values.js";
import { type KernelOptions, loadKernels } from "../backend.js";
import { emulatedKernels, onEmulatedDevice, runKernel } from "./library.js";

const refusing = {
  runReference: ({ name }: Primitive): never => {
    throw new RangeError(`${name} refuses`);
  },
};

describe("statistics on the emulated device", function () {
  this.timeout(300_000);
  this.slow(10_000);
  onEmulatedDevice(() => refusing);
  const load = (options: KernelOptions) => loadKernels({ ...convnotes, ...refusing }, options);

  const onDevice = (v: Values | null): Tensor | null =>
    v && convnotes.fromData(Float32Array.from(v.data), v.shape, "emulated");
  const numbersOf = (t: Tensor | null) => t && Array.from(t.data, Number);

  const channelsOf = (shape: Shape) => shape[1];
  const partsShape = (shape: Shape): Shape => {
    const values = shape.reduce((product, d) => product * d, 1) / channelsOf(shape);
    return [channelsOf(shape), Math.ceil(values / 64), 4];
  };

  /** Result, mean, variance and running statistics of x, with parts that were left or without. */
  function normalise(x: Tensor | null, shape: Shape, parts: Tensor | null) {
    const channels = [channelsOf(shape)];
    const running = [convnotes.zeros, convnotes.ones].map((make) =>
      make(channels, { device: "emulated" }),
    );
    return runKernel(
      "batch_norm",
      [x, null, null, ...running, null, parts],
      [shape, channels, channels, channels, channels],
      { training: true },
    ).map(numbersOf);
  }

  /** A product that leaves parts, held to a batch normalisation that reads what it gave. */
  function compare({ stem }: { stem: string }, { inputs, options, dy }: Case, more: object = {}) {
    const { shape } = dy!;
    const operands = inputs.map(onDevice);
    const all = { ...options, ...more };
    const [alone] = runKernel(stem, operands, [shape], all);
    const [y, parts] = runKernel(stem, operands, [shape, partsShape(shape)], all);
    assert.deepEqual(numbersOf(y), numbersOf(alone));
    assert.deepEqual(normalise(y, shape, parts), normalise(y, shape, null));
  }

  const filled = (shape: Shape, a: number, b: number, ...strange: number[]): Values => {
    const number = (_: unknown, i: number) => ((i * a + ((i * b) >> 4)) % 7) - 3;
    const data = Array.from({ length: shape.reduce((n, d) => n * d, 1) }, number);
    strange.forEach((place, i) => (data[place] = [NaN, Infinity, -Infinity][i % 3]));
    return { shape, data };
  };
  /** Several tiles and parts, the last of each in part; infinite pixels at a border, whose results come again. */
  const products: readonly [{ stem: string }, Case][] = [
    [
      conv2d,
      {
        inputs: [
          filled([3, 5, 9, 11], 3, 5, 200),
          filled([70, 5, 3, 3], 5, 11),
          filled([70], 1, 2),
        ],
        ...{ options: { padding: 1 }, dy: filled([3, 70, 9, 11], 1, 1) },
      },
    ],
    [
      conv2d,
      {
        inputs: [filled([3, 4, 9, 9], 3, 5), filled([132, 2, 3, 3], 5, 11, 7), null],
        ...{ options: { padding: 1, groups: 2, stride: 2 }, dy: filled([3, 132, 5, 5], 1, 1) },
      },
    ],
    // Of weights that are infinite or none and meet nothing but zeros around the image: every result comes again.
    [
      conv2d,
      {
        inputs: [filled([40, 3, 1, 5], 3, 5), filled([6, 3, 3, 3], 5, 11, 27, 28, 34), null],
        ...{ options: { padding: 1 }, dy: filled([40, 6, 1, 5], 1, 1) },
      },
    ],
    // One channel: directly.
    [
      conv2d,
      {
        inputs: [
          filled([3, 1, 9, 11], 3, 5),
          filled([70, 1, 3, 3], 5, 11, 9, 19),
          filled([70], 1, 2),
        ],
        ...{ options: { padding: 1 }, dy: filled([3, 70, 9, 11], 1, 1) },
      },
    ],
    // One pixel in each image.
    [
      conv2d,
      {
        inputs: [filled([150, 3, 3, 3], 3, 5), filled([5, 3, 3, 3], 5, 11), null],
        ...{ options: {}, dy: filled([150, 5, 1, 1], 1, 1) },
      },
    ],
    // Of few terms, and of so many that they are split.
    ...[22, 600].map((K): [{ stem: string }, Case] => [
      linear,
      {
        inputs: [filled([150, K], 3, 5, 51), filled([70, K], 5, 11), filled([70], 1, 2)],
        ...{ options: {}, dy: filled([150, 70], 1, 1) },
      },
    ]),
  ];

  const ways = [
    "architecture=890 largeTiles=bySize warpgroups=bySize",
    "architecture=890 largeTiles=always warpgroups=bySize",
    "architecture=900 largeTiles=bySize warpgroups=always",
    "architecture=900 largeTiles=always warpgroups=always",
    "architecture=900 wideTiles=always warpgroups=always",
  ];
  const orders = [
    "order=forward asynchrony=eager",
    "order=reverse asynchrony=late",
    `order=random asynchrony=random seed=${seed}`,
  ];

  for (const way of ways)
    it(`are what a batch normalisation would find, by ${way}`, () => {
      orders.forEach((order, i) => {
        load({ precision: i === 1 ? "bf16" : "tf32", settings: `${order} ${way}` });
        for (const [law, c] of products) compare(law, c, i === 2 ? { activation: "relu" } : {});
      });
    });

  it("are so for products of any kind", () => {
    load({ precision: "fp32", settings: orders[0] });
    for (const law of [conv2d, linear] as Law[])
      fc.assert(
        fc.property(
          law.real.filter(
            ({ inputs, dy }) =>
              [...inputs, dy].every((v) => v?.data.length !== 0) &&
              (law.stem === "conv2d" || dy!.shape.length === 2),
          ),
          (c) => compare(law, c),
        ),
        { numRuns: 40 },
      );
  });

  it("are left without a race, an access out of bounds or a read of what nothing wrote", async () => {
    process.env.CONVNOTES_EMULATED = await emulatedKernels(true);
    for (const way of ways) {
      load({ precision: "tf32", settings: `${orders[2]} ${way}` });
      for (const [law, c] of products.slice(2)) compare(law, c);
    }
    process.env.CONVNOTES_EMULATED = await emulatedKernels();
    load({});
  });

  it("are refused in another shape, and in evaluation", () => {
    load({});
    const [x, w] = [filled([2, 3], 1, 1), filled([4, 3], 1, 1)].map(onDevice);
    assert.throws(
      () =>
        runKernel(
          "linear",
          [x, w],
          [
            [2, 4],
            [4, 2, 4],
          ],
          {},
        ),
      /linear refuses/,
    );
    const [y, parts] = runKernel(
      "linear",
      [x, w],
      [
        [2, 4],
        [4, 1, 4],
      ],
      {},
    );
    const running = convnotes.ones([4], { device: "emulated" });
    assert.throws(
      () =>
        runKernel(
          "batch_norm",
          [y, null, null, running, running, null, parts],
          [[2, 4], [4], [4]],
          {},
        ),
      /batch_norm refuses/,
    );
  });

  // ## Far from 0
  //
  // Whole numbers k with a large one added: their sum and that of their squares are exact in float64. A first mean
  // is off by δ ≤ γ₁₁·|mean|, several times the spread; what is left of it are roundings of deviations, and products
  // of them with δ (moments.h). Without the correction the variance would be off by δ² itself.

  const FAR = 2 ** 23;

  /** Mean, variance, and between which numbers all values lie. */
  function exact(values: readonly number[]) {
    const [n, k] = [values.length, values.map((x) => x - FAR)];
    const sum = k.reduce((a, b) => a + b, 0);
    const squares = k.reduce((a, b) => a + b * b, 0);
    return {
      ...{ mean: FAR + sum / n, variance: squares / n - (sum / n) ** 2 },
      width: Math.max(...k) - Math.min(...k),
    };
  }

  /** How far mean and variance may be from that. No value of a part is farther from its mean than `width`. */
  function bounds({ mean, variance, width }: ReturnType<typeof exact>) {
    const [delta, g] = [gamma(11, float32) * mean, gamma(13, float32)];
    const center = g * (width + delta);
    const squares = g * (variance + delta ** 2) + 2 * delta * center;
    // Σ n′ (c′ − c)² where each c′ is off by `center`, and Σ n′ |c′ − c| is at most n times the root of the variance.
    const joint = 2 * center * Math.sqrt(variance) + center ** 2;
    return {
      mean: center + float32.unit * mean,
      variance: squares + joint + float32.unit * variance,
    };
  }

  const far = fc
    .record({
      shape: fc.constantFrom([2, 3, 7, 9], [1, 2, 23, 53], [300, 3], [3, 2, 1, 40], [5, 2, 16, 16]),
      spread: fc.constantFrom(1, 3, 8),
    })
    .chain(({ shape, spread }) => {
      const length = shape.reduce((product: number, d) => product * d, 1);
      const numbers = fc.array(fc.nat(spread), { minLength: length, maxLength: length });
      return numbers.map((data): Values => ({ shape, data: data.map((k) => FAR + k) }));
    });

  /** Worst error ÷ bound of all channels. */
  function judge({ shape, data }: Values, mean: readonly number[], variance: readonly number[]) {
    const [N, C] = shape;
    const area = data.length / N / C;
    for (let c = 0; c < C; c++) {
      const values = data.filter((_, i) => Math.floor(i / area) % C === c);
      const [wanted, allowed] = [exact(values), bounds(exact(values))];
      const close = (value: number, expected: number, bound: number, what: string) =>
        assert.ok(
          Math.abs(value - expected) <= bound,
          `${what} of channel ${c} is ${value}, expected ${expected} ± ${bound}`,
        );
      close(mean[c], wanted.mean, allowed.mean, "the mean");
      close(variance[c], wanted.variance, allowed.variance, "the variance");
    }
  }

  it("are near to the formula far from 0, found or left", () => {
    load({ precision: "fp32", settings: orders[0] });
    fc.assert(
      fc.property(far, (x) => {
        const [, mean, variance] = normalise(onDevice(x), x.shape, null);
        judge(x, mean!, variance!);
        const [, channels] = x.shape;
        // Every channel by itself, so that a product gives x to the bit.
        const ones = { shape: [channels, 1, 1, 1], data: new Array<number>(channels).fill(1) };
        if (x.shape.length !== 4) return;
        const [y, parts] = runKernel(
          "conv2d",
          [x, ones].map(onDevice),
          [x.shape, partsShape(x.shape)],
          { groups: channels },
        );
        assert.deepEqual(numbersOf(y), x.data);
        const [, leftMean, leftVariance] = normalise(y, x.shape, parts);
        judge(x, leftMean!, leftVariance!);
      }),
      { numRuns: 25 },
    );
  });
});
