// # Properties of the linear map

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, linear, matmul, permute, reshape } from "convnotes";
import { integers } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { cases } from "./linear.law.js";

describe("linear", () => {
  it("is the product with the transposed weight, plus the bias, row by row", () => {
    fc.assert(
      fc.property(cases(integers), ({ inputs }) => {
        const [x, w] = inputs.slice(0, 2).map((v) => tensorOf(v!));
        const bias = inputs[2] && tensorOf(inputs[2]);
        const rows = reshape(x, { shape: [-1, w.shape[1]] });
        const product = matmul(rows, permute(w, { dims: [1, 0] }));
        const y = linear(x, w, bias);
        assertEqual(y, reshape(bias ? add(product, bias) : product, { shape: y.shape }));
      }),
    );
  });

  it("counts a product for every pair of input and output of every row", () => {
    const [forward, dinput, dweight] = linear.primitives;
    const [x, w, y] = [
      [2, 3, 400],
      [120, 400],
      [2, 3, 120],
    ];
    const products = 6 * 400 * 120;
    assert.equal(forward.multiplyAdds([x, w, null], [y], {}), products);
    assert.equal(dinput.multiplyAdds([y, w], [x], {}), products);
    assert.equal(dweight.multiplyAdds([y, x], [w], {}), products);
  });
});
