// # Properties of permute

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, permute, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const images = fc
  .tuple(...[2, 3, 4, 5].map((most) => fc.integer({ min: 1, max: most })))
  .chain((shape) => valuesOf(shape, integers))
  .map(({ shape, data }) => fromData(Float64Array.from(data), shape));

const orders = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 });

describe("permute", () => {
  it("does one permutation after the other as their product does at once", () => {
    fc.assert(
      fc.property(images, orders, orders, (x, first, second) => {
        const product = second.map((axis) => first[axis]);
        assert.deepEqual(
          permute(permute(x, { dims: first }), { dims: second }).toArray(),
          permute(x, { dims: product }).toArray(),
        );
      }),
    );
  });

  it("puts channels last", () => {
    const x = tensor([[[[1, 2]], [[3, 4]]]]); // [1, 2, 1, 2]
    assert.deepEqual(permute(x, { dims: [0, 2, 3, 1] }).toArray(), [
      [
        [
          [1, 3],
          [2, 4],
        ],
      ],
    ]);
  });

  it("keeps the element type, and numbers of its own", () => {
    const x = tensor([[1], [2]], { dtype: "uint8" });
    const y = permute(x, { dims: [1, 0] });
    assert.equal(y.dtype, "uint8");
    assert.notEqual(y.storage, x.storage);
  });
});
