// # The law of sums
//
// A result belongs to all elements that have its indices on the axes that are left. Means and
// maxima draw their cases from here as well.

import fc from "fast-check";
import type { ReduceOptions } from "convnotes";
import {
  anyShape,
  integers,
  optional,
  ordinary,
  reals,
  valuesOf,
  withGradient,
} from "../arbitraries.js";
import type { Law, Refusal } from "../laws.js";
import { sumBound } from "../rounding.js";
import { at, build, type Case, everyIndex, type Shape } from "../values.js";

// ## Reducing

function axesOf({ inputs: [x], options: { dim } }: Case<ReduceOptions>): number[] {
  const all = [...x!.shape.keys()];
  if (dim === undefined) return all;
  return (typeof dim === "number" ? [dim] : [...dim]).map((d) => all.at(d)!);
}

/** The index of the result to which the element at `index` belongs. */
export function resultIndex(c: Case<ReduceOptions>, index: readonly number[]): number[] {
  const axes = axesOf(c);
  return index.flatMap((i, m) => (!axes.includes(m) ? [i] : c.options.keepdim ? [0] : []));
}

export function resultShape(c: Case<ReduceOptions>): Shape {
  const axes = axesOf(c);
  return c.inputs[0]!.shape.flatMap((d, m) =>
    !axes.includes(m) ? [d] : c.options.keepdim ? [1] : [],
  );
}

/** The elements that belong to the result at `index`, in order. */
export const members = (c: Case<ReduceOptions>, index: readonly number[]): number[] =>
  [...everyIndex(...c.inputs[0]!.shape)]
    .filter((i) => resultIndex(c, i).every((k, m) => k === index[m]))
    .map((i) => at(c.inputs[0]!, i));

/** One, several or all axes to reduce, some counted from the end. */
const options = (shape: Shape): fc.Arbitrary<ReduceOptions> => {
  const keepdim = fc.boolean();
  if (shape.length === 0) return optional({ keepdim });
  const axis = fc.integer({ min: -shape.length, max: shape.length - 1 });
  const several = fc.uniqueArray(axis, {
    minLength: 1,
    selector: (d) => (d + shape.length) % shape.length,
  });
  return optional({ dim: fc.oneof(axis, several), keepdim });
};

export const reductions = (
  numbers: fc.Arbitrary<number>,
  { shapes = anyShape, dy = numbers }: { shapes?: fc.Arbitrary<Shape>; dy?: typeof numbers } = {},
): fc.Arbitrary<Case<ReduceOptions>> =>
  withGradient(
    shapes.chain((shape) =>
      fc.record({
        inputs: fc.tuple(valuesOf(shape, numbers)),
        options: options(shape),
        dy: fc.constant(null),
      }),
    ),
    dy,
    resultShape,
  );

/** What each of the reductions refuses. */
export const refusals = (stem: string): Refusal<ReduceOptions>[] => [
  {
    inputs: [[2, 3]],
    options: { dim: 2 },
    message: `${stem}: axis 2 does not exist in [2, 3]; allowed are -2 to 1`,
  },
  {
    inputs: [[2, 3]],
    options: { dim: [0, -2] },
    message: `${stem}: an axis is named twice in [0, 0]`,
  },
];

// ## Sums

export const law: Law<ReduceOptions> = {
  stem: "sum",
  exact: reductions(integers),
  real: reductions(reals),

  forward: (c) => [build(resultShape(c), (...k) => members(c, k).reduce((sum, x) => sum + x, 0))],
  bound: (c, a) => [
    build(resultShape(c), (...k) => {
      const terms = members(c, k);
      return sumBound(
        terms.length,
        terms.reduce((sum, x) => sum + Math.abs(x), 0),
        a,
      );
    }).data,
  ],

  gradients: {
    input: {
      of: (c) => build(c.inputs[0]!.shape, (...i) => at(c.dy!, resultIndex(c, i))),
      bound: (c) => c.inputs[0]!.data.map(() => 0),
    },
  },
  differences: { cases: reductions(ordinary), step: 1 },

  refusals: refusals("sum"),
};
