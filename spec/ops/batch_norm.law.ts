// # The law of batch_norm
//
// The note is `batch_norm.md`, where the bounds are derived. A root and a division stand in the
// formula; still there are cases without rounding: in training, channels whose values are
// $m \pm s$ in equal numbers with $s^2 + \varepsilon$ a power of four; in evaluation, any image.

import type { BatchNormOptions } from "convnotes";
import fc from "fast-check";
import {
  batch,
  channels,
  integers,
  optional,
  optionalValuesOf,
  ordinary,
  reals,
  smallStep,
  valuesOf,
  withGradient,
} from "../arbitraries.js";
import type { Law } from "../laws.js";
import { type Arithmetic, gamma, sumBound } from "../rounding.js";
import { at, build, type Case, map, type Shape, type Values } from "../values.js";

type Norm = Case<BatchNormOptions>;

// ## Cases

const xShape = ({ inputs: [x] }: Norm) => x!.shape;

const inner = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 });

const variances = (channels: number, numbers: fc.Arbitrary<number>) =>
  valuesOf([channels], numbers.map(Math.abs));

const optionalVariances = (channels: number, numbers: fc.Arbitrary<number>) =>
  fc.option(variances(channels, numbers), { freq: 3 });

/** Statistics of the batch, or those given. */
export const cases = (numbers: fc.Arbitrary<number>): fc.Arbitrary<Norm> =>
  withGradient<BatchNormOptions>(
    fc
      .tuple(batch, channels, inner, fc.boolean())
      .chain(([n, c, rest, training]) => {
        const shape = [n, c, ...rest];
        return fc.record({
          inputs: fc.tuple(
            valuesOf(shape, numbers),
            optionalValuesOf([c], numbers),
            optionalValuesOf([c], numbers),
            training ? optionalValuesOf([c], numbers) : valuesOf([c], numbers),
            training ? optionalVariances(c, numbers) : variances(c, numbers),
          ),
          options: optional({
            momentum: fc.constantFrom(0, 0.1, 0.25, 0.9, 1),
            eps: fc.constantFrom(1e-5, 1e-3, 0.5),
          }).chain((options): fc.Arbitrary<BatchNormOptions> =>
            training
              ? fc.constant({ ...options, training })
              : fc.constantFrom(options, { ...options, training }),
          ),
          dy: fc.constant(null),
        });
      })
      .filter((c) => c.options.training !== true || perChannel(c) > 1),
    numbers,
    xShape,
  );

/** Far from zero and close together, where a variance of one pass would lose everything. */
const far = fc.integer({ min: -64, max: 64 }).map((k) => 2 ** 16 + k / 64);

/**
 * Values of a channel, n of them, that make everything whole: their deviation `s` from the mean,
 * and what to add to its square for a power of four. Then n/(n − 1) · s² is whole, too.
 */
const wholeDeviations: Readonly<Record<number, { s: number; eps: readonly number[] }>> = {
  2: { s: 1, eps: [0, 3, 15] },
  4: { s: 3, eps: [7, 55] },
  8: { s: 7, eps: [15, 207] },
};

const exactTraining: fc.Arbitrary<Norm> = fc
  .tuple(fc.constantFrom(1, 2), channels, fc.constantFrom<number[]>([2], [4], [1, 2], [2, 2]))
  .chain(([n, c, rest]) => {
    const count = n * rest.reduce((product, d) => product * d, 1);
    const { s, eps } = wholeDeviations[count];
    const signs = [
      ...new Array<number>(count / 2).fill(s),
      ...new Array<number>(count / 2).fill(-s),
    ];
    const channel = fc
      .tuple(integers, fc.shuffledSubarray(signs, { minLength: count }))
      .map(([mean, order]) => order.map((d) => mean + d));
    return fc.record({
      inputs: fc.tuple(
        fc
          .array(channel, { minLength: c, maxLength: c })
          .map((values) =>
            build([n, c, ...rest], (i, k, ...j) => values[k][i * (count / n) + flat(rest, j)]),
          ),
        optionalValuesOf([c], integers),
        optionalValuesOf([c], integers),
        optionalValuesOf([c], integers),
        optionalVariances(c, integers),
      ),
      options: fc.record({
        training: fc.constant(true),
        momentum: fc.constantFrom(0, 0.25, 0.5, 1),
        eps: fc.constantFrom(...eps),
      }),
      dy: fc.constant(null),
    });
  });

/** The place of `index` in `shape`, row-major. */
const flat = (shape: Shape, index: readonly number[]) =>
  index.reduce((offset, k, axis) => offset * shape[axis] + k, 0);

const exactEvaluation: fc.Arbitrary<Norm> = fc.tuple(batch, channels, inner).chain(([n, c, rest]) =>
  fc.record({
    inputs: fc.tuple(
      valuesOf([n, c, ...rest], integers),
      optionalValuesOf([c], integers),
      optionalValuesOf([c], integers),
      valuesOf([c], integers),
      valuesOf([c], fc.constantFrom(0.5, 3.5, 15.5)),
    ),
    options: fc.constantFrom({ eps: 0.5 }, { eps: 0.5, training: false }),
    dy: fc.constant(null),
  }),
);

// ## Formulas

/** How many values a channel has. */
const perChannel = ({ inputs: [x] }: Norm) => x!.data.length / x!.shape[1];

const sum = (terms: readonly number[]) => terms.reduce((total, t) => total + t, 0);
const meanOf = (terms: readonly number[]) => sum(terms) / terms.length;

/** The elements of channel `c` of something that has the input's shape. */
const channel = ({ shape, data }: Values, c: number): number[] => {
  const step = shape.slice(2).reduce((product, d) => product * d, 1);
  const first = Array.from({ length: shape[0] }, (_, n) => (n * shape[1] + c) * step);
  return first.flatMap((i) => data.slice(i, i + step));
};

/** For each element of the input's shape, its channel. */
const perElement = (shape: Shape, element: (i: number, c: number) => number): Values => {
  let i = 0;
  return build(shape, (_, c) => element(i++, c));
};

interface Statistics {
  readonly mean: number;
  readonly variance: number;
}

/** What a channel is normalised with. */
function statistics({ inputs: [x, , , runningMean, runningVar], options }: Norm, c: number) {
  if (!options.training) return { mean: at(runningMean!, [c]), variance: at(runningVar!, [c]) };
  const values = channel(x!, c);
  const mean = meanOf(values);
  return { mean, variance: meanOf(values.map((v) => (v - mean) ** 2)) };
}

const eachChannel = <T>({ inputs: [x] }: Norm, of: (c: number) => T): T[] =>
  Array.from({ length: x!.shape[1] }, (_, c) => of(c));

const eps = ({ options }: Norm) => options.eps ?? 1e-5;
const momentum = ({ options }: Norm) => options.momentum ?? 0.1;
const unbiased = (c: Norm) => perChannel(c) / (perChannel(c) - 1);
const scale = ({ inputs: [, weight] }: Norm, c: number) => (weight ? at(weight, [c]) : 1);

const inverse = (c: Norm, { variance }: Statistics) => 1 / Math.sqrt(variance + eps(c));

/** By element: the normalised input. */
const normal = (c: Norm, s: readonly Statistics[]): Values =>
  perElement(xShape(c), (i, k) => (c.inputs[0]!.data[i] - s[k].mean) * inverse(c, s[k]));

function forward(c: Norm): (Values | null)[] {
  const [, , bias, runningMean, runningVar] = c.inputs;
  const s = eachChannel(c, (k) => statistics(c, k));
  const hat = normal(c, s);
  const follow = (running: Values, now: (k: number) => number) =>
    build(running.shape, (k) => (1 - momentum(c)) * at(running, [k]) + momentum(c) * now(k));
  const { training } = c.options;
  return [
    perElement(xShape(c), (i, k) => scale(c, k) * hat.data[i] + (bias ? at(bias, [k]) : 0)),
    build([s.length], (k) => s[k].mean),
    build([s.length], (k) => s[k].variance),
    training && runningMean ? follow(runningMean, (k) => s[k].mean) : null,
    training && runningVar ? follow(runningVar, (k) => s[k].variance * unbiased(c)) : null,
  ];
}

/** The statistics that a forward pass has handed out. */
const given = ([, mean, variance]: readonly (Values | null)[]): Statistics[] =>
  mean!.data.map((m, k) => ({ mean: m, variance: variance!.data[k] }));

function dinput(c: Norm, outputs: readonly (Values | null)[]): Values {
  const s = given(outputs);
  const hat = normal(c, s);
  const moving = eachChannel(c, (k) => {
    if (!c.options.training) return { dy: 0, dyHat: 0 };
    const [dy, h] = [channel(c.dy!, k), channel(hat, k)];
    return { dy: meanOf(dy), dyHat: meanOf(dy.map((d, i) => d * h[i])) };
  });
  return perElement(xShape(c), (i, k) => {
    const inside = c.dy!.data[i] - moving[k].dy - hat.data[i] * moving[k].dyHat;
    return scale(c, k) * inverse(c, s[k]) * inside;
  });
}

const dweight = (c: Norm, outputs: readonly (Values | null)[]): Values => {
  const hat = normal(c, given(outputs));
  return build([xShape(c)[1]], (k) => {
    const h = channel(hat, k);
    return sum(channel(c.dy!, k).map((d, i) => d * h[i]));
  });
};

const dbias = (c: Norm): Values => build([xShape(c)[1]], (k) => sum(channel(c.dy!, k)));

// ## Bounds

/** Room for products of errors. */
const SECOND_ORDER = 1 + 1e-3;

const absMean = (terms: readonly number[]) => meanOf(terms.map(Math.abs));

/** Of mean and variance; the variance of a batch takes a second pass. */
function statisticsBound(c: Norm, k: number, a: Arithmetic): Statistics {
  if (!c.options.training) return { mean: 0, variance: 0 };
  const values = channel(c.inputs[0]!, k);
  const n = values.length;
  const mean = sumBound(n, absMean(values), a) + a.unit * absMean(values);
  const drifted = statistics(c, k).variance + mean ** 2;
  return {
    mean,
    variance: (drifted * gamma(a.depth(n) + 4, a) + mean ** 2 + n * a.tiny) * SECOND_ORDER,
  };
}

function bound(c: Norm, a: Arithmetic): (number[] | null)[] {
  const u = a.unit;
  const [y, , , nextMean, nextVar] = forward(c);
  const [x, , bias, runningMean, runningVar] = c.inputs;
  const s = eachChannel(c, (k) => statistics(c, k));
  const error = eachChannel(c, (k) => statisticsBound(c, k, a));
  const follow = (running: Values, now: (k: number) => number, off: (k: number) => number) =>
    running.data.map((r, k) => {
      const size = Math.abs((1 - momentum(c)) * r) + momentum(c) * (Math.abs(now(k)) + off(k));
      return momentum(c) * off(k) + gamma(6, a) * size + 4 * a.tiny;
    });
  const training = perElement(xShape(c), (i, k) => {
    const spread = s[k].variance + eps(c);
    const root = inverse(c, s[k]);
    const distance = Math.abs(x!.data[i] - s[k].mean) + error[k].mean;
    const spreadError = error[k].variance + u * spread;
    const least = Math.max(spread - spreadError, eps(c) / 2);
    const rootError = 5 * u * root + (0.5 * spreadError) / least ** 1.5;
    const size = Math.abs(scale(c, k));
    const underflow = 3 * (1 + size) * a.tiny;
    return (
      size * (distance * rootError + root * (error[k].mean + 3 * u * distance)) +
      u * Math.abs(y!.data[i]) +
      underflow
    );
  });
  const folded = perElement(xShape(c), (i, k) => {
    const reach = Math.abs(x!.data[i]) + Math.abs(s[k].mean);
    const size = Math.abs(scale(c, k));
    return (
      9 * u * size * inverse(c, s[k]) * reach +
      2 * u * Math.abs(bias ? at(bias, [k]) : 0) +
      u * Math.abs(y!.data[i]) +
      4 * (1 + size + reach) * a.tiny
    );
  });
  return [
    (c.options.training ? training : folded).data.map((b) => b * SECOND_ORDER),
    error.map(({ mean }) => mean),
    error.map(({ variance }) => variance),
    nextMean &&
      follow(
        runningMean!,
        (k) => s[k].mean,
        (k) => error[k].mean,
      ),
    nextVar &&
      follow(
        runningVar!,
        (k) => s[k].variance * unbiased(c),
        (k) => error[k].variance * unbiased(c),
      ),
  ];
}

/** For given statistics: see the note. */
function dinputBound(c: Norm, outputs: readonly (Values | null)[], a: Arithmetic): number[] {
  const u = a.unit;
  const s = given(outputs);
  const hat = map(normal(c, s), Math.abs);
  const dy = map(c.dy!, Math.abs);
  const n = perChannel(c);
  const moving = eachChannel(c, (k) => {
    if (!c.options.training) return { dy: 0, dyHat: 0, dyError: 0, dyHatError: 0 };
    const [d, h] = [channel(dy, k), channel(hat, k)];
    const [plain, weighted] = [meanOf(d), meanOf(d.map((value, i) => value * h[i]))];
    return {
      dy: plain,
      dyHat: weighted,
      dyError: gamma(a.depth(n) + 1, a) * plain + n * a.tiny,
      dyHatError: gamma(a.depth(n) + 10, a) * weighted + (1 + plain) * n * a.tiny,
    };
  });
  return perElement(xShape(c), (i, k) => {
    const m = moving[k];
    const h = hat.data[i];
    const factor = Math.abs(scale(c, k)) * inverse(c, s[k]);
    const inside = m.dyError + h * m.dyHatError + 9 * u * h * m.dyHat;
    const size = dy.data[i] + m.dy + h * m.dyHat;
    // Weight and root may be multiplied first, and that product underflow.
    const underflow = (4 * factor + Math.abs(scale(c, k)) + 1 + size) * a.tiny;
    return (factor * (inside + 10 * u * size) + underflow) * SECOND_ORDER;
  }).data.slice();
}

const dweightBound = (c: Norm, outputs: readonly (Values | null)[], a: Arithmetic): number[] => {
  const hat = normal(c, given(outputs));
  const n = perChannel(c);
  return eachChannel(c, (k) => {
    const [dy, h] = [channel(c.dy!, k).map(Math.abs), channel(hat, k)];
    const size = sum(dy.map((d, i) => Math.abs(d * h[i])));
    // A normalised value that underflows is off by `tiny`, times dy; so may be the product.
    return gamma(a.depth(n) + 9, a) * size + 2 * (n + sum(dy)) * a.tiny;
  });
};

/**
 * While the input moves by up to h along a direction of elements from −1 to 1, with the variance D
 * plus ε never below D₀: |y‴| ≤ |γ| (24 D₀^{−3/2} + 24 (|x − m| + 2h) D₀^{−2}). See the note.
 */
function third(c: Norm, input: string): number[] {
  if (input !== "input" || !c.options.training) return [];
  const s = eachChannel(c, (k) => statistics(c, k));
  return perElement(xShape(c), (i, k) => {
    const least = eps(c) + Math.max(0, Math.sqrt(s[k].variance) - smallStep) ** 2;
    const distance = Math.abs(c.inputs[0]!.data[i] - s[k].mean) + 2 * smallStep;
    return Math.abs(scale(c, k)) * (24 * least ** -1.5 + 24 * distance * least ** -2);
  }).data.slice();
}

export const law: Law<BatchNormOptions> = {
  stem: "batch_norm",
  exact: withGradient(fc.oneof(exactTraining, exactEvaluation), integers, xShape),
  real: fc.oneof(cases(reals), cases(far)),

  forward,
  bound,

  gradients: {
    input: { of: dinput, bound: dinputBound },
    weight: { of: dweight, bound: dweightBound },
    bias: {
      of: dbias,
      bound: (c, _, a) =>
        eachChannel(c, (k) => sumBound(perChannel(c), sum(channel(c.dy!, k).map(Math.abs)), a)),
    },
  },
  differences: { cases: cases(ordinary), step: smallStep, third },

  refusals: [
    {
      inputs: [[1, 3], null, null, null, null],
      options: { training: true },
      message:
        "batch_norm: in training each channel needs more than one value, got [1, 3]; " +
        "use a larger batch, or eval()",
    },
    {
      inputs: [[4, 3], null, null, null, [3]],
      options: {},
      message: "batch_norm: evaluation needs running_mean and running_var",
    },
    {
      inputs: [[4], null, null, [4], [4]],
      options: {},
      message: "batch_norm: input must have 2 or 3 or 4 axes, got 1: [4]",
    },
    {
      inputs: [[4, 3, 2, 2], null, [4], [3], [3]],
      options: {},
      message:
        "batch_norm: bias has shape [4], expected [3] (one for each channel of [4, 3, 2, 2])",
    },
    {
      inputs: [[4, 3], null, null, [1, 3], [3]],
      options: {},
      message:
        "batch_norm: running_mean has shape [1, 3], expected [3] (one for each channel of [4, 3])",
    },
  ],
};
