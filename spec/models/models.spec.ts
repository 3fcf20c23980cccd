// # The networks are PyTorch's
//
// Printed form, names, shapes and initial bits exactly; logits, loss and gradients in float64, so
// closely that float32 could not tell the difference: relative to the largest value of its tensor,
// every number differs by less than the unit roundoff of float32. (`spec/fixtures/models.py` makes
// the fixture.)

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import {
  crossEntropy,
  fromData,
  manualSeed,
  modelNamed,
  models,
  nn,
  type Summary,
  summarize,
  tensor,
  type Tensor,
} from "convnotes";
import { float32 } from "../rounding.js";

interface Case {
  readonly shape: readonly number[];
  readonly printed: string;
  readonly parameters: number;
  readonly state: Readonly<Record<string, readonly number[]>>;
  readonly weights: Readonly<Record<string, string>>;
  readonly logits: readonly number[];
  readonly loss: number;
  readonly gradientNorms: Readonly<Record<string, number>>;
}

const fixture = JSON.parse(readFileSync("spec/fixtures/models.json", "utf8")) as {
  readonly models: Readonly<Record<string, Case>>;
};

function weightsHash(model: nn.Module): string {
  const hash = createHash("sha256");
  for (const { data } of model.stateDict().values())
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}

/** The network in float64 on the reference, with its dropout switched off. */
function exact(create: () => nn.Module): nn.Module {
  const model = create().to("float64").to("reference");
  for (const module of model.modules())
    if (module instanceof nn.Dropout) module.registerForwardHook((_, [x]) => x);
  return model;
}

function assertClose(
  what: string,
  actual: readonly number[],
  expected: readonly number[],
  scale = Math.max(...expected.map(Math.abs)),
): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    const error = Math.abs(value - expected[i]) / scale;
    assert.ok(error < float32.unit, `${what}[${i}]: ${value}, PyTorch has ${expected[i]}`);
  });
}

const norm = (t: Tensor): number =>
  Math.sqrt(Array.from(t.data, Number).reduce((sum, v) => sum + v * v, 0));

/** The rows of the table in a model's file, from its summary. */
function layerTable({ rows }: Summary): string[] {
  return rows.map(
    (r) =>
      `// | \`${r.path}\` ${r.module} | ${r.outputShape.slice(1).join("×")} | ` +
      `${r.parameters === 0 ? "" : r.parameters.toLocaleString("en-US")} |`,
  );
}

describe("models", () => {
  it("has a fixture for every network", () => {
    assert.deepEqual(models.map((m) => m.name).sort(), Object.keys(fixture.models).sort());
  });

  for (const [name, expected] of Object.entries(fixture.models))
    describe(name, () => {
      const { create, inputShape } = modelNamed(name);

      it("prints, counts and names its parameters as PyTorch does", () => {
        manualSeed(0);
        const model = create();
        assert.equal(String(model), expected.printed);
        const count = [...model.parameters()].reduce((sum, p) => sum + p.size, 0);
        assert.equal(count, expected.parameters);
        const state = [...model.stateDict()].map(([key, t]) => [key, [...t.shape]]);
        assert.deepEqual(state, Object.entries(expected.state));
      });

      for (const [seed, hash] of Object.entries(expected.weights))
        it(`begins with PyTorch's weights for seed ${seed}, bit for bit`, () => {
          manualSeed(Number(seed));
          assert.equal(weightsHash(create()), hash);
        });

      it("gives PyTorch's logits, loss and gradients in float64", function () {
        this.timeout(120_000);
        this.slow(30_000);
        manualSeed(0);
        const model = exact(create);
        const { shape } = expected;
        const size = shape.reduce((product, d) => product * d, 1);
        const x = fromData(
          Float64Array.from({ length: size }, (_, i) => ((i * 37) % 255) / 255),
          shape,
          "reference",
        );
        const target = tensor(
          Array.from({ length: shape[0] }, (_, i) => (i * 3) % 10),
          { dtype: "int64", device: "reference" },
        );
        const logits = model.call(x);
        const loss = crossEntropy(logits, target, null);
        loss.backward();
        assertClose("logits", Array.from(logits.data, Number), expected.logits);
        assertClose("loss", [loss.item()], [expected.loss]);
        const norms = expected.gradientNorms;
        // A bias before batch normalisation has no influence, so its gradient is rounding alone:
        // what is less than a roundoff of the largest gradient is measured by that.
        const least = float32.unit * Math.max(...Object.values(norms));
        for (const [parameter, { grad }] of model.namedParameters()) {
          const pytorch = norms[parameter];
          const scale = Math.max(pytorch, least);
          assertClose(`norm of ${parameter}.grad`, [norm(grad!)], [pytorch], scale);
        }
      });

      it("has the layer table that its file shows", () => {
        const file = `reference/models/${name}.ts`;
        const source = readFileSync(file, "utf8");
        const rule = "// | --- | --- | ---: |\n";
        const start = source.indexOf(rule) + rule.length;
        assert.ok(start > rule.length, `${file} has no layer table`);
        const shown = /^(?:\/\/ \| .*\n)*/.exec(source.slice(start))![0];
        const rows = layerTable(summarize(create, [1, ...inputShape]));
        const actual = rows.map((row) => `${row}\n`).join("");
        if (process.env.UPDATE)
          writeFileSync(file, source.slice(0, start) + actual + source.slice(start + shown.length));
        else assert.equal(shown, actual, "UPDATE=1 npm test rewrites the table");
      });
    });
});
