// # A run that is interrupted loses nothing
//
// Once inside one process, with dropout, batch normalisation and momentum, stopped at every place;
// once for real: the command is killed with SIGKILL at a random moment and resumed, and the files
// that it leaves are compared byte for byte with those of a run that was left alone.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  beginning,
  builtInDataset,
  encodeCheckpoint,
  makeOptimizer,
  manualSeed,
  nn,
  type Recipe,
  restoreCheckpoint,
  type Run,
  train,
  type TrainingEvent,
} from "convnotes";

const data = builtInDataset({ train: 24, test: 8 });

const recipe = (optimizer: Recipe["optimizer"]): Recipe => ({
  model: "small",
  epochs: 2,
  batchSize: 8,
  optimizer,
  pipeline: { resize: 8 },
});

function freshRun(settings: Recipe, seed: number): Run {
  manualSeed(seed);
  const model: nn.Module = new nn.Sequential(
    new nn.Conv2d(1, 3, 3, { padding: 1 }),
    new nn.BatchNorm2d(3),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Dropout(0.5),
    new nn.Linear(3 * 64, 10),
  ).to("reference");
  const optimizer = makeOptimizer(model, settings.optimizer);
  return { name: "small", model, optimizer, progress: beginning() };
}

const options = (run: Run, settings: Recipe) => ({
  ...run,
  recipe: settings,
  train: data.train,
  test: data.test,
  device: "reference",
});

describe("resume", () => {
  it("goes on bit for bit after any event, whatever the optimiser", () => {
    const optimizers = fc.constantFrom<Recipe["optimizer"]>(
      { name: "adam", lr: 0.01 },
      { name: "adamw", lr: 0.01, weightDecay: 0.1 },
      { name: "sgd", lr: 0.05, momentum: 0.9, weightDecay: 0.01 },
    );
    fc.assert(
      fc.property(optimizers, fc.nat(1000), fc.nat(7), (optimizer, seed, stop) => {
        const settings = recipe(optimizer);
        const whole = freshRun(settings, seed);
        const expected = [...train(options(whole, settings))];

        const first = freshRun(settings, seed);
        const events: TrainingEvent[] = [];
        let saved = encodeCheckpoint(first, 0);
        for (const event of train(options(first, settings))) {
          events.push(event);
          saved = encodeCheckpoint(first, events.length);
          if (events.length > stop) break;
        }
        // Another seed and other masks in between must not matter.
        const second = freshRun(settings, seed + 1);
        assert.equal(restoreCheckpoint(saved, "memory", second), events.length);
        events.push(...train(options(second, settings)));

        // A validation pass that was cut short is repeated.
        const lasting = (list: readonly TrainingEvent[]) =>
          list.filter((e) => e.type !== "validation");
        assert.deepEqual(lasting(events), lasting(expected));
        assert.deepEqual(encodeCheckpoint(second, 0), encodeCheckpoint(whole, 0));
      }),
      { numRuns: 12 },
    );
  });

  it("refuses a checkpoint of another model, and changes nothing", () => {
    const settings = recipe({ name: "adam", lr: 0.01 });
    const bytes = encodeCheckpoint(freshRun(settings, 1), 0);
    const other = { ...freshRun(settings, 2), name: "lenet" };
    const before = encodeCheckpoint(other, 0);
    assert.throws(
      () => restoreCheckpoint(bytes, "runs/a/checkpoint.safetensors", other),
      /runs\/a\/checkpoint\.safetensors: is a checkpoint of small, but the run trains lenet/,
    );
    assert.deepEqual(encodeCheckpoint(other, 0), before);
  });
});

describe("convnotes train, killed", () => {
  const folder = mkdtempSync(join(tmpdir(), "convnotes-"));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const command = ["--import=tsx", "reference/cli/main.ts", "train"];
  const settings = ["lenet", "--built-in", "--epochs", "2", "--batch-size", "4"];
  const limits = ["--max-batches", "12", "--seed", "7", "--device", "reference"];
  const start = (args: readonly string[]): ChildProcess =>
    spawn(process.execPath, [...command, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = (child: ChildProcess) =>
    new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      let errors = "";
      child.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
      child.on("error", reject);
      child.on("exit", (code, signal) => {
        if (code !== null && code !== 0) reject(new Error(`exit ${code}: ${errors}`));
        else resolve(signal ?? code);
      });
    });
  const lines = (run: string) => {
    try {
      return readFileSync(join(run, "log.jsonl"), "utf8").split("\n").length - 1;
    } catch {
      return 0;
    }
  };

  it("leaves the files of a run that was left alone", async function () {
    this.timeout(120_000);
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    const begin = [...settings, ...limits, "--checkpoint-every", "3"];
    const untouched = ended(start([...begin, "--run", whole]));

    // Twice, after a number of log lines that nobody chose.
    let kills = 0;
    let args = [...begin, "--run", killed];
    for (const after of [1 + Math.floor(Math.random() * 10), 12 + Math.floor(Math.random() * 10)]) {
      const child = start(args);
      const exit = ended(child);
      const watch = setInterval(() => {
        if (lines(killed) >= after) child.kill("SIGKILL");
      }, 2);
      try {
        if ((await exit) === "SIGKILL") kills++;
      } finally {
        clearInterval(watch);
      }
      args = ["--resume", killed, "--checkpoint-every", "3"];
    }
    assert.ok(kills > 0, "the run was never killed, so nothing was tested");
    await ended(start(args));
    await untouched;
    for (const file of ["log.jsonl", "weights.safetensors", "checkpoint.safetensors"])
      assert.deepEqual(
        readFileSync(join(killed, file)),
        readFileSync(join(whole, file)),
        `${file} differs`,
      );
  });
});
