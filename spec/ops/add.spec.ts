// # Properties of addition
//
// Addition also stands for all operations where it is refused for what has nothing to do with
// addition: devices and element types that do not go together.

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, mul, type Tensor, tensor, zeros } from "convnotes";
import { reals } from "../arbitraries.js";
import "../seed.js";
import type { Values } from "../values.js";
import { broadcasting } from "./add.law.js";

const from = ({ shape, data }: Values): Tensor => fromData(Float32Array.from(data), shape);

describe("add", () => {
  it("does not depend on the order of its operands, to the last bit", () => {
    fc.assert(
      fc.property(broadcasting(reals), ({ inputs: [a, b] }) => {
        assert.deepEqual(add(from(a!), from(b!)).data, add(from(b!), from(a!)).data);
      }),
    );
  });

  it("takes a number for either operand", () => {
    const x = tensor([1, 2], { dtype: "float64", requiresGrad: true });
    const y = add(0.1, add(x, 0.2)); // 0.1 is not rounded to float32 on the way
    assert.deepEqual(y.toArray(), [1.2 + 0.1, 2.2 + 0.1]);
    mul(y, y).backward(tensor([1, 1], { dtype: "float64" }));
    assert.deepEqual(x.grad?.toArray(), [2 * (1.2 + 0.1), 2 * (2.2 + 0.1)]);
  });

  it("needs a tensor at least, and names what is none", () => {
    assert.throws(() => add(1, 2), { message: "add: needs at least one tensor" });
    assert.throws(() => Reflect.apply(add, null, [zeros([1]), "1"]), {
      name: "TypeError",
      message: "add: other must be a tensor, got string",
    });
    assert.throws(() => Reflect.apply(add, null, [zeros([1])]), {
      name: "TypeError",
      message: "add: other must be a tensor, got nothing",
    });
  });

  it("names both devices where they differ", () => {
    assert.throws(() => add(zeros([2]), zeros([2], { device: "meta" })), {
      name: "TypeError",
      message: 'add: input is on "cpu" but other is on "meta"; move one with to("cpu")',
    });
  });

  it("names both element types where they differ", () => {
    assert.throws(() => add(zeros([2]), zeros([2], { dtype: "float64" })), {
      name: "TypeError",
      message: 'add: input is float32 but other is float64; convert one with to("float32")',
    });
  });

  it("does not compute with integers", () => {
    assert.throws(() => add(zeros([2], { dtype: "uint8" }), zeros([2])), {
      name: "TypeError",
      message:
        "add: input is uint8, but only float32 and float64 can be computed with; " +
        'convert it with to("float32")',
    });
    assert.throws(() => add(zeros([2], { dtype: "int64" }), 1), {
      name: "TypeError",
      message: "a number cannot be combined with a int64 tensor",
    });
  });
});
