// # The built-in drawings: the same on every machine, and worth learning from

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { builtInDataset, fashionClasses, type ImageDataset } from "convnotes";

const image = ({ images }: ImageDataset, i: number) => images.subarray(784 * i, 784 * (i + 1));

describe("builtInDataset", () => {
  const { train, test, source } = builtInDataset({ train: 300, test: 105 });

  it("has the form of Fashion-MNIST, each class equally often", () => {
    for (const [set, count] of [[train, 300] as const, [test, 105] as const]) {
      const { height, width, classes } = set;
      assert.deepEqual(
        { height, width, classes },
        { height: 28, width: 28, classes: fashionClasses },
      );
      assert.equal(set.count, count);
      assert.equal(set.images.length, count * 28 * 28);
      assert.equal(set.labels.length, count);
      for (let ten = 0; ten + 10 <= count; ten += 10)
        assert.deepEqual(
          Array.from(set.labels.subarray(ten, ten + 10)).sort(),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        );
    }
    assert.equal(source, "built-in drawings: 300 training and 105 test images");
  });

  it("draws the same bits on every machine", () => {
    // Not derived from anything: pinned when the drawings were looked at.
    const hash = createHash("sha256");
    for (const { images, labels } of [train, test]) hash.update(images).update(labels);
    assert.equal(
      hash.digest("hex"),
      "3fd5e01b2f6c3122d9d8c9f70f075d61c60d8ebf1c670635a6f80cf9e964568c",
    );
  });

  it("draws the beginning of a large set like a small set", () => {
    const small = builtInDataset({ train: 17, test: 3 });
    assert.deepEqual(small.train.images, train.images.slice(0, 17 * 784));
    assert.deepEqual(small.train.labels, train.labels.slice(0, 17));
    assert.deepEqual(small.test.images, test.images.slice(0, 3 * 784));
  });

  it("never draws a garment twice, nor one of the training set into the test set", () => {
    const seen = new Set<string>();
    for (const set of [train, test])
      for (let i = 0; i < set.count; i++) seen.add(Buffer.from(image(set, i)).toString("base64"));
    assert.equal(seen.size, 405);
  });

  it("shows something in every picture, and leaves its four corners black", () => {
    for (const set of [train, test])
      for (let i = 0; i < set.count; i++) {
        const x = image(set, i);
        const what = `image ${i} (${set.classes[set.labels[i]]})`;
        assert.deepEqual([x[0], x[27], x[27 * 28], x[783]], [0, 0, 0, 0], what);
        assert.ok(
          x.some((p) => p > 0),
          what,
        );
      }
  });

  it("can be learnt from, but not by comparing pixels: the nearest image is right 76 times", () => {
    // Of 105, of which guessing gets about 10. Nothing rounds here: pixels are whole numbers.
    let right = 0;
    for (let i = 0; i < test.count; i++) {
      const x = image(test, i);
      let [best, bestDistance] = [-1, Infinity];
      for (let k = 0; k < train.count; k++) {
        const y = image(train, k);
        let distance = 0;
        for (let p = 0; p < 784; p++) distance += (x[p] - y[p]) ** 2;
        if (distance < bestDistance) [best, bestDistance] = [k, distance];
      }
      if (train.labels[best] === test.labels[i]) right++;
    }
    assert.equal(right, 76);
  });

  it("refuses a number of images that makes no data set", () => {
    for (const count of [0, -5, 2.5, NaN])
      assert.throws(() => builtInDataset({ train: count }), {
        name: "RangeError",
        message: `builtInDataset: ${count} images, expected a whole number above 0`,
      });
  });
});
