// # Numbers that arithmetic is bad at
//
// The laws draw numbers of all sizes, ties, both zeros and subnormals. Here whole tensors of a case are made
// difficult: neighbours that cancel but for their last bits, everything so small that products
// underflow, infinities and NaNs that must come out where the formula has them.

import fc from "fast-check";
import type { Law } from "../../spec/laws.js";
import type { Case, Values } from "../../spec/values.js";

type Change = (v: Values, place: number) => Values;

const float = (v: Values, change: (x: number, i: number) => number): Values =>
  v.dtype ? v : { ...v, data: v.data.map((x, i) => Math.fround(change(x, i))) };

const changes: Readonly<Record<string, Change>> = {
  cancel: (v, place) =>
    float(v, (x, i) => (i % 2 === 0 ? x : -v.data[i - 1] * (1 + ((place + i) % 3) * 2 ** -23))),
  tiny: (v) => float(v, (x) => x * 2 ** -110),
  nan: (v, place) => float(v, (x, i) => (i === place % v.data.length ? NaN : x)),
  infinite: (v, place) =>
    float(v, (x, i) => (i === place % v.data.length ? (place % 2 ? Infinity : -Infinity) : x)),
};

/** How the numbers of a case can be made difficult. */
type Difficulty = "cancel" | "tiny" | "nan" | "infinite";

/** Cases whose first input and gradient are changed so. */
const difficult = (cases: fc.Arbitrary<Case>, how: Difficulty): fc.Arbitrary<Case> =>
  fc.tuple(cases, fc.nat(1000)).map(([c, place]) => {
    const change = (v: Values | null) => v && (v.data.length > 0 ? changes[how](v, place) : v);
    const [first, ...rest] = c.inputs;
    return {
      ...c,
      inputs: [change(first), ...rest],
      dy: how === "cancel" || how === "tiny" ? change(c.dy) : c.dy,
    };
  });

/**
 * Where an oracle or its bound knows nothing of such numbers: normalisation's formula multiplies by zeros
 * that kernels leave out, the bounds of exponentials take the distance to the largest score.
 */
const silent: Readonly<Record<string, readonly Difficulty[]>> = {
  batch_norm: ["nan", "infinite"],
  softmax: ["infinite"],
  log_softmax: ["infinite"],
  cross_entropy: ["nan", "infinite"],
};

const all: readonly Difficulty[] = ["cancel", "tiny", "nan", "infinite"];

/** Cases of a law, made difficult in every way that it can judge. */
export const difficultCases = (law: Law): fc.Arbitrary<Case> =>
  fc.oneof(
    ...all
      .filter((how) => !(silent[law.stem] ?? []).includes(how))
      .map((how) => difficult(law.real, how)),
  );
