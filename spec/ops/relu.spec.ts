// # Properties of the rectified linear unit

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, mul, relu, tensor } from "convnotes";
import { anyShape, reals, valuesOf } from "../arbitraries.js";
import "../seed.js";

const tensors = anyShape
  .chain((shape) => valuesOf(shape, reals))
  .map(({ shape, data }) => fromData(Float32Array.from(data), shape));

describe("relu", () => {
  it("changes nothing the second time", () => {
    fc.assert(
      fc.property(tensors, (x) => {
        assert.deepEqual(relu(relu(x)).data, relu(x).data);
      }),
    );
  });

  it("splits a number into its positive and its negative part", () => {
    fc.assert(
      fc.property(tensors, (x) => {
        const parts = add(relu(x), mul(relu(mul(x, -1)), -1));
        assert.deepEqual(add(parts, 0).data, add(x, 0).data); // −0 becomes 0
      }),
    );
  });

  it("lets no gradient pass at 0 itself, and keeps NaN", () => {
    const x = tensor([-1, 0, -0, 2, NaN], { requiresGrad: true });
    const y = relu(x);
    y.backward(tensor([3, 3, 3, 3, 3]));
    assert.deepEqual(y.toArray(), [0, 0, -0, 2, NaN]);
    assert.deepEqual(x.grad?.toArray(), [0, 0, 0, 3, 3]);
  });
});
