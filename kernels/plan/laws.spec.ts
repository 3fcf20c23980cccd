// # Programs on the cases of the laws
//
// Every operation with its gradients is traced, planned and run as a program, on the cases on which
// single kernels are judged, and held to the same bounds. Blocks of images are used wherever they can
// be, however few images there are, and the arena is full of NaN before each run.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { type Law, operationOf, rooms } from "../../spec/laws.js";
import { integers, reals } from "../../spec/arbitraries.js";
import { law as conv2d, tileCases } from "../../spec/ops/conv2d.law.js";
import { float32 } from "../../spec/rounding.js";
import { type Case, dataOf, type Values } from "../../spec/values.js";
import { instructionSets, restoreKernels } from "../check/guarded.js";
import { execute, executeOn, judge } from "../check/judge.js";
import { loadKernels } from "../backend.js";
import type { Plan } from "./plan.js";

type Tensor = convnotes.Tensor;

const tensorOf = (v: Values): Tensor => convnotes.fromData(dataOf(v, Float32Array), v.shape);

const read = (t: Tensor): Values => ({ shape: t.shape, data: Array.from(t.data, Number) });

function wasTraced(graph: convnotes.Graph, t: Tensor): boolean {
  try {
    graph.valueOf(t);
    return true;
  } catch {
    return false;
  }
}

const ran = new Set<string>();

/** What `execute` of judge.ts gives, computed by one program. */
function executeAsProgram(law: Law, c: Case) {
  const op = operationOf(convnotes, law.stem);
  const { inputs, outputs: names } = op.primitives[0];
  const isList = inputs[0].startsWith("...");
  const inputName = (i: number) => (isList ? inputs[0].slice(3) : inputs[i].replace(/\?$/, ""));
  const tensors = c.inputs.map((v, i) => {
    const t = v && tensorOf(v);
    if (t && law.gradients?.[inputName(i)]) t.requiresGrad = true;
    return t;
  });
  const dy = law.gradients && c.dy ? tensorOf(c.dy) : null;
  const { graph, result } = convnotes.trace(() =>
    convnotes.uncomputed(() => {
      const results = isList ? op.all(tensors, c.options) : op.all(...tensors, c.options);
      if (dy) results[names[0]]!.backward(dy);
      return { results, gradients: tensors.map((t) => t?.grad ?? null) };
    }),
  );
  const outputs = names.map((name) => result.results[name] ?? null);
  // A gradient that is dy itself, unchanged, took no part in the trace.
  const wanted = [...outputs, ...result.gradients].filter((t) => t !== null);
  const computed = wanted.filter((t) => wasTraced(graph, t));
  let program: convnotes.Program;
  try {
    program = convnotes.backendOf("cpu").compile!({ graph, inputs: [], outputs: computed });
  } catch (error) {
    assert(error instanceof convnotes.CannotCompile && /is empty/.test(error.message));
    return execute(law, c);
  }
  program.run([], computed, new Map());
  const { calls } = program.plan as Plan;
  for (const { kernel } of calls) ran.add(kernel);
  const tiled = calls.filter(({ kernel }) => kernel.startsWith("winograd_"));
  return {
    names,
    outputs: outputs.map((t) => t && read(t)),
    gradients: result.gradients.flatMap((t, index) =>
      t ? [{ name: inputName(index), index, value: read(t) }] : [],
    ),
    tiled: new Set(tiled.flatMap(({ nodes }) => nodes.map((n) => graph.nodes[n].name))),
  };
}

/** Whole numbers of that shape, different from their neighbours. */
const numbers = (...shape: number[]): Values => ({
  shape,
  data: Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => ((i * 5) % 7) - 3),
});

/** Cases on images, by operation, where drawing may well miss what only programs run. */
const onImages: Readonly<Record<string, Case>> = {
  concat: {
    inputs: [numbers(2, 1, 2, 3), numbers(2, 2, 2, 3)],
    ...{ options: { dim: 1 }, dy: numbers(2, 3, 2, 3) },
  },
  narrow: {
    inputs: [numbers(2, 3, 2, 3)],
    ...{ options: { dim: 1, start: 1, length: 2 }, dy: numbers(2, 2, 2, 3) },
  },
  batch_norm: {
    inputs: [numbers(2, 2, 2, 3), numbers(2), numbers(2), null, null],
    ...{ options: { training: true }, dy: numbers(2, 2, 2, 3) },
  },
};

/**
 * Pixels that are infinite or no numbers; or gradients, where nothing is padded: elsewhere an infinite one
 * meets zeros that the formula multiplies it by and that kernels leave out.
 */
const withSomeInfinite = (cases: fc.Arbitrary<Case>): fc.Arbitrary<Case> => {
  const strange = fc.tuple(fc.nat(), fc.constantFrom(Infinity, -Infinity, NaN));
  return fc.tuple(cases, fc.array(strange, { minLength: 1 })).map(([c, places]) => {
    const spoiled = (v: Values): Values => {
      const data = [...v.data];
      for (const [place, number] of places) data[place % data.length] = number;
      return { ...v, data };
    };
    const [x, ...weights] = c.inputs;
    const isPadded = [2, 3].some((axis) => {
      const [H, K, places] = [x!, weights[0]!, c.dy!].map(({ shape }) => shape[axis]);
      return places !== H - K + 1;
    });
    return isPadded ? { ...c, inputs: [spoiled(x!), ...weights] } : { ...c, dy: spoiled(c.dy!) };
  });
};

for (const isa of instructionSets())
  describe(`programs, ${isa}`, () => {
    before(() => {
      const status = loadKernels(convnotes, {
        ...{ isa, threads: 2, grain: 0 },
        ...{ poison: true, rewrite: "always" },
      });
      assert(status.available);
      ran.clear();
    });
    after(restoreKernels);

    for (const law of rooms()) {
      // A reshape copies nothing, so nothing runs.
      if (law.stem === "reshape") continue;
      const examples: [Case][] = Object.hasOwn(onImages, law.stem) ? [[onImages[law.stem]]] : [];
      it(`${law.stem} and its gradients are as near to the formula as float32 allows`, () => {
        fc.assert(
          fc.property(law.real, (c) => judge(law, c, float32, undefined, executeAsProgram)),
          { numRuns: 40, examples },
        );
      });

      const { exact } = law;
      if (typeof exact !== "string")
        it(`${law.stem} and its gradients equal the formula when no rounding can occur`, () => {
          fc.assert(
            fc.property(exact, (c) => judge(law, c, null, undefined, executeAsProgram)),
            { numRuns: 40 },
          );
        });
    }

    // ## Windows of 3 × 3 and 5 × 5, in tiles

    const inTiles = (cases: fc.Arbitrary<Case>, exactly: boolean) =>
      fc.assert(
        fc.property(cases, (c) =>
          judge(conv2d as Law, c, exactly ? null : float32, undefined, executeAsProgram),
        ),
        { numRuns: 40 },
      );

    it("conv2d in tiles equals the formula when no rounding can occur", () =>
      inTiles(tileCases(integers), true));

    it("conv2d in tiles is as near to the formula as its own bound allows", () =>
      inTiles(tileCases(reals), false));

    it("conv2d in tiles leaves what is not finite where the formula has it", () =>
      inTiles(withSomeInfinite(tileCases(integers)), true));

    for (const taps of [3, 5])
      it(`conv2d in tiles of ${taps} × ${taps} equals the reference where there are many strips`, () => {
        const c: Case = {
          inputs: [numbers(18, 5, 41, 23), numbers(15, 5, taps, taps), numbers(15)],
          ...{ options: { padding: taps >> 1 }, dy: numbers(18, 15, 41, 23) },
        };
        const actual = executeAsProgram(conv2d, c);
        const expected = executeOn("reference")(conv2d, c);
        const numbersOf = ({ outputs, gradients }: typeof expected) =>
          [...outputs, ...gradients.map(({ value }) => value)].map((v) => v!.data);
        numbersOf(expected).forEach((data, k) => {
          const wrong = numbersOf(actual)[k].findIndex((v, i) => v !== data[i]);
          assert.equal(wrong, -1, `element ${wrong} of number ${k}`);
        });
      });

    it("ran the kernels that only programs run", () => {
      for (const name of ["conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"]) {
        assert(ran.has(`blocked_${name}`), name);
        assert(ran.has(`blocked_${name}_backward_input`), name);
      }
      for (const of of ["", "_backward_input", "_backward_weight"])
        assert(ran.has(`winograd_conv2d${of}`), `tiles${of}`);
      assert(ran.has("thin_linear") && ran.has("thin_linear_backward_input"));
      for (const name of ["batch_norm", "batch_norm_backward", "concat", "narrow"])
        assert(ran.has(`blocked_${name}`), name);
    });
  });
