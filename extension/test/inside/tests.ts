// # The extension inside of VS Code
//
// What a user would see, asked for as VS Code itself asks.

import assert from "node:assert/strict";
import * as vscode from "vscode";

const folder = () => vscode.workspace.workspaceFolders![0].uri;

async function open(name: string): Promise<vscode.TextDocument> {
  const document = await vscode.workspace.openTextDocument(vscode.Uri.joinPath(folder(), name));
  await vscode.window.showTextDocument(document);
  return document;
}

/** Asks until the answer is right; the last answer when it never is. */
async function until<T>(ask: () => Thenable<T> | T, right: (x: T) => boolean): Promise<T> {
  for (let i = 0; ; i++) {
    const answer = await ask();
    if (right(answer) || i > 150) return answer;
    await new Promise((resolve) => void setTimeout(resolve, 100));
  }
}

async function hints(document: vscode.TextDocument): Promise<string[]> {
  const whole = document.validateRange(new vscode.Range(0, 0, document.lineCount, 0));
  const found = await until(
    () =>
      vscode.commands.executeCommand<vscode.InlayHint[]>(
        "vscode.executeInlayHintProvider",
        document.uri,
        whole,
      ),
    (list) => list.length > 0,
  );
  return found.map(({ position, label }) => {
    const text = typeof label === "string" ? label : label.map(({ value }) => value).join("");
    return `${position.line + 1} ${text}`;
  });
}

async function hover(document: vscode.TextDocument, word: string): Promise<string> {
  const position = document.positionAt(document.getText().indexOf(word) + 1);
  const found = await vscode.commands.executeCommand<vscode.Hover[]>(
    "vscode.executeHoverProvider",
    document.uri,
    position,
  );
  return found
    .flatMap(({ contents }) => contents as (vscode.MarkdownString | string)[])
    .map((part) => (typeof part === "string" ? part : part.value))
    .join("\n");
}

const lenses = (document: vscode.TextDocument) =>
  until(
    () =>
      vscode.commands.executeCommand<vscode.CodeLens[]>(
        "vscode.executeCodeLensProvider",
        document.uri,
        20,
      ),
    (list) => list.length > 0,
  );

describe("convnotes in VS Code", () => {
  it("begins by itself when Python is opened", async () => {
    const document = await open("lenet.py");
    const extension = vscode.extensions.getExtension("convnotes.convnotes-vscode")!;
    await until(
      () => extension.isActive,
      (active) => active,
    );
    assert.ok(extension.isActive);
    const shown = await hints(document);
    for (const hint of ["5 → N×6×28×28", "8 → N×16×5×5", "9 → N×400", "12 → N×10"])
      assert.ok(shown.includes(hint), `${hint} in ${shown.join("; ")}`);
  });

  it("shows a layer's arithmetic, its statement and its output on hover", async () => {
    const document = await open("lenet.py");
    const text = await until(
      () => hover(document, "Conv2d(1, 6"),
      (t) => t.includes("data:image/png"),
    );
    assert.match(text, /\(28 \+ 2·2 − 5\)\/1 \+ 1 = 28/);
    assert.match(text, /As many kernels, as many channels\./);
    assert.match(text, /command:convnotes\.chapter\?/);
    assert.match(text, /!\[\]\(data:image\/png;base64,[A-Za-z0-9+/=]+\|width=\d+,height=\d+\)/);
    assert.match(text, /mean -?\d.* · std \d.* · zeros /);
    // A part of a hover beyond 100,000 characters loses its picture.
    assert.ok(text.length < 90_000, `${text.length} characters`);
  });

  it("has lenses for summary, outputs, training and input", async () => {
    const titles = (await lenses(await open("lenet.py"))).map(({ command }) => command!.title);
    assert.match(titles[0], /^61,706 parameters · 416,520 multiply-adds · .*solved: 28…31/);
    assert.deepEqual(titles.slice(1), ["Summary", "Open outputs", "Train", "Choose input"]);
  });

  it("underlines a wrong number, and the fix mends it", async () => {
    const document = await open("wrong.py");
    const [finding] = await until(
      () => vscode.languages.getDiagnostics(document.uri),
      (list) => list.some(({ severity }) => severity === vscode.DiagnosticSeverity.Error),
    );
    assert.equal(document.getText(finding.range), "1024");
    assert.match(finding.message, /2048/);
    const [action] = await vscode.commands.executeCommand<vscode.CodeAction[]>(
      "vscode.executeCodeActionProvider",
      document.uri,
      finding.range,
    );
    await vscode.workspace.applyEdit(action.edit!);
    assert.match(document.getText(), /nn\.Linear\(2048, classes\)/);
    const left = await until(
      () => vscode.languages.getDiagnostics(document.uri),
      (list) => list.every(({ severity }) => severity !== vscode.DiagnosticSeverity.Error),
    );
    assert.deepEqual(
      left.filter(({ severity }) => severity === vscode.DiagnosticSeverity.Error),
      [],
    );
    await vscode.commands.executeCommand("undo");
  });

  it("reads notebooks, cell after cell", async () => {
    const uri = vscode.Uri.joinPath(folder(), "batch_norm.ipynb");
    const notebook = await vscode.workspace.openNotebookDocument(uri);
    await vscode.window.showNotebookDocument(notebook);
    const shown = await hints(notebook.cellAt(2).document);
    assert.ok(shown.includes("2 → N×6×24×24"), shown.join("; "));
    assert.ok(shown.includes("8 → N×10"), shown.join("; "));
  });

  it("reads the Python in Markdown, and renders its tables", async () => {
    const document = await open("notes.md");
    assert.ok((await hints(document)).some((hint) => hint.endsWith("→ N×6272")));
    const html = await until(
      () => vscode.commands.executeCommand<string>("markdown.api.render", document),
      (text) => text.includes("convnotes-network"),
    );
    assert.match(html, /<details class="convnotes-network" open>/);
    assert.match(html, /<td class="shape">N×128×7×7<\/td>/);
    const statement = await vscode.commands.executeCommand<string>(
      "markdown.api.render",
      "::: statement pooling\n**A title.** [x](#pooling)\n:::\n",
    );
    assert.match(statement, /<section class="convnotes-statement" id="pooling">/);
  });

  it("runs TypeScript that is trusted, and shows its models", async () => {
    const document = await open("model.ts");
    const shown = await hints(document);
    for (const hint of [
      "4 → N×16×14×14",
      "9 → N×16×14×14",
      "14 → N×16×14×14",
      "16 → N×3136",
      "17 → N×10",
    ])
      assert.ok(shown.includes(hint), `${hint} in ${shown.join("; ")}`);
    const titles = (await lenses(document)).map(({ command }) => command!.title).slice(5);
    assert.match(titles[0], /^40,810 parameters .*input N×1×28×28/);
    assert.deepEqual(titles.slice(1), ["Summary", "Open outputs", "Train", "Choose input"]);
    const text = await until(
      () => hover(document, "Linear"),
      (t) => t.includes("data:image/png"),
    );
    assert.match(text, /31,370 = `10·3136 \+ 10`/);
    assert.match(text, /data:image\/png/);
  });

  it("follows neighbouring files, and notices when they change", async () => {
    const document = await open("stages.py");
    const becomes = (hint: string) =>
      until(
        () => hints(document),
        (list) => list.includes(hint),
      );
    assert.ok((await becomes("8 → N×6272")).includes("8 → N×6272"));
    const { fs } = vscode.workspace;
    const file = vscode.Uri.joinPath(folder(), "blocks", "residual.py");
    const before = await fs.readFile(file);
    const half = new TextDecoder()
      .decode(before)
      .replace("self.body(x) + x", "self.body(x)[:, :4]");
    await fs.writeFile(file, new TextEncoder().encode(half));
    try {
      assert.ok((await becomes("8 → N×3136")).includes("8 → N×3136"));
      await fs.delete(file);
      assert.ok((await becomes("8 → ?")).includes("8 → ?"));
    } finally {
      await fs.writeFile(file, before);
    }
    assert.ok((await becomes("8 → N×6272")).includes("8 → N×6272"));
  });

  it("follows its settings", async () => {
    const document = await open("lenet.py");
    const settings = vscode.workspace.getConfiguration("convnotes");
    const ask = () =>
      vscode.commands.executeCommand<vscode.InlayHint[]>(
        "vscode.executeInlayHintProvider",
        document.uri,
        document.validateRange(new vscode.Range(0, 0, document.lineCount, 0)),
      );
    await settings.update("hints", false, vscode.ConfigurationTarget.Global);
    try {
      assert.deepEqual(await until(ask, (list) => list.length === 0), []);
    } finally {
      await settings.update("hints", undefined, vscode.ConfigurationTarget.Global);
    }
    assert.ok((await until(ask, (list) => list.length > 0)).length > 0);
  });

  it("opens the summary, the outputs and a chapter", async () => {
    await open("lenet.py");
    await vscode.commands.executeCommand("convnotes.summary");
    assert.match(vscode.window.activeTextEditor!.document.getText(), /^# net\n/);
    await open("lenet.py");
    await vscode.commands.executeCommand("convnotes.outputs");
    await vscode.commands.executeCommand("convnotes.chapter", "03-many-channels", "kernels");
    await vscode.commands.executeCommand("convnotes.chapter", "../../../etc/passwd");
    const titles = () =>
      vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs.map(({ label }) => label));
    const shown = await until(titles, (list) => list.some((t) => t.includes("03-many-channels")));
    assert.ok(shown.includes("Outputs of net"), shown.join("; "));
    assert.ok(
      shown.some((title) => title.includes("03-many-channels")),
      shown.join("; "),
    );
    assert.ok(!shown.some((title) => title.includes("passwd")));
  });
});
