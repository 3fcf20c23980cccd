// # Properties of sums

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, sum, zeros } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const images = fc
  .tuple(...[2, 3, 4].map((most) => fc.integer({ min: 1, max: most })))
  .chain((shape) => valuesOf(shape, integers))
  .map(({ shape, data }) => fromData(Float32Array.from(data), shape));

describe("sum", () => {
  it("adds up axis after axis, in any order, to what it adds up at once", () => {
    fc.assert(
      fc.property(images, fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), (x, order) => {
        let y = x;
        for (const dim of order) y = sum(y, { dim, keepdim: true });
        assert.equal(y.item(), sum(x).item());
      }),
    );
  });

  it("is 0 over no elements", () => {
    assert.deepEqual(sum(zeros([2, 0]), { dim: 1 }).toArray(), [0, 0]);
    assert.equal(sum(zeros([0])).item(), 0);
  });

  it("does not lose small numbers beside large ones on the way", () => {
    const x = fromData(Float32Array.of(2 ** 24, 1, 1, -(2 ** 24)));
    assert.equal(sum(x).item(), 2); // in float32, 2²⁴ + 1 is 2²⁴
  });
});
