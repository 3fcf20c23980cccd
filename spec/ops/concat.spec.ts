// # Properties of concatenation

import assert from "node:assert/strict";
import fc from "fast-check";
import { concat, narrow, ones, tensor, zeros } from "convnotes";
import { reals } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { cases } from "./concat.law.js";

describe("concat", () => {
  it("is taken apart again by slices", () => {
    fc.assert(
      fc.property(cases(reals), ({ inputs, options }) => {
        const tensors = inputs.map((v) => tensorOf(v!));
        const dim = options.dim ?? 0;
        const whole = concat(tensors, options);
        let start = 0;
        for (const part of tensors) {
          const length = part.shape.at(dim)!;
          assertEqual(narrow(whole, { dim, start, length }), part);
          start += length;
        }
        assert.equal(start, whole.shape.at(dim));
      }),
    );
  });

  it("takes an empty tensor for nothing", () => {
    const x = ones([2, 3]);
    assertEqual(concat([zeros([0, 3]), x, zeros([0, 3])]), x);
  });

  it("adds up the gradients of a tensor that is there twice", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    concat([x, x]).backward(tensor([1, 10, 100, 1000]));
    assert.deepEqual(x.grad?.toArray(), [101, 1010]);
  });

  it("keeps integers what they are", () => {
    const labels = concat([tensor([7], { dtype: "int64" }), tensor([8], { dtype: "int64" })]);
    assert.equal(labels.dtype, "int64");
    assert.deepEqual(labels.toArray(), [7, 8]);
  });

  it("names the tensor of another device or element type", () => {
    assert.throws(() => concat([zeros([1]), zeros([1], { dtype: "float64" })]), {
      name: "TypeError",
      message:
        'concat: tensors[0] is float32 but tensors[1] is float64; convert one with to("float32")',
    });
  });

  it("needs at least one tensor", () => {
    assert.throws(() => concat([]), {
      name: "TypeError",
      message: "concat: needs at least one tensor",
    });
  });
});
