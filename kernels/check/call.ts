// # One call before the law
//
// A kernel was called, in the middle of whatever computation, with these inputs and options, and left
// these outputs. The law of its operation (`spec/ops/STEM.law.ts`) says what each element should be and
// how far it may be off; nothing of the computation around it has to be done again.
//
// What would take too long is cut down first (`cut.ts`): the law is as strict on a part.

import type { Primitive } from "convnotes";
import type { Law } from "../../spec/laws.js";
import { type Arithmetic, float32, within } from "../../spec/rounding.js";
import { type Case, indexOf, type Values } from "../../spec/values.js";
import { laws } from "./laws.js";

/** A call of a kernel as it went. */
export interface KernelCall {
  readonly primitive: Pick<Primitive, "name" | "inputs" | "outputs">;
  readonly inputs: readonly (Values | null)[];
  readonly outputs: readonly (Values | null)[];
  readonly options: object;
  /** What the same kernel goes on to do with the first result, one after another, element by element. */
  readonly then?: readonly Continuation[] | undefined;
}

/** A further primitive in the same kernel. */
export interface Continuation {
  readonly primitive: KernelCall["primitive"];
  /** The first result takes the place `hole` among these. */
  readonly inputs: readonly (Values | null)[];
  readonly hole: number;
  readonly options: object;
}

/** How one output of a call stands before the law. */
export interface Verdict {
  readonly output: string;
  readonly elements: number;
  /** The largest error ÷ bound among elements that may be off at all. */
  readonly worst: number;
  readonly violation?: Violation;
}

export interface Violation {
  readonly index: readonly number[];
  readonly value: number;
  readonly expected: number;
  readonly bound: number;
}

const byStem = new Map(laws.map((law) => [law.stem, law]));

/** The law that a primitive is under, and the input whose gradient it computes, if it does. */
function lawOf(name: string): { law: Law; gradientOf: string | null } | undefined {
  const own = byStem.get(name);
  if (own !== undefined) return { law: own, gradientOf: null };
  const [, stem = "", input = ""] = /^(.*)_backward_(\w+)$/.exec(name) ?? [];
  const law = byStem.get(stem);
  return law?.gradients?.[input] && { law, gradientOf: input };
}

export const hasLaw = (name: string): boolean => lawOf(name) !== undefined;

const plain = (name: string): string => name.replace(/^\.\.\.|\?$/g, "");

/** What the inputs of an operation are called, from its forward primitive. */
export type NamesOf = (stem: string) => { inputs: readonly string[]; outputs: readonly string[] };

interface Expected {
  readonly values: Values | null;
  readonly bounds: readonly number[] | null;
}

/** Throws: RangeError for a primitive without a law. */
function expectedOf(
  { primitive, inputs: operands, options }: Omit<KernelCall, "outputs">,
  first: Values | null,
  namesOf: NamesOf,
  a: Arithmetic,
): Expected[] {
  const found = lawOf(primitive.name);
  if (found === undefined) throw new RangeError(`${primitive.name} has no law`);
  const { law, gradientOf } = found;
  if (gradientOf === null) {
    const c: Case = { inputs: operands, options, dy: null };
    const bounds = law.bound(c, a);
    return law.forward(c).map((values, k) => ({ values, bounds: bounds[k] }));
  }
  // A gradient kernel gets what its formula needs, by name; of the rest only the shape matters.
  const given = new Map(primitive.inputs.map((n, i) => [plain(n), operands[i]]));
  const { inputs, outputs } = namesOf(law.stem);
  const target = inputs.map(plain).indexOf(gradientOf);
  const dy = given.get("dy") ?? null;
  // Images that are not given have the gradient's size where they are wanted, or that of dy; anything
  // else has as many channels as the gradient.
  const sized = (v: Values | null): Values | null =>
    v && { shape: v.shape, data: v.data.map(() => 0) };
  const known = (input: string, i: number): Values | null =>
    given.has(input) ? given.get(input)! : sized(i === 0 && i !== target ? dy : first);
  const c: Case = {
    // A rectifier's gradient asks for the sign of its input, which its result has as well.
    inputs: inputs.map((n, i) => (law.stem === "relu" ? given.get("y")! : known(plain(n), i))),
    options,
    dy,
  };
  const results = outputs.map((n) => given.get(n) ?? null);
  const rule = law.gradients![gradientOf];
  const values = rule.of(c, results, target);
  return [{ values, bounds: rule.bound(c, results, a, target) }];
}

/**
 * What the continuation makes of a value that may be off by its bound. It takes each element by itself
 * and is monotone in it, so the ends of what the value can be give the ends of what comes out.
 */
function continued(then: Continuation, from: Expected, namesOf: NamesOf, a: Arithmetic) {
  const at = (side: number): Expected[] => {
    const data = from.values!.data.map((v, i) => v + side * from.bounds![i]);
    const z = { ...from.values!, data };
    const inputs = then.inputs.map((v, k) => (k === then.hole ? z : v));
    return expectedOf({ ...then, inputs }, z, namesOf, a);
  };
  const [middle, low, high] = [at(0), at(-1), at(1)];
  return middle.map(({ values, bounds }, k): Expected => {
    if (values === null || bounds === null) return { values, bounds };
    const ends = [low[k], high[k]];
    const reach = values.data.map((v, i) =>
      Math.max(...ends.map((end) => Math.abs(end.values!.data[i] - v) + end.bounds![i])),
    );
    return { values, bounds: reach.map((r, i) => Math.max(r, bounds[i])) };
  });
}

/** Holds every element of every output to the law. Throws: RangeError without a law. */
export function judgeCall(call: KernelCall, namesOf: NamesOf, a = float32): Verdict[] {
  const { then = [] } = call;
  const own = expectedOf(call, call.outputs[0], namesOf, a);
  const expected = then.reduce(
    ([first, ...others], next) => [...continued(next, first, namesOf, a), ...others],
    own,
  );
  return call.outputs.flatMap((actual, k): Verdict[] => {
    if (actual === null) return [];
    const { values, bounds } = expected[k];
    let worst = 0;
    let violation: Violation | undefined;
    actual.data.forEach((value, i) => {
      const [wanted, bound] = [values!.data[i], bounds![i]];
      if (!within(value, wanted, bound))
        violation ??= { index: indexOf(i, actual.shape), value, expected: wanted, bound };
      else if (bound > 0 && Number.isFinite(value))
        worst = Math.max(worst, Math.abs(value - wanted) / bound);
    });
    const last = then.at(-1)?.primitive ?? call.primitive;
    const { outputs } = k < last.outputs.length ? last : call.primitive;
    const output = outputs[k];
    return [{ output, elements: actual.data.length, worst, ...(violation && { violation }) }];
  });
}
