// # Properties of batch normalisation

import assert from "node:assert/strict";
import fc from "fast-check";
import { batchNorm, fromData, tensor } from "convnotes";
import { ordinary } from "../arbitraries.js";
import "../seed.js";
import { assertEqual, tensorOf } from "../tensors.js";
import { cases } from "./batch_norm.law.js";

const training = cases(ordinary).filter(({ options }) => options.training === true);

describe("batch_norm", () => {
  it("in evaluation with a batch's own statistics gives what training gave, to the last bit", () => {
    fc.assert(
      fc.property(training, ({ inputs, options: { eps } }) => {
        const [x, weight, bias] = inputs.slice(0, 3).map((v) => v && tensorOf(v));
        const trained = batchNorm.all(x!, weight, bias, null, null, { training: true, eps });
        const { save_mean, save_var } = trained;
        assertEqual(batchNorm(x!, weight, bias, save_mean, save_var, { eps }), trained.y);
      }),
    );
  });

  it("updates the running statistics in place, in training only", () => {
    const x = tensor([[1], [3]], { dtype: "float64" });
    const [mean, variance] = [10, 20].map((v) => tensor([v], { dtype: "float64" }));
    batchNorm(x, null, null, mean, variance);
    assert.deepEqual([mean.item(), variance.item()], [10, 20]);
    const { running_mean } = batchNorm.all(x, null, null, mean, variance, {
      training: true,
      momentum: 0.5,
    });
    assert.equal(running_mean, mean);
    assert.deepEqual([mean.item(), variance.item()], [6, 11]); // (10 + 2)/2, (20 + 1 · 2/1)/2
  });

  it("keeps the batch's statistics with momentum 1, its own with momentum 0", () => {
    const x = tensor([[1], [3]], { dtype: "float64" });
    const after = (momentum: number) => {
      const [mean, variance] = [10, 20].map((v) => tensor([v], { dtype: "float64" }));
      batchNorm(x, null, null, mean, variance, { training: true, momentum });
      return [mean.item(), variance.item()];
    };
    assert.deepEqual(after(1), [2, 2]);
    assert.deepEqual(after(0), [10, 20]);
  });

  it("gives zeros for a channel that does not vary, and no infinite gradient", () => {
    const x = fromData(Float64Array.of(7, 7, 7), [3, 1]);
    x.requiresGrad = true;
    const y = batchNorm(x, null, null, null, null, { training: true });
    assert.deepEqual(y.toArray(), [[0], [0], [0]]);
    y.backward(tensor([[1], [1], [1]], { dtype: "float64" }));
    assertEqual(x.grad!, tensor([[0], [0], [0]], { dtype: "float64" }));
  });

  it("loses nothing of a small variance beside a large mean", () => {
    const x = tensor([[4194303], [4194305]]); // 2²² ± 1: in float32 the squares agree
    const { save_mean, save_var } = batchNorm.all(x, null, null, null, null, { training: true });
    assert.deepEqual([save_mean.item(), save_var.item()], [4194304, 1]);
  });
});
