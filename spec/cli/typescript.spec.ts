// # convnotes train FILE.ts:NAME
//
// The user's own TypeScript trains as the library's networks do, on the library of the command itself.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
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
import { fileURLToPath } from "node:url";

const command = fileURLToPath(new URL("../../reference/cli/main.ts", import.meta.url));

const source = `import { LeNet, nn, type Tensor } from "convnotes";
import { width } from "./width.js";

export class Mine extends LeNet {}

const net = new nn.Sequential(
  new nn.Conv2d(1, width, 5),
  new nn.ReLU(),
  new nn.Flatten(),
  new nn.Linear(width * 24 * 24, 10),
);

class Wide extends nn.Module {
  readonly layer: nn.Linear;
  constructor(size: number) {
    super();
    this.layer = new nn.Linear(size, 10);
  }
  override forward(x: Tensor): Tensor {
    return this.layer.call(x);
  }
}

const seven = new nn.Sequential(new nn.Flatten(), new nn.Linear(784, 7));
const large = new nn.Sequential(new nn.AvgPool2d(8), new nn.Flatten(), new nn.Linear(784, 10));
const text: string = "no network";
`;

describe("the command on TypeScript", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "convnotes-"));
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(resolve("node_modules", "esbuild"), join(folder, "node_modules", "esbuild"));
    writeFileSync(join(folder, "net.ts"), source);
    writeFileSync(join(folder, "width.ts"), "export const width: number = 4;\n");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const tsx = import.meta.resolve("tsx");
  const convnotes = (...args: readonly string[]) => {
    const options = { cwd: folder, encoding: "utf8" as const };
    return spawnSync(process.execPath, ["--import", tsx, command, ...args], options);
  };
  const few = ["--built-in", "--max-batches", "2", "--batch-size", "8", "--lr", "0.005"];
  const train = (run: string, ...args: readonly string[]) => {
    const { status, stderr } = convnotes("train", ...args);
    strictEqual(status, 0, stderr);
    return readFileSync(join(folder, run, "log.jsonl"), "utf8");
  };

  it("trains a class as it trains the same network of the library", () => {
    const mine = train("mine", "net.ts:Mine", ...few, "--epochs", "1", "--run", "mine");
    strictEqual(mine, train("own", "lenet", ...few, "--epochs", "1", "--run", "own"));
  });

  it("goes on with a module that the file makes as if it had never stopped", () => {
    train("a", "net.ts:net", ...few, "--epochs", "1", "--run", "a");
    const resumed = train("a", "net.ts:net", "--resume", "a", "--epochs", "2");
    strictEqual(resumed, train("b", "net.ts:net", ...few, "--epochs", "2", "--run", "b"));
  });

  it("runs no file that only a run's folder names", () => {
    const trace = join(folder, "has-run");
    const loud = `import { LeNet } from "convnotes";
import { writeFileSync } from "node:fs";
writeFileSync(${JSON.stringify(trace)}, "");
export class Loud extends LeNet {}
`;
    writeFileSync(join(folder, "loud.ts"), loud);
    train("loud", "loud.ts:Loud", ...few, "--epochs", "1", "--run", "loud");
    strictEqual(existsSync(trace), true);
    rmSync(trace);
    for (const [args, how] of [
      [
        ["train", "--resume", "loud", "--epochs", "2"],
        "convnotes train loud.ts:Loud --resume loud",
      ],
      [["eval", "loud", "--built-in"], "--model loud.ts:Loud"],
      [["predict", "loud", "--built-in"], "--model loud.ts:Loud"],
    ] as const) {
      const { status, stderr } = convnotes(...args);
      strictEqual(status, 1);
      match(stderr, new RegExp(`to have it run, name it yourself: ${how}`));
    }
    strictEqual(existsSync(trace), false);
    const judged = convnotes("eval", "loud", "--built-in", "--model", "loud.ts:Loud", "--json");
    strictEqual(judged.status, 0, judged.stderr);
    const own = convnotes("eval", "loud", "--built-in", "--model", "lenet", "--json");
    const { model, ...result } = JSON.parse(judged.stdout) as { model: string };
    strictEqual(model, "loud.ts:Loud");
    deepStrictEqual(JSON.parse(own.stdout), { model: "lenet", ...result });
  });

  it("gives the network images of the size that it takes", () => {
    train("large", "net.ts:large", ...few, "--epochs", "1", "--run", "large");
    const settings = JSON.parse(readFileSync(join(folder, "large", "run.json"), "utf8")) as {
      recipe: { pipeline: object };
    };
    strictEqual(JSON.stringify(settings.recipe.pipeline), '{"resize":224}');
  });

  it("prints the table of a module", () => {
    const { stdout, status } = convnotes("summary", "net.ts:net", "--input", "2,1,28,28");
    strictEqual(status, 0);
    match(stdout, /Conv2d.*2×4×24×24/);
  });

  for (const [args, said] of [
    [["train", "net.ts"], /say which network of net\.ts: net\.ts:NAME/],
    [["train", "net.ts:nett"], /net\.ts declares no nett at its top\. Did you mean "net"\?/],
    [["train", "net.ts:Wide"], /Wide of net\.ts is made with arguments: name a module, such as/],
    [["train", "net.ts:text"], /text of net\.ts is neither a module nor a class of modules/],
    [["train", "net.ts:seven"], /for 28×28 pixels seven gives N×7/],
    [["train", "net.ts:net", "--resize", "32"], /has 3136 features.*expects 2304/],
    [["train", "nothing.ts:net"], /nothing\.ts: there is no such file/],
    [["summary", "net.ts:net"], /say what net takes, such as --input 1,1,28,28/],
  ] as const)
    it(`refuses ${args.join(" ")}`, () => {
      const { status, stderr } = convnotes(...args, ...(args[0] === "train" ? ["--built-in"] : []));
      strictEqual(status === 0, false);
      match(stderr, said);
    });

  it("asks for esbuild where there is none", () => {
    rmSync(join(folder, "node_modules"), { recursive: true });
    const { stderr } = convnotes("train", "net.ts:net", "--built-in");
    match(stderr, /esbuild must be installed beside it: npm install --save-dev esbuild/);
  });
}).timeout(300_000);
