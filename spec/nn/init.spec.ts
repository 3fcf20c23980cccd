// # Initialisers
//
// The same calls as in `fixtures/nn.py`, under the same names, must draw the same bits.

import assert from "node:assert/strict";
import { defaultGenerator, Generator, init, manualSeed, nn, type Tensor, zeros } from "convnotes";
import fixture from "../fixtures/nn.json" with { type: "json" };
import { Net } from "./modules.js";
import { numbers, sha256 } from "./numbers.js";

const initialisers: Readonly<Record<string, (t: Tensor) => Tensor>> = {
  uniform: (t) => init.uniform_(t, -0.5, 0.25),
  normal: (t) => init.normal_(t, 0.25, 0.01),
  "normal, default": (t) => init.normal_(t),
  constant: (t) => init.constant_(t, 0.1),
  zeros: (t) => init.zeros_(t),
  ones: (t) => init.ones_(t),
  "xavier uniform": (t) => init.xavierUniform_(t),
  "xavier uniform, gain": (t) => init.xavierUniform_(t, init.calculateGain("relu")),
  "xavier normal": (t) => init.xavierNormal_(t),
  "xavier normal, gain": (t) => init.xavierNormal_(t, 0.5),
  "kaiming uniform": (t) => init.kaimingUniform_(t),
  "kaiming uniform, slope": (t) => init.kaimingUniform_(t, { a: 0.2 }),
  "kaiming uniform, fan out": (t) => init.kaimingUniform_(t, { mode: "fan_out" }),
  "kaiming normal": (t) => init.kaimingNormal_(t),
  "kaiming normal, fan out": (t) =>
    init.kaimingNormal_(t, { mode: "fan_out", nonlinearity: "relu" }),
  "kaiming normal, tanh": (t) => init.kaimingNormal_(t, { nonlinearity: "tanh" }),
};

describe("init", () => {
  it("has every initialiser that PyTorch was asked about", () => {
    assert.deepEqual(Object.keys(initialisers), [
      ...new Set(fixture.initialisers.map(({ name }) => name)),
    ]);
  });

  for (const { name, shape, sha256: expected, after } of fixture.initialisers)
    it(`fills [${shape.join(", ")}] as PyTorch does, bit for bit: ${name}`, () => {
      manualSeed(3);
      const t = zeros(shape);
      assert.equal(initialisers[name](t), t);
      assert.equal(sha256([t]), expected);
      assert.equal(String(defaultGenerator.randomInt64()), after);
    });

  it("has PyTorch's gains", () => {
    for (const [nonlinearity, slope, gain] of fixture.gains)
      assert.equal(
        init.calculateGain(nonlinearity as init.Nonlinearity, slope as number),
        gain,
        `${nonlinearity}, slope ${slope}`,
      );
  });

  it("sets up a network through apply, as PyTorch does", () => {
    manualSeed(5);
    const net = new Net().apply((m) => {
      if (m instanceof nn.Linear || m instanceof nn.Conv2d) init.xavierUniform_(m.weight);
    });
    assert.equal(sha256(net.stateDict().values()), fixture.appliedInit.sha256);
    assert.equal(String(defaultGenerator.randomInt64()), fixture.appliedInit.after);
  });

  it("draws from a generator of one's own, and leaves the default one alone", () => {
    manualSeed(5);
    const [a, b] = [0, 1].map(() => init.normal_(zeros([4]), 0, 1, new Generator(3)));
    assert.deepEqual(numbers(a), numbers(b));
    const next = defaultGenerator.randomInt64();
    assert.equal(manualSeed(5).randomInt64(), next);
  });

  it("tells the tape that values were overwritten", () => {
    const t = zeros([2]);
    init.uniform_(t);
    assert.equal(t.storage.version, 1);
  });

  it("counts fans", () => {
    assert.deepEqual(init.calculateFanInAndFanOut([8, 3, 5, 2]), { fanIn: 30, fanOut: 80 });
    assert.throws(() => init.calculateFanInAndFanOut([3]), {
      name: "ShapeError",
      message: "fans need a tensor of two axes or more, got [3]",
    });
  });

  it("refuses to draw whole numbers", () => {
    assert.throws(() => init.normal_(zeros([2], { dtype: "int64" })), {
      name: "TypeError",
      message: "init: cannot draw int64 values",
    });
  });
});
