// # Properties of gradient descent

import assert from "node:assert/strict";
import { fromData, sgd, tensor, zeros } from "convnotes";

describe("sgd", () => {
  it("writes into the parameter and the running sum, and the tape can tell", () => {
    const [p, b] = [tensor([1, 2], { requiresGrad: true }), zeros([2])];
    const result = sgd.all(p, tensor([4, 8]), b, { lr: 0.5, momentum: 0.5, first: true });
    assert.deepEqual([result.param, result.momentum_buffer], [p, b]);
    assert.deepEqual(p.toArray(), [-1, -2]);
    assert.deepEqual(b.toArray(), [4, 8]);
    assert.deepEqual([p.storage.version, b.storage.version], [1, 1]);
    assert.deepEqual([p.isLeaf, p.requiresGrad], [true, true]);
  });

  it("leaves a running sum alone when there is no momentum", () => {
    const b = tensor([3]);
    sgd(tensor([1]), tensor([1]), b, { lr: 1 });
    assert.deepEqual([b.item(), b.storage.version], [3, 0]);
  });

  it("finds the bottom of a parabola, and with momentum on a narrow one sooner", () => {
    // f(p) = (p₀² + 25 p₁²) / 2, whose gradient is (p₀, 25 p₁).
    const descend = (momentum: number): number => {
      const p = fromData(Float64Array.of(1, 1));
      const b = zeros([2], { dtype: "float64" });
      for (let k = 0; k < 60; k++) {
        const g = fromData(Float64Array.of(Number(p.data[0]), 25 * Number(p.data[1])));
        sgd(p, g, b, { lr: 1 / 26, momentum, first: k === 0 });
      }
      return Math.hypot(Number(p.data[0]), Number(p.data[1]));
    };
    assert(descend(0) < 1);
    assert(descend(0.5) < descend(0));
  });
});
