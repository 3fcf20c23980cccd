// # The language server, as an editor meets it
//
// Started by `convnotes lsp`, spoken to over its input and output by a client that knows the protocol and
// nothing else.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  builtInDataset,
  encodeTorch,
  fromData,
  LeNet,
  manualSeed,
  modelNamed,
  noGrad,
  summarize,
  toTensor,
} from "convnotes";
import type { CodeAction } from "vscode-languageserver";
import { Editor } from "../test/editor.js";
import { NETWORKS, type NetworkView, OUTPUTS, type OutputsAnswer } from "./protocol.js";

const lenet = `import torch
from torch import nn

net = nn.Sequential(
    nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(),
    nn.AvgPool2d(kernel_size=2, stride=2),
    nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(),
    nn.AvgPool2d(kernel_size=2, stride=2),
    nn.Flatten(),
    nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
    nn.Linear(120, 84), nn.Sigmoid(),
    nn.Linear(84, 10))
X = torch.rand(size=(1, 1, 28, 28))
net(X)
`;

describe("language server", function () {
  this.timeout(60_000);
  this.slow(10_000);
  let editor: Editor;
  before(async () => {
    editor = new Editor();
    await editor.begin();
  });
  after(async () => {
    assert.equal(await editor.end(), 0);
  });

  it("shows the shape behind every layer of LeNet, without any setting", async () => {
    const uri = "file:///models/lenet.py";
    assert.deepEqual(await editor.open(uri, lenet), []);
    const hints = await editor.hints(uri);
    for (const hint of [
      "5 → N×6×28×28",
      "6 → N×6×14×14",
      "7 → N×16×10×10",
      "8 → N×16×5×5",
      "9 → N×400",
      "10 → N×120",
      "12 → N×10",
    ])
      assert.ok(hints.includes(hint), `${hint} in ${hints.join("; ")}`);
  });

  it("says in the hover how a layer comes to its size and its parameters", async () => {
    const text = await editor.hover("file:///models/lenet.py", 5, 10);
    assert.match(text, /Conv2d\(1, 6, kernel_size=\(5, 5\), stride=\(1, 1\), padding=\(2, 2\)\)/);
    assert.match(text, /\(28 \+ 2·2 − 5\)\/1 \+ 1 = 28/);
    assert.match(text, /parameters \| 156 = `.*`/);
    assert.match(text, /multiply-adds \| 117,600/);
    assert.match(text, /receptive field \| 5×5/);
  });

  it("sums the network up above it, and says where the input is from", async () => {
    const [line] = await editor.lenses("file:///models/lenet.py");
    assert.match(line, /^4 61,706 parameters · 416,520 multiply-adds · .* \(N = 1\) · /);
    assert.match(line, /input N×1×28×28 \(from a call\)$/);
  });

  it("underlines a wrong number and mends it", async () => {
    const uri = "file:///models/wrong.py";
    const wrong = lenet.replace("nn.Linear(16 * 5 * 5, 120)", "nn.Linear(1024, 120)");
    const [finding] = await editor.open(uri, wrong);
    assert.equal(finding.severity, 1);
    assert.match(finding.message, /1024.*400/);
    const lines = wrong.split("\n");
    const { start, end } = finding.range;
    assert.equal(lines[start.line].slice(start.character, end.character), "1024");
    const actions = await editor.ask<CodeAction[]>("textDocument/codeAction", {
      ...{ textDocument: { uri }, range: finding.range },
      context: { diagnostics: [finding] },
    });
    const [edit] = actions[0].edit!.changes![uri];
    assert.equal(edit.newText, "400");
    // The layers before the fault keep their shapes.
    assert.ok((await editor.hints(uri)).includes("5 → N×6×28×28"));
  });

  it("speaks Chinese where the editor does: findings, their places, fixes, and reasons", async () => {
    const chinese = new Editor();
    await chinese.begin("zh-cn");
    try {
      const uri = "file:///models/wrong.py";
      const wrong = lenet.replace("nn.Linear(16 * 5 * 5, 120)", "nn.Linear(1024, 120)");
      const [finding] = await chinese.open(uri, wrong);
      assert.equal(
        finding.message,
        "Linear：in_features=1024，但实际传入的是 400 个特征（输入为 N×400）",
      );
      assert.deepEqual(
        finding.relatedInformation!.map(({ message }) => message),
        ["它的前一层是 Flatten", "在这里调用"],
      );
      const [fix] = await chinese.ask<CodeAction[]>("textDocument/codeAction", {
        ...{ textDocument: { uri }, range: finding.range },
        context: { diagnostics: [finding] },
      });
      assert.equal(fix.title, "将 in_features 改为 400");
      const open = "file:///models/open.py";
      const head = lenet.replace("nn.Flatten()", "timm.pool()");
      await chinese.open(open, `import timm\n${head}`);
      const text = await chinese.hover(open, 11, 8);
      assert.match(text, /未知：不支持分析 timm 包/);
    } finally {
      await chinese.end();
    }
  });

  it("keeps up with typing, half-written code and all", async () => {
    const uri = "file:///models/typing.py";
    await editor.open(uri, lenet);
    for (let cut = lenet.length, version = 2; cut > 40; cut -= 37, version++)
      await editor.change(uri, version, lenet.slice(0, cut));
    assert.deepEqual(await editor.change(uri, 999, lenet), []);
    assert.ok((await editor.hints(uri)).includes("12 → N×10"));
  });

  it("reads the Python in Markdown", async () => {
    const uri = "file:///notes/lenet.md";
    const text = `# LeNet\n\n\`\`\`python\n${lenet}\`\`\`\n`;
    assert.deepEqual(await editor.open(uri, text, "markdown"), []);
    assert.ok((await editor.hints(uri)).includes("8 → N×6×28×28"));
  });

  it("reads the cells of a notebook in order, past its own commands", async () => {
    const cells = [`%matplotlib inline\nimport torch\nfrom torch import nn\n`, lenet.slice(35)];
    const uris = cells.map((_, i) => `vscode-notebook-cell:/notes/lenet.ipynb#${i}`);
    await editor.tell("notebookDocument/didOpen", {
      notebookDocument: {
        ...{ uri: "file:///notes/lenet.ipynb", notebookType: "jupyter-notebook", version: 1 },
        cells: uris.map((document) => ({ kind: 2, document })),
      },
      cellTextDocuments: cells.map((text, i) => ({
        ...{ uri: uris[i], languageId: "python", version: 1, text },
      })),
    });
    const line = cells[1].split("\n").findIndex((text) => text.includes("nn.Conv2d(1, 6")) + 1;
    assert.ok((await editor.hints(uris[1])).includes(`${line} → N×6×28×28`));
  });

  it("takes the size that the user chooses", async () => {
    const uri = "file:///models/lenet.py";
    await editor.ask("workspace/executeCommand", {
      command: "convnotes.server.input",
      arguments: [uri, "net", [1, 31, 31]],
    });
    assert.ok((await editor.lenses(uri))[0].endsWith("input N×1×31×31 (chosen)"));
    assert.ok((await editor.hints(uri)).includes("5 → N×6×31×31"));
  });

  // ## The notes' networks

  const notes = readFileSync(join("extension", "test", "workspace", "networks.py"), "utf8");
  const sections = notes.split(/^(?=# )/m);
  const models: Readonly<Record<string, string>> = {
    ...{ lenet: "lenet", alexnet: "alexnet", vgg_net: "vgg", NiN: "nin" },
    ...{ lenet_bn: "lenet_bn", Example: "notes_example" },
  };

  /** Every layer of every network, against the table of the same network in TypeScript. */
  async function holdNetworks(uri: string): Promise<void> {
    const views = await editor.ask<NetworkView[]>(NETWORKS, { uri });
    for (const [name, model] of Object.entries(models)) {
      const { create, inputShape } = modelNamed(model);
      const { rows } = summarize(create, [1, ...inputShape]);
      const view = views.find((v) => v.name === name);
      assert.ok(view, `${name} in ${views.map((v) => v.name).join(", ")}`);
      assert.equal(view.failed, null);
      assert.deepEqual(
        view.layers.map(({ className, output, parameters }) => [className, output, parameters]),
        rows.map((row) => [
          row.module,
          ["N", ...row.outputShape.slice(1)].join("×"),
          row.parameters,
        ]),
      );
    }
  }

  it("shows the notes' networks in a Python file", async () => {
    await editor.open("file:///notes/networks.py", notes);
    await holdNetworks("file:///notes/networks.py");
  });

  it("shows them in Markdown, block after block", async () => {
    const uri = "file:///notes/networks.md";
    const text = sections.map((code) => `Text.\n\n\`\`\`python\n${code}\n\`\`\`\n`).join("\n");
    await editor.open(uri, text, "markdown");
    await holdNetworks(uri);
  });

  it("shows them in a notebook, cell after cell", async () => {
    const uris = sections.map((_, i) => `vscode-notebook-cell:/notes/networks.ipynb#${i}`);
    await editor.tell("notebookDocument/didOpen", {
      notebookDocument: {
        ...{ uri: "file:///notes/networks.ipynb", notebookType: "jupyter-notebook", version: 1 },
        cells: uris.map((document) => ({ kind: 2, document })),
      },
      cellTextDocuments: sections.map((text, i) => ({
        ...{ uri: uris[i], languageId: "python", version: 1, text },
      })),
    });
    await holdNetworks(uris[0]);
  });

  // ## Outputs

  const outputs = async (uri: string, network = "net"): Promise<OutputsAnswer> => {
    const answer = await editor.ask<OutputsAnswer | null>(OUTPUTS, { file: uri, network });
    return answer!;
  };

  it("computes what each layer puts out", async () => {
    const uri = "file:///models/outputs.py";
    await editor.open(uri, lenet);
    const { view, outputs: found } = await outputs(uri);
    assert.equal(view.layers.length, 12);
    assert.ok("layers" in found, JSON.stringify(found));
    assert.deepEqual(
      found.layers.map(({ shape }) => shape.join("×")),
      [
        "1×6×28×28",
        "1×6×28×28",
        "1×6×14×14",
        "1×16×10×10",
        "1×16×10×10",
        "1×16×5×5",
        "1×400",
      ].concat(["1×120", "1×120", "1×84", "1×84", "1×10"]),
    );
    // The same network, built by hand from the same seed, on the same image.
    manualSeed(0);
    const twin = new LeNet().to("reference").eval();
    const { test } = builtInDataset({ train: 1, test: 10 });
    const x = fromData(toTensor(test.images.subarray(0, 784)), [1, 1, 28, 28], "reference");
    const y = Array.from(noGrad(() => twin.call(x)).data, Number);
    const last = found.layers[11];
    assert.equal(last.max, Math.max(...y));
    assert.equal(last.min, Math.min(...y));
    assert.ok(Math.abs(last.mean - y.reduce((sum, v) => sum + v) / 10) < 1e-12);
    assert.equal(
      last.histogram.reduce((sum, n) => sum + n),
      10,
    );
    for (const { picture } of found.layers) {
      const png = Buffer.from(picture.uri.replace("data:image/png;base64,", ""), "base64");
      assert.equal(png.readUInt32BE(16), picture.width);
      assert.equal(png.readUInt32BE(20), picture.height);
    }
  });

  it("says in the hover what a layer puts out, without a picture for those who show none", async () => {
    const uri = "file:///models/outputs.py";
    const text = await editor.hover(uri, 5, 10);
    assert.match(text, /mean -?[\d.]+ · std [\d.]+ · zeros /);
    assert.doesNotMatch(text, /data:image/);
  });

  it("takes weights that lie beside the source, and says when they do not fit", async () => {
    const folder = mkdtempSync(join(tmpdir(), "convnotes-weights-"));
    try {
      const uri = pathToFileURL(join(folder, "model.py")).href;
      await editor.open(uri, lenet);
      const initial = await outputs(uri);
      assert.ok("layers" in initial.outputs);
      assert.equal(initial.outputs.weights, "initial weights, seed 0");

      manualSeed(7);
      const state = new LeNet().stateDict();
      writeFileSync(join(folder, "net.pth"), encodeTorch(new Map(state)));
      await editor.change(uri, 2, `${lenet}\n`);
      const loaded = await outputs(uri);
      assert.ok("layers" in loaded.outputs, JSON.stringify(loaded.outputs));
      assert.deepEqual([loaded.outputs.weights, loaded.outputs.refused], ["net.pth", undefined]);
      assert.notEqual(loaded.outputs.layers[0].mean, initial.outputs.layers[0].mean);

      writeFileSync(join(folder, "net.pth"), "no weights at all");
      await editor.change(uri, 3, `${lenet}\n\n`);
      const refused = await outputs(uri);
      assert.ok("layers" in refused.outputs);
      assert.match(refused.outputs.refused!, /^net\.pth: /);
      assert.equal(refused.outputs.layers[0].mean, initial.outputs.layers[0].mean);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("shows a file's name as it is, whatever Markdown would make of it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "convnotes-names-"));
    try {
      const uri = pathToFileURL(join(folder, "[x](y)_*<b>.py")).href;
      const state = new LeNet().stateDict();
      writeFileSync(join(folder, "[x](y)_*<b>.pth"), encodeTorch(new Map(state)));
      await editor.open(uri, lenet);
      await outputs(uri);
      const text = await editor.hover(uri, 5, 10);
      assert.ok(text.includes("· \\[x\\](y)\\_\\*\\<b\\>.pth"), text);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("says why there is no output", async () => {
    const uri = "file:///models/huge.py";
    const huge = "from torch import nn\nnet = nn.Sequential(nn.Conv2d(64, 4096, 7, padding=3))\n";
    await editor.open(uri, `${huge}import torch\nnet(torch.rand(1, 64, 512, 512))\n`);
    const { outputs: found } = await outputs(uri);
    assert.ok("unavailable" in found);
    assert.match(found.unavailable, /take too long/);
    assert.match(await editor.hover(uri, 2, 25), /no output: \d+ multiply-adds take too long/);
  });

  it("gives the newest text its outputs when several are asked for at once", async () => {
    const uri = "file:///models/typing-outputs.py";
    await editor.open(uri, lenet);
    const first = outputs(uri);
    await editor.change(uri, 2, lenet.replace("nn.Conv2d(1, 6,", "nn.Conv2d(1, 6, bias=False,"));
    const [old, now] = await Promise.all([first, outputs(uri)]);
    assert.ok("layers" in now.outputs);
    assert.ok("layers" in old.outputs || /has changed/.test(old.outputs.unavailable));
  });

  it("outlives what no editor would send", async () => {
    const uri = "file:///models/odd.py";
    await editor.open(uri, "(".repeat(20_000));
    await editor.change(uri, 2, "\u0000\ud800 class class: while True: x = [x for x in x]");
    await editor.change(uri, 3, "while True:\n    pass\n");
    await editor.change(uri, 4, `x = ${"[".repeat(500)}${"]".repeat(500)}\n`.repeat(50));
    assert.equal(await editor.hover(uri, 1, 0), "");
    await editor.ask("textDocument/hover", { textDocument: { uri: 7 } });
    await editor.ask("workspace/executeCommand", {
      command: "convnotes.server.input",
      arguments: [uri, "net", ["x", -1]],
    });
    assert.ok((await editor.hints("file:///models/typing.py")).length > 5);
  });
});

it("adds pictures and statements for those who show them", async function () {
  this.timeout(60_000);
  const editor = new Editor();
  await editor.begin("en", { pictures: true, chapters: true });
  await editor.open("file:///a.py", lenet);
  let text = "";
  for (let i = 0; i < 30 && !text.includes("data:image"); i++)
    text = await editor.hover("file:///a.py", 5, 10);
  assert.match(text, /!\[\]\(data:image\/png;base64,/);
  assert.match(
    text,
    /> As many kernels, as many channels\. — \[chapter 3\]\(command:convnotes\.chapter\?/,
  );
  assert.equal(await editor.end(), 0);
});

it("speaks Chinese to those who do", async function () {
  this.timeout(60_000);
  const editor = new Editor();
  await editor.begin("zh-cn");
  await editor.open("file:///a.py", lenet);
  assert.match(
    (await editor.lenses("file:///a.py"))[0],
    /61,706 个参数 · 416,520 次乘加 · .*（N = 1） · 输入 N×1×28×28（来自调用）$/,
  );
  assert.equal(await editor.end(), 0);
});

it("has the same settings and commands in both languages", () => {
  const read = (name: string) =>
    JSON.parse(readFileSync(join("extension", name), "utf8")) as Record<string, string>;
  assert.deepEqual(
    Object.keys(read("package.nls.json")).sort(),
    Object.keys(read("package.nls.zh-cn.json")).sort(),
  );
  const manifest = readFileSync(join("extension", "package.json"), "utf8");
  for (const [, key] of manifest.matchAll(/"%([\w.]+)%"/g))
    assert.ok(key in read("package.nls.json"), key);
  const translated = read(join("l10n", "bundle.l10n.zh-cn.json"));
  const said = readdirSync(join("extension", "client")).flatMap((name) =>
    [
      ...readFileSync(join("extension", "client", name), "utf8").matchAll(
        /l10n\.t\(\s*"((?:[^"\\]|\\.)*)"/g,
      ),
    ].map(([, text]) => text),
  );
  assert.ok(said.length > 20);
  assert.deepEqual(Object.keys(translated).sort(), [...new Set(said)].sort());
  const pages = readdirSync(join("extension", "media", "walkthrough"));
  const english = pages.filter((name) => !name.includes(".nls."));
  assert.ok(english.length >= 4);
  for (const name of english) assert.ok(pages.includes(name.replace(".md", ".nls.zh-cn.md")), name);
});
