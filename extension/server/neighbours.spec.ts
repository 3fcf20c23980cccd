// # Files beside the source
//
// Read from the disk by the server that is a program, asked for by the one in a browser's worker, which here
// gets answers of every kind.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildWebServer } from "../build.mjs";
import { Editor } from "../test/editor.js";
import { OUTPUTS, type OutputsAnswer, type ReadRequest } from "./protocol.js";

const source = `import torch
from torch import nn
from blocks.residual import Residual

net = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    Residual(8),
    nn.Flatten(),
)
net(torch.rand(1, 3, 32, 32))
`;

const residual = `from torch import nn
from .layers import conv

class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(conv(c), nn.ReLU())

    def forward(self, x):
        return self.body(x) + x
`;

const layers = `from torch import nn

def conv(c):
    return nn.Conv2d(c, c, 3, padding=1)
`;

/** With a stride, so that the image is halved and the sum no longer fits. */
const other = residual.replace("self.body(x) + x", "self.body(x)[:, :4]");

const known = ["6 → N×8×32×32", "8 → N×8192"];
const unknown = ["6 → N×8×32×32", "8 → ?"];
const halved = ["6 → N×8×32×32", "8 → N×4096"];

/** The hints of these lines, when they have become so, or as they are after a while. */
async function hints(editor: Editor, uri: string, expected: readonly string[]): Promise<string[]> {
  for (let i = 0; ; i++) {
    const found = (await editor.hints(uri)).filter((hint) => /^[68] /.test(hint));
    if (String(found) === String(expected) || i === 40) return found;
    await new Promise((wake) => void setTimeout(wake, 50));
  }
}

const becomes = async (editor: Editor, uri: string, expected: readonly string[]) =>
  assert.deepEqual(await hints(editor, uri, expected), expected);

const outputs = async (editor: Editor, uri: string): Promise<readonly (readonly number[])[]> => {
  const asked = { file: uri, network: "net" };
  const { outputs: found } = (await editor.ask<OutputsAnswer | null>(OUTPUTS, asked))!;
  assert.ok("layers" in found, JSON.stringify(found));
  return found.layers.map(({ shape }) => shape);
};

const changed = (editor: Editor, uri: string): Promise<void> =>
  editor.tell("workspace/didChangeWatchedFiles", { changes: [{ uri, type: 2 }] });

describe("neighbours on a disk", function () {
  this.timeout(60_000);
  this.slow(10_000);
  let editor: Editor;
  let folder: string;
  let uri: string;
  const at = (...path: string[]) => join(folder, "own", ...path);
  const uriOf = (...path: string[]) => pathToFileURL(at(...path)).href;
  before(async () => {
    editor = new Editor();
    await editor.begin();
  });
  after(() => editor.end());
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "convnotes-beside-"));
    mkdirSync(at("blocks"), { recursive: true });
    writeFileSync(at("blocks", "residual.py"), residual);
    writeFileSync(at("blocks", "layers.py"), layers);
    uri = uriOf("net.py");
    await editor.open(uri, source);
  });
  afterEach(async () => {
    await editor.tell("textDocument/didClose", { textDocument: { uri } });
    rmSync(folder, { recursive: true });
  });

  it("are followed, and theirs", async () => {
    await becomes(editor, uri, known);
    assert.deepEqual((await outputs(editor, uri)).at(-1), [1, 8192]);
  });

  it("are followed when they change, go and come back", async () => {
    await becomes(editor, uri, known);
    writeFileSync(at("blocks", "residual.py"), other);
    await changed(editor, uriOf("blocks", "residual.py"));
    await becomes(editor, uri, halved);
    assert.deepEqual((await outputs(editor, uri)).at(-1), [1, 4096]);
    rmSync(at("blocks", "layers.py"));
    await changed(editor, uriOf("blocks", "layers.py"));
    await becomes(editor, uri, unknown);
    writeFileSync(at("blocks", "layers.py"), layers);
    await changed(editor, uriOf("blocks", "layers.py"));
    await becomes(editor, uri, halved);
  });

  it("are followed as they are on the screen, where they are open", async () => {
    const neighbour = uriOf("blocks", "residual.py");
    await editor.open(neighbour, residual);
    await editor.change(neighbour, 2, other);
    await becomes(editor, uri, halved);
    assert.deepEqual((await outputs(editor, uri)).at(-1), [1, 4096]);
    await editor.tell("textDocument/didClose", { textDocument: { uri: neighbour } });
    await becomes(editor, uri, known);
  });

  it("lie in the document's folder: what a link or dots lead out to is not read", async () => {
    writeFileSync(join(folder, "layers.py"), layers);
    writeFileSync(join(folder, "own.py"), layers);
    rmSync(at("blocks", "layers.py"));
    symlinkSync(join(folder, "layers.py"), at("blocks", "layers.py"));
    await editor.change(uri, 2, `${source}\n`);
    await becomes(editor, uri, unknown);
    writeFileSync(at("blocks", "residual.py"), residual.replace(".layers", "...layers"));
    await editor.change(uri, 3, source);
    await becomes(editor, uri, unknown);
    writeFileSync(at("blocks", "residual.py"), residual.replace(".layers", "...own"));
    await editor.change(uri, 4, `${source}\n`);
    await becomes(editor, uri, unknown);
  });
});

describe("neighbours of a worker", function () {
  this.timeout(60_000);
  this.slow(10_000);
  const root = "vscode-vfs://github/owner/name/own";
  const uri = `${root}/net.py`;
  const beside = (path: string) => `${root}/blocks/${path}.py`;
  let editor: Editor;
  let files: Map<string, unknown>;
  let requests: ReadRequest[];
  let built: string;
  before(async () => {
    built = mkdtempSync(join(tmpdir(), "convnotes-worker-"));
    await buildWebServer(built);
  });
  after(() => rmSync(built, { recursive: true }));
  /** What is done with a request. */
  let answer: (text: unknown) => unknown;
  beforeEach(async () => {
    editor = new Editor(join(built, "server.js"));
    files = new Map([
      [beside("residual"), residual],
      [beside("layers"), layers],
    ]);
    requests = [];
    answer = (text) => text;
    editor.reads((request) => {
      requests.push(request);
      return answer(files.get(request.uri) ?? null);
    });
    await editor.begin();
  });
  afterEach(() => editor.end());

  it("are asked for, and theirs, once", async () => {
    await editor.open(uri, source);
    await becomes(editor, uri, known);
    assert.deepEqual((await outputs(editor, uri)).at(-1), [1, 8192]);
    await editor.change(uri, 2, `${source}\n`);
    await becomes(editor, uri, known);
    const asked = requests.map((request) => request.uri);
    assert.deepEqual([...new Set(asked)], asked);
    assert.ok(asked.includes(beside("layers")));
    assert.ok(requests.every(({ of }) => of === uri));
  });

  it("may come late: the rest is shown before", async () => {
    const waiting: (() => void)[] = [];
    answer = (text) => new Promise((resolve) => void waiting.push(() => resolve(text)));
    await editor.open(uri, source);
    assert.deepEqual(await hints(editor, uri, unknown), unknown);
    const ticking = setInterval(() => waiting.splice(0).forEach((wake) => wake()), 100);
    try {
      await becomes(editor, uri, known);
    } finally {
      clearInterval(ticking);
    }
  });

  it("may never come: the rest is shown", async () => {
    answer = () => new Promise(() => {});
    await editor.open(uri, source);
    assert.deepEqual(await hints(editor, uri, unknown), unknown);
    assert.match(await editor.hover(uri, 8, 8), /blocks/);
    await editor.change(uri, 2, source.replace("Conv2d(3, 8", "Conv2d(3, 4"));
    await becomes(editor, uri, ["6 → N×4×32×32", "8 → ?"]);
  });

  it("may be refused, be no text, or be too long: then there are none", async () => {
    for (const odd of [
      7,
      { text: residual },
      [residual],
      undefined,
      `#${" ".repeat(2_000_000)}\n`,
    ]) {
      files.set(beside("layers"), odd);
      await editor.open(uri, source);
      await becomes(editor, uri, unknown);
      await editor.tell("textDocument/didClose", { textDocument: { uri } });
    }
    answer = () => {
      throw new Error("no");
    };
    await editor.open(uri, source);
    await becomes(editor, uri, unknown);
    // One that is refused now may be there later.
    answer = (text) => text;
    files.set(beside("layers"), layers);
    await changed(editor, beside("residual"));
    await becomes(editor, uri, known);
  });

  it("are asked for anew when they change, go and come back", async () => {
    await editor.open(uri, source);
    await becomes(editor, uri, known);
    files.set(beside("residual"), other);
    await changed(editor, beside("residual"));
    await becomes(editor, uri, halved);
    assert.deepEqual((await outputs(editor, uri)).at(-1), [1, 4096]);
    files.delete(beside("layers"));
    await changed(editor, beside("layers"));
    await becomes(editor, uri, unknown);
    files.set(beside("layers"), layers);
    await changed(editor, beside("layers"));
    await becomes(editor, uri, halved);
  });

  it("are taken as they are now, though an older answer comes last", async () => {
    const waiting: (() => void)[] = [];
    answer = (text) =>
      text === residual ? new Promise((resolve) => void waiting.push(() => resolve(text))) : text;
    await editor.open(uri, source);
    await becomes(editor, uri, unknown);
    files.set(beside("residual"), other);
    await changed(editor, beside("residual"));
    await becomes(editor, uri, halved);
    for (const wake of waiting) wake();
    await new Promise((wake) => void setTimeout(wake, 200));
    await becomes(editor, uri, halved);
  });

  it("are taken from the screen where they are open, and asked for when they are closed", async () => {
    await editor.open(beside("residual"), other);
    await editor.open(uri, source);
    await becomes(editor, uri, halved);
    assert.ok(requests.every(({ of, uri: file }) => of !== uri || file !== beside("residual")));
    await editor.tell("textDocument/didClose", { textDocument: { uri: beside("residual") } });
    await becomes(editor, uri, known);
  });

  it("are asked for nowhere but in the document's folder and below", async () => {
    const lines = ["..up", "...up", "own", ".own", "a.b", "..own.c", "..own_er.d", "%2e%2e", "a/b"];
    const imports = lines.map((name) => `from ${name} import x\n`).join("");
    await editor.open(uri, imports + source);
    await editor.open("untitled:Untitled-1", imports);
    await editor.open(`${root}/sub/n.py?x=/../y#/z/z`, "from .o import x\nimport p\n");
    for (const { uri: file, of } of requests) {
      assert.ok(of.startsWith(root), of);
      const folder = `${root}/${of === uri ? "" : "sub/"}`;
      assert.ok(file.startsWith(folder) && !file.includes(".."), `${file} of ${of}`);
      assert.match(file.slice(folder.length), /^[A-Za-z_/]+\.py$/);
    }
    const asked = requests.map((request) => request.uri);
    for (const path of ["own.py", "a/b/__init__.py", "c.py", "sub/o.py", "sub/p.py"])
      assert.ok(asked.includes(`${root}/${path}`), `${path} in ${asked.join("; ")}`);
  });

  it("are asked for up to a number, of which typing uses up none", async () => {
    const many = Array.from({ length: 300 }, (_, i) => `import m${i}\n`).join("");
    await editor.open(uri, many + source);
    await editor.hints(uri);
    assert.equal(requests.length, 256);
    for (let i = 0; i < 100; i++) await editor.change(uri, 2 + i, `import n${i}\nimport o${i}\n`);
    await editor.change(uri, 200, source);
    await becomes(editor, uri, known);
  });
});
