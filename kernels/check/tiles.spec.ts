// # Faults in Winograd's tiles
//
// The bound of a convolution in tiles is that of another sum than the window's own, so it must be shown
// to be right, and not so wide that faults pass. Here the tiles are computed once more, plainly, in
// float32, from what the note says (spec/ops/conv2d.md) and without the kernel's code: they keep the
// bound; and with the faults that such a kernel may have they are found, on cases as they are drawn.

import assert from "node:assert/strict";
import type { Conv2dOptions } from "convnotes";
import fc from "fast-check";
import { pair, reals } from "../../spec/arbitraries.js";
import { law, tileCases } from "../../spec/ops/conv2d.law.js";
import { winograd, within } from "../../spec/rounding.js";
import { at, type Case, everyIndex, type Values } from "../../spec/values.js";

const { fround } = Math;
const add = (...terms: number[]) => terms.reduce((sum, x) => fround(sum + x));

/** One axis of each of the three transforms: on four pixels, three taps and four products. */
const three = {
  pixels: ([a, b, c, d]: readonly number[]) => [add(a, -c), add(b, c), add(c, -b), add(b, -d)],
  taps: ([a, b, c]: readonly number[]) => [
    a,
    fround(0.5 * add(a, c, b)),
    fround(0.5 * add(a, c, -b)),
    c,
  ],
  results: ([a, b, c, d]: readonly number[]) => [add(a, b, c), add(b, -c, -d)],
};

type Transforms = typeof three;

/** Two taps behind three. */
const five = ({ pixels, taps, results }: Transforms): Transforms => ({
  pixels: (x) => [...pixels(x), add(x[3], -x[4]), x[4], add(x[4], -x[5])],
  taps: (w) => [...taps(w), w[3], add(w[3], w[4]), w[4]],
  results: (m) => {
    const [y, z] = results(m);
    return [add(y, add(m[4], m[5])), add(z, add(m[5], -m[6]))];
  },
});

/** From two gradients of results, and to the gradients of taps. */
const back = {
  3: {
    gradients: ([a, b]: readonly number[]) => [a, add(a, b), add(a, -b), -b],
    taps: ([a, b, c, d]: readonly number[]) => {
      const middle = fround(0.5 * add(b, c));
      return [add(a, middle), fround(0.5 * add(b, -c)), add(middle, d)];
    },
  },
  5: {
    gradients: (dy: readonly number[]) => [...back[3].gradients(dy), dy[0], add(...dy), -dy[1]],
    taps: (m: readonly number[]) => [...back[3].taps(m), add(m[4], m[5]), add(m[5], m[6])],
  },
};

/** Down the columns, then along the rows. */
function both(
  transform: (line: readonly number[]) => number[],
  square: readonly (readonly number[])[],
): number[][] {
  const columns = square[0].map((_, j) => transform(square.map((row) => row[j])));
  return columns[0].map((_, i) => transform(columns.map((column) => column[i])));
}

const square = (size: number, element: (a: number, b: number) => number) =>
  Array.from({ length: size }, (_, a) => Array.from({ length: size }, (_, b) => element(a, b)));

interface Faults extends Partial<Transforms> {
  /** Changes what the pixels of the tile at (i, j) were transformed to. */
  readonly spoil?: (parts: number[][], i: number, j: number) => number[][];
  /** Columns that a tile's results are off. */
  readonly shift?: number;
}

/** y and the gradient of the weight, by tiles. */
function inTiles({ inputs, options, dy }: Case<Conv2dOptions>, faults: Faults = {}) {
  const [x, w, bias] = inputs as [Values, Values, Values | null];
  const K = w.shape[2] as 3 | 5;
  const { shift = 0, spoil = (parts: number[][]) => parts, ...changed } = faults;
  const form = { ...three, ...changed };
  const { pixels, taps, results } = K === 3 ? form : five(form);
  const [p, q] = pair(options.padding ?? 0);
  const [, C] = x.shape;
  const [N, O, H, W] = dy!.shape;
  const y = new Float32Array(N * O * H * W);
  const sums = Array.from({ length: O * C }, () => square(K === 3 ? 4 : 7, () => 0));
  for (const [n, i, j] of everyIndex(N, (H + 1) >> 1, (W + 1) >> 1)) {
    const pixel = (c: number) => (a: number, b: number) =>
      at(x, [n, c, 2 * i + a - p, 2 * j + b - q + shift], 0);
    const seen = Array.from({ length: C }, (_, c) =>
      spoil(both(pixels, square(K + 1, pixel(c))), i, j),
    );
    for (let o = 0; o < O; o++) {
      const weights = seen.map((_, c) =>
        both(
          taps,
          square(K, (a, b) => at(w, [o, c, a, b])),
        ),
      );
      const products = seen[0].map((row, k) =>
        row.map((_, l) =>
          seen.reduce((sum, s, c) => fround(sum + fround(s[k][l] * weights[c][k][l])), 0),
        ),
      );
      both(results, products).forEach((row, a) =>
        row.forEach((value, b) => {
          const [h, v] = [2 * i + a, 2 * j + b];
          if (h < H && v < W)
            y[((n * O + o) * H + h) * W + v] = bias ? add(value, bias.data[o]) : value;
        }),
      );
      const gradient = (a: number, b: number) => at(dy!, [n, o, 2 * i + a, 2 * j + b], 0);
      const gradients = both(back[K].gradients, square(2, gradient));
      seen.forEach((s, c) =>
        sums[o * C + c].forEach((row, k) =>
          row.forEach((sum, l) => {
            row[l] = fround(sum + fround(gradients[k][l] * s[k][l]));
          }),
        ),
      );
    }
  }
  return { y: [...y], dweight: sums.flatMap((sum) => both(back[K].taps, sum).flat()) };
}

/** Whether every element is within the bounds of the law. */
function keepsTheBounds(c: Case<Conv2dOptions>, faults?: Faults): boolean {
  const { y, dweight } = inTiles(c, faults);
  const [expected] = law.forward(c);
  const [bounds] = law.bound(c, winograd);
  const { weight } = law.gradients!;
  const [wanted, allowed] = [weight.of(c, [], 1), weight.bound(c, [], winograd, 1)];
  return (
    y.every((value, i) => within(value, expected!.data[i], bounds![i])) &&
    dweight.every((value, i) => within(value, wanted.data[i], allowed[i]))
  );
}

describe("tiles", () => {
  it("keep the bounds that are derived for them", () => {
    fc.assert(
      fc.property(tileCases(reals), (c) => keepsTheBounds(c)),
      { numRuns: 40 },
    );
  });

  const faults: Readonly<Record<string, () => Faults>> = {
    "a wrong sign before a pixel": () => ({
      pixels: ([a, b, c, d]) => [add(a, -c), add(b, c), add(b, -c), add(b, -d)],
    }),
    "a wrong sign before a product": () => ({
      results: ([a, b, c, d]) => [add(a, b, c), add(b, -c, d)],
    }),
    "a half that was left out": () => ({
      taps: ([a, b, c]) => [a, add(a, c, b), fround(0.5 * add(a, c, -b)), c],
    }),
    "tiles that begin one column off": () => ({ shift: 1 }),
    "pixels of the tile before": () => {
      let last: number[][] | null = null;
      return {
        spoil: (parts, _, j) => {
          const stale = j > 0 && last !== null ? last : parts;
          last = parts;
          return stale;
        },
      };
    },
    "a last tile that nobody wrote": () => ({
      spoil: (parts, i, j) => (i + j > 0 ? parts.map((row) => row.map(() => NaN)) : parts),
    }),
    "factors of ten bits": () => ({
      spoil: (parts) =>
        parts.map((row) =>
          row.map((value) => {
            const bits = new Uint32Array(Float32Array.of(value).buffer);
            bits[0] &= ~0x1fff;
            return new Float32Array(bits.buffer)[0];
          }),
        ),
    }),
    "products that nobody added": () => ({
      spoil: (parts) => parts.map((row) => row.map((v, l) => (l === 3 ? 0 : v))),
    }),
  };
  for (const [fault, make] of Object.entries(faults))
    it(`show ${fault}`, () => {
      const { failed } = fc.check(
        fc.property(tileCases(reals), (c) => keepsTheBounds(c, make())),
        { numRuns: 40, endOnFailure: true },
      );
      assert(failed, "nobody saw it");
    });
});
