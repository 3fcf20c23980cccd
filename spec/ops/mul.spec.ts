// # Properties of multiplication

import assert from "node:assert/strict";
import fc from "fast-check";
import { add, fromData, mul, type Tensor } from "convnotes";
import { integers, reals, valuesOf } from "../arbitraries.js";
import "../seed.js";
import type { Values } from "../values.js";
import { broadcasting } from "./add.law.js";

const from = ({ shape, data }: Values): Tensor => fromData(Float32Array.from(data), shape);

describe("mul", () => {
  it("does not depend on the order of its operands, to the last bit", () => {
    fc.assert(
      fc.property(broadcasting(reals), ({ inputs: [a, b] }) => {
        assert.deepEqual(mul(from(a!), from(b!)).data, mul(from(b!), from(a!)).data);
      }),
    );
  });

  it("distributes over addition exactly where nothing is rounded", () => {
    const factors = valuesOf([3], integers).map(from);
    fc.assert(
      fc.property(broadcasting(integers), factors, ({ inputs: [a, b] }, c) => {
        const wide = (v: Values) => ({ ...v, shape: [...v.shape, 1] });
        const [p, q] = [from(wide(a!)), from(wide(b!))];
        // Adding 0 turns −0, which only one side may have, into 0.
        assert.deepEqual(
          add(mul(add(p, q), c), 0).toArray(),
          add(add(mul(p, c), mul(q, c)), 0).toArray(),
        );
      }),
    );
  });

  it("takes a number for either operand", () => {
    const x = from({ shape: [2], data: [3, -5] });
    x.requiresGrad = true;
    mul(2, mul(x, 0.5)).backward(from({ shape: [2], data: [7, 11] }));
    assert.deepEqual(x.grad?.toArray(), [7, 11]);
  });
});
