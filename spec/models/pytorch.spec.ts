// # The networks agree with PyTorch's
//
// `fixtures/models.py` built each network in PyTorch and wrote down what it is made of, what it
// begins with from seed 0, and what it computes. What is made of names, sizes and bits must be
// the same. What is computed in float32 is rounded at other places there than here, so it is
// judged by the exact result, for which PyTorch's own float64 stands: ours must be as near to it
// as PyTorch's float32 is, or as near as a float32 can be. A mistake in a network is larger than
// a rounding by many digits.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  crossEntropy,
  fromData,
  manualSeed,
  modelNamed,
  models,
  nn,
  type Shape,
  sizeOf,
  summarize,
  type Tensor,
  type TensorData,
} from "convnotes";
import fixture from "../fixtures/models.json" with { type: "json" };
import { float32 } from "../rounding.js";

interface Entry {
  readonly shape: Shape;
  readonly sha256: string;
  /** Of the gradient of a parameter; null where float32 finds no correct digit of it. */
  readonly sums?: readonly number[] | null;
}

/** The first 16 digits of the SHA-256 of all bytes. */
function digest(tensors: Iterable<Tensor>): string {
  const sha = createHash("sha256");
  for (const { data } of tensors)
    sha.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return sha.digest("hex").slice(0, 16);
}

// ## Inputs and measures, by the formulas of models.py

const image = (shape: Shape): Tensor =>
  fromData(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 37) % 255) / 255),
    shape,
  );

const labels = (count: number): Tensor =>
  fromData(BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 3) % 10)));

/** The elements, weighted by (step·i mod 251)/125 − 1 at position i, added up. */
const sums = (data: TensorData): number[] =>
  [37, 73, 101, 173].map((step) => {
    let [sum, phase] = [0, 0];
    for (const value of data) {
      sum += Number(value) * (phase / 125 - 1);
      phase = (phase + step) % 251;
    }
    return sum;
  });

const norm = (numbers: readonly number[]): number => Math.hypot(...numbers);

const relative = (actual: readonly number[], expected: readonly number[]): number =>
  norm(actual.map((x, i) => x - expected[i])) / norm(expected);

/** Training mode, but for dropout, whose masks come from another generator than PyTorch's. */
function keepEverything(model: nn.Module): nn.Module {
  model.train();
  for (const module of model.modules()) if (module instanceof nn.Dropout) module.eval();
  return model;
}

it("models: PyTorch was asked about every network", () => {
  assert.deepEqual(
    fixture.models.map((m) => m.name),
    models.map((m) => m.name),
  );
});

for (const expected of fixture.models)
  describe(`models: ${expected.name}`, function () {
    this.timeout(120_000);
    this.slow(30_000);
    const state = new Map<string, Entry>(Object.entries(expected.state));
    let model: nn.Module;

    before(() => {
      manualSeed(0);
      model = modelNamed(expected.name).create().to("reference");
    });

    after(() => {
      model = new nn.Identity();
    });

    it(`has ${expected.parameters.toLocaleString("en-US")} parameters`, () => {
      const sizes = [...model.parameters()].map((p) => p.size);
      assert.equal(
        sizes.reduce((sum, size) => sum + size),
        expected.parameters,
      );
    });

    it("has PyTorch's state dict: keys, order and shapes", () => {
      assert.deepEqual(
        [...model.stateDict()].map(([key, value]) => [key, value.shape]),
        Array.from(state, ([key, { shape }]) => [key, shape]),
      );
    });

    it("prints what PyTorch prints", () => {
      assert.equal(String(model), expected.printed);
    });

    it("begins with PyTorch's bits from seed 0", () => {
      for (const [key, { sha256 }] of state)
        assert.equal(digest([model.stateDict().get(key)!]), sha256, key);
    });

    it("runs PyTorch's layers in PyTorch's order, with the same outputs", () => {
      const { rows, error } = summarize(modelNamed(expected.name).create, expected.input);
      assert.equal(error, undefined);
      assert.deepEqual(
        rows.map((row) => [row.path, row.module, row.outputShape, row.parameters]),
        expected.calls,
      );
    });

    it("computes outputs and gradients as near to the exact ones as PyTorch does", () => {
      const x = image(expected.input).to("reference");
      const logits = keepEverything(model).call(x);
      crossEntropy(logits, labels(expected.input[0]).to("reference"), null).backward();
      const logitsError = relative(Array.from(logits.data, Number), expected.logits);

      const errors: number[] = [];
      for (const [name, parameter] of model.namedParameters()) {
        const exact = state.get(name)!.sums;
        if (exact) errors.push(relative(sums(parameter.grad!.data), exact));
        else assert.match(name, /bias$/);
      }
      const sumsError = norm(errors) / Math.sqrt(errors.length);
      for (const [what, ours, pytorchs] of [
        ["outputs", logitsError, expected.logitsError],
        ["gradients", sumsError, expected.sumsError],
      ] as const)
        assert.ok(
          ours <= Math.max(pytorchs, float32.unit),
          `${what}: relative error ${ours}, PyTorch's in float32 is ${pytorchs}`,
        );
    });
  });

it("models: lenet begins with PyTorch's bits from other seeds as well", () => {
  assert.ok(fixture.lenetSeeds.length > 1);
  for (const { seed, sha256 } of fixture.lenetSeeds) {
    manualSeed(seed);
    const { create } = modelNamed("lenet");
    assert.equal(digest(create().stateDict().values()), sha256, `seed ${seed}`);
  }
});
