// # The command, as its user meets it
//
// Every command is started as a process of its own. What it prints is pinned where a user would
// act on it: help, tables, and above all the errors, which must name the culprit and the way out.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeSafetensors, models, recipes } from "convnotes";

const folder = mkdtempSync(join(tmpdir(), "convnotes-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const place = (name: string) => join(folder, name);

function convnotes(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import=tsx", "reference/cli/main.ts", ...args],
    { encoding: "utf8", env: { ...process.env, CONVNOTES_DATA: "" } },
  );
  return { status, stdout, stderr };
}

/** Fails unless the command ends with 1 and an error that matches, without a stack. */
function refuses(message: RegExp, ...args: string[]): void {
  const { status, stderr } = convnotes(...args);
  assert.match(stderr, message);
  assert.doesNotMatch(stderr, /\n\s+at /);
  assert.equal(status, 1);
}

const quick = ["--built-in", "--epochs", "1", "--batch-size", "4", "--max-batches", "2"];

describe("convnotes", function () {
  this.timeout(60_000);
  this.slow(10_000);

  it("explains itself, and each command with what a newcomer needs", () => {
    const { stdout } = convnotes("--help");
    for (const command of [
      "train",
      "verify",
      "eval",
      "summary",
      "plan",
      "profile",
      "devices",
      "models",
      "bench",
    ])
      assert.match(stdout, new RegExp(`^ {2}${command} .*[a-z]{4}`, "m"));
    const help = convnotes("train", "--help").stdout;
    assert.match(help, /Examples:/);
    assert.match(help, /convnotes train --resume runs\/lenet-1/);
    assert.match(help, /Ctrl-C saves a checkpoint/);
  });

  it("lists every model with its recipe, and the devices", () => {
    const { stdout } = convnotes("models");
    for (const { name } of models) assert.match(stdout, new RegExp(`^${name} `, "m"));
    assert.match(stdout, /^vgg .*20 epochs, adam 0.003, batch 128/m);
    assert.match(convnotes("devices").stdout, /^cpu \(default\)/m);
    for (const name of recipes.keys()) assert.ok(models.some((m) => m.name === name));
  });

  it("prints a summary as a table and as JSON, up to the layer that fails", () => {
    const table = convnotes("summary", "lenet", "--input", "1,1,28,28");
    assert.match(table.stdout, /net\.3 +Conv2d +1×16×10×10 +2,416 +240,000 +14×14/);
    const json = JSON.parse(convnotes("summary", "alexnet", "--json").stdout) as {
      parameters: number;
    };
    assert.equal(json.parameters, 46_764_746);
    const wrong = convnotes("summary", "lenet", "--input", "1,1,32,32");
    assert.equal(wrong.status, 1);
    assert.match(wrong.stdout, /net\.6 +Flatten +1×576/);
    assert.match(wrong.stdout, /error: net\.7 \(Linear\): .*set in_features to 576/);
  });

  it("trains, and leaves a folder with everything in it", () => {
    const run = place("run");
    const { status, stdout, stderr } = convnotes("train", "lenet", ...quick, "--run", run);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^data: .*built-in/m);
    assert.match(stdout, /^epoch 1\/1: loss = \d\.\d{4} acc = \d\.\d{4}$/m);
    assert.match(stdout, /^Validation: loss = \d\.\d{4} acc = \d\.\d{4}$/m);
    for (const file of ["run.json", "log.jsonl", "checkpoint.safetensors", "weights.safetensors"])
      assert.ok(existsSync(join(run, file)), file);
    for (const file of ["loss.svg", "accuracy.svg"])
      assert.match(readFileSync(join(run, file), "utf8"), /^<svg [\s\S]*<\/svg>\n$/);
    const page = readFileSync(join(run, "index.html"), "utf8");
    assert.doesNotMatch(page, /<script|src=|href=/);
    const lines = readFileSync(join(run, "log.jsonl"), "utf8").trim().split("\n");
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { type: string }).type),
      ["step", "step", "epoch"],
    );

    const judged = convnotes("eval", run, "--built-in", "--json");
    const { accuracy } = JSON.parse(judged.stdout) as { accuracy: number };
    assert.ok(accuracy >= 0 && accuracy <= 1);
    const seen = convnotes("predict", run, "3", "5", "--built-in", "--json");
    const indices = (JSON.parse(seen.stdout) as { index: number }[]).map((p) => p.index);
    assert.deepEqual(indices, [3, 5]);
    assert.match(
      convnotes("predict", run, "7", "--built-in").stdout,
      /^ +7 {2}.+ \(\d+\.\d %\), /m,
    );
  });

  it("trains longer when a finished run is resumed with more epochs", () => {
    const run = place("longer");
    assert.equal(convnotes("train", "lenet", ...quick, "--run", run).status, 0);
    const more = convnotes("train", "--resume", run, "--built-in", "--epochs", "2");
    assert.equal(more.status, 0, more.stderr);
    assert.match(more.stdout, /^epoch 2\/2: /m);
    assert.doesNotMatch(more.stdout, /^epoch 1\/2: /m);
  });
});

describe("convnotes, given what it cannot use", function () {
  this.timeout(60_000);
  this.slow(10_000);

  it("names the nearest model, recipe and device", () => {
    refuses(/there is no model "lenett"\. Did you mean "lenet"\? Models: /, "train", "lenett");
    refuses(
      /there is no device "cpuu"\. Did you mean "cpu"\?/,
      "train",
      "lenet",
      "--device",
      "cpuu",
    );
    refuses(/there is no recipe for notes_example/, "train", "notes_example");
    refuses(/name a network, such as `convnotes train lenet`/, "train");
  });

  it("says what a flag expects", () => {
    refuses(
      /'--epochs <n>' argument '0' is invalid. Expected a whole number/,
      "train",
      "lenet",
      "--epochs",
      "0",
    );
    refuses(/'--lr <x>' argument 'fast' is invalid/, "train", "lenet", "--lr", "fast");
    refuses(
      /Expected one of adam, adamw, sgd. Did you mean "adam"/,
      "train",
      "lenet",
      "--optimizer",
      "adan",
    );
    refuses(/Expected one of tf32, bf16, fp32/, "train", "lenet", "--precision", "fp16");
    refuses(
      /--precision bf16 is for GPUs; on "cpu" nothing is rounded before it is multiplied/,
      "train",
      "lenet",
      "--precision",
      "bf16",
    );
    refuses(/unknown option '--epoch'[\s\S]*--epochs/, "train", "lenet", "--epoch", "1");
  });

  it("keeps a run that is there already", () => {
    const run = place("kept");
    assert.equal(convnotes("train", "lenet", ...quick, "--run", run).status, 0);
    const before = readFileSync(join(run, "checkpoint.safetensors"));
    refuses(
      /holds a run already: go on with it by --resume/,
      "train",
      "lenet",
      ...quick,
      "--run",
      run,
    );
    refuses(/is a run of lenet, not of vgg/, "train", "vgg", "--resume", run);
    refuses(/--lr cannot change when a run is resumed/, "train", "--resume", run, "--lr", "1");
    assert.deepEqual(readFileSync(join(run, "checkpoint.safetensors")), before);
  });

  it("refuses a folder that cannot be written, before it trains", () => {
    const file = place("a-file");
    writeFileSync(file, "");
    refuses(
      /cannot write .*a-file.*: a part of its path is a file.*--run DIR/,
      ...["train", "lenet", ...quick, "--run", join(file, "run")],
    );
  });

  it("refuses what is no run, no checkpoint and no weights", () => {
    refuses(/is no run folder: it has no run\.json/, "train", "--resume", folder);
    refuses(/there is no .*nowhere; give a run folder/, "eval", place("nowhere"), "--built-in");
    const junk = place("junk.safetensors");
    writeFileSync(junk, "this is not a tensor at all, whatever its name says");
    refuses(/junk\.safetensors, byte 0: the header is said to have/, "eval", junk, "--built-in");
  });

  it("stops when the loss is no number, and keeps the last good checkpoint", () => {
    const run = place("diverged");
    const settings = ["--built-in", "--batch-size", "4", "--max-batches", "9", "--run", run];
    const wild = ["--optimizer", "adam", "--lr", "1e37", "--checkpoint-every", "1"];
    refuses(
      /the loss became (NaN|Infinity) at epoch 1, batch \d+: training has diverged. Lower the .* The last good checkpoint is kept in/,
      ...["train", "lenet", ...settings, ...wild],
    );
    const { tensors } = decodeSafetensors(readFileSync(join(run, "checkpoint.safetensors")), run);
    for (const { data } of tensors.values())
      for (const value of data) assert.ok(Number.isFinite(Number(value)));
  });

  it("refuses data that is damaged or missing, by its name", () => {
    refuses(/no-such-folder/, "train", "lenet", "--data", place("no-such-folder"));
    for (const name of ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
      writeFileSync(place(name), Buffer.alloc(20));
    for (const name of ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
      writeFileSync(place(name), Buffer.alloc(20));
    refuses(
      /train-images-idx3-ubyte, byte 2: the file begins with 00 00 00 00/,
      "train",
      "lenet",
      "--data",
      folder,
    );
  });
});
