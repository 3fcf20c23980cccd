// # The law of concat
//
// The note is `concat.md`. Nothing is computed, so all bounds are 0.

import type { ConcatOptions } from "convnotes";
import fc from "fast-check";
import { integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case, type Shape, type Values } from "../values.js";

type Concat = Case<ConcatOptions>;

const size = fc.integer({ min: 1, max: 4 });

export const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Concat> =>
  withGradient(
    fc
      .array(size, { minLength: 1, maxLength: 4 })
      .chain((shape) =>
        fc.record({
          shape: fc.constant(shape),
          dim: fc.option(fc.integer({ min: -shape.length, max: shape.length - 1 }), {
            nil: undefined,
          }),
          along: fc.array(size, { minLength: 1, maxLength: 4 }),
        }),
      )
      .chain(({ shape, dim, along }) => {
        const axis = axisOf(shape, { dim });
        const shapes = along.map((d) => shape.map((other, i) => (i === axis ? d : other)));
        return fc.record({
          inputs: fc.tuple(...shapes.map((one) => valuesOf(one, numbers))),
          options: fc.constant(dim === undefined ? {} : { dim }),
          dy: fc.constant(null),
        });
      }),
    numbers,
    resultShape,
  );

const axisOf = (shape: Shape, { dim = 0 }: ConcatOptions) => (dim < 0 ? dim + shape.length : dim);

function resultShape({ inputs, options }: Concat): Shape {
  const axis = axisOf(inputs[0]!.shape, options);
  const total = inputs.reduce((sum, x) => sum + x!.shape[axis], 0);
  return inputs[0]!.shape.map((d, i) => (i === axis ? total : d));
}

/** The index with `by` added along the axis. */
const shifted = (index: readonly number[], axis: number, by: number) =>
  index.map((k, i) => (i === axis ? k + by : k));

/** Where each tensor begins along the axis. */
const starts = ({ inputs }: Concat, axis: number) =>
  inputs.map((_, k) => inputs.slice(0, k).reduce((sum, x) => sum + x!.shape[axis], 0));

function forward(c: Concat): Values {
  const axis = axisOf(c.inputs[0]!.shape, c.options);
  const begins = starts(c, axis);
  return build(resultShape(c), (...index) => {
    const k = begins.findLastIndex((start) => start <= index[axis]);
    return at(c.inputs[k]!, shifted(index, axis, -begins[k]));
  });
}

export const law: Law<ConcatOptions> = {
  stem: "concat",
  exact: cases(integers),
  real: cases(reals),

  forward: (c) => [forward(c)],
  bound: (c) => [forward(c).data.map(() => 0)],

  gradients: {
    tensors: {
      of(c, _, k) {
        const x = c.inputs[k]!;
        const axis = axisOf(x.shape, c.options);
        return build(x.shape, (...index) => at(c.dy!, shifted(index, axis, starts(c, axis)[k])));
      },
      bound: (c, _, __, k) => c.inputs[k]!.data.map(() => 0),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [
        [2, 3, 4],
        [2, 5, 4],
        [2, 5, 5],
      ],
      options: { dim: 1 },
      message:
        "concat: tensors[2] has shape [2, 5, 5], tensors[0] [2, 3, 4]; " +
        "they may differ only along axis 1",
    },
    {
      inputs: [
        [2, 3],
        [2, 3, 1],
      ],
      options: {},
      message:
        "concat: tensors[1] has shape [2, 3, 1], tensors[0] [2, 3]; " +
        "they may differ only along axis 0",
    },
    {
      inputs: [
        [2, 3],
        [3, 3],
      ],
      options: { dim: -1 },
      message:
        "concat: tensors[1] has shape [3, 3], tensors[0] [2, 3]; they may differ only along axis 1",
    },
    {
      inputs: [[2, 3]],
      options: { dim: 2 },
      message: "concat: axis 2 does not exist in [2, 3]; allowed are -2 to 1",
    },
  ],
};
