// # Properties of maxima

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, full, max, narrow, permute, sum, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const rows = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 8 }))
  .chain((shape) => valuesOf(shape, integers))
  .map(({ shape, data }) => fromData(Float64Array.from(data), shape));

describe("max", () => {
  it("is the larger of the maxima of two parts", () => {
    fc.assert(
      fc.property(rows, fc.nat(6), (x, at) => {
        const columns = x.shape[1];
        fc.pre(columns > 1);
        const cut = 1 + (at % (columns - 1));
        const [left, right] = [
          narrow(x, { dim: 1, start: 0, length: cut }),
          narrow(x, { dim: 1, start: cut, length: columns - cut }),
        ].map((part) => max(part).item());
        assert.equal(max(x).item(), Math.max(left, right));
      }),
    );
  });

  it("hands on all of the gradient, however many are equal", () => {
    fc.assert(
      fc.property(rows, (x) => {
        x.requiresGrad = true;
        const y = max(x, { dim: 1 });
        y.backward(full(y.shape, 840, { dtype: "float64" }));
        assert.deepEqual(
          sum(x.grad!, { dim: 1 }).data,
          full(y.shape, 840, { dtype: "float64" }).data,
        );
      }),
    );
  });

  it("finds the same in any order", () => {
    fc.assert(
      fc.property(rows, (x) => {
        const turned = permute(x, { dims: [1, 0] });
        assert.deepEqual(max(turned, { dim: 0 }).toArray(), max(x, { dim: 1 }).toArray());
      }),
    );
  });

  it("shares the gradient among equals", () => {
    const x = tensor([2, 7, 7, -1], { requiresGrad: true });
    max(x).backward();
    assert.deepEqual(x.grad?.toArray(), [0, 0.5, 0.5, 0]);
  });

  it("works on labels as well", () => {
    const y = max(tensor([3, 9, 4], { dtype: "int64" }));
    assert.equal(y.dtype, "int64");
    assert.equal(y.item(), 9);
  });
});
