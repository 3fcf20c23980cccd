// # The language server, as an editor meets it
//
// Started as a program of its own, spoken to over its input and output by a client that knows the
// protocol and nothing else.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  createMessageConnection,
  type MessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-languageserver/node.js";
import type {
  CodeAction,
  CodeLens,
  Diagnostic,
  Hover,
  InlayHint,
  MarkupContent,
  PublishDiagnosticsParams,
} from "vscode-languageserver";

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

class Editor {
  readonly #process: ChildProcess;
  readonly #connection: MessageConnection;
  readonly diagnostics = new Map<string, readonly Diagnostic[]>();
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#process = spawn(
      process.execPath,
      ["--import=tsx", join("extension", "server", "node.ts"), "--stdio"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    this.#connection = createMessageConnection(
      new StreamMessageReader(this.#process.stdout!),
      new StreamMessageWriter(this.#process.stdin!),
    );
    this.#connection.onNotification(
      "textDocument/publishDiagnostics",
      ({ uri, diagnostics }: PublishDiagnosticsParams) => {
        this.diagnostics.set(uri, diagnostics);
        for (const wake of this.#waiting.splice(0)) wake();
      },
    );
    this.#connection.listen();
  }

  async begin(locale = "en"): Promise<void> {
    await this.ask("initialize", {
      processId: process.pid,
      rootUri: null,
      capabilities: {},
      locale,
    });
    await this.tell("initialized", {});
  }

  ask<T>(method: string, params: object): Promise<T> {
    return this.#connection.sendRequest<T>(method, params);
  }

  tell(method: string, params: object): Promise<void> {
    return this.#connection.sendNotification(method, params);
  }

  /** Opens a document and waits until it has been analysed. */
  async open(uri: string, text: string, languageId = "python"): Promise<readonly Diagnostic[]> {
    const analysed = this.#analysed(uri);
    await this.tell("textDocument/didOpen", {
      textDocument: { uri, languageId, version: 1, text },
    });
    return analysed;
  }

  async change(uri: string, version: number, text: string): Promise<readonly Diagnostic[]> {
    const analysed = this.#analysed(uri);
    await this.tell("textDocument/didChange", {
      textDocument: { uri, version },
      contentChanges: [{ text }],
    });
    return analysed;
  }

  async #analysed(uri: string): Promise<readonly Diagnostic[]> {
    this.diagnostics.delete(uri);
    while (!this.diagnostics.has(uri))
      await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    return this.diagnostics.get(uri)!;
  }

  async hints(uri: string): Promise<string[]> {
    const range = { start: { line: 0, character: 0 }, end: { line: 1e6, character: 0 } };
    const hints = await this.ask<InlayHint[]>("textDocument/inlayHint", {
      textDocument: { uri },
      range,
    });
    return hints
      .sort(
        (a, b) => a.position.line - b.position.line || a.position.character - b.position.character,
      )
      .map(({ position, label }) => `${position.line + 1} ${label as string}`);
  }

  async hover(uri: string, line: number, character: number): Promise<string> {
    const hover = await this.ask<Hover | null>("textDocument/hover", {
      textDocument: { uri },
      position: { line: line - 1, character },
    });
    return (hover?.contents as MarkupContent | undefined)?.value ?? "";
  }

  async lenses(uri: string): Promise<string[]> {
    const lenses = await this.ask<CodeLens[]>("textDocument/codeLens", { textDocument: { uri } });
    return lenses.map(({ range, command }) => `${range.start.line + 1} ${command!.title}`);
  }

  async end(): Promise<number | null> {
    const exit = new Promise<number | null>((resolve) => this.#process.once("exit", resolve));
    await this.ask("shutdown", {});
    await this.tell("exit", {});
    const code = await exit;
    this.#connection.dispose();
    return code;
  }
}

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

it("speaks Chinese to those who do", async function () {
  this.timeout(60_000);
  const editor = new Editor();
  await editor.begin("zh-cn");
  await editor.open("file:///a.py", lenet);
  assert.match((await editor.lenses("file:///a.py"))[0], /61,706 参数 .*来自调用/);
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
});
