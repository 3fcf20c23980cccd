// # Properties of reshape

import assert from "node:assert/strict";
import fc from "fast-check";
import { flatten, fromData, reshape, tensor, zeros } from "convnotes";
import { anyShape, integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

describe("reshape", () => {
  it("shares its numbers with the input: what is written into one is seen in the other", () => {
    const x = zeros([2, 3]);
    const y = reshape(x, { shape: [3, 2] });
    y.fill_(7);
    assert.equal(y.storage, x.storage);
    assert.deepEqual(x.toArray(), [
      [7, 7, 7],
      [7, 7, 7],
    ]);
  });

  it("works on labels as well", () => {
    const labels = reshape(tensor([[1], [2]], { dtype: "int64" }), { shape: [-1] });
    assert.equal(labels.dtype, "int64");
    assert.deepEqual(labels.toArray(), [1, 2]);
  });

  it("flattens any run of axes into one, counted from either end", () => {
    const runs = anyShape
      .filter((shape) => shape.length > 0)
      .chain((shape) => fc.tuple(valuesOf(shape, integers), fc.nat(shape.length - 1), fc.nat(3)));
    fc.assert(
      fc.property(runs, fc.boolean(), ([{ shape, data }, first, more], fromEnd) => {
        const last = Math.min(first + more, shape.length - 1);
        const back = fromEnd ? shape.length : 0;
        const x = fromData(Float64Array.from(data), shape);
        const y = flatten(x, { startDim: first - back, endDim: last - back });
        const joined = shape.slice(first, last + 1).reduce((product, d) => product * d, 1);
        assert.deepEqual(y.shape, [...shape.slice(0, first), joined, ...shape.slice(last + 1)]);
        assert.deepEqual(y.data, x.data);
      }),
    );
  });

  it("flattens every image of a batch unless told otherwise", () => {
    assert.deepEqual(flatten(zeros([2, 3, 4, 5])).shape, [2, 60]);
  });

  it("refuses to flatten axes that are not there", () => {
    assert.throws(() => flatten(zeros([3])), {
      name: "ShapeError",
      message: "flatten: axes 1 to -1 do not exist in [3]",
    });
  });
});
