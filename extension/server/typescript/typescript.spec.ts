// # TypeScript source, as an editor meets it
//
// Models written with convnotes show what PyTorch source shows. They are known by running them, so that
// nothing may be shown, nor happen, where the user has not said that the files are trusted.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import type { CodeAction } from "vscode-languageserver";
import { Editor } from "../../test/editor.js";
import { OUTPUTS, type OutputsAnswer, TRUSTED } from "../protocol.js";
import { moved } from "./moved.js";
import { callAt } from "./scan.js";

const lenet = `import { concat, nn, relu, type Tensor } from "convnotes";

export const net = new nn.Sequential(
  new nn.Conv2d(1, 6, 5, { padding: 2 }), // "6 maps)"
  new nn.Sigmoid(),
  new nn.AvgPool2d(2),
  new nn.Conv2d(6, 16, 5),
  new nn.Sigmoid(),
  new nn.AvgPool2d(2),
  new nn.Flatten(),
  new nn.Linear(400, 10),
);

class Grow extends nn.Module {
  readonly conv: nn.Conv2d;
  constructor(channels: number) {
    super();
    this.conv = new nn.Conv2d(channels, 8, 3, { padding: 1 });
  }
  override forward(x: Tensor): Tensor {
    const y = relu(this.conv.call(x));
    return concat([x, y], { dim: 1 });
  }
}

// input: (3, 20, 24)
export class Dense extends nn.Module {
  readonly body = new nn.Sequential(...[3, 11].map((channels) => new Grow(channels)));
  override forward(x: Tensor): Tensor {
    return this.body.call(x);
  }
}
`;

describe("TypeScript source", function () {
  this.timeout(60_000);
  this.slow(10_000);
  let folder: string;
  let editor: Editor;
  const uriOf = (name: string) => pathToFileURL(join(folder, name)).href;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "convnotes-typescript-"));
    mkdirSync(join(folder, "node_modules"));
    for (const [name, target] of [
      ["convnotes", "reference"],
      ["esbuild", join("node_modules", "esbuild")],
    ])
      symlinkSync(resolve(target), join(folder, "node_modules", name), "junction");
    editor = new Editor();
    await editor.begin("en", { trusted: true, panels: true });
  });
  after(async () => {
    assert.equal(await editor.end(), 0);
    rmSync(folder, { recursive: true, force: true });
  });

  it("shows shapes behind layers, calls and operations, and what networks cost", async () => {
    const uri = uriOf("lenet.ts");
    assert.deepEqual(await editor.open(uri, lenet, "typescript"), []);
    assert.deepEqual(await editor.hints(uri), [
      ...["4 → N×6×28×28", "5 → N×6×28×28", "6 → N×6×14×14", "7 → N×16×10×10"],
      ...["8 → N×16×10×10", "9 → N×16×5×5", "10 → N×400", "11 → N×10"],
      ...["18 → N×8×20×24", "21 → N×8×20×24", "21 → N×8×20×24", "22 → N×11×20×24 | N×19×20×24"],
    ]);
    assert.deepEqual(
      (await editor.lenses(uri)).filter((lens) => lens.includes("parameters")),
      [
        "3 6,582 parameters · 361,600 multiply-adds · 56.8 kB (N = 1) · input N×1×28×28 (solved: 28…31)",
        "27 1,024 parameters · 483,840 multiply-adds · 30.7 kB (N = 1) · input N×3×20×24 (from a comment)",
      ],
    );
    assert.ok((await editor.lenses(uri)).includes("3 Train"));
    const hover = await editor.hover(uri, 7, 8);
    assert.match(hover, /\(14 \+ 2·0 − 5\)\/1 \+ 1 = 10/);
    assert.match(hover, /2,416 = `16·6·5·5 \+ 16`/);
  });

  it("computes what the layers put out", async () => {
    const uri = uriOf("lenet.ts");
    await editor.open(uri, lenet, "typescript");
    for (const [network, layers] of [
      ["net", 8],
      ["Dense", 2],
    ] as const) {
      const request = { file: uri, network };
      const { outputs } = (await editor.ask<OutputsAnswer | null>(OUTPUTS, request))!;
      if ("unavailable" in outputs) throw new Error(outputs.unavailable);
      assert.equal(outputs.layers.length, layers);
      assert.ok(outputs.layers.every(({ std, notFinite }) => std > 0 && notFinite === 0));
    }
  });

  it("has its network trained by the command as it is built", () => {
    writeFileSync(join(folder, "train.ts"), lenet);
    const [built, source] = [
      [resolve("reference", "cli", "convnotes.js")],
      ["--import=tsx", resolve("reference", "cli", "main.ts")],
    ].map((command, i) => {
      const few = ["--built-in", "--epochs", "1", "--max-batches", "2", "--batch-size", "8"];
      const network = `${join(folder, "train.ts")}:net`;
      const run = join(folder, `run-${i}`);
      const { status, stderr } = spawnSync(
        process.execPath,
        [...command, "train", network, ...few, "--device", "reference", "--run", run],
        { encoding: "utf8" },
      );
      assert.equal(status, 0, stderr);
      return readFileSync(join(run, "log.jsonl"), "utf8");
    });
    assert.equal(built, source);
  });

  it("underlines a wrong number, and the fix mends it", async () => {
    const uri = uriOf("wrong.ts");
    const wrong = lenet.replace("nn.Linear(400, 10)", "nn.Linear(\n    256, 10)");
    const [found] = await editor.open(uri, wrong, "typescript");
    assert.deepEqual(found.range.start, { line: 11, character: 4 });
    assert.match(found.message, /input \[N, 400\] has 400 features/);
    const [action] = await editor.ask<CodeAction[]>("textDocument/codeAction", {
      ...{ textDocument: { uri }, range: found.range, context: { diagnostics: [] } },
    });
    assert.equal(action.edit!.changes![uri][0].newText, "400");
  });

  it("keeps what it knew while code is half written", async () => {
    const uri = uriOf("typing.ts");
    await editor.open(uri, lenet, "typescript");
    const [note] = await editor.change(uri, 2, lenet.replace("nn.Sigmoid(),", "nn.Sigm(,\n"));
    assert.equal(note.range.start.line, 4);
    const hints = await editor.hints(uri);
    assert.ok(hints.includes("4 → N×6×28×28"), hints.join("; "));
    assert.ok(hints.includes("12 → N×10"), hints.join("; "));
    assert.ok(!hints.some((hint) => hint.startsWith("5 ")), hints.join("; "));
  });

  it("says where a file stops, and shows what came before", async () => {
    const uri = uriOf("stops.ts");
    const [note] = await editor.open(uri, `${lenet}\nthrow new Error("no data");\n`, "typescript");
    assert.match(note.message, /no data/);
    assert.equal(note.range.start.line, 33);
    assert.ok((await editor.hints(uri)).includes("11 → N×10"));
  });

  it("ends what runs for ever when the text changes", async () => {
    const uri = uriOf("loops.ts");
    const loops = `${lenet}\nfor (;;);\n`;
    void editor.tell("textDocument/didOpen", {
      textDocument: { uri, languageId: "typescript", version: 1, text: loops },
    });
    await new Promise((wake) => void setTimeout(wake, 1500));
    const started = performance.now();
    assert.deepEqual(await editor.change(uri, 2, lenet), []);
    assert.ok(performance.now() - started < 8000);
  });

  it("leaves TypeScript alone that has no models", async () => {
    const uri = uriOf("other.ts");
    const mark = join(folder, "other");
    const text = `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(mark)}, "");\n`;
    void editor.tell("textDocument/didOpen", {
      textDocument: { uri, languageId: "typescript", version: 1, text },
    });
    assert.deepEqual(await editor.hints(uri), []);
    assert.ok(!existsSync(mark));
  });

  it("runs nothing until the files are trusted", async () => {
    const mark = join(folder, "mark");
    const text = `${lenet}\nimport { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(mark)}, "");\n`;
    const uri = uriOf("hostile.ts");
    writeFileSync(join(folder, "hostile.ts"), text);
    const careful = new Editor();
    await careful.begin("en", { panels: true });
    void careful.tell("textDocument/didOpen", {
      textDocument: { uri, languageId: "typescript", version: 1, text },
    });
    await new Promise((wake) => void setTimeout(wake, 1000));
    assert.deepEqual(await careful.hints(uri), []);
    assert.deepEqual(await careful.lenses(uri), []);
    assert.equal(await careful.ask(OUTPUTS, { file: uri, network: "net" }), null);
    assert.ok(!existsSync(mark));
    await careful.tell(TRUSTED, {});
    assert.ok((await careful.hints(uri)).includes("11 → N×10"));
    assert.ok(existsSync(mark));
    assert.equal(await careful.end(), 0);
  });

  it("asks for esbuild where there is none", async () => {
    const bare = mkdtempSync(join(tmpdir(), "convnotes-bare-"));
    try {
      const uri = pathToFileURL(join(bare, "lenet.ts")).href;
      const [note] = await editor.open(uri, lenet, "typescript");
      assert.match(note.message, /npm install --save-dev esbuild/);
    } finally {
      rmSync(bare, { recursive: true, force: true });
    }
  });
});

describe("the end of a call", () => {
  const texts = (text: string, start = 0) => {
    const call = callAt(text, start);
    const part = ({ start: a, end: b }: { start: number; end: number }) => text.slice(a, b);
    return [part(call), ...call.arguments.map(part)];
  };

  it("is its own parenthesis", () => {
    assert.deepEqual(texts("new nn.Conv2d(f(1, 2), [3, ')'], { a: `)`, b: 1 }) + g()"), [
      "new nn.Conv2d(f(1, 2), [3, ')'], { a: `)`, b: 1 })",
      ...["f(1, 2)", "[3, ')']", "{ a: `)`, b: 1 }"],
    ]);
    assert.deepEqual(texts("f(1, // )\n 2 /* , */ )"), [
      "f(1, // )\n 2 /* , */ )",
      "1",
      "// )\n 2 /* , */",
    ]);
    assert.deepEqual(texts("new Map<string, number>(x)"), ["new Map<string, number>(x)", "x"]);
    assert.deepEqual(texts("x + 1"), ["x"]);
  });

  it("lies in the text, whatever that is", () => {
    const piece = fc.constantFrom(
      "(",
      ")",
      "[",
      "}",
      '"',
      "`",
      "//",
      "/*",
      "\\",
      "\n",
      ",",
      "f",
      "new ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.nat(40), (pieces, at) => {
        const text = pieces.join("");
        const start = Math.min(at, text.length);
        const call = callAt(text, start);
        for (const { start: from, end } of [call, ...call.arguments])
          assert.ok(start <= from && from <= end && end <= text.length + 500);
      }),
    );
  });
});

describe("what was known before", () => {
  it("stays where the text has not been touched", () => {
    const at = (start: number, end: number) => ({ file: "", start, end });
    const value = (start: number, end: number) => ({ range: at(start, end), shape: [start] });
    const before = "aaa bbb ccc ddd";
    const networks = [
      { range: at(0, 3), calls: [], values: [value(4, 7), value(8, 11), value(12, 15)] },
    ];
    const known = { networks, findings: [], blocks: [] } as unknown as Parameters<typeof moved>[0];
    const [{ values }] = moved(known, before, "aaa bbb c!?c ddd").networks;
    assert.deepEqual(
      values.map(({ range: { start, end } }) => [start, end]),
      [
        [4, 7],
        [13, 16],
      ],
    );
  });
});
