// # Pooling: the tests
//
// Both kinds of pooling against the formulas, read off pixel by pixel. Means of whole numbers are
// exact where the window has 1, 2, 4 or 8 pixels; a claim that divides draws such windows only.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  avgPool2d,
  concat,
  conv2d,
  full,
  maxPool2d,
  mul,
  narrow,
  nn,
  pad,
  relu,
  sigmoid,
  tanh,
  type Tensor,
  zeros,
} from "convnotes";
import {
  build,
  combine,
  equal,
  forAll,
  integers,
  numbers,
  reader,
  refute,
  whole,
} from "./cases.js";
import { statement } from "./statement.js";

type Two = readonly [number, number];

interface PoolCase {
  readonly x: Tensor;
  readonly kernelSize: Two;
  readonly stride: Two;
}

const sides = fc.tuple(whole(1, 3), whole(1, 3));
/** Windows of a power of two of pixels. */
const halves = fc.tuple(fc.constantFrom(1, 2, 4), fc.constantFrom(1, 2));

/** An image into which the windows fit, some pixels of it being equal. */
const casesOf = (kernels: fc.Arbitrary<Two>): fc.Arbitrary<PoolCase> =>
  fc
    .record({ kernelSize: kernels, stride: sides, extra: fc.tuple(whole(0, 4), whole(0, 4)) })
    .chain(({ kernelSize, stride, extra }) =>
      fc.record({
        x: integers([2, 2, kernelSize[0] + extra[0], kernelSize[1] + extra[1]]),
        kernelSize: fc.constant(kernelSize),
        stride: fc.constant(stride),
      }),
    );

const cases = casesOf(sides);
const exactMeans = casesOf(halves);

/** What `combinePixels` makes of the pixels under each window. */
function pooled(
  { x, kernelSize: [k, l], stride: [s, t] }: PoolCase,
  combinePixels: (pixels: number[]) => number,
): Tensor {
  const at = reader(x);
  const [batch, channels, height, width] = x.shape;
  const rows = Math.floor((height - k) / s) + 1;
  const columns = Math.floor((width - l) / t) + 1;
  return build([batch, channels, rows, columns], (n, c, i, j) =>
    combinePixels(
      Array.from({ length: k * l }, (_, q) => at(n, c, i * s + Math.floor(q / l), j * t + (q % l))),
    ),
  );
}

const largest = (pixels: readonly number[]): number => Math.max(...pixels);
const smallest = (pixels: readonly number[]): number => Math.min(...pixels);
const meanOf = (pixels: readonly number[]): number =>
  pixels.reduce((total, v) => total + v, 0) / pixels.length;

const max = ({ x, ...options }: PoolCase): Tensor => maxPool2d(x, options);
const mean = ({ x, ...options }: PoolCase): Tensor => avgPool2d(x, options);
const pools = [max, mean];

describe("04 Pooling", () => {
  statement("pooling", "is the largest pixel, or the mean, of each window", () => {
    forAll([cases], (c) => {
      equal(max(c), pooled(c, largest));
      equal(mean(c), pooled(c, meanOf));
    });
  });

  statement("pooling", "takes the window's size for the stride", () => {
    forAll([cases], ({ x, kernelSize }) => {
      for (const pool of [maxPool2d, avgPool2d])
        equal(pool(x, { kernelSize }), pool(x, { kernelSize, stride: kernelSize }));
      const { stride } = { stride: kernelSize };
      equal(maxPool2d(x, { kernelSize }), pooled({ x, kernelSize, stride }, largest));
    });
  });

  statement("pooling-channels", "pools each image of each channel by itself", () => {
    forAll([cases], (c) => {
      for (const pool of pools) {
        const apart = [0, 1].map((n) =>
          concat(
            [0, 1].map((channel) => {
              const image = narrow(c.x, { dim: 0, start: n, length: 1 });
              return pool({ ...c, x: narrow(image, { dim: 1, start: channel, length: 1 }) });
            }),
            { dim: 1 },
          ),
        );
        equal(pool(c), concat(apart, { dim: 0 }));
      }
    });
  });

  statement("pooling-channels", "learns nothing", () => {
    for (const layer of [new nn.MaxPool2d(2), new nn.AvgPool2d(2), new nn.AdaptiveAvgPool2d(1)])
      assert.deepEqual([...layer.namedParameters(), ...layer.namedBuffers()], []);
  });

  const padded = fc.record({
    x: integers([1, 2, 4, 5], -9, -1),
    kernelSize: fc.tuple(fc.constantFrom(2, 4), fc.constantFrom(2, 4)),
    stride: sides,
    padding: fc.tuple(whole(0, 1), whole(0, 1)),
  });

  const framed = (x: Tensor, [rows, columns]: Two, value: number): Tensor =>
    pad(x, { padding: [columns, columns, rows, rows], value });

  statement("pooling-padding", "counts as −∞ for the maximum, so negative stays negative", () => {
    forAll([padded], ({ x, padding, ...window }) => {
      const y = maxPool2d(x, { ...window, padding });
      equal(y, pooled({ ...window, x: framed(x, padding, -Infinity) }, largest));
      assert.ok(numbers(y).every((v) => v < 0));
    });
  });

  statement("pooling-padding", "counts as zeros for the mean, or not at all", () => {
    forAll([padded], ({ x, padding, ...window }) => {
      const framedCase = { ...window, x: framed(x, padding, 0) };
      equal(avgPool2d(x, { ...window, padding }), pooled(framedCase, meanOf));
      // The image is negative throughout, so the zeros are the padding.
      const inside = pooled(framedCase, (pixels) => meanOf(pixels.filter((v) => v < 0)));
      equal(avgPool2d(x, { ...window, padding, countIncludePad: false }), inside);
    });
  });

  statement("pooling-order", "sorts maximum, mean and minimum", () => {
    forAll([cases], (c) => {
      const low = pooled(c, smallest);
      const [high, middle] = [max(c), mean(c)];
      numbers(middle).forEach((v, i) => {
        const [top, bottom] = [high.data[i] as number, low.data[i] as number];
        // A mean of whole numbers is rounded once, which cannot carry it past a whole number.
        assert.ok(top >= v && v >= bottom, `${top} ≥ ${v} ≥ ${bottom}`);
        assert.equal(top === v, top === bottom);
        assert.equal(v === bottom, top === bottom);
      });
    });
  });

  const powers = fc.constantFrom(0.25, 0.5, 2, 16);

  statement("pooling-scaling", "commutes with positive factors, the mean with all", () => {
    forAll([cases, powers], (c, lambda) => {
      for (const pool of pools) equal(pool({ ...c, x: mul(c.x, lambda) }), mul(pool(c), lambda));
    });
    forAll([exactMeans, whole(-5, 5)], (c, lambda) => {
      equal(mean({ ...c, x: mul(c.x, lambda) }), mul(mean(c), lambda));
    });
  });

  statement("pooling-scaling", "turns the maximum into the minimum for −1", () => {
    forAll([cases], (c) => {
      equal(mul(max({ ...c, x: mul(c.x, -1) }), -1), pooled(c, smallest));
    });
    refute([cases], (c) => {
      equal(max({ ...c, x: mul(c.x, -1) }), mul(max(c), -1));
    });
  });

  const monotone = fc
    .array(whole(0, 3), { minLength: 9, maxLength: 9 })
    .map((steps) => steps.map((_, i) => steps.slice(0, i + 1).reduce((a, b) => a + b, -10)))
    .map((table) => (x: Tensor) => build(x.shape, (...at) => table[reader(x)(...at) + 4]));

  statement("pooling-monotone", "is the maximum before or after, whatever grows", () => {
    const functions = fc.oneof(
      monotone,
      fc.constantFrom(
        (x: Tensor) => relu(x),
        (x: Tensor) => sigmoid(x),
        (x: Tensor) => tanh(x),
      ),
    );
    forAll([cases, functions], (c, f) => {
      equal(max({ ...c, x: f(c.x) }), f(max(c)));
    });
  });

  statement("pooling-monotone", "does not hold for the mean, nor for what falls", () => {
    refute([cases], (c) => {
      equal(mean({ ...c, x: relu(c.x) }), relu(mean(c)));
    });
    refute([cases], (c) => {
      const f = (x: Tensor) => mul(x, x);
      equal(max({ ...c, x: f(c.x) }), f(max(c)));
    });
  });

  const asConvolution = ({ x, kernelSize: [k, l], stride }: PoolCase): Tensor => {
    const channels = x.shape[1];
    const weight = full([channels, 1, k, l], 1 / (k * l), { dtype: "float64" });
    return conv2d(x, weight, null, { stride, groups: channels });
  };

  statement("pooling-mean-conv", "is the convolution with 1/k² everywhere", () => {
    forAll([exactMeans], (c) => {
      equal(mean(c), asConvolution(c));
    });
  });

  statement("pooling-mean-conv", "is linear, where the maximum is not", () => {
    const pair = exactMeans.chain((c) => integers(c.x.shape).map((x2) => ({ c, x2 })));
    const additive = (pool: typeof max) => (drawn: { c: PoolCase; x2: Tensor }) => {
      const { c, x2 } = drawn;
      equal(
        pool({ ...c, x: combine(1, c.x, 1, x2) }),
        combine(1, pool(c), 1, pool({ ...c, x: x2 })),
      );
    };
    forAll([pair], additive(mean));
    refute([pair], additive(max));
  });

  statement("pooling-impulse", "keeps the height of a peak, or spreads it", () => {
    forAll([exactMeans, whole(0, 99), whole(1, 9)], (c, place, height) => {
      const { shape } = c.x;
      const at = [place % shape[2], (place * 7) % shape[3]];
      const x = build(shape, (_, __, k, l) => (k === at[0] && l === at[1] ? height : 0));
      const [k, l] = c.kernelSize;
      const seen = (i: number, j: number) => {
        const [row, column] = [at[0] - i * c.stride[0], at[1] - j * c.stride[1]];
        return row >= 0 && row < k && column >= 0 && column < l;
      };
      const y = max({ ...c, x });
      equal(
        y,
        build(y.shape, (_, __, i, j) => (seen(i, j) ? height : 0)),
      );
      equal(
        mean({ ...c, x }),
        build(y.shape, (_, __, i, j) => (seen(i, j) ? height / (k * l) : 0)),
      );
    });
  });

  const rearranged = fc.record({
    x: integers([1, 2, 6, 6]),
    kernelSize: fc.constantFrom<Two>([2, 2], [1, 2], [2, 1]),
    order: fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
  });

  /** The image with the pixels of each block of 2 × 2 in another order. */
  const inBlocks = (x: Tensor, order: readonly number[], offset: number): Tensor => {
    const at = reader(x);
    return build(x.shape, (n, c, k, l) => {
      const [top, left] = [k, l].map((q) => q - ((q + offset) % 2));
      if (top < 0 || left < 0 || top > 4 || left > 4) return at(n, c, k, l);
      const from = order[(k - top) * 2 + (l - left)];
      return at(n, c, top + Math.floor(from / 2), left + (from % 2));
    });
  };

  statement("pooling-place", "forgets the order of the pixels in a window", () => {
    forAll([rearranged], ({ x, order }) => {
      for (const pool of pools)
        equal(
          pool({ x: inBlocks(x, order, 0), kernelSize: [2, 2], stride: [2, 2] }),
          pool({ x, kernelSize: [2, 2], stride: [2, 2] }),
        );
    });
  });

  statement("pooling-place", "does not forget in which window a pixel was", () => {
    for (const pool of pools)
      refute([rearranged], ({ x, order }) => {
        equal(
          pool({ x: inBlocks(x, order, 1), kernelSize: [2, 2], stride: [2, 2] }),
          pool({ x, kernelSize: [2, 2], stride: [2, 2] }),
        );
      });
  });

  const along = fc
    .record({ size: whole(1, 15), k: whole(1, 4), s: whole(1, 4), half: whole(0, 2) })
    .map(({ half, ...rest }) => ({ ...rest, p: Math.min(half, Math.floor(rest.k / 2)) }))
    .filter(({ size, k, p }) => size + 2 * p >= k);

  statement("pooling-size", "is the number of places, rounded down or up", () => {
    forAll([along, along], (rows, columns) => {
      const inside = ({ size, k, p, s }: typeof rows) => {
        let places = 0;
        while (places * s + k <= size + 2 * p) places++;
        return places;
      };
      // One more window may overhang the far edge, if the last one missed a pixel there and it
      // begins before the far padding does.
      const overhanging = (axis: typeof rows) => {
        const { size, k, p, s } = axis;
        const places = inside(axis);
        const missed = (places - 1) * s + k < size + 2 * p;
        return missed && places * s < size + p ? places + 1 : places;
      };
      for (const device of ["cpu", "meta"])
        for (const pool of [maxPool2d, avgPool2d])
          for (const ceilMode of [false, true]) {
            const count = ceilMode ? overhanging : inside;
            const y = pool(zeros([1, 1, rows.size, columns.size], { device }), {
              kernelSize: [rows.k, columns.k],
              stride: [rows.s, columns.s],
              padding: [rows.p, columns.p],
              ceilMode,
            });
            assert.deepEqual(y.shape, [1, 1, count(rows), count(columns)]);
          }
      const down = ({ size, k, p, s }: typeof rows) => Math.floor((size + 2 * p - k) / s) + 1;
      const up = ({ size, k, p, s }: typeof rows) => Math.ceil((size + 2 * p - k) / s) + 1;
      for (const axis of [rows, columns]) {
        assert.equal(down(axis), inside(axis));
        const last = (up(axis) - 1) * axis.s;
        assert.equal(last < axis.size + axis.p ? up(axis) : down(axis), overhanging(axis));
      }
    });
  });

  statement("pooling-size", "leaves ⌊H/k⌋ rows of windows side by side", () => {
    forAll([whole(1, 4), whole(4, 30)], (k, size) => {
      const y = maxPool2d(zeros([1, 1, size, size], { device: "meta" }), { kernelSize: k });
      assert.deepEqual(y.shape, [1, 1, Math.floor(size / k), Math.floor(size / k)]);
    });
  });

  const withGradient = exactMeans.chain((c) =>
    integers(pooled(c, largest).shape).map((dy) => ({ c, dy })),
  );

  statement("pooling-gradient", "goes to the first of the largest", () => {
    forAll([withGradient], ({ c, dy }) => {
      c.x.requiresGrad = true;
      max(c).backward(dy);
      const { shape } = c.x;
      const [at, gradient] = [reader(c.x), reader(dy)];
      const expected = zeros(shape, { dtype: "float64" });
      const [k, l] = c.kernelSize;
      build(dy.shape, (n, ch, i, j) => {
        let best: readonly [number, number] = [i * c.stride[0], j * c.stride[1]];
        for (let a = 0; a < k; a++)
          for (let b = 0; b < l; b++) {
            const pixel = [i * c.stride[0] + a, j * c.stride[1] + b] as const;
            if (at(n, ch, ...pixel) > at(n, ch, ...best)) best = pixel;
          }
        const offset = ((n * shape[1] + ch) * shape[2] + best[0]) * shape[3] + best[1];
        expected.data[offset] = Number(expected.data[offset]) + gradient(n, ch, i, j);
        return 0;
      });
      equal(c.x.grad!, expected);
    });
  });

  statement("pooling-gradient", "is shared by all pixels of a mean", () => {
    forAll([withGradient], ({ c, dy }) => {
      c.x.requiresGrad = true;
      mean(c).backward(dy);
      const gradient = reader(dy);
      const [k, l] = c.kernelSize;
      const [, , rows, columns] = dy.shape;
      const expected = build(c.x.shape, (n, ch, row, column) => {
        let total = 0;
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++) {
            const [a, b] = [row - i * c.stride[0], column - j * c.stride[1]];
            if (a >= 0 && a < k && b >= 0 && b < l) total += gradient(n, ch, i, j) / (k * l);
          }
        return total;
      });
      equal(c.x.grad!, expected);
    });
  });

  statement("pooling-gradient", "keeps its sum", () => {
    forAll([withGradient], ({ c, dy }) => {
      const total = (t: Tensor) => numbers(t).reduce((a, b) => a + b, 0);
      for (const pool of pools) {
        const x = c.x.clone();
        x.requiresGrad = true;
        pool({ ...c, x }).backward(dy);
        assert.equal(total(x.grad!), total(dy));
      }
    });
  });
});
