// # The law of addition
//
// Each element of the result is the sum of the two elements that stand there once both operands
// are repeated to the common shape. Multiplication draws its cases from here as well.

import fc from "fast-check";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { sumBound } from "../rounding.js";
import { at, build, type Case, everyIndex, type Shape, type Values } from "../values.js";

// ## Broadcasting

/** The shape with its axes from the last one backwards, and 1 for those it does not have. */
const size = (shape: Shape, fromEnd: number) => shape[shape.length - fromEnd] ?? 1;

export function commonShape({ inputs: [a, b] }: Case): Shape {
  const axes = Math.max(a!.shape.length, b!.shape.length);
  return Array.from({ length: axes }, (_, i) => {
    const [p, q] = [size(a!.shape, axes - i), size(b!.shape, axes - i)];
    return p === 1 ? q : p;
  });
}

/** The index of the element of `v` that stands at `index` of the common shape. */
const standsAt = (v: Values, index: readonly number[]): number[] =>
  v.shape.map((d, axis) => (d === 1 ? 0 : index[index.length - v.shape.length + axis]));

/** The element of `v` that stands at `index` of the common shape. */
export const broadcast = (v: Values, index: readonly number[]): number => at(v, standsAt(v, index));

/** Sums `term` over all places where each element of `v` stands; with the number of them. */
export function overPlaces(c: Case, v: Values, term: (index: readonly number[]) => number) {
  const places = [...everyIndex(...commonShape(c))];
  const of = (j: number[]) => places.filter((i) => standsAt(v, i).every((k, m) => k === j[m]));
  return {
    total: build(v.shape, (...j) => of(j).reduce((sum, i) => sum + term(i), 0)),
    count: places.length / v.data.length,
  };
}

/** Two operands that go together: each is the common shape with some axes repeated or missing. */
export const broadcasting = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case> =>
  withGradient(
    anyShape
      .chain((shape) => fc.tuple(operandOf(shape), operandOf(shape)))
      .chain(([a, b]) =>
        fc.record({
          inputs: fc.tuple(valuesOf(a, numbers), valuesOf(b, numbers)),
          options: fc.constant({}),
          dy: fc.constant(null),
        }),
      ),
    numbers,
    commonShape,
  );

const operandOf = (shape: Shape): fc.Arbitrary<Shape> =>
  fc
    .record({
      missing: fc.nat(shape.length),
      whole: fc.boolean(),
      repeated: fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
    })
    .map(({ missing, whole, repeated }) =>
      whole ? shape : shape.map((d, i) => (repeated[i] ? 1 : d)).slice(missing),
    );

// ## Addition

const gradientOf = (k: 0 | 1) => ({
  of: (c: Case) => overPlaces(c, c.inputs[k]!, (i) => at(c.dy!, i)).total,
  bound(c: Case, _: unknown, a: Parameters<typeof sumBound>[2]) {
    const { total, count } = overPlaces(c, c.inputs[k]!, (i) => Math.abs(at(c.dy!, i)));
    return total.data.map((sum) => (count === 1 ? 0 : sumBound(count, sum, a)));
  },
});

export const law: Law = {
  stem: "add",
  exact: broadcasting(integers),
  real: broadcasting(reals),

  forward: (c) => [
    build(commonShape(c), (...i) => broadcast(c.inputs[0]!, i) + broadcast(c.inputs[1]!, i)),
  ],
  bound: (c, a) => [law.forward(c)[0]!.data.map((y) => a.unit * Math.abs(y))],

  gradients: { input: gradientOf(0), other: gradientOf(1) },
  differences: { cases: broadcasting(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3], [4]],
      options: {},
      message:
        "add: shapes [2, 3] and [4] do not go together: " +
        "axis -1 has sizes 3 and 4, which must be equal or one of them 1",
    },
    {
      inputs: [
        [2, 1, 3],
        [4, 2, 3],
      ],
      options: {},
      message:
        "add: shapes [2, 1, 3] and [4, 2, 3] do not go together: " +
        "axis -3 has sizes 2 and 4, which must be equal or one of them 1",
    },
  ],
};
