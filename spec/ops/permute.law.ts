// # The law of permute
//
// The number at index $j$ of the input stands at the index of the result whose position $m$ is
// $j_{\pi(m)}$.

import fc from "fast-check";
import type { PermuteOptions } from "convnotes";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case } from "../values.js";

/** The permutation with every axis counted from the front. */
const order = ({ inputs: [x], options }: Case<PermuteOptions>): number[] =>
  options.dims.map((d) => (d < 0 ? d + x!.shape.length : d));

const permutedShape = (c: Case<PermuteOptions>) => order(c).map((d) => c.inputs[0]!.shape[d]);

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<PermuteOptions>> =>
  withGradient(
    anyShape.chain((shape) =>
      fc
        .record({
          x: valuesOf(shape, numbers),
          dims: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }),
          fromEnd: fc.array(fc.boolean(), { minLength: shape.length }),
        })
        .map(({ x, dims, fromEnd }) => ({
          inputs: [x],
          options: { dims: dims.map((d, i) => (fromEnd[i] ? d - shape.length : d)) },
          dy: null,
        })),
    ),
    numbers,
    permutedShape,
  );

export const law: Law<PermuteOptions> = {
  stem: "permute",
  exact: cases(integers),
  real: cases(reals),

  forward(c) {
    const axes = order(c);
    const source = (i: number[]) => axes.map((_, axis) => i[axes.indexOf(axis)]);
    return [build(permutedShape(c), (...i) => at(c.inputs[0]!, source(i)))];
  },
  bound: (c) => [c.inputs[0]!.data.map(() => 0)],

  gradients: {
    input: {
      of: (c) =>
        build(c.inputs[0]!.shape, (...j) =>
          at(
            c.dy!,
            order(c).map((axis) => j[axis]),
          ),
        ),
      bound: (c) => c.dy!.data.map(() => 0),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3, 4]],
      options: { dims: [0, 1] },
      message: "permute: dims [0, 1] must name each of the 3 axes of [2, 3, 4] once",
    },
    {
      inputs: [[2, 3]],
      options: { dims: [1, -1] },
      message: "permute: dims [1, -1] must name each of the 2 axes of [2, 3] once",
    },
  ],
};
