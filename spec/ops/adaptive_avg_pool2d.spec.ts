// # Properties of adaptive average pooling

import assert from "node:assert/strict";
import fc from "fast-check";
import { adaptiveAvgPool2d, avgPool2d, mean, tensor } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";

const small = fc.integer({ min: 1, max: 3 });

/** Means over 4 · 4 pixels and fewer are exact in float64. */
const binary = fc.constantFrom(1, 2, 4);

describe("adaptive_avg_pool2d", () => {
  it("is average pooling with windows side by side, where sizes divide", () => {
    const drawn = fc
      .record({ n: small, c: small, count: fc.tuple(small, small), size: fc.tuple(binary, binary) })
      .chain(({ n, c, count, size }) =>
        fc.record({
          x: valuesOf([n, c, count[0] * size[0], count[1] * size[1]], integers),
          outputSize: fc.constant(count),
          kernelSize: fc.constant(size),
        }),
      );
    fc.assert(
      fc.property(drawn, ({ x, outputSize, kernelSize }) => {
        const y = adaptiveAvgPool2d(tensorOf(x), { outputSize });
        assertEqual(y, avgPool2d(tensorOf(x), { kernelSize }));
      }),
    );
  });

  it("with one part is the mean of each plane", () => {
    const drawn = fc
      .tuple(small, small, binary, binary)
      .chain((shape) => valuesOf(shape, integers));
    fc.assert(
      fc.property(drawn, (x) => {
        const y = adaptiveAvgPool2d(tensorOf(x), { outputSize: 1 });
        assertEqual(y, mean(tensorOf(x), { dim: [2, 3], keepdim: true }));
      }),
    );
  });

  it("shares a pixel between neighbours where sizes do not divide", () => {
    const y = adaptiveAvgPool2d(tensor([[[[1, 2, 9]]]]), { outputSize: [1, 2] });
    assert.deepEqual(y.toArray(), [[[[1.5, 5.5]]]]);
  });

  it("repeats pixels where more are wanted than there are", () => {
    const y = adaptiveAvgPool2d(tensor([[[[3, 5]]]]), { outputSize: [2, 4] });
    assert.deepEqual(y.toArray(), [
      [
        [
          [3, 3, 5, 5],
          [3, 3, 5, 5],
        ],
      ],
    ]);
  });
});
