// # Cases
//
// What the chapters' tests share: how cases are drawn, how tensors are compared, and how a claim is
// refuted. Values are small whole numbers in float64, so that sums of products are exact and two
// sides of an equation must be equal, not close.

import assert from "node:assert/strict";
import fc, { type Arbitrary } from "fast-check";
import { fromData, type Shape, showShape, sizeOf, type Tensor } from "convnotes";
import "../seed.js";

// ## Drawing

type Cases<T extends readonly unknown[]> = { readonly [K in keyof T]: Arbitrary<T[K]> };

const propertyOf = <T extends readonly unknown[]>(cases: Cases<T>, claim: (...drawn: T) => void) =>
  fc.property(fc.tuple(...(cases as readonly Arbitrary<unknown>[])), (drawn) => {
    claim(...(drawn as readonly unknown[] as T));
  });

/** Holds `claim` to account on drawn cases; `share` of the usual number where one case is dear. */
export function forAll<T extends readonly unknown[]>(
  cases: Cases<T>,
  claim: (...drawn: T) => void,
  share = 1,
): void {
  fc.assert(propertyOf(cases, claim), {
    numRuns: Math.ceil(fc.readConfigureGlobal().numRuns! * share),
  });
}

/** Shows that a claim without its assumption is false: a counter-example must turn up. */
export function refute<T extends readonly unknown[]>(
  cases: Cases<T>,
  claim: (...drawn: T) => void,
): void {
  const { counterexample } = fc.check(propertyOf(cases, claim), { endOnFailure: true });
  assert.ok(counterexample, "no counter-example was found: the assumption is not needed");
}

export const whole = (min: number, max: number): Arbitrary<number> => fc.integer({ min, max });

/** A tensor of drawn numbers, which failures print so that it can be pasted back. */
const tensorOf = (shape: Shape, numbers: Arbitrary<number>): Arbitrary<Tensor> =>
  fc.array(numbers, { minLength: sizeOf(shape), maxLength: sizeOf(shape) }).map((values) =>
    Object.assign(fromData(Float64Array.from(values), shape), {
      [fc.toStringMethod]: () =>
        `fromData(Float64Array.of(${values.map((v) => fc.stringify(v)).join(", ")}), ` +
        `${showShape(shape)})`,
    }),
  );

/** A tensor of whole numbers. */
export const integers = (shape: Shape, min = -4, max = 4): Arbitrary<Tensor> =>
  tensorOf(shape, whole(min, max));

/** A tensor of real numbers between −1 and 1. */
export const reals = (shape: Shape): Arbitrary<Tensor> =>
  tensorOf(shape, fc.double({ min: -1, max: 1, noNaN: true }));

/** Sizes and settings of a convolution that fit together. */
export interface ConvCase {
  readonly input: Shape;
  readonly weight: Shape;
  readonly options: {
    readonly stride: readonly [number, number];
    readonly padding: readonly [number, number];
    readonly dilation: readonly [number, number];
    readonly groups: number;
  };
}

const both = (min: number, max: number) => fc.tuple(whole(min, max), whole(min, max));

/** Every setting is drawn for each axis apart; images are just large enough, or larger. */
export const convCases: Arbitrary<ConvCase> = fc
  .record({
    batch: whole(1, 2),
    groups: whole(1, 3),
    inPerGroup: whole(1, 2),
    outPerGroup: whole(1, 2),
    kernel: both(1, 3),
    stride: both(1, 3),
    padding: both(0, 2),
    dilation: both(1, 2),
    extra: both(0, 4),
  })
  .map(({ batch, groups, inPerGroup, outPerGroup, kernel, stride, padding, dilation, extra }) => {
    const side = (axis: 0 | 1) =>
      Math.max(1, dilation[axis] * (kernel[axis] - 1) + 1 - 2 * padding[axis]) + extra[axis];
    return {
      input: [batch, groups * inPerGroup, side(0), side(1)],
      weight: [groups * outPerGroup, inPerGroup, ...kernel],
      options: { stride, padding, dilation, groups },
    };
  });

// ## Comparing

/** The numbers of a tensor. */
export const numbers = (t: Tensor): number[] => Array.from(t.data, Number);

/** Fails unless shapes and all numbers are the same. */
export function equal(actual: Tensor, expected: Tensor): void {
  assert.equal(showShape(actual.shape), showShape(expected.shape));
  const [a, b] = [actual.data, expected.data];
  for (let i = 0; i < a.length; i++)
    if (!(a[i] === b[i]))
      assert.fail(`element ${i} of ${showShape(actual.shape)}: got ${a[i]}, expected ${b[i]}`);
}

/** Fails unless both are the same number; zero has one sign here. */
export function equalNumber(actual: number, expected: number, what = "value"): void {
  assert.ok(actual === expected, `${what}: got ${actual}, expected ${expected}`);
}

/** Whether shapes and all numbers are the same. */
export const same = (a: Tensor, b: Tensor): boolean =>
  showShape(a.shape) === showShape(b.shape) && a.data.every((v, i) => v === b.data[i]);

/** Fails unless `actual` lies within `bound` of `expected`; a NaN fails. */
export function within(actual: number, expected: number, bound: number, what = "value"): void {
  const error = Math.abs(actual - expected);
  assert.ok(
    error <= bound,
    `${what}: got ${actual}, expected ${expected}; the error ${error} exceeds the bound ${bound}`,
  );
}

// ## Computing with tensors, apart from the library's operations

/** `λa + μb` */
export function combine(lambda: number, a: Tensor, mu: number, b: Tensor): Tensor {
  const [p, q] = [numbers(a), numbers(b)];
  return fromData(
    Float64Array.from(p, (v, i) => lambda * v + mu * q[i]),
    a.shape,
  );
}

/** `⟨a, b⟩`, the sum of the products of all elements. */
export const inner = (a: Tensor, b: Tensor): number => {
  const q = numbers(b);
  return numbers(a).reduce((total, v, i) => total + v * q[i], 0);
};

// ## Building

/** A float64 tensor whose elements are computed from their indices. */
export function build(shape: Shape, at: (...index: number[]) => number): Tensor {
  const data = new Float64Array(sizeOf(shape));
  const index = shape.map(() => 0);
  for (let k = 0; k < data.length; k++) {
    data[k] = at(...index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--)
      index[axis] = 0;
  }
  return fromData(data, shape);
}

/** Reads an element by its indices; 0 outside, as if the tensor were padded. */
export function reader(t: Tensor): (...index: number[]) => number {
  return (...index) => {
    let offset = 0;
    for (let axis = 0; axis < t.ndim; axis++) {
      if (index[axis] < 0 || index[axis] >= t.shape[axis]) return 0;
      offset = offset * t.shape[axis] + index[axis];
    }
    return Number(t.data[offset]);
  };
}
