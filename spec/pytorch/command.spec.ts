// # convnotes summary FILE:ENTRY, convnotes train FILE:ENTRY
//
// The command line uses the same front end as the editor.

import { deepStrictEqual, doesNotMatch, match, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const command = fileURLToPath(new URL("../../reference/cli/main.ts", import.meta.url));
const files = fileURLToPath(new URL("./files/", import.meta.url));

describe("the command on PyTorch source", () => {
  let folder = "";
  before(() => (folder = mkdtempSync(join(tmpdir(), "convnotes-"))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const convnotes = (...args: readonly string[]) => {
    const options = { cwd: folder, encoding: "utf8" as const };
    return spawnSync(process.execPath, ["--import", tsx, command, ...args], options);
  };
  const tsx = import.meta.resolve("tsx");

  it("prints the layers of an expression as JSON, for a batch", () => {
    const name = join(files, "vgg_cfg.py");
    const { stdout, status } = convnotes(
      ...["summary", `${name}:VGG("VGG11")`, "--input", "2,3,32,32", "--json"],
    );
    strictEqual(status, 0);
    const table = JSON.parse(stdout) as Record<string, unknown> & { rows: unknown[] };
    deepStrictEqual(table.rows[0], {
      path: "features.0",
      module: "Conv2d",
      inputShapes: [[2, 3, 32, 32]],
      outputShape: [2, 64, 32, 32],
      parameters: 1792,
      multiplyAdds: 2 * 32 * 32 * 64 * 27,
      receptiveField: [3, 3],
      activationBytes: 2 * 64 * 32 * 32 * 4,
      line: 30,
    });
    deepStrictEqual(table.outputShape, [2, 10]);
    strictEqual(table.parameters, 9231114);
  });

  it("ends with the place of a shape error, behind the layers that worked", () => {
    const file = join(folder, "wrong.py");
    const text = readFileSync(join(files, "lenet.py"), "utf8");
    writeFileSync(file, text.replace("84, 10)", "85, 10)"));
    const { stdout, status } = convnotes("summary", `${file}:LeNet`);
    strictEqual(status, 1);
    match(stdout, /net\.10 +Sigmoid/);
    match(stdout, /error: .*wrong\.py:20: Linear: in_features=85, but 84 features arrive/);
  });

  it("follows imports into the folder of the file, and into none that is only named alike", () => {
    mkdirSync(join(folder, "net"));
    writeFileSync(join(folder, "net", "inside.py"), "width = 3\n");
    writeFileSync(join(folder, "net_outside.py"), "width = 3\n");
    const summaryOf = (from: string) => {
      const file = join(folder, "net", "net.py");
      const text = `from torch import nn\nfrom ${from} import width\nnet = nn.Linear(4, width)\n`;
      writeFileSync(file, text);
      return convnotes("summary", file).stdout;
    };
    match(summaryOf(".inside"), /^parameters: 15$/m);
    doesNotMatch(summaryOf("..net_outside"), /^parameters: 15$/m);
  });

  it("says what there is when a name is wrong", () => {
    const { stderr, status } = convnotes("summary", `${join(files, "lenet.py")}:LeNt`);
    strictEqual(status, 1);
    match(stderr, /"LeNt" is no network of .*lenet\.py.* Did you mean "LeNet"\?/);
  });

  it("trains a class of the file as it trains the same network of the library, and judges it", () => {
    const runOf = (model: string) => join(folder, model.replace(/\W/g, ""));
    const logOf = (model: string, ...more: readonly string[]) => {
      const run = runOf(model);
      const few = ["--built-in", "--epochs", "1", "--max-batches", "2", "--batch-size", "8"];
      const { status, stderr } = convnotes("train", model, ...few, ...more, "--run", run);
      strictEqual(status, 0, stderr);
      return readFileSync(join(run, "log.jsonl"), "utf8");
    };
    const mine = `${join(files, "lenet.py")}:LeNet`;
    strictEqual(logOf(mine, "--lr", "0.005"), logOf("lenet"));
    const judged = [mine, "lenet"].map((model) => {
      const { stdout, stderr } = convnotes("eval", runOf(model), "--built-in", "--json");
      match(stdout, /"accuracy":/, stderr);
      const { accuracy, loss } = JSON.parse(stdout) as { accuracy: number; loss: number };
      return `${accuracy} ${loss}`;
    });
    strictEqual(judged[0], judged[1]);
  });
}).timeout(120_000);
