// # The law of padding
//
// Index $i$ of the result is index $i - p$ of the input where that exists, and holds the value
// elsewhere. A negative $p$ cuts off.

import fc from "fast-check";
import type { PadOptions } from "convnotes";
import { anyShape, integers, ordinary, reals, valuesOf, withGradient } from "../arbitraries.js";
import type { Law } from "../laws.js";
import { at, build, type Case, type Shape } from "../values.js";

/** What is added before and behind each axis; PyTorch's list begins with the last axis. */
function borders({ inputs: [x], options }: Case<PadOptions>): [number, number][] {
  const given = options.padding;
  const pairs = Array.from({ length: given.length / 2 }, (_, k): [number, number] => [
    given[2 * k],
    given[2 * k + 1],
  ]);
  while (pairs.length < x!.shape.length) pairs.push([0, 0]);
  return pairs.reverse();
}

const paddedShape = (c: Case<PadOptions>): Shape =>
  borders(c).map(([before, behind], axis) => c.inputs[0]!.shape[axis] + before + behind);

/** Two paddings for an axis, of which at least nothing must be left. */
const around = (size: number): fc.Arbitrary<number[]> =>
  fc
    .tuple(fc.integer({ min: -2, max: 3 }), fc.integer({ min: -2, max: 3 }))
    .filter(([before, behind]) => size + before + behind >= 0);

const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Case<PadOptions>> =>
  withGradient(
    anyShape
      .chain((shape) => fc.tuple(fc.constant(shape), fc.nat(shape.length)))
      .chain(([shape, axes]) =>
        fc.record({
          inputs: fc.tuple(valuesOf(shape, numbers)),
          options: fc.record(
            {
              padding: fc
                .tuple(...[...shape].reverse().slice(0, axes).map(around))
                .map((pairs) => pairs.flat()),
              value: numbers,
            },
            { requiredKeys: ["padding"] },
          ),
          dy: fc.constant(null),
        }),
      ),
    numbers,
    paddedShape,
  );

export const law: Law<PadOptions> = {
  stem: "pad",
  exact: cases(integers),
  real: cases(reals),

  forward(c) {
    const before = borders(c).map(([p]) => p);
    const source = (i: number[]) => i.map((k, axis) => k - before[axis]);
    const value = c.options.value ?? 0;
    return [build(paddedShape(c), (...i) => at(c.inputs[0]!, source(i), value))];
  },
  bound: (c) => [build(paddedShape(c), () => 0).data],

  gradients: {
    input: {
      of(c) {
        const before = borders(c).map(([p]) => p);
        const target = (j: number[]) => j.map((k, axis) => k + before[axis]);
        return build(c.inputs[0]!.shape, (...j) => at(c.dy!, target(j), 0));
      },
      bound: (c) => c.inputs[0]!.data.map(() => 0),
    },
  },
  differences: { cases: cases(ordinary), step: 1 },

  refusals: [
    {
      inputs: [[2, 3]],
      options: { padding: [1] },
      message: "pad: padding [1] must hold two numbers for each axis to pad, and [2, 3] has 2 axes",
    },
    {
      inputs: [[3]],
      options: { padding: [0, 0, 1, 1] },
      message:
        "pad: padding [0, 0, 1, 1] must hold two numbers for each axis to pad, and [3] has 1 axes",
    },
    {
      inputs: [[2, 3]],
      options: { padding: [-2, -2] },
      message:
        "pad: padding -2 and -2 cannot be put around axis 1 of size 3: " +
        "they must be whole numbers that leave at least 0",
    },
    {
      inputs: [[2, 3]],
      options: { padding: [0, 0, 0.5, 1] },
      message:
        "pad: padding 0.5 and 1 cannot be put around axis 0 of size 2: " +
        "they must be whole numbers that leave at least 0",
    },
  ],
};
