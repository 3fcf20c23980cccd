// # Properties of gathering images

import assert from "node:assert/strict";
import fc from "fast-check";
import { builtInDataset, fromData, gatherImages, makeBatch, type Pipeline, zeros } from "convnotes";
import "../seed.js";

const { train } = builtInDataset({ train: 12, test: 1 });
const images = fromData(train.images, [train.count, train.height, train.width]);
const indicesOf = (list: readonly number[]) => fromData(BigInt64Array.from(list, BigInt));

const pipelines = fc.record(
  {
    resize: fc.oneof(fc.integer({ min: 10, max: 60 }), fc.constantFrom(28, 224)),
    normalize: fc.constant({ mean: 0.286, std: 0.353 }),
  },
  { requiredKeys: [] },
);

describe("gather_images", () => {
  it("gives the batch that the loader makes, bit for bit", () => {
    const lists = fc.array(fc.nat(train.count - 1), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lists, pipelines, (list, pipeline: Pipeline) => {
        const batch = makeBatch(train, list, pipeline);
        const [, , height, width] = batch.shape;
        const x = gatherImages(images, indicesOf(list), {
          size: [height, width],
          ...pipeline.normalize,
        });
        assert.deepEqual(x.shape, batch.shape);
        assert.deepEqual(x.data, batch.x);
      }),
      { numRuns: 30 },
    );
  });

  it("refuses an index that no image has, and numbers that are no bytes", () => {
    assert.throws(() => gatherImages(images, indicesOf([3, 12])), {
      message: "gather_images: there is no image 12; there are 12, the first is 0",
    });
    assert.throws(() => gatherImages(zeros([2, 3, 3]), indicesOf([0])), {
      message: "gather_images: images are uint8 and indices int64, got float32 and int64",
    });
  });
});
