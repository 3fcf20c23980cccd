// # The formulas are PyTorch's
//
// `fixtures/formulas.py` and `fixtures/ops.py` asked PyTorch for results, gradients and
// trajectories in float64. They are held to the formulas of the laws, which the library is held to on far more cases, with the
// bounds of the laws: PyTorch and the formula may each err by as much as float64 makes them.
// Gradients are compared for the results that PyTorch itself arrived at.

import assert from "node:assert/strict";
import { adam, type AdamOptions, fromData, sgd, type SgdOptions, zeros } from "convnotes";
import fixture from "./fixtures/formulas.json" with { type: "json" };
import windowed from "./fixtures/ops.json" with { type: "json" };
import { type Law, rooms } from "./laws.js";
import { type Arithmetic, bothFloat64, within } from "./rounding.js";
import { step as adamStep } from "./ops/adam.law.js";
import { certain, step as sgdStep, type Uncertain } from "./ops/sgd.law.js";
import type { Case, Values } from "./values.js";

// ## Reading

interface Recorded {
  readonly stem: string;
  readonly inputs: readonly ({ shape: number[]; dtype: string; data: number[] } | null)[];
  readonly options: object;
  readonly y: { shape: number[]; data: number[] };
  /** Results beside `y`. */
  readonly others?: readonly ({ shape: number[]; data: number[] } | null)[];
  readonly dy?: { shape: number[]; dtype: string; data: number[] };
  readonly gradients?: readonly (number[] | null)[];
}

const recorded: readonly Recorded[] = [...fixture.cases, ...windowed];

type Numbers = NonNullable<Recorded["inputs"][number]>;

const valuesOf = ({ shape, dtype, data }: Numbers): Values => ({
  shape,
  data,
  ...(dtype === "int64" && { dtype }),
});

const caseOf = ({ inputs, options, dy }: Recorded): Case => ({
  inputs: inputs.map((x) => x && valuesOf(x)),
  options,
  dy: dy ? valuesOf(dy) : null,
});

// ## Comparing

function assertNear(
  what: string,
  actual: readonly number[],
  expected: readonly number[],
  bounds: readonly number[],
): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    assert(
      within(value, expected[i], bounds[i]),
      `${what}: PyTorch has ${value} at ${i}, the formula ${expected[i]} ± ${bounds[i]}`,
    );
  });
}

function compare(room: Law, record: Recorded): void {
  const c = caseOf(record);
  const what = `${room.stem} ${JSON.stringify(record.options)}`;
  const outputs = [record.y, ...(record.others ?? [])];
  const [expected, bounds] = [room.forward(c), room.bound(c, bothFloat64)];
  outputs.forEach((y, k) => {
    assert.deepEqual(y?.shape, expected[k]?.shape, what);
    if (y) assertNear(`${what}, result ${k}`, y.data, expected[k]!.data, bounds[k]!);
  });
  // PyTorch's gradients come in the order of the inputs, the law's by their names; a list of
  // tensors has one for all.
  const rules = Object.values(room.gradients ?? {});
  record.gradients?.forEach((gradient, index) => {
    const rule = rules.at(rules.length === 1 ? 0 : index);
    if (gradient === null || rule === undefined) return;
    const wanted = rule.of(c, outputs, index);
    const allowed = rule.bound(c, outputs, bothFloat64, index);
    assertNear(`${what}, gradient ${index}`, gradient, wanted.data, allowed);
  });
}

// ## Trajectories

interface Trajectory {
  readonly stem: string;
  readonly options: object;
  readonly param: number[];
  readonly gradients: number[][];
  readonly params: number[][];
}

const trajectories: readonly Trajectory[] = fixture.trajectories;

/** The parameter after each step of the formula, with the error that float64 has gathered. */
function* formulaSteps({ stem, options, param, gradients }: Trajectory, a: Arithmetic) {
  let states = param.map((p) => ({
    param: certain(p),
    buffer: null as Uncertain | null,
    mean: certain(0),
    meanSquare: certain(0),
  }));
  for (const [k, g] of gradients.entries()) {
    states = states.map((state, i) => ({
      ...state,
      ...(stem === "sgd"
        ? sgdStep(state, g[i], options as SgdOptions, a)
        : adamStep(state, g[i], { ...(options as AdamOptions), step: k + 1 }, a)),
    }));
    yield states.map((s) => s.param);
  }
}

/** The steps of the library, in place. */
function* librarySteps({ stem, options, param, gradients }: Trajectory) {
  const p = fromData(Float64Array.from(param));
  const [first, second] = [0, 1].map(() => zeros(p.shape, { dtype: "float64" }));
  for (const [k, numbers] of gradients.entries()) {
    const g = fromData(Float64Array.from(numbers));
    if (stem === "sgd") sgd(p, g, first, { ...(options as SgdOptions), first: k === 0 });
    else adam(p, g, first, second, { ...(options as AdamOptions), step: k + 1 });
    yield Array.from(p.data, Number);
  }
}

describe("formulas", () => {
  const known = rooms();
  for (const stem of new Set(recorded.map((r) => r.stem)))
    it(`of ${stem} are PyTorch's`, () => {
      const room = known.find((law) => law.stem === stem)!;
      for (const record of recorded.filter((r) => r.stem === stem)) compare(room, record);
    });

  for (const trajectory of trajectories)
    it(`of ${trajectory.stem} ${JSON.stringify(trajectory.options)} follow PyTorch for 20 steps`, () => {
      const steps = librarySteps(trajectory);
      let count = 0;
      for (const states of formulaSteps(trajectory, bothFloat64)) {
        const values = states.map((s) => s.value);
        const bounds = states.map((s) => s.error);
        assertNear(`PyTorch's step ${count}`, trajectory.params[count], values, bounds);
        const own = steps.next().value;
        assertNear(`the library's step ${count}`, own!, values, bounds);
        count++;
      }
      assert.equal(count, 20);
    });
});
