// # Properties of the matrix product

import assert from "node:assert/strict";
import fc from "fast-check";
import { matmul, permute, type Tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";

const size = fc.integer({ min: 1, max: 5 });

/** Three matrices in a row that fit together. */
const chains = fc
  .tuple(size, size, size, size)
  .chain(([k, l, m, n]) =>
    fc.tuple(valuesOf([k, l], integers), valuesOf([l, m], integers), valuesOf([m, n], integers)),
  )
  .map((matrices) => matrices.map(tensorOf));

const transposed = (t: Tensor) => permute(t, { dims: [1, 0] });

describe("matmul", () => {
  it("does not depend on where a chain is begun", () => {
    fc.assert(
      fc.property(chains, ([a, b, c]) =>
        assertEqual(matmul(matmul(a, b), c), matmul(a, matmul(b, c))),
      ),
    );
  });

  it("turns around under transposition", () => {
    fc.assert(
      fc.property(chains, ([a, b]) =>
        assertEqual(transposed(matmul(a, b)), matmul(transposed(b), transposed(a))),
      ),
    );
  });

  it("counts a product for every row, column and inner index", () => {
    const [forward] = matmul.primitives;
    const shapes = [
      [2, 3],
      [3, 5],
    ];
    assert.equal(forward.multiplyAdds(shapes, [[2, 5]], {}), 30);
  });
});
