// # The law of narrow
//
// Along one axis, index $i$ of the result is index $s + i$ of the input; what lies outside of the
// run has no gradient.

import fc from "fast-check";
import type { NarrowOptions } from "convnotes";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case, type Shape } from "../values.js";

/** Axis and first index, both counted from the front. */
function run({ inputs: [x], options }: Case<NarrowOptions>) {
  const axis = (options.dim + x!.shape.length) % x!.shape.length;
  return { axis, first: (options.start + x!.shape[axis]) % x!.shape[axis] };
}

function narrowedShape(c: Case<NarrowOptions>): Shape {
  const { axis } = run(c);
  return c.inputs[0]!.shape.map((d, i) => (i === axis ? c.options.length : d));
}

/** The index with `by` added along the axis. */
const moved = (index: readonly number[], axis: number, by: number) =>
  index.map((i, m) => (m === axis ? i + by : i));

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<NarrowOptions>> =>
  withGradient(
    anyShape
      .filter((shape) => shape.length > 0)
      .chain((shape) => fc.tuple(fc.constant(shape), fc.nat(shape.length - 1)))
      .chain(([shape, axis]) =>
        fc.tuple(fc.constant([shape, axis] as const), fc.nat(shape[axis] - 1)),
      )
      .chain(([[shape, axis], first]) =>
        fc.record({
          inputs: fc.tuple(valuesOf(shape, numbers)),
          options: fc.record({
            dim: fc.constantFrom(axis, axis - shape.length),
            start: fc.constantFrom(first, first - shape[axis]),
            length: fc.integer({ min: 0, max: shape[axis] - first }),
          }),
          dy: fc.constant(null),
        }),
      ),
    numbers,
    narrowedShape,
  );

export const law: Law<NarrowOptions> = {
  stem: "narrow",
  exact: cases(integers),
  real: cases(reals),

  forward(c) {
    const { axis, first } = run(c);
    return [build(narrowedShape(c), (...i) => at(c.inputs[0]!, moved(i, axis, first)))];
  },
  bound: (c) => [build(narrowedShape(c), () => 0).data],

  gradients: {
    input: {
      of(c) {
        const { axis, first } = run(c);
        return build(c.inputs[0]!.shape, (...j) => at(c.dy!, moved(j, axis, -first), 0));
      },
      bound: (c) => c.inputs[0]!.data.map(() => 0),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 5]],
      options: { dim: 1, start: 3, length: 3 },
      message:
        "narrow: 3 elements from index 3 do not lie in axis 1 of [2, 5], which has indices 0 to 4",
    },
    {
      inputs: [[2, 5]],
      options: { dim: -2, start: -3, length: 1 },
      message:
        "narrow: 1 elements from index -3 do not lie in axis 0 of [2, 5], which has indices 0 to 1",
    },
    {
      inputs: [[2, 5]],
      options: { dim: 2, start: 0, length: 1 },
      message: "narrow: axis 2 does not exist in [2, 5]; allowed are -2 to 1",
    },
  ],
};
