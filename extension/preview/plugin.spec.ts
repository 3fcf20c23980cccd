// # Rendered Markdown
//
// The plugin as VS Code's preview and the site use it: with markdown-it and nothing else.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import MarkdownIt from "markdown-it";
import { createFrontEnd, type FrontEnd } from "convnotes/pytorch";
import { convnotesPlugin } from "./plugin.js";

describe("Markdown plugin", () => {
  let frontEnd: FrontEnd;
  let md: MarkdownIt;
  before(async () => {
    const wasm = (name: string) => readFileSync(join("reference", "dist", "wasm", `${name}.wasm`));
    frontEnd = await createFrontEnd({
      runtime: wasm("web-tree-sitter"),
      python: wasm("tree-sitter-python"),
    });
    md = convnotesPlugin(new MarkdownIt(), {
      analyse: (text) => frontEnd.analyse({ file: "x.md", language: "markdown", text }),
    });
  });

  const block = (code: string) => `\`\`\`python\n${code}\n\`\`\`\n`;
  const net = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))";

  it("puts the layers of a network beneath its block, and of no other", () => {
    const html = md.render(`${block("import torch")}\n${block(net)}\ntext\n`);
    assert.equal(html.match(/<details/g)?.length, 1);
    assert.ok(html.indexOf("nn.Linear") < html.indexOf("<details"));
    assert.ok(html.indexOf("</details>") < html.indexOf("text"));
    assert.match(
      html,
      /<td class="path">1<\/td><td>Linear<\/td><td class="shape">N×10<\/td><td class="number">7,850<\/td><td class="number">7,840<\/td>/,
    );
  });

  it("says in Chinese what it says, where it is asked to", () => {
    const chinese = convnotesPlugin(new MarkdownIt(), {
      analyse: (text) => frontEnd.analyse({ file: "x.md", language: "markdown", text }),
      language: "zh",
    });
    const html = chinese.render(block(`import torch\n${net}\nnet(torch.rand(1, 1, 28, 29))`));
    assert.match(html, /7,850 个参数 · [\d,]+ 次乘加/);
    assert.match(html, /<p class="failed">Linear：in_features=784，但实际传入的是 812 个特征/);
  });

  it("leaves other Markdown as it is", () => {
    const plain = new MarkdownIt();
    for (const text of [
      "# a\n\n- b\n",
      block("x = 1"),
      "```ts\nconst net = 1;\n```\n",
      "::: tip\nx\n:::\n",
    ])
      assert.equal(md.render(text), plain.render(text));
  });

  it("makes statements sections that links reach by label", () => {
    const html = md.render(
      "::: statement kernel-size\n**A title.** Text.\n\noperations: conv2d\nsource: x.ts\n:::\n",
    );
    assert.match(html, /^<section class="convnotes-statement" id="kernel-size">/);
    assert.match(html, /<a class="convnotes-label" href="#kernel-size">kernel-size<\/a>/);
    assert.match(
      html,
      /<p class="convnotes-fields">operations: conv2d\nsource: x.ts<\/p>\n<\/section>/,
    );
  });

  it("renders every chapter of the notes", () => {
    for (const name of ["03-many-channels", "07-vgg", "10-batch-normalisation.zh"]) {
      const text = readFileSync(join("spec", "chapters", `${name}.md`), "utf8");
      const labels = [...text.matchAll(/^::: statement (\S+)$/gm)].map(([, label]) => label);
      const html = md.render(text);
      for (const label of labels) assert.ok(html.includes(`id="${label}"`), label);
      assert.ok(!html.includes(":::"));
    }
  });

  it("lets nothing of a hostile document become markup", () => {
    const hostile = fc.stringMatching(/^[a-z<>&"'/=` ]{1,40}$/);
    fc.assert(
      fc.property(hostile, (text) => {
        const code = `from torch import nn\nclass A(nn.Module):\n    def forward(self, x):\n        return x\nnet = nn.Sequential(nn.ModuleDict({${JSON.stringify(text)}: nn.ReLU()}), nn.Linear(3, 4))\nnet.add_module(${JSON.stringify(text)}, nn.ReLU())`;
        const html = md.render(block(code));
        const without = html.replaceAll(
          /<\/?(details|summary|table|thead|tbody|tr|th|td|p|pre|code)( (class|open)(="[\w -]*")?)*>/g,
          "",
        );
        assert.ok(!without.includes("<"), without);
      }),
      { numRuns: 50 },
    );
    assert.ok(!md.render('::: statement "><script>\nx\n:::\n').includes("<script"));
  });
});
