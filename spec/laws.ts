// # The laws of every operation
//
// Whatever an operation computes, six laws hold of it. Here they are said once; each room says
// in its law file (`spec/ops/STEM.law.ts`) only what is its own: the formula as an oracle, the
// cases, and the bound. Law files know no test runner, so kernels can be judged on the same cases.
//
// The laws take the library as an argument, because `mutants.run.ts` shows them broken ones: a law
// that lets a planted slip pass is no law.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as convnotes from "convnotes";
import fc from "fast-check";
import {
  type Arithmetic,
  bothFloat64,
  float32,
  float64,
  gamma,
  roundedOnce,
  within,
} from "./rounding.js";
import { type Case, dataOf, indexOf, map, type Shape, type Values } from "./values.js";

export type Library = typeof convnotes;
type Tensor = convnotes.Tensor;

// ## What a room says

/** The gradient of one input; for a list of inputs, of the one at `index`. */
export interface Gradient<O extends object> {
  /** The formula, for results `outputs` that are given. */
  of(c: Case<O>, outputs: readonly (Values | null)[], index: number): Values;
  /** How far each element may be off, in that arithmetic. */
  bound(
    c: Case<O>,
    outputs: readonly (Values | null)[],
    a: Arithmetic,
    index: number,
  ): readonly number[];
}

/** Sizes or options that the shape rule must refuse, and the whole of what it must say. */
export interface Refusal<O extends object> {
  readonly inputs: readonly (Shape | convnotes.Meta | null)[];
  readonly options: O;
  readonly message: string;
}

export interface Law<O extends object = object> {
  readonly stem: string;
  /** Cases in which no rounding can occur in float32, or the reason why there are none. */
  readonly exact: fc.Arbitrary<Case<O>> | string;
  /** Cases of all kinds of numbers. */
  readonly real: fc.Arbitrary<Case<O>>;
  /** By law: counterexamples that broke it once, as the failure printed them. */
  readonly pinned?: { readonly [name in LawName]?: readonly (readonly [Case<O>, number])[] };
  /** The formula, index by index: all results in order, null where there is none. */
  forward(c: Case<O>): readonly (Values | null)[];
  /** How far each element of each result may be off, in that arithmetic. */
  bound(c: Case<O>, a: Arithmetic): readonly (readonly number[] | null)[];
  /** By the name of the input. */
  readonly gradients?: Readonly<Record<string, Gradient<O>>>;
  readonly differences?: Differences<O>;
  readonly refusals: readonly Refusal<O>[];
}

/** Where and how the gradient is compared with differences of the formula; see `adjoint`. */
export interface Differences<O extends object> {
  /** Cases around which the formula is smooth, up to `step` in every element. */
  readonly cases: fc.Arbitrary<Case<O>>;
  readonly step: number;
  /**
   * A bound of the third derivative of each element of the result while one input moves by up to
   * `step` in a direction of elements from −1 to 1. Default: 0, for a formula that is linear
   * there in each input.
   */
  third?(c: Case<O>, input: string): readonly number[];
}

// ## Running the library on a case

type DType = "float32" | "float64";

/** What the laws use of an operation. */
interface Operation extends convnotes.AnyOp {
  all(...args: readonly unknown[]): Record<string, Tensor | null>;
}

const isOperation = (value: unknown): value is Operation =>
  typeof value === "function" && "stem" in value && "all" in value;

export function operationOf(library: Library, stem: string): Operation {
  const found = Object.values(library).find((v: unknown) => isOperation(v) && v.stem === stem);
  if (!isOperation(found)) throw new RangeError(`no operation "${stem}"`);
  return found;
}

function tensorOf(v: Values, dtype: DType, library: Library): Tensor {
  const data = dataOf(v, dtype === "float32" ? Float32Array : Float64Array);
  // Where kernels are loaded, `cpu` would have their bounds.
  return library.fromData(data, v.shape, "reference");
}

const read = (t: Tensor): Values => ({ shape: t.shape, data: Array.from(t.data, Number) });

/** Names of the inputs, one for each; a list has one name for all. */
function inputNames(op: Operation, count: number): string[] {
  const { inputs } = op.primitives[0];
  if (inputs[0].startsWith("...")) return new Array<string>(count).fill(inputs[0].slice(3));
  return inputs.map((name) => name.replace(/\?$/, ""));
}

function call(op: Operation, tensors: readonly (Tensor | null)[], options: object) {
  const isList = op.primitives[0].inputs[0].startsWith("...");
  const results = isList ? op.all(tensors, options) : op.all(...tensors, options);
  return op.primitives[0].outputs.map((name) => results[name]);
}

/** All results, and the gradient of each input (null where the law knows of none). */
function execute(room: Law, c: Case, dtype: DType, library: Library) {
  const op = operationOf(library, room.stem);
  const names = inputNames(op, c.inputs.length);
  const tensors = c.inputs.map((v, i) => {
    const t = v && tensorOf(v, dtype, library);
    if (t && room.gradients?.[names[i]]) t.requiresGrad = true;
    return t;
  });
  const results = call(op, tensors, c.options);
  // The results are read first: what is updated in place must be right at once.
  const outputs = results.map((t) => t && read(t));
  if (room.gradients && c.dy) results[0]!.backward(tensorOf(c.dy, dtype, library));
  const gradients = tensors.map((t) => (t?.grad ? read(t.grad) : null));
  return { names, outputs, gradients };
}

// ## Comparing

/** Throws: AssertionError that names the worst element. `bounds` of null means equality. */
function compare(
  what: string,
  actual: Values | null,
  expected: Values | null,
  bounds: readonly number[] | null,
): void {
  assert.deepEqual(actual?.shape, expected?.shape, `the shape of ${what}`);
  actual?.data.forEach((value, i) => {
    const wanted = expected!.data[i];
    const bound = bounds === null ? 0 : bounds[i];
    if (!within(value, wanted, bound))
      assert.fail(
        `${what}[${indexOf(i, actual.shape).join(", ")}] is ${value}, expected ${wanted}` +
          (bounds === null ? "" : ` ± ${bound}, off by ${Math.abs(value - wanted)}`),
      );
  });
}

/** The bounds of a result that is stored in `dtype`; the reference rounds to it once. */
const stored = (expected: Values | null, bounds: readonly number[] | null, dtype: DType) =>
  dtype === "float64" || bounds === null
    ? bounds
    : bounds.map((bound, i) => roundedOnce(expected!.data[i], bound, float32));

/** Holds results and gradients of `dtype` against the formula. */
function judge(room: Law, c: Case, dtype: DType, library: Library, exactly: boolean): void {
  const { names, outputs, gradients } = execute(room, c, dtype, library);
  const resultNames = operationOf(library, room.stem).primitives[0].outputs;
  const expected = room.forward(c);
  const bounds = room.bound(c, bothFloat64);
  outputs.forEach((actual, k) => {
    const allowed = exactly ? null : stored(expected[k], bounds[k], dtype);
    compare(`${dtype} ${resultNames[k]}`, actual, expected[k], allowed);
  });
  gradients.forEach((actual, index) => {
    if (actual === null) return;
    const rule = room.gradients![names[index]];
    const wanted = rule.of(c, outputs, index);
    const own = rule.bound(c, outputs, bothFloat64, index);
    const allowed = exactly ? null : stored(wanted, own, dtype);
    compare(`${dtype} gradient of ${names[index]}`, actual, wanted, allowed);
  });
}

const bothTypes = ["float32", "float64"] as const;

// ## The laws

type Check = (room: Law, library: Library) => void;

/** Runs `holds` on drawn cases; `seed` is for what a law needs to draw beside. */
function forAll(
  cases: fc.Arbitrary<Case>,
  pinned: readonly (readonly [Case, number])[] | undefined,
  holds: (c: Case, seed: number) => void,
): void {
  fc.assert(fc.property(cases, fc.nat(), holds), {
    examples: (pinned ?? []).map(([c, seed]) => [c, seed]),
  });
}

/** Results and gradients are equal to the formula: shows every slip of an index. */
const exact: Check = (room, library) => {
  if (typeof room.exact === "string") return;
  forAll(room.exact, room.pinned?.exact, (c) => {
    for (const dtype of bothTypes) judge(room, c, dtype, library, true);
  });
};

/** Results and gradients of any numbers are as near as rounding allows. */
const bounded: Check = (room, library) => {
  forAll(room.real, room.pinned?.bounded, (c) => {
    for (const dtype of bothTypes) judge(room, c, dtype, library, false);
  });
};

// ### Adjoint
//
// Let $\varphi(t) = \langle \bar y, f(x + t v) \rangle$ for a direction $v$. If the backward is the
// adjoint of the derivative of the formula $f$, then
// $\langle \bar x, v \rangle = \langle \bar y, f'(x) v \rangle = \varphi'(0)$, which a central
// difference knows:
//
// $$\left| \varphi'(0) - \frac{\varphi(h) - \varphi(-h)}{2h} \right|
//   \le \frac{h^2}{6} \max |\varphi'''| + \frac{B(h) + B(-h)}{2h}$$
//
// with the rounding bound $B$ of $\varphi$ in float64. Nothing is tuned: for an operation that is
// linear in each input $\varphi''' = 0$, the step is 1 and what is left is rounding; the others bound
// their third derivative in their law, and their step is $2^{-17}$, near the cube root of $u$, at
// which both terms are equally small. Cases are such that $x \pm hv$ is exact. The library's own
// forward result, which its backward may use, is off by far less than $B/h$.

const adjoint: Check = (room, library) => {
  const { differences, gradients: rules } = room;
  if (rules === undefined || differences === undefined) return;
  const h = differences.step;
  forAll(differences.cases, room.pinned?.adjoint, (c, seed) => {
    const { names, outputs, gradients } = execute(room, c, "float64", library);
    const dy = c.dy!.data;
    gradients.forEach((dx, index) => {
      if (dx === null) return;
      const v = direction(dx.data.length, seed + index);
      const moved = (t: number): Case => ({
        ...c,
        inputs: c.inputs.map((x, i) => (i === index ? map(x!, (e, k) => e + t * v[k]) : x)),
      });
      const [up, down] = [h, -h].map((t) => ({
        y: room.forward(moved(t))[0]!.data,
        bound: room.bound(moved(t), float64)[0]!,
      }));
      const third = differences.third?.(c, names[index]) ?? [];
      const own = rules[names[index]].bound(c, outputs, bothFloat64, index);

      const slope = sumOf(v, (i) => v[i] * dx.data[i]);
      const quotient = sumOf(dy, (i) => (dy[i] * (up.y[i] - down.y[i])) / (2 * h));
      const allowed =
        sumOf(dy, (i) => Math.abs(dy[i]) * ((h * h) / 6) * (third[i] ?? 0)) +
        sumOf(dy, (i) => (Math.abs(dy[i]) * (up.bound[i] + down.bound[i])) / (2 * h)) +
        sumOf(v, (i) => Math.abs(v[i]) * own[i]) +
        // Of the two sums themselves.
        gamma(v.length, float64) * sumOf(v, (i) => Math.abs(v[i] * dx.data[i])) +
        gamma(dy.length + 2, float64) *
          sumOf(dy, (i) => (Math.abs(dy[i]) * (Math.abs(up.y[i]) + Math.abs(down.y[i]))) / (2 * h));
      if (!within(slope, quotient, allowed))
        assert.fail(
          `the gradient of ${names[index]} along [${v.join(", ")}] is ${slope}, ` +
            `the difference quotient ${quotient} ± ${allowed}`,
        );
    });
  });
};

const sumOf = (over: readonly number[], term: (i: number) => number) =>
  over.reduce((sum, _, i) => sum + term(i), 0);

/** −1, 0 and 1 as the seed has it (the upper bits of a linear congruential generator). */
function direction(length: number, seed: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * 3) - 1;
  });
}

/** The shape rule, a trace that computes nothing and the results all have the oracle's shapes. */
const shapes: Check = (room, library) => {
  const cases = typeof room.exact === "string" ? room.real : room.exact;
  forAll(cases, room.pinned?.shapes, (c) => {
    const op = operationOf(library, room.stem);
    const expected = room.forward(c).map((v) => v && v.shape);
    const tensors = c.inputs.map((v) => v && tensorOf(v, "float32", library));
    assert.deepEqual(op.infer(tensors, c.options), expected, "shapes by the rule");
    const onMeta = tensors.map((t) => t && t.to("meta"));
    const { graph } = library.trace(() => call(op, onMeta, c.options));
    const traced = graph.nodes[0].outputs.map((id) =>
      id === null ? null : graph.values[id].shape,
    );
    assert.deepEqual(traced, expected, "shapes in a trace");
    const computed = call(op, tensors, c.options).map((t) => t && t.shape);
    assert.deepEqual(computed, expected, "shapes of the results");
  });
};

/** Nothing depends on anything but inputs and options. */
const repeatable: Check = (room, library) => {
  forAll(room.real, room.pinned?.repeatable, (c) => {
    const first = execute(room, c, "float32", library);
    // Strict equality tells −0 from 0 and knows NaN.
    assert.deepEqual(execute(room, c, "float32", library), first);
  });
};

/** What cannot be computed is refused, in words that say how to mend it. */
const refusals: Check = (room, library) => {
  const { infer } = operationOf(library, room.stem);
  for (const { inputs, options, message } of room.refusals) {
    const metas = inputs.map((x) =>
      x === null || "shape" in x ? x : { shape: x, dtype: "float32" as const },
    );
    assert.throws(
      () => infer(metas, options),
      (error) => {
        assert(error instanceof library.ShapeError, String(error));
        assert.equal(error.message, message);
        assert.equal(error.operation, room.stem);
        return true;
      },
      `not refused: ${message}`,
    );
  }
};

export type LawName = "exact" | "bounded" | "adjoint" | "shapes" | "repeatable" | "refusals";

export interface CommonLaw {
  readonly sentence: string;
  /** Whether the law says anything about that room. */
  readonly applies: (room: Law) => boolean;
  /** Throws: AssertionError, with the seed and the shrunk case. */
  readonly holds: Check;
}

/** Each law by the name that mutants.ts calls it. */
export const laws: Readonly<Record<LawName, CommonLaw>> = {
  exact: {
    sentence: "equals the formula exactly when no rounding can occur",
    applies: (room) => typeof room.exact !== "string",
    holds: exact,
  },
  bounded: {
    sentence: "is as near to the formula as rounding allows",
    applies: () => true,
    holds: bounded,
  },
  adjoint: {
    sentence: "has the backward that is the adjoint of the formula",
    applies: (room) => room.differences !== undefined,
    holds: adjoint,
  },
  shapes: {
    sentence: "has one shape by rule, in a trace and as computed",
    applies: () => true,
    holds: shapes,
  },
  repeatable: { sentence: "gives the same bits twice", applies: () => true, holds: repeatable },
  refusals: {
    sentence: "refuses what does not fit, and says why",
    applies: (room) => room.refusals.length > 0,
    holds: refusals,
  },
};

// ## All rooms

/** The laws of all rooms, from their law files. */
export function rooms(): Law[] {
  const folder = fileURLToPath(new URL("./ops/", import.meta.url));
  const load = createRequire(import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith(".law.ts"))
    .sort()
    .map((file) => (load(join(folder, file)) as { law: Law }).law);
}
