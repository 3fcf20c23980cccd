// # Properties of the hyperbolic tangent

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, mul, sigmoid, tanh, tensor } from "convnotes";
import { reals, valuesOf } from "../arbitraries.js";
import { bothFloat64, within } from "../rounding.js";
import "../seed.js";
import { law as sigmoidLaw } from "./sigmoid.law.js";
import { law } from "./tanh.law.js";

describe("tanh", () => {
  it("is odd, to the last bit", () => {
    fc.assert(
      fc.property(valuesOf([4], reals), ({ data }) => {
        const x = fromData(Float32Array.from(data));
        assert.deepEqual(tanh(mul(x, -1)).data, mul(tanh(x), -1).data);
      }),
    );
  });

  it("is the sigmoid, stretched: tanh x = 2 σ(2x) − 1", () => {
    fc.assert(
      fc.property(valuesOf([4], reals), (v) => {
        const x = fromData(Float64Array.from(v.data));
        const [t, s] = [tanh(x), sigmoid(mul(x, 2))].map((y) => Array.from(y.data, Number));
        const [bound] = law.bound({ inputs: [v], options: {}, dy: null }, bothFloat64);
        const twice = { shape: [4], data: v.data.map((e) => 2 * e) };
        const [other] = sigmoidLaw.bound({ inputs: [twice], options: {}, dy: null }, bothFloat64);
        v.data.forEach((_, i) => {
          assert(within(t[i], 2 * s[i] - 1, bound![i] + 2 * other![i] + bothFloat64.unit));
        });
      }),
    );
  });

  it("reaches −1 and 1 in the limit, with gradients of 0", () => {
    const x = tensor([-Infinity, -1000, 0, 1000, Infinity], { requiresGrad: true });
    const y = tanh(x);
    y.backward(tensor([1, 1, 1, 1, 1]));
    assert.deepEqual(y.toArray(), [-1, -1, 0, 1, 1]);
    assert.deepEqual(x.grad?.toArray(), [0, 0, 1, 0, 0]);
  });
});
