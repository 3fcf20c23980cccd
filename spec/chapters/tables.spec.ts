// # Computed tables
//
// Between `<!-- computed: lenet -->` and `<!-- end -->` a chapter shows a network layer by layer. The
// table is computed here from the closed formulas, and must be what stands there;
// `UPDATE=1 npx mocha spec/chapters/tables.spec.ts` writes it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { models } from "convnotes";
import { type Language, projectRoot, readChapters } from "../statements.js";
import type { Layer } from "./fields.js";
import { closedModel, type ClosedStep } from "./networks.js";
import { depths, measureStack, stackKinds } from "./vanishing.js";

const heads: Readonly<Record<Language, readonly string[]>> = {
  en: ["layer", "window", "output", "parameters", "multiply-adds", "sees"],
  zh: ["层", "窗口", "输出", "参数", "乘加次数", "感受野"],
};
const totals: Readonly<Record<Language, string>> = { en: "**total**", zh: "**合计**" };

const grouped = (n: number): string => (n === 0 ? "" : n.toLocaleString("en-US"));

/** `⌊(224 + 2·1 − 11)/4⌋ + 1 = 54`, with brackets only where something is rounded. */
function arithmetic(size: number, { kernel, stride, padding }: Layer, places: number): string {
  const room = size + 2 * padding - kernel;
  const sum = padding === 0 ? `${size} − ${kernel}` : `${size} + 2·${padding} − ${kernel}`;
  const quotient = stride === 1 ? sum : `(${sum})/${stride}`;
  return `${room % stride === 0 ? quotient : `⌊${quotient}⌋`} + 1 = ${places}`;
}

/** Steps that keep the shape and learn nothing are left out: activations and dropout. */
const isShown = ({ module }: ClosedStep): boolean =>
  !["ReLU", "Sigmoid", "Dropout"].includes(module);

function table(name: string, language: Language): string {
  const { steps } = closedModel(name);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const sum = (of: (step: ClosedStep) => number) => steps.reduce((n, step) => n + of(step), 0);
  return [
    line(heads[language]),
    line(["---", "---", "---", "---:", "---:", "---"]),
    ...steps
      .filter(isShown)
      .map(({ module, input, output, parameters, multiplyAdds, window, field }) =>
        line([
          module,
          window === null ? "" : arithmetic(input[1], window, output[1]),
          output.join("×"),
          grouped(parameters),
          grouped(multiplyAdds),
          field === null ? "" : `${field}×${field}`,
        ]),
      ),
    line([
      totals[language],
      "",
      "",
      grouped(sum((step) => step.parameters)),
      grouped(sum((step) => step.multiplyAdds)),
      "",
    ]),
  ].join("\n");
}

/** What is left of a gradient behind so many layers, for three kinds of stack. */
function vanishingTable(language: Language): string {
  const heads: Readonly<Record<Language, readonly string[]>> = {
    en: ["layers", "plain", "with batch normalisation", "with shortcuts"],
    zh: ["层数", "无旁路", "加批量归一化", "加捷径"],
  };
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const show = (share: number) =>
    share >= 0.01 ? share.toFixed(2) : share.toExponential(0).replace(/e-(\d+)/, "·10^−$1^");
  return [
    line(heads[language]),
    line(heads[language].map(() => "---:")),
    ...depths.map((depth) =>
      line([
        String(depth),
        ...stackKinds.map((kind) => superscript(show(measureStack(kind, depth, 0).left))),
      ]),
    ),
  ].join("\n");
}

const blockOf = (name: string, language: Language): string =>
  name === "vanishing" ? vanishingTable(language) : table(name, language);

const superscript = (text: string): string =>
  text.replace(/\^(.*?)\^/g, (_, power: string) =>
    power.replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["−0123456789".indexOf(c)]),
  );

const block = /<!-- computed: (\w+) -->\n([\s\S]*?)<!-- end -->/g;

describe("chapters: computed tables", () => {
  for (const { file, language } of readChapters())
    it(`of ${file} are what the formulas give`, () => {
      const path = join(projectRoot, file);
      const text = readFileSync(path, "utf8");
      const updated = text.replace(
        block,
        (_, name: string) =>
          `<!-- computed: ${name} -->\n\n${blockOf(name, language)}\n\n<!-- end -->`,
      );
      if (process.env.UPDATE) writeFileSync(path, updated);
      else assert.equal(text, updated, "UPDATE=1 npx mocha spec/chapters/tables.spec.ts writes it");
    });

  it("show every network once, and the stacks, in both languages", () => {
    for (const language of ["en", "zh"] as const) {
      const shown = readChapters()
        .filter((c) => c.language === language)
        .flatMap((c) => [...readFileSync(join(projectRoot, c.file), "utf8").matchAll(block)])
        .map(([, name]) => name);
      assert.deepEqual(shown.sort(), ["vanishing", ...models.map((m) => m.name)].sort());
    }
  });
});
