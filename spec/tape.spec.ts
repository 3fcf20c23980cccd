// # What the tape promises
//
// Random expressions of additions and products are polynomials, and polynomials of small integers
// have derivatives without rounding. So the tape is held to exact numbers, which plain forward
// differentiation in BigInt finds here by other means: the two rules $(a+b)' = a' + b'$ and
// $(ab)' = a'b + ab'$.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  gradEnabled,
  mul,
  noGrad,
  reshape,
  sum,
  tanh,
  tensor,
  type Tensor,
  zeros,
} from "convnotes";
import "./seed.js";

// ## Random expressions

/** One step: which rule, on which earlier values. Positions wrap around. */
interface Step {
  readonly kind: "add" | "mul" | "scale";
  readonly a: number;
  readonly b: number;
}

interface Expression {
  /** Values of three leaves, each of two elements. */
  readonly leaves: readonly (readonly [number, number])[];
  readonly steps: readonly Step[];
}

const small = fc.integer({ min: -3, max: 3 });

const expressions: fc.Arbitrary<Expression> = fc.record({
  leaves: fc.array(fc.tuple(small, small), { minLength: 3, maxLength: 3 }),
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom("add" as const, "mul" as const, "scale" as const),
      a: fc.nat(20),
      b: fc.nat(20),
    }),
    { minLength: 1, maxLength: 12 },
  ),
});

/** Builds the expression out of any kind of number. */
function build<T>(
  { steps }: Expression,
  leaves: readonly T[],
  rules: { add(a: T, b: T): T; mul(a: T, b: T): T; scale(a: T, factor: number): T },
): T {
  const values = [...leaves];
  for (const { kind, a, b } of steps) {
    const [x, y] = [values[a % values.length], values[b % values.length]];
    values.push(kind === "scale" ? rules.scale(x, (b % 7) - 3) : rules[kind](x, y));
  }
  return values[values.length - 1];
}

/** A value, its derivative for each of the leaves, and the same with all signs made positive. */
interface Dual {
  readonly value: bigint;
  readonly slopes: readonly bigint[];
}

const dualRules = {
  add: (a: Dual, b: Dual): Dual => ({
    value: a.value + b.value,
    slopes: a.slopes.map((s, i) => s + b.slopes[i]),
  }),
  mul: (a: Dual, b: Dual): Dual => ({
    value: a.value * b.value,
    slopes: a.slopes.map((s, i) => s * b.value + a.value * b.slopes[i]),
  }),
  scale: (a: Dual, factor: number): Dual => ({
    value: a.value * BigInt(factor),
    slopes: a.slopes.map((s) => s * BigInt(factor)),
  }),
};

/** Value and slopes of the expression at element `at` of the leaves. */
const differentiate = (e: Expression, at: 0 | 1): Dual =>
  build(
    e,
    e.leaves.map((leaf, k) => ({
      value: BigInt(leaf[at]),
      slopes: e.leaves.map((_, i) => (i === k ? 1n : 0n)),
    })),
    dualRules,
  );

/** Whether no sum on the way, in any order, can leave the integers that float64 holds exactly. */
function isExact(e: Expression): boolean {
  const positive = { ...e, leaves: e.leaves.map(([p, q]) => [Math.abs(p), Math.abs(q)] as const) };
  const largest = build(
    positive,
    positive.leaves.map((leaf, k) => ({
      value: BigInt(Math.max(...leaf, 1)),
      slopes: e.leaves.map((_, i) => (i === k ? 1n : 0n)),
    })),
    { ...dualRules, scale: (a, factor) => dualRules.scale(a, Math.max(Math.abs(factor), 1)) },
  );
  return [largest.value, ...largest.slopes].every((v) => v < 2n ** 50n);
}

const exactExpressions = expressions.filter(isExact);

const tensorRules = {
  add: (a: Tensor, b: Tensor) => add(a, b),
  mul: (a: Tensor, b: Tensor) => mul(a, b),
  scale: (a: Tensor, factor: number) => mul(a, factor),
};

const leavesOf = (e: Expression): Tensor[] =>
  e.leaves.map((values) => tensor(values, { dtype: "float64", requiresGrad: true }));

/** The slopes as the gradients that the tape must find; null where nothing flows. */
const expectedGradients = (e: Expression, factors: readonly [number, number] = [1, 1]) => {
  const at = [differentiate(e, 0), differentiate(e, 1)];
  return e.leaves.map((_, k) => at.map((dual, i) => Number(dual.slopes[k]) * factors[i]));
};

/** A leaf that the result does not depend on has no gradient, which counts as zero here. */
const gradientsOf = (leaves: readonly Tensor[]) =>
  leaves.map((leaf) => (leaf.grad === null ? [0, 0] : leaf.grad.toArray()));

const plus = (values: readonly number[]) => values.map((v) => v + 0); // −0 becomes 0

const assertGradients = (leaves: readonly Tensor[], expected: readonly number[][]) =>
  assert.deepEqual(
    gradientsOf(leaves).map((g) => plus(g as number[])),
    expected.map(plus),
  );

const leaf = (values: number | number[]): Tensor =>
  tensor(values, { dtype: "float64", requiresGrad: true });

describe("tape", () => {
  // ## The walk

  it("gives every leaf the exact derivative of a random polynomial, however often it is used", () => {
    fc.assert(
      fc.property(exactExpressions, fc.tuple(small, small), (e, factors) => {
        const leaves = leavesOf(e);
        const y = build(e, leaves, tensorRules);
        fc.pre(!y.isLeaf);
        assert.deepEqual(
          plus(y.toArray() as number[]),
          ([0, 1] as const).map((at) => Number(differentiate(e, at).value)),
        );
        y.backward(tensor(factors, { dtype: "float64" }));
        assertGradients(leaves, expectedGradients(e, factors));
      }),
    );
  });

  it("adds to the gradients that are there already", () => {
    fc.assert(
      fc.property(exactExpressions, (e) => {
        const leaves = leavesOf(e);
        for (let k = 0; k < 2; k++) sum(build(e, leaves, tensorRules)).backward();
        const twice = expectedGradients(e, [2, 2]);
        assertGradients(leaves, twice);
      }),
    );
  });

  it("walks a kept graph again with the same result", () => {
    fc.assert(
      fc.property(exactExpressions, (e) => {
        const leaves = leavesOf(e);
        const y = sum(build(e, leaves, tensorRules));
        y.backward(undefined, { retainGraph: true });
        y.backward();
        assertGradients(leaves, expectedGradients(e, [2, 2]));
      }),
    );
  });

  it("gives no gradient to what was not asked for, and the same to the rest", () => {
    fc.assert(
      fc.property(exactExpressions, fc.nat(2), (e, frozen) => {
        const leaves = leavesOf(e);
        leaves[frozen].requiresGrad = false;
        const y = build(e, leaves, tensorRules);
        fc.pre(y.requiresGrad && !y.isLeaf);
        sum(y).backward();
        assert.equal(leaves[frozen].grad, null);
        const expected = expectedGradients(e);
        expected[frozen] = [0, 0];
        assertGradients(leaves, expected);
      }),
    );
  });

  it("adds both gradients of a tensor that is used twice by one operation", () => {
    const x = leaf(3);
    mul(x, x).backward();
    assert.equal(x.grad?.item(), 6);
  });

  it("walks a chain of 20,000 operations without exhausting the stack", () => {
    const x = leaf(1);
    let y = add(x, 0);
    for (let k = 1; k < 20_000; k++) y = add(y, 1);
    y.backward();
    assert.equal(y.item(), 20_000);
    assert.equal(x.grad?.item(), 1);
  });

  it("keeps the gradient of a tensor in mid-computation only when asked", () => {
    const x = leaf(3);
    const [kept, dropped] = [mul(x, 2).retainGrad(), mul(x, 5)];
    mul(kept, dropped).backward();
    assert.equal(kept.grad?.item(), 15);
    assert.equal(dropped.grad, null);
    assert.equal(x.grad?.item(), 60);
  });

  it("records nothing about gradients themselves", () => {
    const x = leaf([1, 2]);
    sum(mul(x, x)).backward();
    assert.deepEqual([x.grad!.requiresGrad, x.grad!.node], [false, null]);
  });

  // ## Ownership

  it("gives each leaf a gradient of its own, apart from the others and from the argument", () => {
    const [a, b, c] = [leaf([1, 2]), leaf([3, 4]), leaf([5, 6])];
    const dy = tensor([1, 1], { dtype: "float64" });
    add(add(a, b), reshape(c, { shape: [2] })).backward(dy);
    const gradients = [a, b, c].map((t) => t.grad!);
    assert.equal(new Set([dy, ...gradients].map((t) => t.storage)).size, 4);
    gradients[0].fill_(9);
    assert.deepEqual(
      [dy, ...gradients].map((t) => t.toArray()),
      [
        [1, 1],
        [9, 9],
        [1, 1],
        [1, 1],
      ],
    );
  });

  it("leaves an earlier gradient alone that somebody else still holds", () => {
    const x = leaf([1, 2]);
    sum(x).backward();
    const earlier = x.grad!;
    sum(x).backward();
    assert.deepEqual(earlier.toArray(), [1, 1]);
    assert.deepEqual(x.grad?.toArray(), [2, 2]);
  });

  // ## Freed and overwritten

  it("refuses to walk a graph twice unless it was kept", () => {
    const x = leaf(2);
    const y = mul(x, x);
    y.backward();
    assert.throws(() => y.backward(), {
      message:
        "backward: mul was already walked and its saved tensors are gone; " +
        "call backward({ retainGraph: true }) the first time to walk it twice",
    });
  });

  it("refuses when only a shared part was walked already", () => {
    const x = leaf(2);
    const shared = tanh(x);
    mul(shared, 2).backward();
    assert.throws(() => mul(shared, 3).backward(), /^Error: backward: tanh was already walked/);
  });

  it("refuses when a value it needs was overwritten", () => {
    const x = leaf([1, 2]);
    const y = tanh(x);
    y.fill_(0);
    assert.throws(() => sum(y).backward(), {
      message:
        "backward: a tensor [2] that tanh needs for its gradient was overwritten since " +
        "(version 1, saved 0); overwrite a clone() instead, or after backward",
    });
  });

  it("notices when the value was overwritten through a tensor that shares its numbers", () => {
    const x = leaf([1, 2]);
    const y = tanh(x);
    reshape(y, { shape: [2, 1] })
      .detach()
      .fill_(0);
    assert.throws(() => sum(y).backward(), /that tanh needs for its gradient was overwritten/);
  });

  it("does not mind when a value was overwritten that no gradient needs", () => {
    const [x, c] = [leaf([1, 2]), tensor([3, 4], { dtype: "float64" })];
    const y = sum(mul(x, c));
    const z = sum(add(x, c));
    noGrad(() => x.fill_(0)); // only a gradient of c would need x
    y.backward();
    c.fill_(0);
    z.backward();
    assert.deepEqual(x.grad?.toArray(), [4, 5]);
  });

  // ## Not recording

  it("records nothing inside noGrad, and goes on recording behind it, even after an error", () => {
    const x = leaf(2);
    const y = noGrad(() => {
      assert.equal(gradEnabled(), false);
      return noGrad(() => mul(x, x));
    });
    assert.deepEqual([y.requiresGrad, y.isLeaf, gradEnabled()], [false, true, true]);
    assert.throws(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    );
    assert.equal(mul(x, x).requiresGrad, true);
  });

  it("lets no gradient pass a detached tensor, which shares its numbers", () => {
    const x = leaf(3);
    const y = mul(x, 2);
    const constant = y.detach();
    assert.equal(constant.storage, y.storage);
    assert.deepEqual([constant.requiresGrad, constant.isLeaf], [false, true]);
    mul(constant, x).backward();
    assert.equal(x.grad?.item(), 6);
  });

  // ## Refusals

  it("asks for the gradient of more than one value", () => {
    const y = mul(leaf([1, 2, 3]), 2);
    assert.throws(() => y.backward(), {
      name: "ShapeError",
      message:
        "backward: a tensor of shape [3] needs its gradient as an argument; " +
        "only a single value has 1 as its obvious gradient",
    });
    assert.throws(() => y.backward(zeros([2], { dtype: "float64" })), {
      name: "ShapeError",
      message: "backward: the gradient has shape [2], the tensor [3]",
    });
  });

  it("takes 1 as the gradient of a single value of any shape", () => {
    const x = leaf([5]);
    reshape(mul(x, 4), { shape: [1, 1] }).backward();
    assert.deepEqual(x.grad?.toArray(), [4]);
  });

  it("has nothing to walk where nothing was recorded", () => {
    const message =
      "backward: nothing was recorded for this tensor; it depends on no tensor with " +
      "requiresGrad, or it was computed inside noGrad";
    assert.throws(() => mul(tensor(2), 2).backward(), { name: "TypeError", message });
    assert.throws(() => noGrad(() => mul(leaf(2), 2)).backward(), { name: "TypeError", message });
  });

  it("knows no gradients of integers", () => {
    for (const dtype of ["int64", "uint8"] as const)
      assert.throws(() => zeros([2], { dtype, requiresGrad: true }), {
        name: "TypeError",
        message: `only floating-point tensors have gradients, this one is ${dtype}`,
      });
    const labels = zeros([2], { dtype: "int64" });
    labels.requiresGrad = false; // saying so is allowed
    assert.equal(labels.requiresGrad, false);
  });

  it("does not switch off a tensor in mid-computation", () => {
    const y = mul(leaf(1), 2);
    assert.throws(() => (y.requiresGrad = false), {
      name: "TypeError",
      message: "requiresGrad of a computed tensor cannot be changed; use detach()",
    });
  });

  it("does not let gradients pass a change of device or type unnoticed", () => {
    const y = mul(leaf(1), 2);
    assert.throws(() => y.to("float32"), {
      name: "TypeError",
      message:
        'to("float32"): gradients do not flow through a change of device or type; ' +
        "move the inputs instead, or use detach() first",
    });
  });
});
