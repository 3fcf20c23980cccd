// # Properties of the sigmoid

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, mul, sigmoid, tensor } from "convnotes";
import { reals, valuesOf } from "../arbitraries.js";
import { bothFloat64, within } from "../rounding.js";
import "../seed.js";
import { law } from "./sigmoid.law.js";

describe("sigmoid", () => {
  it("gives x and −x chances that add up to 1", () => {
    fc.assert(
      fc.property(valuesOf([4], reals), (v) => {
        const x = fromData(Float64Array.from(v.data));
        const [p, q] = [sigmoid(x), sigmoid(mul(x, -1))].map((t) => Array.from(t.data, Number));
        const [bound] = law.bound({ inputs: [v], options: {}, dy: null }, bothFloat64);
        const mirrored = { shape: [4], data: v.data.map((e) => -e) };
        const [other] = law.bound({ inputs: [mirrored], options: {}, dy: null }, bothFloat64);
        v.data.forEach((_, i) => {
          assert(within(p[i], 1 - q[i], bound![i] + other![i] + bothFloat64.unit));
        });
      }),
    );
  });

  it("reaches 0 and 1 in the limit, with gradients of 0 and none that is NaN", () => {
    const x = tensor([-Infinity, -1000, 0, 1000, Infinity], { requiresGrad: true });
    const y = sigmoid(x);
    y.backward(tensor([1, 1, 1, 1, 1]));
    assert.deepEqual(y.toArray(), [0, 0, 0.5, 1, 1]);
    assert.deepEqual(x.grad?.toArray(), [0, 0, 0.25, 0, 0]);
  });
});
