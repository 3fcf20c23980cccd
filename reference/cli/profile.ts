// # convnotes profile
//
// Where the time of a training step goes, or of a look at images: each kernel's share of its program, the
// floating-point operations that it does in a second (two for each multiply-add), and the bytes of operands
// that it goes through, each operand once.

import type { Command } from "commander";
import { backendOf } from "../backend.js";
import { randn, tensor } from "../create.js";
import { modelNamed } from "../models/index.js";
import { noGrad } from "../tape.js";
import { emptyTensor } from "../tensor.js";
import { multiplyAdds } from "../trace.js";
import { makeOptimizer } from "../train/loop.js";
import type { OptimizerSettings } from "../train/recipes.js";
import { traceStep } from "../train/step.js";
import { loadKernels } from "../kernels.js";
import { checkPrecision, type KernelFlags, kernelOptions, oneOf, wholeNumber } from "./flags.js";

interface Flags extends KernelFlags {
  readonly batch: number;
  readonly optimizer: OptimizerSettings["name"];
  readonly device: string;
  readonly steps: number;
  readonly eval?: boolean;
  readonly calls?: boolean;
  readonly json?: boolean;
}

/** One call of the program, or all calls of one kernel. */
interface Row {
  readonly name: string;
  readonly calls: number;
  readonly ms: number;
  readonly multiplyAdds: number;
  readonly bytes: number;
}

export function addProfile(program: Command): void {
  kernelOptions(program.command("profile"))
    .summary("where the time of a training step goes, kernel by kernel")
    .argument("<model>", "a network's name; `convnotes models` lists them")
    .option("--batch <n>", "images in a step", wholeNumber(1), 32)
    .option("--optimizer <name>", "adam, adamw or sgd", oneOf("adam", "adamw", "sgd"), "sgd")
    .option("--eval", "without gradients and update")
    .option("--steps <n>", "steps that are measured, after one that is not", wholeNumber(1), 20)
    .option("--calls", "each call by itself, with the module that it is of")
    .option("--device <name>", "where to compute", "cpu")
    .option("--json", "print the times as JSON")
    .action(async (name: string, flags: Flags) => {
      checkPrecision(flags, flags.device);
      await loadKernels({ threads: flags.threads, precision: flags.precision });
      const rows = profile(name, flags);
      if (flags.json) console.log(JSON.stringify(rows, null, 2));
      else print(rows);
    });
}

/** Throws: Error for a device that runs operations one by one. */
function profile(name: string, flags: Flags): Row[] {
  const { create, inputShape } = modelNamed(name);
  const { batch, device, steps } = flags;
  const backend = backendOf(device);
  if (backend.compile === undefined)
    throw new Error(`the device "${device}" runs operations one by one, without a program`);
  const model = create().to(device).train(!flags.eval);
  const images = randn([batch, ...inputShape]).to(device);
  const labels = tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: "int64" },
  ).to(device);
  const settings = { name: flags.optimizer, lr: 0.001, momentum: 0, weightDecay: 0 };
  const step = () =>
    traceStep(model, flags.eval ? null : makeOptimizer(model, settings), images, labels);
  const traced = flags.eval ? noGrad(step) : step();
  const program = backend.compile(traced);
  const outputs = traced.outputs.map((t) => emptyTensor(t.shape, t.dtype, device));
  program.run([images, labels], outputs, new Map());
  const times = new Float64Array(program.calls.length);
  program.times = times;
  for (let step = 0; step < steps; step++) program.run([images, labels], outputs, new Map());

  const { graph } = traced;
  const rows = program.calls.map(({ kernel, nodes, bytes }, i): Row => {
    const work = nodes.reduce((sum, n) => sum + multiplyAdds(graph, graph.nodes[n]), 0);
    const path = nodes.length > 0 ? graph.nodes[nodes[0]].path : "";
    const call = [kernel, ...(path === "" ? [] : [`(${path})`])].join(" ");
    return {
      name: flags.calls ? call : kernel,
      calls: 1,
      ms: times[i] / steps / 1e6,
      multiplyAdds: work,
      bytes,
    };
  });
  return flags.calls ? rows : together(rows);
}

/** The calls of each kernel added up, the dearest first. */
function together(rows: readonly Row[]): Row[] {
  const sums = new Map<string, Row>();
  for (const row of rows) {
    const known = sums.get(row.name);
    sums.set(
      row.name,
      known
        ? {
            name: row.name,
            calls: known.calls + 1,
            ms: known.ms + row.ms,
            multiplyAdds: known.multiplyAdds + row.multiplyAdds,
            bytes: known.bytes + row.bytes,
          }
        : row,
    );
  }
  return [...sums.values()].sort((a, b) => b.ms - a.ms);
}

function print(rows: readonly Row[]): void {
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  const width = Math.max(6, ...rows.map(({ name }) => name.length));
  const line = (name: string, cells: readonly string[]) =>
    console.log(
      `${name.padEnd(width)} ${cells.map((cell) => cell.padStart(9)).join("")}`.trimEnd(),
    );
  line("kernel", ["calls", "ms", "share", "GFLOP/s", "GB/s"]);
  for (const { name, calls, ms, multiplyAdds: work, bytes } of rows)
    line(name, [
      String(calls),
      ms.toFixed(3),
      `${((100 * ms) / total).toFixed(1)} %`,
      work > 0 ? ((2 * work) / ms / 1e6).toFixed(0) : "",
      (bytes / ms / 1e6).toFixed(1),
    ]);
  line("total", [String(rows.reduce((sum, { calls }) => sum + calls, 0)), total.toFixed(3)]);
}
