// # Properties of means

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, mean, mul, sum, zeros } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const images = fc
  .tuple(...[2, 4, 8].map((most) => fc.constantFrom(1, most)))
  .chain((shape) => valuesOf(shape, integers))
  .map(({ shape, data }) => fromData(Float32Array.from(data), shape));

describe("mean", () => {
  it("moves along when all elements are moved by the same number", () => {
    fc.assert(
      fc.property(images, integers, fc.nat(2), (x, by, dim) => {
        assert.deepEqual(
          add(mean(add(x, by), { dim }), 0).toArray(),
          add(mean(x, { dim }), by).toArray(),
        );
      }),
    );
  });

  it("is the sum over the number of elements", () => {
    fc.assert(
      fc.property(images, (x) => {
        assert.equal(mul(mean(x), x.size).item(), sum(x).item());
      }),
    );
  });

  it("is NaN over no elements", () => {
    assert.deepEqual(mean(zeros([2, 0]), { dim: 1 }).toArray(), [NaN, NaN]);
  });
});
