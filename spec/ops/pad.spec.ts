// # Properties of padding

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromData, narrow, pad, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";

const images = fc
  .tuple(...[2, 3, 4].map((most) => fc.integer({ min: 1, max: most })))
  .chain((shape) => valuesOf(shape, integers))
  .map(({ shape, data }) => fromData(Float64Array.from(data), shape));

const widths = fc.array(fc.nat(3), { minLength: 4, maxLength: 4 });

describe("pad", () => {
  it("leaves the input in the middle", () => {
    fc.assert(
      fc.property(images, widths, integers, (x, padding, value) => {
        const padded = pad(x, { padding, value });
        const rows = narrow(padded, { dim: 1, start: padding[2], length: x.shape[1] });
        const middle = narrow(rows, { dim: 2, start: padding[0], length: x.shape[2] });
        assert.deepEqual(middle.toArray(), x.toArray());
      }),
    );
  });

  it("adds up: two borders of one value are one", () => {
    fc.assert(
      fc.property(images, widths, widths, integers, (x, inner, outer, value) => {
        const both = inner.map((w, i) => w + outer[i]);
        assert.deepEqual(
          pad(pad(x, { padding: inner, value }), { padding: outer, value }).toArray(),
          pad(x, { padding: both, value }).toArray(),
        );
      }),
    );
  });

  it("takes negative widths for cutting off", () => {
    const x = tensor([1, 2, 3, 4, 5]);
    assert.deepEqual(pad(x, { padding: [-1, -2] }).toArray(), [2, 3]);
    assert.deepEqual(pad(x, { padding: [-4, 1], value: 9 }).toArray(), [5, 9]);
  });

  it("keeps the element type", () => {
    const y = pad(tensor([1], { dtype: "int64" }), { padding: [0, 1], value: -100 });
    assert.equal(y.dtype, "int64");
    assert.deepEqual(y.toArray(), [1, -100]);
  });
});
