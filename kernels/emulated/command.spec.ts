// # The command on a GPU
//
// `convnotes train` on the emulated device, which also plays what may be wrong with a real one: no driver or
// an old one, kernels that were not built for it, too little memory, a device that is lost in the middle.
// Each is said clearly, and loses nothing.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { emulatedKernels } from "./library.js";

describe("the command on the emulated device", function () {
  this.timeout(120_000);
  this.slow(20_000);
  let folder = "";
  let library = "";
  before(async () => {
    library = await emulatedKernels();
    folder = mkdtempSync(join(tmpdir(), "convnotes-gpu-"));
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** What a command says, and how it ends. */
  function run(args: readonly string[], settings = "") {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--import=tsx", "reference/cli/main.ts", ...args],
      {
        encoding: "utf8",
        env: {
          ...process.env,
          CONVNOTES_EMULATED: library,
          CONVNOTES_EMULATED_SETTINGS: settings,
          TMPDIR: folder,
        },
      },
    );
    return { status, said: stdout + stderr };
  }

  const short = ["--built-in", "--epochs", "1", "--max-batches", "3", "--batch-size", "4"];
  const train = (name: string, settings: string, ...more: string[]) =>
    run(
      ["train", "lenet", "--device", "emulated", ...short, "--run", join(folder, name), ...more],
      settings,
    );
  const weights = (name: string) => readFileSync(join(folder, name, "weights.safetensors"));

  it("trains, and writes a certificate of what it has looked at", () => {
    const { status, said } = train("looked", "", "--verify", "50");
    assert.equal(status, 0, said);
    const certificate = JSON.parse(
      readFileSync(join(folder, "looked", "certificate.json"), "utf8"),
    ) as { passed: boolean; isa: string; operations: { calls: number }[]; unchecked: string[] };
    assert.equal(certificate.passed, true);
    assert.match(certificate.isa, /^emulated device, compute capability 9.0, factors in tf32$/);
    assert.ok(certificate.operations.length > 0);
    assert.deepEqual(certificate.unchecked, []);
  });

  it("rounds factors as it is told, and goes on so", () => {
    const path = join(folder, "rounded");
    const seen = () =>
      (JSON.parse(readFileSync(join(path, "certificate.json"), "utf8")) as { isa: string }).isa;
    const begun = train("rounded", "", "--verify", "50", "--precision", "bf16");
    assert.equal(begun.status, 0, begun.said);
    assert.match(seen(), /factors in bf16$/);
    assert.match(readFileSync(join(path, "index.html"), "utf8"), /emulated, factors in bf16/);
    rmSync(join(path, "certificate.json"));
    const longer = run(["train", "--resume", path, "--epochs", "2", "--verify", "50"]);
    assert.equal(longer.status, 0, longer.said);
    assert.match(seen(), /factors in bf16$/);
  });

  it("learns the same bits from the same seed, in whatever order threads run", () => {
    const orders = ["order=forward", "order=random asynchrony=random seed=5"];
    const learned = orders.map((settings, i) => {
      assert.equal(train(`order-${i}`, settings).status, 0);
      return weights(`order-${i}`);
    });
    assert.deepEqual(learned[0], learned[1]);
  });

  it("goes on where a lost device has left it, to the same bits", () => {
    assert.equal(train("whole", "").status, 0);
    const { status, said } = train("lost", "lostAt=90", "--checkpoint-every", "1");
    assert.equal(status, 1, said);
    assert.match(said, /the device is lost\. The run is kept in .*lost as of its last checkpoint;/);
    const path = join(folder, "lost");
    const resumed = run(["train", "--resume", path]);
    assert.equal(resumed.status, 0, resumed.said);
    assert.deepEqual(weights("lost"), weights("whole"));
  });

  it("goes on elsewhere with a run that a lost device has left", () => {
    const first = train("moved", "lostAt=90", "--checkpoint-every", "1");
    assert.equal(first.status, 1, first.said);
    const path = join(folder, "moved");
    const { status, said } = run(["train", "--resume", path, "--device", "cpu"]);
    assert.equal(status, 0, said);
    assert.match(said, /moved \(lenet on cpu, seed 0\)/);
  });

  it("says what a step needs, and the largest batch that fits, which does", () => {
    const settings = "memory=12000000";
    const { status, said } = train("large", settings, "--batch-size", "256");
    assert.equal(status, 1, said);
    const [, largest] =
      /^convnotes: a step of 256 images needs [\d.]+ MB on emulated, which has 12\.0 MB free of 12\.0 MB: [\d.]+ MB for what else arises within a step, 4\.70 MB for the data set, .* for the optimiser's states, .* for gradients of parameters, .*\. The largest batch that fits is (\d+): --batch-size \1$/m.exec(
        said,
      ) ?? assert.fail(said);
    const step = ["--max-batches", "1"];
    const one = Number(largest) + 1;
    assert.equal(train("more", settings, "--batch-size", String(one), ...step).status, 1);
    const fits = train("fits", settings, "--batch-size", largest, ...step);
    // The validation images find room as well, or say what they need.
    assert.match(fits.said, /^epoch 1\/1: loss|needs .* but the device has/m);
    assert.doesNotMatch(fits.said, /a step of/);
  });

  it("says that the loss is no number, and keeps what was good", () => {
    const wild = ["--optimizer", "sgd", "--lr", "3e38", "--checkpoint-every", "1"];
    const { status, said } = train("wild", "", ...wild);
    assert.equal(status, 1, said);
    assert.match(
      said,
      /(parameter|loss) became (NaN|-?Infinity) at epoch 1, batch \d: training has diverged/,
    );
  });

  it("tells each run of the other on the same device", () => {
    const notes = join(folder, `convnotes-${userInfo().uid}`, "devices");
    mkdirSync(notes, { recursive: true });
    const other = { process: process.pid, device: "emulated", run: "runs/other" };
    writeFileSync(join(notes, "other.json"), JSON.stringify(other));
    writeFileSync(join(notes, "gone.json"), JSON.stringify({ ...other, process: 2 ** 22 + 1 }));
    writeFileSync(join(notes, "none.json"), "{");
    const { said } = train("beside", "");
    const lines = said.split("\n").filter((line) => line.includes("is shared with"));
    assert.deepEqual(lines, [
      `emulated is shared with runs/other (process ${process.pid}): both go on, each more slowly ` +
        `and with less memory`,
    ]);
  });

  for (const [settings, wanted] of [
    ["driver=0", /there is no device "emulated": there is no NVIDIA driver; /],
    [
      "driver=12040",
      /the NVIDIA driver is one for CUDA 12\.4, but the kernels need one for CUDA 13\.0 or later; install/,
    ],
    [
      "architecture=610",
      /emulated device has compute capability 6\.1, but the kernels are built for 7\.5, 8\.0, 8\.6, 8\.9, 9\.0, 10\.0, 12\.0;/,
    ],
  ] as const)
    it(`refuses to begin with ${settings}, and leaves no folder`, () => {
      const { status, said } = train("never", settings);
      assert.equal(status, 1, said);
      assert.match(said, wanted);
      assert.throws(() => readFileSync(join(folder, "never", "settings.json")));
    });
});
