// # Properties of softmax

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, softmax, tensor } from "convnotes";
import { integers, ordinary } from "../arbitraries.js";
import { bothFloat64, gamma, within } from "../rounding.js";
import "../seed.js";
import type { Values } from "../values.js";
import { inRows, law, rowAt } from "./softmax.law.js";

const from = ({ shape, data }: Values) => fromData(Float64Array.from(data), shape);

describe("softmax", () => {
  it("gives shares that add up to 1, and gradients that add up to 0", () => {
    fc.assert(
      fc.property(inRows(ordinary), (c) => {
        const x = from(c.inputs[0]!);
        x.requiresGrad = true;
        const t = softmax(x, c.options);
        t.backward(from(c.dy!));
        const y = { shape: t.shape, data: Array.from(t.data, Number) };
        const dx = { shape: t.shape, data: Array.from(x.grad!.data, Number) };
        const bounds = { shape: t.shape, data: law.bound(c, bothFloat64)[0]! };
        const own = law.gradients!.input.bound(c, [y], bothFloat64, 0);
        const first = new Array<number>(t.ndim).fill(0); // one row is as good as another
        const sum = (v: Values) => rowAt(c, v, first).reduce((total, e) => total + e, 0);
        const added = gamma(rowAt(c, y, first).length, bothFloat64);
        assert(within(sum(y), 1, sum(bounds) + added));
        // The gradients add up to Σ ȳy · (1 − Σ y), and y is off by its bound.
        const size = sum({ ...y, data: y.data.map((p, i) => Math.abs(p * c.dy!.data[i])) });
        const about = sum({ ...y, data: dx.data.map(Math.abs) });
        const bound = sum({ ...y, data: own }) + size * (sum(bounds) + added) + added * about;
        assert(within(sum(dx), 0, bound));
      }),
    );
  });

  it("does not notice when all scores are moved by a whole number, to the last bit", () => {
    fc.assert(
      fc.property(inRows(integers), integers, (c, by) => {
        const x = from(c.inputs[0]!);
        assert.deepEqual(softmax(add(x, by), c.options).data, softmax(x, c.options).data);
      }),
    );
  });

  it("gives equal scores equal shares", () => {
    assert.deepEqual(softmax(tensor([5, 5, 5], { dtype: "float64" }), { dim: 0 }).toArray(), [
      1 / 3,
      1 / 3,
      1 / 3,
    ]);
  });

  it("neither overflows nor vanishes, however large the scores", () => {
    const y = softmax(
      tensor([
        [3e38, -3e38, 3e38],
        [-3e38, -3e38, -Infinity],
      ]),
      { dim: 1 },
    );
    assert.deepEqual(y.toArray(), [
      [0.5, 0, 0.5],
      [0.5, 0.5, 0],
    ]);
  });
});
