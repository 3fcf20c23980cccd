// # Properties of average pooling

import assert from "node:assert/strict";
import fc from "fast-check";
import { avgPool2d, conv2d, full, mul, ones, reshape } from "convnotes";
import { pair } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { cases } from "./avg_pool2d.law.js";

/** Multiples of 144, of which all means are whole; see the law. */
const multiples = fc.integer({ min: -8, max: 8 }).map((k) => 144 * k);

describe("avg_pool2d", () => {
  it("is the convolution with a constant kernel, channel by channel", () => {
    fc.assert(
      fc.property(cases(multiples), ({ inputs, options }) => {
        const x = tensorOf(inputs[0]!);
        const { kernelSize, stride = kernelSize, padding } = options;
        const kernel = ones([1, 1, ...pair(kernelSize)], { dtype: "float64" });
        const [N, C, H, W] = x.shape;
        const plane = reshape(x, { shape: [N * C, 1, H, W] });
        const sums = conv2d(plane, kernel, null, { stride, padding });
        const y = avgPool2d(plane, { kernelSize, stride, padding });
        assertEqual(mul(y, kernel.size), sums);
      }),
    );
  });

  it("of a constant image is that constant, where padding does not count", () => {
    fc.assert(
      fc.property(cases(multiples), ({ inputs, options }) => {
        const x = full(inputs[0]!.shape, 3);
        const y = avgPool2d(x, { ...options, countIncludePad: false });
        assert(y.data.every((value) => value === 3));
      }),
    );
  });

  it("divides a window that overhangs by what lies inside the padded image", () => {
    // The last window has a pixel, a padded zero, and a tap beyond both, which does not count.
    const y = avgPool2d(full([1, 1, 1, 4], 6), {
      kernelSize: [1, 3],
      stride: [1, 2],
      padding: [0, 1],
      ceilMode: true,
    });
    assert.deepEqual(y.toArray(), [[[[4, 6, 3]]]]);
  });
});
