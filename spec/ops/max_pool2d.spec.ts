// # Properties of maximum pooling

import assert from "node:assert/strict";
import fc from "fast-check";
import { maxPool2d, permute, tensor } from "convnotes";
import { integers } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { pixels, poolCases } from "../windows.js";

const cases = poolCases(pixels(integers), { dilation: fc.integer({ min: 1, max: 2 }) });

describe("max_pool2d", () => {
  it("of an image on its side is the result on its side", () => {
    const side = (value: number | readonly [number, number] | undefined) =>
      typeof value === "object" ? ([value[1], value[0]] as const) : value;
    fc.assert(
      fc.property(cases, ({ inputs: [x], options }) => {
        const turn = { dims: [0, 1, 3, 2] };
        const turned = {
          ...options,
          kernelSize: side(options.kernelSize)!,
          stride: side(options.stride),
          padding: side(options.padding),
        };
        const y = maxPool2d(permute(tensorOf(x), turn), turned);
        assertEqual(permute(y, turn), maxPool2d(tensorOf(x), options));
      }),
    );
  });

  it("never lets padding win, not even over minus infinity", () => {
    const x = tensor([[[[-5, -Infinity]]]]);
    const y = maxPool2d(x, { kernelSize: [1, 2], stride: 1, padding: [0, 1] });
    assert.deepEqual(y.toArray(), [[[[-5, -5, -Infinity]]]]);
  });

  it("hides no NaN, and sends its gradient to the last of them", () => {
    const x = tensor([[[[NaN, 3, NaN, 9]]]], { requiresGrad: true });
    const y = maxPool2d(x, { kernelSize: [1, 4] });
    assert.deepEqual(y.toArray(), [[[[NaN]]]]);
    y.backward(tensor([[[[2]]]]));
    assert.deepEqual(x.grad?.toArray(), [[[[0, 0, 2, 0]]]]);
  });

  it("sends the gradient of a tie to the first pixel, row by row", () => {
    const x = tensor(
      [
        [
          [
            [1, 7],
            [7, 7],
          ],
        ],
      ],
      { requiresGrad: true },
    );
    maxPool2d(x, { kernelSize: 2 }).backward(tensor([[[[5]]]]));
    assert.deepEqual(x.grad?.toArray(), [
      [
        [
          [0, 5],
          [0, 0],
        ],
      ],
    ]);
  });
});
