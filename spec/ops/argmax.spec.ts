// # Properties of positions

import assert from "node:assert/strict";
import fc from "fast-check";
import { argmax, fromData, max, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const rows = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 8 }))
  .chain((shape) => valuesOf(shape, integers));

describe("argmax", () => {
  it("points at the maximum", () => {
    fc.assert(
      fc.property(rows, ({ shape, data }) => {
        const x = fromData(Float32Array.from(data), shape);
        const positions = argmax(x, { dim: 1 });
        assert.equal(positions.dtype, "int64");
        const found = Array.from(positions.data, Number).map((p, n) => data[n * shape[1] + p]);
        assert.deepEqual(found, max(x, { dim: 1 }).toArray());
        assert.equal(data[argmax(x).item()], max(x).item());
      }),
    );
  });

  it("points at the first of equals, and at the first NaN before all else", () => {
    assert.equal(argmax(tensor([1, 5, 5])).item(), 1);
    assert.equal(argmax(tensor([1, NaN, 5, NaN])).item(), 1);
    assert.equal(argmax(tensor([-Infinity, -Infinity])).item(), 0);
  });

  it("has no gradient to record", () => {
    const positions = argmax(tensor([1, 2], { requiresGrad: true }));
    assert.equal(positions.requiresGrad, false);
    assert.equal(positions.isLeaf, true);
  });
});
