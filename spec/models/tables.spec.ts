// # Layer tables
//
// Every network's file opens with a table of what it is made of, one row for each layer or block of
// its parts. The table is computed here from the network itself and must be what stands there;
// `UPDATE=1 npx mocha spec/models/tables.spec.ts` writes it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { models, noGrad, withDevice, zeros } from "convnotes";
import { projectRoot } from "../statements.js";

type Model = (typeof models)[number];

/** Runs the network on `meta` and notes every module two levels down, in the order of the calls. */
const layersOf = ({ create, inputShape }: Model): string[][] =>
  withDevice("meta", () => {
    const rows: string[][] = [["input", inputShape.join("×"), ""]];
    const model = create().eval();
    const count = (parameters: Iterable<{ readonly size: number }>): string => {
      const sum = [...parameters].reduce((total, { size }) => total + size, 0);
      return sum === 0 ? "" : sum.toLocaleString("en-US");
    };
    for (const [path, module] of model.namedModules())
      if (path.split(".").length === 2)
        module.registerForwardHook((_, __, output) => {
          const shape = output.shape.slice(1).join("×");
          rows.push([`${path} ${module.getName()}`, shape, count(module.parameters())]);
          return undefined;
        });
    noGrad(() => model.call(zeros([1, ...inputShape])));
    return [...rows, ["total", "", count(model.parameters())]];
  });

/** Columns aligned, the numbers to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const all = [["layer", "output", "parameters"], ...rows];
  const widths = [0, 1, 2].map((c) => Math.max(...all.map((row) => row[c].length)));
  const line = ([layer, output, parameters]: readonly string[]) =>
    `// | ${layer.padEnd(widths[0])} | ${output.padEnd(widths[1])} | ` +
    `${parameters.padStart(widths[2])} |\n`;
  const [first, second, third] = widths.map((w) => "-".repeat(w));
  const rule = line([first, second, `${third.slice(1)}:`]);
  return [line(all[0]), rule, ...rows.map(line)].join("");
}

describe("models: the layer table", () => {
  for (const model of models)
    it(`of ${model.name} is what the network gives`, () => {
      const path = join(projectRoot, "reference/models", `${model.name}.ts`);
      const source = readFileSync(path, "utf8");
      const shown = /(?:^\/\/ \|.*\|\n)+/m.exec(source);
      assert.ok(shown, `${path} has no table`);
      const computed = table(layersOf(model));
      if (process.env.UPDATE) writeFileSync(path, source.replace(shown[0], computed));
      else
        assert.equal(shown[0], computed, "UPDATE=1 npx mocha spec/models/tables.spec.ts writes it");
    });
});
