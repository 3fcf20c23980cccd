// # Properties of cross-entropy

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  crossEntropy,
  type CrossEntropyOptions,
  fromData,
  ones,
  permute,
  reshape,
  type Tensor,
  tensor,
  zeros,
} from "convnotes";
import { integers, reals, valuesOf } from "../arbitraries.js";
import "../seed.js";
import type { Values } from "../values.js";

const from = ({ shape, data }: Values): Tensor => fromData(Float64Array.from(data), shape);
const labelsOf = ({ shape, data }: Values): Tensor =>
  fromData(BigInt64Array.from(data, BigInt), shape);

const sizes = fc.record({
  samples: fc.integer({ min: 1, max: 4 }),
  classes: fc.integer({ min: 1, max: 5 }),
});

/** Scores of a batch, whole or any, with a label for each. */
const batches = (numbers: fc.Arbitrary<number>) =>
  sizes.chain(({ samples, classes }) =>
    fc.record({
      scores: valuesOf([samples, classes], numbers),
      labels: valuesOf([samples], fc.nat(classes - 1)),
    }),
  );

const options: fc.Arbitrary<CrossEntropyOptions> = fc.record(
  {
    reduction: fc.constantFrom("mean" as const, "sum" as const, "none" as const),
    labelSmoothing: fc.constantFrom(0, 0.1, 1),
  },
  { requiredKeys: [] },
);

describe("cross_entropy", () => {
  it("takes a label for the certainty of its class, to the last bit", () => {
    fc.assert(
      fc.property(batches(reals), options, ({ scores, labels }, o) => {
        const classes = scores.shape[1];
        const certain = {
          shape: scores.shape,
          data: scores.data.map((_, i) =>
            Number(labels.data[Math.floor(i / classes)] === i % classes),
          ),
        };
        assert.deepEqual(
          crossEntropy(from(scores), labelsOf(labels), null, o).data,
          crossEntropy(from(scores), from(certain), null, o).data,
        );
      }),
    );
  });

  it("does not notice when all scores are moved by a whole number, to the last bit", () => {
    fc.assert(
      fc.property(batches(integers), options, integers, ({ scores, labels }, o, by) => {
        const [x, y] = [from(scores), labelsOf(labels)];
        assert.deepEqual(
          crossEntropy(add(x, by), y, null, o).data,
          crossEntropy(x, y, null, o).data,
        );
      }),
    );
  });

  it("does with each pixel of an image what it does with each sample of a batch", () => {
    const images = fc.tuple(...[1, 2, 3].map((least) => fc.integer({ min: least, max: 4 })));
    const cases = images.chain(([n, pixels, classes]) =>
      fc.record({
        scores: valuesOf([n, classes, pixels], reals),
        labels: valuesOf([n, pixels], fc.nat(classes - 1)),
      }),
    );
    fc.assert(
      fc.property(cases, options, ({ scores, labels }, o) => {
        const [n, classes, pixels] = scores.shape;
        const [x, y] = [from(scores), labelsOf(labels)];
        const rows = reshape(permute(x, { dims: [0, 2, 1] }), { shape: [n * pixels, classes] });
        assert.deepEqual(
          crossEntropy(x, y, null, o).data,
          crossEntropy(rows, reshape(y, { shape: [-1] }), null, o).data,
        );
      }),
    );
  });

  it("leaves ignored samples out as if they were not there, to the last bit", () => {
    fc.assert(
      fc.property(batches(reals), options, ({ scores, labels }, o) => {
        const [n, classes] = scores.shape;
        const more = {
          shape: [n + 1, classes],
          data: [...scores.data.slice(-classes), ...scores.data],
        };
        const marked = { shape: [n + 1], data: [-100, ...labels.data] };
        const x = from(more);
        x.requiresGrad = true;
        const loss = crossEntropy(x, labelsOf(marked), null, o);
        const plain = crossEntropy(from(scores), labelsOf(labels), null, o);
        const without = o.reduction === "none" ? loss.data.slice(1) : loss.data;
        assert.deepEqual(without, plain.data);
        loss.backward(ones(loss.shape, { dtype: "float64" }));
        assert(x.grad!.data.slice(0, classes).every((g) => g === 0 || Object.is(g, -0)));
      }),
    );
  });

  it("is the logarithm of the number of classes when all are equally likely", () => {
    const loss = crossEntropy(
      zeros([2, 10], { dtype: "float64" }),
      labelsOf({ shape: [2], data: [3, 7] }),
      null,
    );
    assert.equal(loss.item(), Math.log(10));
  });

  it("stays finite for scores of any size, and for classes that are ruled out", () => {
    const label = tensor([1], { dtype: "int64" });
    assert.equal(crossEntropy(tensor([[3e38, -3e38]]), label, null).item(), Infinity); // 6e38
    assert.equal(crossEntropy(tensor([[1e38, -1e38]]), label, null).item(), Math.fround(2e38));
    assert.equal(crossEntropy(tensor([[-Infinity, 5]]), label, null).item(), 0);
  });

  it("has a mean of NaN over no samples, and no gradient", () => {
    const x = zeros([2, 3], { requiresGrad: true });
    const loss = crossEntropy(x, labelsOf({ shape: [2], data: [-100, -100] }), null);
    loss.backward();
    assert.equal(loss.item(), NaN);
    assert.deepEqual(x.grad?.toArray(), [
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  // ## Refusals that need the numbers

  it("names the sample whose label is no class", () => {
    const rest =
      "but input [3, 10] has 10 classes; labels are 0 to 9, " +
      "or ignoreIndex -100 for samples that do not count";
    for (const wrong of [10, -1, 99]) {
      const y = labelsOf({ shape: [3], data: [0, 9, wrong] });
      assert.throws(() => crossEntropy(zeros([3, 10]), y, null), {
        name: "RangeError",
        message: `cross_entropy: target[2] is ${wrong}, ${rest}`,
      });
    }
  });

  it("names the pixel whose label is no class", () => {
    const y = labelsOf({ shape: [1, 2, 2], data: [0, 1, 5, 0] });
    assert.throws(() => crossEntropy(zeros([1, 2, 2, 2]), y, null, { ignoreIndex: 9 }), {
      name: "RangeError",
      message:
        "cross_entropy: target[0, 1, 0] is 5, but input [1, 2, 2, 2] has 2 classes; " +
        "labels are 0 to 1, or ignoreIndex 9 for samples that do not count",
    });
  });

  it("has no gradient for its targets", () => {
    const [x, t] = [zeros([1, 2]), zeros([1, 2], { requiresGrad: true })];
    assert.throws(() => crossEntropy(x, t, null).backward(), {
      name: "TypeError",
      message: "cross_entropy: has no gradient for target; use detach() on it",
    });
  });
});
