// # The matrix has no holes
//
// And a hole would be seen: each kind is made once.

import assert from "node:assert/strict";
import { type Ingredients, ingredients, makeMatrix, showMatrix } from "./matrix.js";
import { parseChapter } from "./statements.js";

const chapter = parseChapter(
  "# T\n::: statement a\n**A** $$x$$\n\noperations: conv2d, relu\nerratum: $y$\n:::\n",
  "spec/chapters/01-t.md",
);

const whole: Ingredients = {
  chapters: [chapter],
  tests: [{ label: "a", title: "is so, or | so", file: "spec/a.spec.ts", line: 3 }],
  kills: { a: ["conv2d: a slip"] },
  project: {
    operations: ["conv2d"],
    read: (path) =>
      ({
        "kernels/ops.def": "OP(conv2d)\n",
        "docs/certificates/cpu.json": JSON.stringify({
          ...{ date: "2026-01-02T03:04:05Z", passed: true },
          operations: [{ operation: "conv2d", worst: 0.25 }],
        }),
      })[path] ?? null,
  },
};

const holesOf = (change: Partial<Ingredients>) => makeMatrix({ ...whole, ...change }).holes;

describe("matrix", () => {
  it("has a test and a slip for every statement, and a formula for every operation", () => {
    const { rows, holes } = makeMatrix(ingredients());
    assert.deepEqual(holes, []);
    assert.ok(rows.length > 0);
  });

  it("shows a statement with all that belongs to it", () => {
    assert.deepEqual(holesOf({}), []);
    const row =
      "| a (erratum) | 01-t | conv2d, relu | is so, or \\| so | conv2d: a slip | conv2d | 2026-01-02, worst 0.25 |";
    assert.ok(showMatrix(makeMatrix(whole)).split("\n").includes(row));
  });

  it("misses a test, a slip and a formula", () => {
    assert.deepEqual(holesOf({ tests: [] }), ["spec/chapters/01-t.md:2: no test names a"]);
    assert.deepEqual(holesOf({ kills: {} }), ["spec/chapters/01-t.md:2: no slip is planted for a"]);
    const project = { operations: ["tanh"], read: () => "no formula" };
    assert.deepEqual(holesOf({ project }), [
      "reference/ops/tanh.ts: no note and no statement has its formula",
    ]);
  });

  it("refuses a test and a slip of a label that no chapter has", () => {
    const tests = [...whole.tests, { ...whole.tests[0], label: "b" }];
    assert.deepEqual(holesOf({ tests }), ['spec/a.spec.ts:3: tests "b", which no chapter states']);
    assert.deepEqual(holesOf({ kills: { ...whole.kills, b: [] } }), [
      'spec/chapters/mutants.ts: names "b", which no chapter states',
    ]);
  });
});
