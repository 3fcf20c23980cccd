// # A kernel before the law
//
// Runs a case of a law (spec/ops/STEM.law.ts) in float32, on `cpu` unless told otherwise, and holds every
// element of every result and gradient against the formula: equal where nothing can round, else within the
// bound of the device's arithmetic. A gradient is judged for the results that the kernels themselves
// handed out.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import type { Tensor } from "convnotes";
import { type Law, operationOf } from "../../spec/laws.js";
import { type Arithmetic, within } from "../../spec/rounding.js";
import { type Case, dataOf, indexOf, type Values } from "../../spec/values.js";

const tensorOf = (v: Values): Tensor => convnotes.fromData(dataOf(v, Float32Array), v.shape);

const read = (t: Tensor): Values => ({ shape: t.shape, data: Array.from(t.data, Number) });

/** What came out of a case. */
interface Executed {
  readonly names: readonly string[];
  readonly outputs: readonly (Values | null)[];
  readonly gradients: readonly { name: string; index: number; value: Values }[];
  /** Primitives whose results came by Winograd's tiles. Default: none. */
  readonly tiled?: ReadonlySet<string>;
}

/** All results and all gradients of a case, as the device `cpu` computes them. */
export function execute(law: Law, c: Case): Executed {
  const op = operationOf(convnotes, law.stem);
  const { inputs, outputs: names } = op.primitives[0];
  const isList = inputs[0].startsWith("...");
  const inputName = (i: number) => (isList ? inputs[0].slice(3) : inputs[i].replace(/\?$/, ""));
  const tensors = c.inputs.map((v, i) => {
    const t = v && tensorOf(v);
    if (t && law.gradients?.[inputName(i)]) t.requiresGrad = true;
    return t;
  });
  const results = isList ? op.all(tensors, c.options) : op.all(...tensors, c.options);
  const outputs = names.map((name) => results[name] && read(results[name]));
  if (law.gradients && c.dy) results[names[0]]!.backward(tensorOf(c.dy));
  const gradients = tensors.map((t, i) =>
    t?.grad ? { name: inputName(i), index: i, value: read(t.grad) } : null,
  );
  return { names, outputs, gradients: gradients.filter((g) => g !== null) };
}

/** The same on another device, which gets its memory back at once. */
export const executeOn =
  (device: string): typeof execute =>
  (law, c) =>
    convnotes.withDevice(device, () => {
      const backend = convnotes.backendOf(device);
      const run = () => execute(law, c);
      return backend.scoped ? backend.scoped(run) : run();
    });

/** Largest error ÷ bound so far, by result or gradient. */
export type Worst = Map<string, number>;

function compare(
  what: string,
  actual: Values | null,
  wanted: Values | null,
  bounds: readonly number[] | null,
  worst: Worst | undefined,
): void {
  assert.deepEqual(actual?.shape, wanted?.shape, `the shape of ${what}`);
  actual?.data.forEach((value, i) => {
    const expected = wanted!.data[i];
    const bound = bounds === null ? 0 : bounds[i];
    if (!within(value, expected, bound))
      assert.fail(
        `${what}[${indexOf(i, actual.shape).join(", ")}] is ${value}, expected ${expected}` +
          (bounds === null ? "" : ` ± ${bound}, off by ${Math.abs(value - expected)}`),
      );
    if (worst && bound > 0 && Number.isFinite(value))
      worst.set(what, Math.max(worst.get(what) ?? 0, Math.abs(value - expected) / bound));
  });
}

/** Throws: AssertionError that names the first element that is off. `a` of null means equality. */
export function judge(law: Law, c: Case, a: Arithmetic | null, worst?: Worst, run = execute): void {
  const { names, outputs, gradients, tiled } = run(law, c);
  const declared = (primitive: string) =>
    a && (tiled?.has(primitive) ? { ...a, winograd: true } : a);
  const expected = law.forward(c);
  const own = declared(law.stem);
  const bounds = own && law.bound(c, own);
  outputs.forEach((actual, k) => {
    const allowed = bounds ? bounds[k] : null;
    compare(`${law.stem} ${names[k]}`, actual, expected[k], allowed, worst);
  });
  for (const { name, index, value } of gradients) {
    const rule = law.gradients![name];
    const own = declared(`${law.stem}_backward_${name}`);
    const allowed = own && rule.bound(c, outputs, own, index);
    compare(`${law.stem} d${name}`, value, rule.of(c, outputs, index), allowed, worst);
  }
}
