// # The law of dropout
//
// The note is `dropout.md`. The mask is drawn here a second time, with Philox 4×32-10 as its authors
// print it (Salmon et al. 2011), in BigInt.

import type { DropoutOptions } from "convnotes";
import fc from "fast-check";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma } from "../rounding.js";
import { type Case, map, type Values } from "../values.js";

/** With `places`, only the elements with these numbers are given. Default: all, in order. */
interface Options extends DropoutOptions {
  readonly places?: readonly number[];
}

type Dropout = Case<Options>;

// ## Cases

const word = fc.oneof(fc.nat(5), fc.integer({ min: 0, max: 2 ** 32 - 1 }));

const cases = (
  numbers: fc.Arbitrary<number>,
  probabilities: fc.Arbitrary<number>,
): fc.Arbitrary<Dropout> =>
  withGradient<Options>(
    anyShape.chain((shape) =>
      fc.record({
        inputs: fc.tuple(valuesOf(shape, numbers)),
        options: fc.record({
          p: probabilities,
          seed: fc.oneof(fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
          step: word,
          layer: word,
        }),
        dy: fc.constant(null),
      }),
    ),
    numbers,
    ({ inputs: [x] }) => x!.shape,
  );

/** Those whose factor 1/(1 − p) is a power of two, and 1. */
const binary = fc.constantFrom(0, 0.5, 0.75, 0.875, 1);

const any = fc.oneof(
  { weight: 1, arbitrary: binary },
  { weight: 3, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
);

// ## The mask

const WORD = 2n ** 32n;

/** Block `counter` of the sequence: four words, from four words and a key of two. */
function philox(counter: readonly bigint[], key: readonly bigint[]): bigint[] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [p, q] = [c0 * 0xd2511f53n, c2 * 0xcd9e8d57n];
    [c0, c1, c2, c3] = [(q / WORD) ^ c1 ^ k0, q % WORD, (p / WORD) ^ c3 ^ k1, p % WORD];
    [k0, k1] = [(k0 + 0x9e3779b9n) % WORD, (k1 + 0xbb67ae85n) % WORD];
  }
  return [c0, c1, c2, c3];
}

/** What given element `i` is multiplied by: 0, or what keeps the expectation. */
function factor(i: number, { p, seed, step, layer, places }: Options): number {
  const place = places?.[i] ?? i;
  const [block, lane] = [Math.floor(place / 4), place % 4];
  const key = [BigInt(seed) % WORD, BigInt(seed) / WORD];
  const drawn = philox([BigInt(block), BigInt(layer), BigInt(step), 0n], key)[lane];
  return drawn < BigInt(Math.floor(p * 2 ** 32)) ? 0 : 1 / (1 - p);
}

const masked = (v: Values, o: Options): Values =>
  map(v, (x, i) => (factor(i, o) === 0 ? 0 : x * factor(i, o)));

export const law: Law<Options> = {
  stem: "dropout",
  exact: cases(integers, binary),
  real: cases(reals, any),

  forward: (c) => [masked(c.inputs[0]!, c.options)],
  // 1 − p, its reciprocal, and the product.
  bound: (c, a) => [
    masked(c.inputs[0]!, c.options).data.map((y) => gamma(3, a) * Math.abs(y) + a.tiny),
  ],

  gradients: {
    input: {
      of: (c) => masked(c.dy!, c.options),
      bound: (c, _, a) =>
        masked(c.dy!, c.options).data.map((dx) => gamma(3, a) * Math.abs(dx) + a.tiny),
    },
  },
  differences: { cases: cases(ordinary, any), step: 1 },

  refusals: [
    {
      inputs: [[2, 3]],
      options: { p: 1.5, seed: 0, step: 0, layer: 0 },
      message: "dropout: p must be a probability from 0 to 1, got 1.5",
    },
    {
      inputs: [[2, 3]],
      options: { p: NaN, seed: 0, step: 0, layer: 0 },
      message: "dropout: p must be a probability from 0 to 1, got NaN",
    },
  ],
};
