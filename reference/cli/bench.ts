// # convnotes bench
//
// How fast and in how much memory each network trains on each device: a whole step (zero the
// gradients, forward, cross-entropy, backward, update) on random images. Each network has a
// process of its own, so that the peak of one is not the peak of all.

import { spawnSync } from "node:child_process";
import type { Command } from "commander";
import { backendOf } from "../backend.js";
import { randn, tensor } from "../create.js";
import { modelNamed, models } from "../models/index.js";
import { SGD } from "../optim/index.js";
import { manualSeed } from "../random.js";
import { showBytes } from "../summary.js";
import { TrainingStep } from "../train/step.js";
import { oneOf, wholeNumber } from "./flags.js";

/** Images in a step. The plain reference takes seconds for one image of the larger networks. */
const batchSizes: Readonly<
  Record<string, { readonly reference: number; readonly kernels: number }>
> = {
  notes_example: { reference: 32, kernels: 128 },
  lenet: { reference: 256, kernels: 256 },
  lenet_bn: { reference: 256, kernels: 256 },
  alexnet: { reference: 1, kernels: 32 },
  vgg: { reference: 1, kernels: 16 },
  nin: { reference: 1, kernels: 16 },
  googlenet: { reference: 2, kernels: 32 },
  resnet: { reference: 2, kernels: 32 },
};

/** Steps are repeated until this much time has gone by, three times at least. */
const LONG_ENOUGH_MS = 3000;

interface Measurement {
  readonly model: string;
  readonly device: string;
  readonly batchSize: number;
  /** The median of the steps after the first. */
  readonly stepMs: number;
  readonly examplesPerSecond: number;
  /** Of the whole process. */
  readonly peakBytes: number;
}

export function addBench(program: Command): void {
  program
    .command("bench")
    .summary("measure the training step of each network: examples per second, peak memory")
    .argument("[model...]", "networks to measure (default: all)")
    .option("--device <name>", "where to compute", "cpu")
    .option("--batch-size <n>", "images in a step (default: fit for the device)", wholeNumber(1))
    .option(
      "--format <name>",
      "table, markdown or json",
      oneOf("table", "markdown", "json"),
      "table",
    )
    .option("--here", "measure in this process, without starting one for each network")
    .action(
      (
        names: string[],
        flags: { device: string; batchSize?: number; format: string; here?: boolean },
      ) => {
        backendOf(flags.device);
        const chosen = (names.length === 0 ? models.map((m) => m.name) : names).map(
          (name) => modelNamed(name).name,
        );
        const results: Measurement[] = [];
        for (const name of chosen) {
          const kind = flags.device === "reference" ? "reference" : "kernels";
          const batchSize = flags.batchSize ?? batchSizes[name][kind];
          const result = flags.here
            ? measure(name, flags.device, batchSize)
            : measureApart(name, flags.device, batchSize);
          results.push(result);
          if (flags.format === "table") console.log(line(result));
        }
        if (flags.format === "json") console.log(JSON.stringify(results));
        if (flags.format === "markdown") console.log(markdown(results));
      },
    );
}

function measure(name: string, device: string, batchSize: number): Measurement {
  const { create, inputShape } = modelNamed(name);
  manualSeed(0);
  const model = create().to(device);
  const optimizer = new SGD(model.parameters(), { lr: 0.01 });
  const x = randn([batchSize, ...inputShape]).to(device);
  const labels = tensor(
    Array.from({ length: batchSize }, (_, i) => i % 10),
    { dtype: "int64" },
  ).to(device);
  const step = new TrainingStep(model, optimizer, device);
  const times: number[] = [];
  const begin = performance.now();
  while (times.length < 3 || performance.now() - begin < LONG_ENOUGH_MS) {
    const start = performance.now();
    step.run(x, labels);
    times.push(performance.now() - start);
  }
  const warm = times.slice(1).sort((a, b) => a - b);
  const stepMs = warm[Math.floor(warm.length / 2)];
  return {
    model: name,
    device,
    batchSize,
    stepMs,
    examplesPerSecond: (1000 * batchSize) / stepMs,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function measureApart(name: string, device: string, batchSize: number): Measurement {
  const args = ["bench", name, "--here", "--format", "json", "--device", device];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...process.execArgv, process.argv[1], ...args, "--batch-size", String(batchSize)],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`bench ${name} on ${device} failed:\n${stderr}`);
  return (JSON.parse(stdout) as Measurement[])[0];
}

const line = (m: Measurement): string =>
  `${m.model.padEnd(14)} ${m.device.padEnd(10)} batch ${String(m.batchSize).padStart(4)}  ` +
  `${m.stepMs.toFixed(0).padStart(7)} ms  ${m.examplesPerSecond.toFixed(1).padStart(9)} images/s  ` +
  showBytes(m.peakBytes).padStart(8);

function markdown(results: readonly Measurement[]): string {
  const rows = results.map(
    (m) =>
      `| ${m.model} | ${m.device} | ${m.batchSize} | ${m.stepMs.toFixed(0)} | ` +
      `${m.examplesPerSecond.toFixed(1)} | ${showBytes(m.peakBytes)} |`,
  );
  return [
    "| network | device | batch | step, ms | images/s | peak memory |",
    "| --- | --- | ---: | ---: | ---: | ---: |",
    ...rows,
  ].join("\n");
}
