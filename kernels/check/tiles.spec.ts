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

/** One axis of each of the three transforms, on four pixels, three taps and four products. */
const transforms = {
  pixels: ([a, b, c, d]: number[]) => [add(a, -c), add(b, c), add(c, -b), add(b, -d)],
  taps: ([a, b, c]: number[]) => [a, fround(0.5 * add(a, c, b)), fround(0.5 * add(a, c, -b)), c],
  results: ([a, b, c, d]: number[]) => [add(a, b, c), add(b, -c, -d)],
};

type Transforms = typeof transforms;

/** Down the columns, then along the rows. */
function both(transform: (line: number[]) => number[], square: number[][]): number[][] {
  const columns = square[0].map((_, j) => transform(square.map((row) => row[j])));
  return columns[0].map((_, i) => transform(columns.map((column) => column[i])));
}

interface Faults extends Partial<Transforms> {
  /** Changes what the pixels of the tile at (i, j) were transformed to. */
  readonly spoil?: (parts: number[][], i: number, j: number) => number[][];
  /** Rows and columns that a tile's results are off. */
  readonly shift?: number;
}

/** y, by tiles. */
function inTiles({ inputs, options }: Case<Conv2dOptions>, faults: Faults = {}): Values {
  const { pixels, taps, results } = { ...transforms, ...faults };
  const [x, w, bias] = inputs as [Values, Values, Values | null];
  const [p, q] = pair(options.padding ?? 0);
  const [N, C, H, W] = x.shape;
  const shape = [N, w.shape[0], H + 2 * p - 2, W + 2 * q - 2];
  const data = new Float32Array(shape.reduce((n, d) => n * d));
  const { shift = 0, spoil = (parts: number[][]) => parts } = faults;
  const square = (size: number, element: (a: number, b: number) => number) =>
    Array.from({ length: size }, (_, a) => Array.from({ length: size }, (_, b) => element(a, b)));
  for (const [n, i, j] of everyIndex(N, (shape[2] + 1) >> 1, (shape[3] + 1) >> 1)) {
    const seen = Array.from({ length: C }, (_, c) =>
      spoil(
        both(
          pixels,
          square(4, (a, b) => at(x, [n, c, 2 * i + a - p, 2 * j + b - q + shift], 0)),
        ),
        i,
        j,
      ),
    );
    for (let o = 0; o < shape[1]; o++) {
      const weights = seen.map((_, c) =>
        both(
          taps,
          square(3, (a, b) => at(w, [o, c, a, b])),
        ),
      );
      const products = square(4, (k, l) =>
        seen.reduce((sum, s, c) => fround(sum + s[k][l] * weights[c][k][l]), 0),
      );
      both(results, products).forEach((row, a) =>
        row.forEach((value, b) => {
          const [h, v] = [2 * i + a, 2 * j + b];
          if (h >= shape[2] || v >= shape[3]) return;
          data[((n * shape[1] + o) * shape[2] + h) * shape[3] + v] = bias
            ? add(value, bias.data[o])
            : value;
        }),
      );
    }
  }
  return { shape, data: Array.from(data) };
}

/** Whether every element is within the bound of the law. */
function keepsTheBound(c: Case<Conv2dOptions>, y: Values): boolean {
  const [expected] = law.forward(c);
  const [bounds] = law.bound(c, winograd);
  return y.data.every((value, i) => within(value, expected!.data[i], bounds![i]));
}

describe("tiles", () => {
  it("keep the bound that is derived for them", () => {
    fc.assert(
      fc.property(tileCases(reals), (c) => assert(keepsTheBound(c, inTiles(c)))),
      { numRuns: 60 },
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
        fc.property(tileCases(reals), (c) => keepsTheBound(c, inTiles(c, make()))),
        { numRuns: 60, endOnFailure: true },
      );
      assert(failed, "nobody saw it");
    });
});
