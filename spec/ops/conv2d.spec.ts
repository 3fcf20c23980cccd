// # Properties of convolution
//
// Where a convolution is something else that is known, and what it says of itself. What the notes
// claim of it is held in `chapters/02-from-mlp-to-convolution.spec.ts` and the chapter after.

import assert from "node:assert/strict";
import fc from "fast-check";
import { concat, conv2d, type Conv2dOptions, linear, narrow, permute, reshape } from "convnotes";
import { integers, valuesOf } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { build, type Values } from "../values.js";
import { cases } from "./conv2d.law.js";

describe("conv2d", () => {
  it("with groups is one convolution for each group, side by side", () => {
    fc.assert(
      fc.property(cases(integers), ({ inputs, options: { groups = 1, ...options } }) => {
        const [x, w] = inputs.slice(0, 2).map((v) => tensorOf(v!));
        const part = (t: typeof x, dim: number, k: number) => {
          const length = t.shape[dim] / groups;
          return narrow(t, { dim, start: k * length, length });
        };
        const parts = Array.from({ length: groups }, (_, k) =>
          conv2d(part(x, 1, k), part(w, 0, k), null, options),
        );
        assertEqual(conv2d(x, w, null, { ...options, groups }), concat(parts, { dim: 1 }));
      }),
    );
  });

  it("with a 1×1 kernel is one linear map at every pixel", () => {
    const shapes = fc.tuple(...[2, 4, 4, 5].map((most) => fc.integer({ min: 1, max: most })));
    const drawn = shapes.chain(([n, c, h, w]) =>
      fc.tuple(valuesOf([n, c, h, w], integers), valuesOf([3, c, 1, 1], integers)),
    );
    fc.assert(
      fc.property(drawn, valuesOf([3], integers), ([image, kernel], offset) => {
        const [x, w, b] = [image, kernel, offset].map(tensorOf);
        const pixels = permute(x, { dims: [0, 2, 3, 1] });
        const y = linear(pixels, reshape(w, { shape: [3, -1] }), b);
        assertEqual(conv2d(x, w, b), permute(y, { dims: [0, 3, 1, 2] }));
      }),
    );
  });

  it("answers an impulse with its kernel turned about: it does not flip the kernel itself", () => {
    const impulse = build([1, 1, 5, 5], (_, __, h, v) => (h === 2 && v === 2 ? 1 : 0));
    const kernel = build([1, 1, 3, 3], (_, __, a, b) => 3 * a + b + 1);
    const y = conv2d(tensorOf(impulse), tensorOf(kernel), null);
    assert.deepEqual(y.toArray(), [
      [
        [
          [9, 8, 7],
          [6, 5, 4],
          [3, 2, 1],
        ],
      ],
    ]);
  });

  it("counts a product for every tap of every output pixel, and its gradients the same", () => {
    const count = (x: Values, w: Values, options: Conv2dOptions) => {
      const inputs = [x.shape, w.shape, null];
      const [y] = conv2d.infer(
        inputs.map((shape) => shape && { shape, dtype: "float32" }),
        options,
      );
      const [forward, dinput, dweight] = conv2d.primitives;
      return [
        forward.multiplyAdds(inputs, [y], options),
        dinput.multiplyAdds([y, w.shape], [x.shape], options),
        dweight.multiplyAdds([y, x.shape], [w.shape], options),
      ];
    };
    // LeNet's first layer: 28 · 28 pixels of 6 channels, 5 · 5 taps each.
    const [x, w] = [build([1, 1, 28, 28], () => 0), build([6, 1, 5, 5], () => 0)];
    const each = 28 * 28 * 6 * 25;
    assert.deepEqual(count(x, w, { padding: 2 }), [each, each, each]);
    const [x2, w2] = [build([2, 4, 9, 8], () => 0), build([6, 2, 3, 1], () => 0)];
    const grouped = 2 * 6 * (4 * 4) * (2 * 3);
    assert.deepEqual(count(x2, w2, { stride: 2, groups: 2 }), [grouped, grouped, grouped]);
  });

  it("sees through a dilated kernel as far as its outermost taps", () => {
    const { window } = conv2d.primitives[0];
    const shapes = [[1, 1, 9, 9], [1, 1, 3, 2], null];
    const options = { stride: [1, 2], padding: [0, 1], dilation: [2, 3] };
    assert.deepEqual(window?.(shapes, [[1, 1, 5, 5]], options), {
      kernel: [5, 4],
      stride: [1, 2],
      padding: [0, 1],
    });
  });
});
