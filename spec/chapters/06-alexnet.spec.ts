// # AlexNet: the tests
//
// Dropout is random: what must hold for every mask is held exactly, and the expectation within a
// bound that a right implementation leaves once in a thousand million tests. The network is traced
// as it is; what is run is its part before the dense layers, on a small image.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  AlexNet,
  dropoutState,
  manualSeed,
  maxPool2d,
  nn,
  noGrad,
  relu,
  ShapeError,
  sigmoid,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { bothFloat64, gamma } from "../rounding.js";
import { build, equal, forAll, integers, numbers, same, whole, within } from "./cases.js";
import { expectRun, expectShown, total } from "./evidence.js";
import type { Layer } from "./fields.js";
import { closedModel, expectTraced } from "./networks.js";
import { meanBound } from "./statistics.js";
import { statement } from "./statement.js";

const onMeta = (): AlexNet => withDevice("meta", () => new AlexNet());

/** `x`, its result, and its gradient for `dy`. */
function gradientOf(x: Tensor, dy: Tensor, f: (x: Tensor) => Tensor): Tensor {
  x.requiresGrad = true;
  f(x).backward(dy);
  return x.grad!;
}

/** The function applied so many times. */
const repeated = (f: (x: Tensor) => Tensor, times: number) => (x: Tensor) => {
  for (let i = 0; i < times; i++) x = f(x);
  return x;
};

// ## Windows along one axis

const places = (size: number, { kernel, stride, padding }: Layer): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

type Interval = readonly [low: number, high: number];

/** The sizes from which a window makes one of those sizes, by the statement. */
const before = ([low, high]: Interval, { kernel: k, stride: s, padding: p }: Layer): Interval => [
  s * (low - 1) + k - 2 * p,
  s * high + k - 2 * p - 1,
];

/** The windows of the network, first to last. */
const windows = (): Layer[] => closedModel("alexnet").layers.flatMap(({ window }) => window ?? []);

// ## Dropout

const probabilities = fc.constantFrom(0.25, 0.5, 0.75);

const training = (p: number, seed: number): nn.Dropout => {
  manualSeed(seed);
  return new nn.Dropout(p);
};

describe("06 AlexNet", () => {
  const values = fc.tuple(integers([2, 5]), integers([2, 5]));

  statement("alexnet-relu", "passes positive numbers and their gradients, and nothing else", () => {
    forAll([values], ([x, dy]) => {
      const [xs, dys] = [numbers(x), numbers(dy)];
      const like = (at: (i: number) => number) => build(x.shape, (row, j) => at(row * 5 + j));
      equal(
        relu(x),
        like((i) => Math.max(0, xs[i])),
      );
      equal(
        gradientOf(x, dy, relu),
        like((i) => (xs[i] > 0 ? dys[i] : 0)),
      );
    });
  });

  statement("alexnet-relu", "does in ten layers what it does in one; sigmoids do not", () => {
    forAll([values], ([x, dy]) => {
      const fresh = () => build(x.shape, (row, j) => numbers(x)[row * 5 + j]);
      equal(repeated(relu, 10)(x), relu(x));
      equal(gradientOf(fresh(), dy, repeated(relu, 10)), gradientOf(fresh(), dy, relu));
      const faded = numbers(gradientOf(fresh(), dy, repeated(sigmoid, 10)));
      numbers(dy).forEach((d, i) => assert.ok(Math.abs(faded[i]) <= Math.abs(d) / 4 ** 10));
    });
  });

  statement("alexnet-overlap", "sees each row as often as the formula says", () => {
    forAll([whole(3, 20)], (height) => {
      const count = Math.floor((height - 3) / 2) + 1;
      for (let i = 0; i < height; i++) {
        const bright = build([1, 1, height, 3], (_, __, row) => (row === i ? 1 : 0));
        const y = maxPool2d(bright, { kernelSize: 3, stride: 2 });
        assert.deepEqual(y.shape, [1, 1, count, 1]);
        const seen = numbers(y).filter((v) => v === 1).length;
        assert.equal(seen, i > 2 * count ? 0 : i % 2 === 0 && i > 0 && i < 2 * count ? 2 : 1);
      }
    });
  });

  statement("alexnet-overlap", "forgets a row three times in the network", () => {
    const pools = closedModel("alexnet").layers.filter((l) => l.module === "MaxPool2d");
    assert.equal(pools.length, 3);
    for (const { input, output, window } of pools) {
      assert.deepEqual([window!.kernel, window!.stride, window!.padding], [3, 2, 0]);
      const x = zeros([1, 1, input[1], input[2]]);
      const settings = { kernelSize: 3, stride: 2 };
      assert.deepEqual(maxPool2d(x, settings).shape.slice(2), output.slice(1));
      const up = maxPool2d(x, { ...settings, ceilMode: true }).shape[2];
      assert.equal(up, output[1] + 1);
      expectShown("alexnet-overlap", input[1], output[1], up);
    }
  });

  statement("dropout", "multiplies by 0 or by 1/(1 − p), values and gradients alike", () => {
    forAll([whole(0, 2 ** 31), probabilities, integers([8])], (seed, p, dy) => {
      const x = build([8], (i) => i + 1);
      x.requiresGrad = true;
      const y = training(p, seed).call(x);
      y.backward(dy);
      const [ys, dxs, dys] = [numbers(y), numbers(x.grad!), numbers(dy)];
      ys.forEach((value, i) => {
        const factor = value === 0 ? 0 : 1 / (1 - p);
        // One rounding each for 1 − p, its reciprocal and the product.
        const off = gamma(3, bothFloat64) * factor;
        within(value, (i + 1) * factor, off * (i + 1), "value");
        within(dxs[i], dys[i] * factor, off * Math.abs(dys[i]), "gradient");
      });
    });
  });

  statement("dropout", "keeps the expectation of each element, over many steps", () => {
    forAll(
      [whole(0, 2 ** 31), probabilities, integers([4])],
      (seed, p, x) => {
        const layer = training(p, seed);
        const steps = 1000;
        const sums = [0, 0, 0, 0];
        for (let step = 0; step < steps; step++) {
          dropoutState.setStep(step);
          numbers(layer.call(x)).forEach((value, i) => (sums[i] += value));
        }
        numbers(x).forEach((value, i) => {
          // What is added up may be off by rounding, which is far below the bound.
          const bound = meanBound(steps, Math.abs(value) / (1 - p));
          within(sums[i] / steps, value, bound, `mean of element ${i}`);
        });
      },
      0.2,
    );
  });

  statement("dropout", "draws another mask in every step and in every layer", () => {
    forAll(
      [whole(0, 2 ** 31)],
      (seed) => {
        const layer = training(0.5, seed);
        const x = build([128], () => 1);
        const [first, second] = [layer.call(x), layer.call(x)];
        dropoutState.setStep(1);
        const third = layer.call(x);
        // Two masks of 128 elements are equal by chance once in 2¹²⁸ times.
        for (const [a, b] of [
          [first, second],
          [first, third],
          [second, third],
        ])
          assert.ok(!same(a, b));
      },
      0.2,
    );
  });

  statement("dropout", "is the identity in evaluation", () => {
    forAll(
      [whole(0, 2 ** 31), fc.double({ min: 0, max: 1, noNaN: true }), integers([8])],
      (s, p, x) => {
        equal(training(p, s).eval().call(x), x);
      },
    );
    const dropouts = [...onMeta().eval().modules()].filter((m) => m instanceof nn.Dropout);
    assert.deepEqual(dropouts.map(String), Array<string>(2).fill("Dropout(p=0.5, inplace=False)"));
    for (const layer of dropouts) assert.equal(layer.training, false);
  });

  statement("alexnet-layers", "is the same by formula, in a trace and in the text", () => {
    expectTraced("alexnet");
    const { layers } = closedModel("alexnet");
    const dense = layers.filter((l) => l.module === "Linear");
    const convs = layers.filter((l) => l.module === "Conv2d");
    const weights = [dense, layers].map((list) => total(list.map((l) => l.parameters)));
    const work = [convs, layers].map((list) => total(list.map((l) => l.multiplyAdds)));
    expectShown("alexnet-layers", ...weights, ...work);
    for (const [part, all] of [weights, work])
      expectShown("alexnet-layers", Number(((100 * part) / all).toFixed(1)));
    const lenet = total(closedModel("lenet").layers.map((l) => l.parameters));
    const [, all] = weights;
    expectShown("alexnet-layers", lenet, Math.round(all / lenet), Math.round((all * 4) / 1e6));
  });

  statement("alexnet-layers", "has these sizes when it runs", () => {
    const trunk = new nn.Sequential(
      new nn.Conv2d(1, 96, 11, { stride: 4, padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(3, { stride: 2 }),
      new nn.Conv2d(96, 256, 5, { padding: 2 }),
      new nn.ReLU(),
      new nn.MaxPool2d(3, { stride: 2 }),
      new nn.Conv2d(256, 384, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.Conv2d(384, 384, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.Conv2d(384, 256, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(3, { stride: 2 }),
      new nn.Flatten(),
    );
    assert.equal(String(trunk), String(onMeta().net.slice(0, 14)));
    expectRun(trunk, [1, 65, 68]);
  });

  statement("alexnet-input-sizes", "are s sizes for each number of places", () => {
    const drawn = fc.record({
      kernel: whole(1, 11),
      stride: whole(1, 5),
      padding: whole(0, 3),
      count: whole(1, 6),
    });
    forAll([drawn], ({ count, ...window }) => {
      const layer: Layer = { kind: "conv", dilation: 1, ...window };
      const [low, high] = before([count, count], layer);
      assert.equal(high - low + 1, layer.stride);
      const { kernel, stride, padding } = layer;
      const conv = new nn.Conv2d(1, 1, [kernel, 1], { stride: [stride, 1], padding: [padding, 0] });
      for (let size = Math.max(1, low - 2); size <= high + 2; size++) {
        const inside = size >= low && size <= high;
        assert.equal(places(size, layer) === count, inside);
        if (size + 2 * padding >= kernel) {
          const y = noGrad(() => conv.call(zeros([1, 1, size, 1])));
          assert.equal(y.shape[2] === count, inside, `${size} pixels`);
        }
      }
    });
  });

  statement("alexnet-input-sizes", "lead from 5 back to what the network accepts", () => {
    let interval: Interval = [5, 5];
    for (const window of windows().reverse()) {
      interval = before(interval, window);
      expectShown("alexnet-input-sizes", ...interval);
    }
    const [low, high] = interval;
    const run = (height: number, width: number) =>
      withDevice("meta", () => onMeta().call(zeros([1, 1, height, width]))).shape;
    for (const [height, width] of [
      [low, high],
      [high, low],
    ])
      assert.deepEqual(run(height, width), [1, 10]);
    for (const [height, width] of [
      [low - 1, high],
      [low, high + 1],
    ])
      assert.throws(() => run(height, width), ShapeError);
  });
});
