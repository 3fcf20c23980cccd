// # Every kernel on the cases of the laws
//
// The cases are small and of every kind; every instruction set of this processor gets them. Each kernel
// runs between guard words, on outputs full of NaN, twice.

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Law, rooms } from "../../spec/laws.js";
import { float32 } from "../../spec/rounding.js";
import type { Case } from "../../spec/values.js";
import { difficultCases } from "./adversarial.js";
import { checkKernels, type Checked, instructionSets, restoreKernels } from "./guarded.js";
import { execute, judge } from "./judge.js";

const forAll = (cases: fc.Arbitrary<Case>, pinned: readonly Case[], holds: (c: Case) => void) => {
  fc.assert(
    fc.property(cases, (c) => holds(c)),
    { examples: pinned.map((c) => [c]), numRuns: 60 },
  );
};

const pinned = (law: Law, name: "exact" | "bounded") => (law.pinned?.[name] ?? []).map(([c]) => c);

for (const isa of instructionSets())
  describe(`kernels, ${isa}`, () => {
    let kernels: Checked;
    before(() => {
      kernels = checkKernels({ isa, threads: 2 });
    });
    after(restoreKernels);

    for (const law of rooms()) {
      // A reshape copies nothing, so nothing runs.
      if (law.stem === "reshape") continue;

      const { exact } = law;
      if (typeof exact !== "string")
        it(`${law.stem} equals the formula when no rounding can occur`, () => {
          forAll(exact, pinned(law, "exact"), (c) => judge(law, c, null));
        });

      it(`${law.stem} is as near to the formula as float32 allows, twice`, () => {
        forAll(law.real, pinned(law, "bounded"), (c) => {
          judge(law, c, float32);
          assert.deepEqual(execute(law, c), execute(law, c));
        });
        assert(kernels.ran.has(law.stem), `no kernel ran for ${law.stem}`);
      });

      it(`${law.stem} bears numbers that cancel, underflow, are infinite or none`, () => {
        forAll(difficultCases(law), [], (c) => judge(law, c, float32));
      });
    }
  });
