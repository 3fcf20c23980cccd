// # The law of reshape
//
// Every number keeps its place in row-major order, and so does its gradient.

import fc from "fast-check";
import type { ReshapeOptions } from "convnotes";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Case, map, type Shape, type Values } from "../values.js";

const sizeOf = (shape: Shape) => shape.reduce((product, d) => product * d, 1);

/** The sizes asked for, with −1 replaced by what fits. */
function targetShape({ inputs: [x], options }: Case<ReshapeOptions>): Shape {
  const known = options.shape.filter((d) => d !== -1);
  return options.shape.map((d) => (d === -1 ? sizeOf(x!.shape) / sizeOf(known) : d));
}

/** Shapes of as many elements: factors in another order, some multiplied, ones put in between. */
const reshaped = (shape: Shape): fc.Arbitrary<Shape> =>
  fc
    .record({
      factors: fc.shuffledSubarray([...shape, 1, 1], { minLength: shape.length + 2 }),
      merge: fc.nat(shape.length),
      unknown: fc.option(fc.nat(shape.length + 1)),
    })
    .map(({ factors, merge, unknown }) => {
      const sizes = [...factors.slice(merge), sizeOf(factors.slice(0, merge))];
      return sizes.map((d, i) => (i === unknown ? -1 : d));
    });

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<ReshapeOptions>> =>
  withGradient(
    anyShape.chain((shape) =>
      fc
        .tuple(valuesOf(shape, numbers), reshaped(shape))
        .map(([x, target]) => ({ inputs: [x], options: { shape: target }, dy: null })),
    ),
    numbers,
    targetShape,
  );

export const law: Law<ReshapeOptions> = {
  stem: "reshape",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [{ ...c.inputs[0]!, shape: targetShape(c) }],
  bound: (c) => [c.inputs[0]!.data.map(() => 0)],

  gradients: {
    input: {
      of: (c): Values => ({ ...c.dy!, shape: c.inputs[0]!.shape }),
      bound: (c) => map(c.dy!, () => 0).data,
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3]],
      options: { shape: [4] },
      message: "reshape: [2, 3] has 6 elements, which [4] cannot hold",
    },
    {
      inputs: [[2, 3]],
      options: { shape: [4, -1] },
      message: "reshape: [2, 3] has 6 elements, which [4, -1] cannot hold",
    },
    {
      inputs: [[2, 3]],
      options: { shape: [-1, -1] },
      message: "reshape: only one size may be -1, got [-1, -1]",
    },
    {
      inputs: [[2, 0]],
      options: { shape: [0, -1] },
      message: "reshape: [2, 0] has 0 elements, which [0, -1] cannot hold",
    },
  ],
};
