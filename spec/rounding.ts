// # Rounding
//
// How far a computation may be from the formula, derived and not tuned. Every operation of
// floating-point arithmetic has a relative error of at most the unit roundoff $u$, so a value
// that passes through $n$ of them carries a factor within $1 \pm \gamma_n$,
//
// $$\gamma_n = \frac{n u}{1 - n u}$$
//
// (Higham, Accuracy and Stability of Numerical Algorithms, § 3.1). A sum of $n$ products in any
// order is therefore within $\gamma_n \sum |a_i b_i|$. Where numbers underflow, each operation may
// add an absolute error as well.

import { absolute, type Case, type Values } from "./values.js";

/** What a computation declares about its arithmetic; bounds are computed from this. */
export interface Arithmetic {
  /** The unit roundoff: half the distance from 1 to the next number. */
  readonly unit: number;
  /** The absolute error of an operation whose result underflows. */
  readonly tiny: number;
  /** How many operations a term of a sum of so many products meets at most. */
  depth(terms: number): number;
  /** The unit roundoff to which factors are rounded before they are multiplied. Default: 0. */
  readonly factors?: number;
  /** Whether convolutions of 3 × 3 windows go by Winograd's tiles (`ops/conv2d.md`). Default: no. */
  readonly winograd?: boolean;
}

const inTurn = (terms: number) => terms;

/** One sum after another in float32, underflow gradual. */
export const float32: Arithmetic = { unit: 2 ** -24, tiny: 2 ** -150, depth: inTurn };

/** Terms that the host's kernels add up before they go to the next accumulator. */
const CHUNK = 512;

/**
 * Sums of products as the host's kernels make them (`kernels/host/tile.h`): an accumulator takes at most
 * 512 terms, and accumulators are added in turn, of which any two neighbours have more than 512
 * together; then comes the bias.
 */
export const inChunks: Arithmetic = {
  ...float32,
  depth: (terms) => Math.min(terms, CHUNK + Math.ceil((2 * terms) / CHUNK) + 2),
};

/**
 * A GPU's tensor cores on factors rounded to TF32: eight products at a time are cut off and added in
 * float32, which errs by at most $(8 + 1) 2^{-24} + 2^{-23}$ of their size; that is 11 operations.
 * What is smaller than the smallest normal number may be lost.
 */
export const tf32: Arithmetic = {
  unit: 2 ** -24,
  tiny: 2 ** -126,
  factors: 2 ** -11,
  depth: (terms) => 11 * Math.ceil(terms / 8) + 1,
};

/**
 * The same on factors rounded to BF16. Whether a GPU adds eight products at a time or sixteen, that is no
 * more than the operations counted above: what is not there is zero, and cut off nothing.
 */
export const bf16: Arithmetic = { ...tf32, factors: 2 ** -8 };

/** By how factors are rounded before tensor cores multiply them; `float32`: not at all. */
export const arithmeticWith = { float32, tf32, bf16 } as const;
export type Factors = keyof typeof arithmeticWith;

/** As float32, where a convolution's results come two by two from fewer multiplications. */
export const winograd: Arithmetic = { ...float32, winograd: true };

export const float64: Arithmetic = { unit: 2 ** -53, tiny: 2 ** -1074, depth: inTurn };

/** For two computations in float64 that are compared: each of them may err. */
export const bothFloat64: Arithmetic = { unit: 2 ** -52, tiny: 2 ** -1073, depth: inTurn };

/** $\gamma_n$ */
export const gamma = (n: number, { unit }: Arithmetic): number => (n * unit) / (1 - n * unit);

/**
 * The bound of a sum of so many products, given the sum of their absolute values. Two factors that
 * are off by $u$ each make a product that is off by $2u + u^2$.
 */
export const sumBound = (terms: number, absolute: number, a: Arithmetic): number => {
  const { factors = 0 } = a;
  const rounded = 2 * factors + factors ** 2;
  return (rounded + gamma(a.depth(terms), a) * (1 + rounded)) * absolute + terms * a.tiny;
};

/**
 * A formula that is a sum of products in every element, with its bound: the number of terms, and
 * the formula on absolute values.
 */
export const sumOfProducts = <O extends object>(
  of: (c: Case<O>) => Values,
  terms: (c: Case<O>) => number,
) => ({
  of,
  bound: (c: Case<O>, _: unknown, a: Arithmetic): number[] =>
    of(a.factors ? atLeastNormal(absolute(c)) : absolute(c)).data.map((size) =>
      sumBound(terms(c), size, a),
    ),
});

/**
 * Where factors are rounded, numbers below the smallest normal one have fewer digits: their error is
 * what that of the smallest normal one would be.
 */
const atLeastNormal = <O extends object>(c: Case<O>): Case<O> => {
  const raised = (v: Values | null) =>
    v === null || v.dtype
      ? v
      : { ...v, data: v.data.map((x) => (x === 0 ? x : Math.max(x, 2 ** -126))) };
  return { ...c, inputs: c.inputs.map(raised), dy: raised(c.dy) };
};

/** The bound of a value that has been within `bound` and is then rounded once more. */
export const roundedOnce = (value: number, bound: number, a: Arithmetic): number =>
  bound + a.unit * (Math.abs(value) + bound) + a.tiny;

/**
 * Whether `actual` is as near to `expected` as `bound` allows. NaN meets only NaN, and an
 * infinity only itself.
 */
export function within(actual: number, expected: number, bound: number): boolean {
  if (Number.isNaN(expected)) return Number.isNaN(actual);
  if (!Number.isFinite(expected)) return actual === expected;
  return Math.abs(actual - expected) <= bound;
}
