// # Properties of Adam

import assert from "node:assert/strict";
import fc from "fast-check";
import { adam, fromData, tensor, zeros } from "convnotes";
import { ordinary, valuesOf } from "../arbitraries.js";
import { bothFloat64, within } from "../rounding.js";
import "../seed.js";
import { law } from "./adam.law.js";

describe("adam", () => {
  it("begins with a step of length lr, whatever the gradient's size", () => {
    const o = { lr: 0.25, eps: 1e-12, step: 1 };
    const nothing = { shape: [3], data: [0, 0, 0] };
    const gradients = valuesOf([3], ordinary).filter(({ data }) => data.every((g) => g !== 0));
    fc.assert(
      fc.property(gradients, fc.constantFrom(1, 1024), (g, scale) => {
        const scaled = { ...g, data: g.data.map((e) => e * scale) };
        const [p, m, v] = [0, 0, 0].map(() => zeros([3], { dtype: "float64" }));
        adam(p, fromData(Float64Array.from(scaled.data)), m, v, o);
        const c = { inputs: [nothing, scaled, nothing, nothing], options: o, dy: null };
        const [bounds] = law.bound(c, bothFloat64);
        scaled.data.forEach((e, i) => {
          const expected = -o.lr * Math.sign(e) * (1 - o.eps / (Math.abs(e) + o.eps));
          assert(within(Number(p.data[i]), expected, bounds![i]));
        });
      }),
    );
  });

  it("writes into the parameter and both means, and the tape can tell", () => {
    const p = tensor([1], { requiresGrad: true });
    const [g, m, v] = [tensor([4]), zeros([1]), zeros([1])];
    const result = adam.all(p, g, m, v, { lr: 0.5, beta1: 0.5, beta2: 0.75, step: 1 });
    assert.deepEqual([result.param, result.exp_avg, result.exp_avg_sq], [p, m, v]);
    assert.deepEqual([m.item(), v.item()], [2, 4]);
    assert.deepEqual(
      [p, m, v, g].map((t) => t.storage.version),
      [1, 1, 1, 0],
    );
    assert.deepEqual([p.isLeaf, p.requiresGrad], [true, true]);
  });

  it("is the same with either kind of decay when nothing decays", () => {
    const run = (decoupled: boolean) => {
      const [p, g, m, v] = [
        [1, 2],
        [3, -4],
        [5, 6],
        [7, 8],
      ].map((t) => tensor(t));
      adam(p, g, m, v, { lr: 0.1, step: 3, decoupled });
      return p.data;
    };
    assert.deepEqual(run(true), run(false));
  });
});
