// # Batches: the right images, once each, in the order asked for

import assert from "node:assert/strict";
import fc from "fast-check";
import { batchRanges, type ImageDataset, imageShape, makeBatch, resize, toTensor } from "convnotes";

/** `count` images of 2×3 pixels, no two alike. */
function numbered(count: number): ImageDataset {
  return {
    name: "numbered",
    classes: ["even", "odd"],
    images: Uint8Array.from({ length: count * 6 }, (_, i) => i),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 2),
    count,
    height: 2,
    width: 3,
  };
}

describe("makeBatch", () => {
  it("gathers the images and labels at the indices, repeated and in any order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 39 }), { maxLength: 50 }), (indices) => {
        const { x, shape, labels } = makeBatch(numbered(40), indices);
        assert.deepEqual(shape, [indices.length, 1, 2, 3]);
        assert.deepEqual(
          Array.from(x, (v) => Math.round(v * 255)),
          indices.flatMap((i) => [0, 1, 2, 3, 4, 5].map((p) => 6 * i + p)),
        );
        assert.deepEqual(
          labels,
          BigInt64Array.from(indices, (i) => BigInt(i % 2)),
        );
      }),
    );
  });

  it("resizes bytes first, then scales, then normalises", () => {
    const dataset = numbered(4);
    const normalize = { mean: 0.3, std: 0.5 };
    const batch = makeBatch(dataset, Int32Array.of(3, 1), { resize: 5, normalize });
    const bytes = Uint8Array.from([18, 19, 20, 21, 22, 23, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(batch.shape, [2, 1, 5, 7]);
    assert.deepEqual(batch.x, toTensor(resize(bytes, [2, 2, 3], [5, 7]), normalize));
    assert.deepEqual(imageShape(dataset, { resize: 5 }), [1, 5, 7]);
    assert.deepEqual(imageShape(dataset, { resize: [5, 4] }), [1, 5, 4]);
    assert.deepEqual(imageShape(dataset), [1, 2, 3]);
  });

  it("refuses an index outside the data set", () => {
    for (const i of [-1, 4, 1.5, NaN])
      assert.throws(() => makeBatch(numbered(4), [0, i]), {
        name: "RangeError",
        message: `makeBatch: there is no image ${i} in numbered, which has 0 to 3`,
      });
  });
});

describe("batchRanges", () => {
  it("covers every place once, in order, in runs of the batch size", () => {
    fc.assert(
      fc.property(fc.nat(300), fc.integer({ min: 1, max: 70 }), fc.boolean(), (n, size, drop) => {
        const ranges = batchRanges(n, size, drop);
        const places = ranges.flatMap(([start, end]) =>
          Array.from({ length: end - start }, (_, k) => start + k),
        );
        const covered = drop ? n - (n % size) : n;
        assert.deepEqual(
          places,
          Array.from({ length: covered }, (_, k) => k),
        );
        ranges.slice(0, -1).forEach(([start, end]) => assert.equal(end - start, size));
        ranges.slice(-1).forEach(([start, end]) => assert.ok(end > start && end - start <= size));
      }),
    );
  });

  it("refuses a batch size that is no positive whole number", () => {
    for (const size of [0, -3, 2.5, NaN])
      assert.throws(() => batchRanges(10, size), {
        name: "RangeError",
        message: `batch size is ${size}, expected a whole number of at least 1`,
      });
  });
});
