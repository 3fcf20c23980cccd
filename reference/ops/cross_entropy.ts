// # Cross-entropy
//
// The loss of a classifier: how surprised it is by the right answer, $-\log p$ of the true class
// when the scores are read as log-probabilities up to a constant. Targets are class indices or
// whole distributions; they can be smoothed, and classes can be weighted. The note is
// `spec/ops/cross_entropy.md`.

import type { Values } from "../backend.js";
import { ShapeError } from "../errors.js";
import { linesAlong, shiftedExponentials } from "../lines.js";
import { defineOp, expectShape, type Meta } from "../op.js";
import { type Shape, showShape, sizeOf, strides } from "../tensor.js";
import { say } from "../words.js";

export interface CrossEntropyOptions {
  /** Whether the losses of the samples are averaged, added up or kept. Default: `mean`. */
  readonly reduction?: "mean" | "sum" | "none";
  /** The share of each target, from 0 to 1, that is spread over all classes. Default: 0. */
  readonly labelSmoothing?: number;
  /** The label of samples that do not count. Default: −100. */
  readonly ignoreIndex?: number;
}

/** Classes lie along axis 1; a single sample has no axis for the batch. */
const classAxis = (input: Shape): number => (input.length > 1 ? 1 : 0);

const samplesOf = (input: Shape): number[] => input.filter((_, i) => i !== classAxis(input));

// ## Shape: scores $[N, C, \ldots]$, labels $[N, \ldots] \to []$ or $[N, \ldots]$

function shape(
  { input, target, weight }: { input: Meta; target: Meta; weight: Meta | null },
  o: CrossEntropyOptions,
): number[] {
  if (input.shape.length === 0)
    throw new ShapeError(say`input is a single number, expected scores [C] or [N, C]`, "input");
  const classes = input.shape[classAxis(input.shape)];
  const samples = samplesOf(input.shape);
  if (target.dtype === "int64")
    expectShape("target", target.shape, samples, say`one label for each sample of input`);
  else if (target.dtype === input.dtype) {
    expectShape("target", target.shape, input.shape, say`one probability for each score`);
    if ((o.ignoreIndex ?? -100) >= 0)
      throw new ShapeError(say`ignoreIndex needs labels, but target holds probabilities`, "target");
  } else
    throw new ShapeError(
      say`target is ${target.dtype}, expected int64 labels or ${input.dtype} probabilities; convert
        it with to("int64") or to("${input.dtype}")`,
      "target",
    );
  if (weight) expectShape("weight", weight.shape, [classes], say`one for each class`);
  const smoothing = o.labelSmoothing ?? 0;
  if (!(smoothing >= 0 && smoothing <= 1))
    throw new ShapeError(
      say`labelSmoothing must lie in 0 to 1, got ${smoothing}`,
      "labelSmoothing",
    );
  return o.reduction === "none" ? samples : [];
}

// ## One sum for every kind of target
//
// All variants are $\ell_n = -\sum_c a_{nc} \log p_{nc}$ and differ in the coefficients alone.
// With class weights $w_c$ (1 unless given) and smoothing $\varepsilon$ they are
//
// $$a_{nc} = w_c \left( (1-\varepsilon)\, t_{nc} + \frac{\varepsilon}{C} \right),$$
//
// where $t_{nc}$ is the probability given, or 1 for the label and 0 otherwise; an ignored sample
// has $a_{nc} = 0$. The mean divides by the number of samples, for labels each counted with the
// weight of its class.

interface Coefficients {
  /** $a_{nc}$ in the layout of the scores. */
  readonly a: Float64Array;
  readonly divisor: number;
}

function coefficients(
  input: Shape,
  target: Values,
  weight: Values | null,
  o: CrossEntropyOptions,
): Coefficients {
  const { starts, count, step } = linesAlong(input, classAxis(input));
  const smoothing = o.labelSmoothing ?? 0;
  const ignored = o.ignoreIndex ?? -100;
  const hasLabels = target.shape.length < input.length;
  const a = new Float64Array(sizeOf(input));
  let divisor = 0;
  starts.forEach((start, n) => {
    const label = hasLabels ? target.data[n] : undefined;
    if (label === ignored) return;
    if (label !== undefined && !(label >= 0 && label < count))
      throw new RangeError(
        `cross_entropy: target[${position(target.shape, n)}] is ${label}, but input ` +
          `${showShape(input)} has ${count} classes; labels are 0 to ${count - 1}, ` +
          `or ignoreIndex ${ignored} for samples that do not count`,
      );
    for (let c = 0; c < count; c++) {
      const i = start + c * step;
      const t = label === undefined ? target.data[i] : c === label ? 1 : 0;
      a[i] = (weight?.data[c] ?? 1) * ((1 - smoothing) * t + smoothing / count);
    }
    divisor += label === undefined ? 1 : (weight?.data[label] ?? 1);
  });
  return { a, divisor: (o.reduction ?? "mean") === "mean" ? divisor : 1 };
}

/** The index of element `n`, axis by axis. */
const position = (shape: Shape, n: number): string =>
  strides(shape)
    .map((step, axis) => Math.floor(n / step) % shape[axis])
    .join(", ");

/**
 * The cross-entropy between scores and targets.
 *
 * Shape: input `[C]`, `[N, C]` or `[N, C, d1, …]`; target int64 labels `[N, d1, …]`, or
 * probabilities of input's shape and type; weight `[C]` or null → `[]`, or `[N, d1, …]` with
 * `reduction: "none"`.
 * Units: nats. The mean over labels divides by the sum of their weights, over probabilities by
 * the number of samples; it is NaN when no sample counts.
 * Throws: ShapeError when target or weight do not fit; RangeError for a label that is no class,
 * naming the sample.
 * Source: the notes on softmax regression; Szegedy et al. 2016 for smoothing. Differs from
 * PyTorch: $0 \cdot \log 0$ is 0, so a score of −∞ is allowed for a class that is no target;
 * targets and weights have no gradients.
 */
export const crossEntropy = defineOp("cross_entropy", {
  inputs: ["input", "target", "weight?"],
  integers: ["target"],
  shape,

  // ## Forward: $\ell_n = \sum_c a_{nc} \left( \log \sum_j e^{x_{nj} - m_n} - (x_{nc} - m_n) \right)$
  //
  // The largest score $m_n$ is taken out, so that nothing overflows.
  forward({ input, target, weight }, y, o: CrossEntropyOptions) {
    const lines = linesAlong(input.shape, classAxis(input.shape));
    const { a, divisor } = coefficients(input.shape, target, weight, o);
    lines.starts.forEach((start, n) => {
      const { max, total } = shiftedExponentials(input.data, start, lines);
      const logTotal = Math.log(total);
      let loss = 0;
      for (let c = 0; c < lines.count; c++) {
        const i = start + c * lines.step;
        if (a[i] !== 0) loss += a[i] * (logTotal - (input.data[i] - max));
      }
      y.data[o.reduction === "none" ? n : 0] += loss;
    });
    if (divisor !== 1) y.data[0] /= divisor;
  },

  // ## Backward: $\bar x_{nc} = \bar\ell_n \left( p_{nc} \sum_j a_{nj} - a_{nc} \right)$
  gradients: {
    input: {
      needs: ["input", "target", "weight"],
      run({ dy, input, target, weight }, dx, o: CrossEntropyOptions) {
        const lines = linesAlong(input.shape, classAxis(input.shape));
        const { starts, count, step } = lines;
        const { a, divisor } = coefficients(input.shape, target, weight, o);
        if (divisor === 0) return; // No sample counts: the scores have no influence.
        starts.forEach((start, n) => {
          const { max, total } = shiftedExponentials(input.data, start, lines);
          const scale = dy.data[o.reduction === "none" ? n : 0] / divisor;
          let sum = 0;
          for (let c = 0; c < count; c++) sum += a[start + c * step];
          for (let i = start; i < start + count * step; i += step)
            dx.data[i] = scale * ((Math.exp(input.data[i] - max) / total) * sum - a[i]);
        });
      },
    },
  },
});
