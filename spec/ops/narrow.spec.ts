// # Properties of narrow

import assert from "node:assert/strict";
import fc from "fast-check";
import { concat, fromData, narrow, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const cuts = fc
  .tuple(...[3, 4, 5].map((most) => fc.integer({ min: 1, max: most })))
  .chain((shape) => fc.tuple(valuesOf(shape, integers), fc.nat(2)))
  .chain(([x, dim]) => fc.tuple(fc.constant(x), fc.constant(dim), fc.nat(x.shape[dim])));

describe("narrow", () => {
  it("cuts an axis into two parts that together are the whole", () => {
    fc.assert(
      fc.property(cuts, ([{ shape, data }, dim, cut]) => {
        const x = fromData(Float64Array.from(data), shape);
        const parts = [
          narrow(x, { dim, start: 0, length: cut }),
          ...(cut < shape[dim] ? [narrow(x, { dim, start: cut, length: shape[dim] - cut })] : []),
        ];
        const whole = concat(parts, { dim });
        assert.deepEqual(whole.shape, shape);
        assert.deepEqual(whole.data, x.data);
      }),
    );
  });

  it("takes some images of a batch with their labels", () => {
    const labels = tensor([3, 1, 4, 1, 5], { dtype: "int64" });
    const some = narrow(labels, { dim: 0, start: -2, length: 2 });
    assert.equal(some.dtype, "int64");
    assert.deepEqual(some.toArray(), [1, 5]);
  });
});
