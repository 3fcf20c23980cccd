// # The law of cross-entropy
//
// $\ell_n = -\sum_c a_{nc} \log p_{nc}$ with the coefficients $a_{nc}$ that target, class weights and
// smoothing make. Samples are addressed by the index of their target, classes by their number.

import fc from "fast-check";
import type { CrossEntropyOptions } from "convnotes";
import {
  integers,
  optional,
  optionalValuesOf,
  ordinary,
  reals,
  valuesOf,
  withGradient,
  smallStep,
} from "../arbitraries.js";
import type { Law } from "../laws.js";
import { gamma } from "../rounding.js";
import { at, build, type Case, everyIndex, type Shape, type Values } from "../values.js";
import { type Row, rowOf, secondOrder, shareBound, totalError } from "./softmax.law.js";

type C = Case<CrossEntropyOptions>;

// ## Samples and their coefficients

const axisOf = (scores: Shape) => (scores.length === 1 ? 0 : 1);

const samplesOf = (scores: Shape): Shape => scores.toSpliced(axisOf(scores), 1);

/** The row of `v` that belongs to a sample: its scores or its probabilities. */
function classesOf(v: Values, sample: readonly number[]): number[] {
  const axis = axisOf(v.shape);
  return Array.from({ length: v.shape[axis] }, (_, c) => at(v, sample.toSpliced(axis, 0, c)));
}

interface Sample {
  readonly row: Row;
  /** $a_{nc}$ for each class, none of them below 0. */
  readonly a: readonly number[];
  /** What the sample adds to the divisor of the mean. */
  readonly counts: number;
}

function sampleAt(c: C, sample: readonly number[]): Sample {
  const [scores, target, weight] = c.inputs;
  const row = rowOf(classesOf(scores!, sample));
  const { labelSmoothing = 0, ignoreIndex = -100 } = c.options;
  const classes = row.shares.length;
  const weightOf = (k: number) => weight?.data[k] ?? 1;
  const label = target!.dtype === "int64" ? at(target!, sample) : null;
  if (label === ignoreIndex) return { row, a: row.shares.map(() => 0), counts: 0 };
  const t =
    label === null ? classesOf(target!, sample) : row.shares.map((_, k) => Number(k === label));
  const a = t.map((p, k) => weightOf(k) * ((1 - labelSmoothing) * p + labelSmoothing / classes));
  return { row, a, counts: label === null ? 1 : weightOf(label) };
}

const allSamples = (c: C): Sample[] =>
  [...everyIndex(...samplesOf(c.inputs[0]!.shape))].map((n) => sampleAt(c, n));

const sum = (terms: readonly number[]) => terms.reduce((total, t) => total + t, 0);

function divisorOf(c: C): number {
  if ((c.options.reduction ?? "mean") !== "mean") return 1;
  return sum(allSamples(c).map(({ counts }) => counts));
}

/** $\sum_c a_c (\log D - (x_c - m))$, of whose terms none is negative. */
const lossOf = ({ row, a }: Sample): number =>
  sum(
    a.map((coefficient, k) => coefficient && coefficient * (Math.log(row.total) - row.shifted[k])),
  );

const resultShape = (c: C): Shape =>
  c.options.reduction === "none" ? samplesOf(c.inputs[0]!.shape) : [];

/** The gradient that arrives at a sample. */
const arriving = (c: C, sample: readonly number[], divisor: number): number =>
  at(c.dy!, c.options.reduction === "none" ? sample : []) / divisor;

// ## Cases

const scoresShape: fc.Arbitrary<Shape> = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 5 })),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 })),
  fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 4 }), fc.constantFrom(1, 3)),
);

/** From 0 to 4 in steps of 1/16, and 0 often enough. */
const share = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 64 }).map((k) => k / 16) },
  { weight: 1, arbitrary: fc.constant(0) },
);

const common = {
  reduction: fc.constantFrom("mean" as const, "sum" as const, "none" as const),
  labelSmoothing: fc.constantFrom(0, 0.125, 0.3, 1),
};

const cases = (numbers: fc.Arbitrary<number>, dy: fc.Arbitrary<number>): fc.Arbitrary<C> =>
  withGradient(
    scoresShape.chain((shape) => {
      const classes = shape[axisOf(shape)];
      const scores = valuesOf(shape, numbers);
      const weight = optionalValuesOf([classes], share);
      const label = fc.integer({ min: 0, max: classes - 1 });
      const withLabels = optional({
        ...common,
        ignoreIndex: fc.integer({ min: -1, max: classes - 1 }),
      }).chain((options) => {
        const labels = fc.oneof(
          { weight: 4, arbitrary: label },
          { weight: 1, arbitrary: fc.constant(options.ignoreIndex ?? -100) },
        );
        const target = valuesOf(samplesOf(shape), labels);
        return fc.record({
          inputs: fc.tuple(scores, target.map(asLabels), weight),
          options: fc.constant(options),
          dy: fc.constant(null),
        });
      });
      const withProbabilities = fc.record({
        inputs: fc.tuple(scores, valuesOf(shape, share), weight),
        options: optional(common),
        dy: fc.constant(null),
      });
      return fc.oneof(withLabels, withProbabilities);
    }),
    dy,
    resultShape,
  );

const asLabels = (v: Values): Values => ({ ...v, dtype: "int64" });

// ## The law

export const law: Law<CrossEntropyOptions> = {
  stem: "cross_entropy",
  exact: "the logarithm of a whole number is whole at 1 only",
  real: fc.oneof(cases(reals, reals), cases(ordinary, reals)),

  forward: (c) => [
    c.options.reduction === "none"
      ? build(resultShape(c), (...n) => lossOf(sampleAt(c, n)))
      : { shape: [], data: [sum(allSamples(c).map(lossOf)) / divisorOf(c)] },
  ],

  bound(c, arithmetic) {
    const { unit } = arithmetic;
    const sampleBound = (sample: Sample): number => {
      const { row, a } = sample;
      const each = totalError(row, arithmetic) + 3 * unit * Math.log(row.total);
      return (
        (sum(a.map((coefficient, k) => coefficient * (each - unit * row.shifted[k]))) +
          gamma(arithmetic.depth(a.length) + 6, arithmetic) * lossOf(sample)) *
        secondOrder
      );
    };
    if (c.options.reduction === "none")
      return [build(resultShape(c), (...n) => sampleBound(sampleAt(c, n))).data];
    const samples = allSamples(c);
    const further =
      gamma(2 * arithmetic.depth(samples.length), arithmetic) * sum(samples.map(lossOf));
    return [[(sum(samples.map(sampleBound)) + further * secondOrder) / divisorOf(c)]];
  },

  gradients: {
    input: {
      of: (c) => byScore(c, ({ row, a }, k, arrives) => arrives * (sum(a) * row.shares[k] - a[k])),
      bound: (c, _, arithmetic) => {
        const samples = allSamples(c).length;
        return byScore(c, ({ row, a }, k, arrives) => {
          const roundings = arithmetic.depth(a.length) + arithmetic.depth(samples) + 9;
          const terms = sum(a) * row.shares[k] + a[k];
          // The share may be taken from its logarithm, which has roundings of its own.
          const log = Math.log(row.total);
          const logarithm = arithmetic.unit * (4 * log + Math.abs(row.shifted[k]));
          const share = shareBound(row, k, arithmetic) + row.shares[k] * logarithm * secondOrder;
          return (
            Math.abs(arrives) *
              (sum(a) * share + gamma(roundings, arithmetic) * terms * secondOrder) +
            (1 + terms + 4 * Math.abs(arrives)) * arithmetic.tiny
          );
        }).data;
      },
    },
  },
  differences: {
    cases: cases(ordinary, integers).filter((c) => divisorOf(c) > 0),
    step: smallStep,
    // Each −log p has a third cumulant of at most 0.77.
    third: (c) => {
      const weights = ({ a }: Sample) => sum(a);
      return c.options.reduction === "none"
        ? build(resultShape(c), (...n) => weights(sampleAt(c, n))).data
        : [sum(allSamples(c).map(weights)) / divisorOf(c)];
    },
  },

  refusals: [
    {
      inputs: [[], { shape: [], dtype: "int64" }, null],
      options: {},
      message: "cross_entropy: input is a single number, expected scores [C] or [N, C]",
    },
    {
      inputs: [[4, 10], { shape: [3], dtype: "int64" }, null],
      options: {},
      message:
        "cross_entropy: target has shape [3], expected [4] (one label for each sample of input)",
    },
    {
      inputs: [[4, 10], [4, 9], null],
      options: {},
      message:
        "cross_entropy: target has shape [4, 9], expected [4, 10] (one probability for each score)",
    },
    {
      inputs: [[4, 10], { shape: [4], dtype: "uint8" }, null],
      options: {},
      message:
        "cross_entropy: target is uint8, expected int64 labels or float32 probabilities; " +
        'convert it with to("int64") or to("float32")',
    },
    {
      inputs: [[4, 10], { shape: [4], dtype: "int64" }, [4]],
      options: {},
      message: "cross_entropy: weight has shape [4], expected [10] (one for each class)",
    },
    {
      inputs: [[4, 10], [4, 10], null],
      options: { ignoreIndex: 3 },
      message: "cross_entropy: ignoreIndex needs labels, but target holds probabilities",
    },
    {
      inputs: [[4, 10], { shape: [4], dtype: "int64" }, null],
      options: { labelSmoothing: 1.5 },
      message: "cross_entropy: labelSmoothing must lie in 0 to 1, got 1.5",
    },
  ],
};

/** For each score its sample, its class and the gradient that arrives; 0 where no sample counts. */
function byScore(c: C, element: (sample: Sample, k: number, arrives: number) => number): Values {
  const { shape } = c.inputs[0]!;
  const axis = axisOf(shape);
  const divisor = divisorOf(c);
  return build(shape, (...index) => {
    const n = index.toSpliced(axis, 1);
    return divisor === 0 ? 0 : element(sampleAt(c, n), index[axis], arriving(c, n, divisor));
  });
}
