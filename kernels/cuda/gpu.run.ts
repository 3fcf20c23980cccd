// # npm run gpu
//
// All that is to be seen on a GPU, in one go: builds the kernels, compares the emulated device's models of
// instructions with the hardware, holds every kernel and every network to the laws, runs NVIDIA's
// compute-sanitizer where it is installed, and measures training steps. Writes one report, with the device's
// name and the date.
//
//     npm run gpu -- [--device cuda:0] [--batch-size 128] [--seconds 5] [--out docs/reports/gpu.json]
//
// `--device emulated` goes the same way without a GPU; its times say nothing.

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { verifyKernels, verifyModel } from "../check/verify.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cuda:0" },
    "batch-size": { type: "string", default: "128" },
    seconds: { type: "string", default: "5" },
    networks: { type: "string", default: convnotes.models.map(({ name }) => name).join(",") },
    out: { type: "string", default: join(root, "docs", "reports", "gpu.json") },
  },
});
const { device } = values;
const [batch, seconds] = [Number(values["batch-size"]), Number(values.seconds)];
const isEmulated = device === "emulated";

function step<T>(what: string, body: () => T): T {
  const started = performance.now();
  process.stderr.write(`${what} … `);
  const result = body();
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return result;
}

function run(command: string, args: readonly string[]): { code: number | null; said: string } {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { code: status, said: `${error?.message ?? ""}${stdout}${stderr}`.slice(-4000) };
}

// ## The instructions

/** What the emulated device believes of mma, ldmatrix, TMA and wgmma, asked of the hardware. */
function compareModels(): object {
  const program = join(root, "kernels", "build", "models");
  const nvcc = process.env.NVCC ?? "nvcc";
  const source = join(root, "kernels", "emulated", "models.cu");
  const { major, minor } = convnotes.backendOf(device).describe!();
  const architecture = `sm_${major}${minor}${major === 9 ? "a" : ""}`;
  const built = run(nvcc, ["-std=c++20", `-arch=${architecture}`, source, "-o", program]);
  return built.code === 0 ? run(program, []) : built;
}

// ## Speed

/** JavaScript gives memory back between two turns. */
const collected = () => new Promise((resolve) => void setImmediate(resolve));

/** Training steps on images that stay on the device: images a second, and the milliseconds of a step. */
async function measure(name: string): Promise<object> {
  const { create, inputShape } = convnotes.modelNamed(name);
  convnotes.manualSeed(0);
  const model = create().to(device);
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01 });
  const training = new convnotes.TrainingStep(model, optimizer, device);
  const x = convnotes.randn([batch, ...inputShape]).to(device);
  const labels = convnotes.tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: "int64", device },
  );
  // The first step is traced, the next one captured.
  for (let i = 0; i < 4; i++) {
    training.run(x, labels);
    await collected();
  }
  const times: number[] = [];
  const started = performance.now();
  do {
    const before = performance.now();
    training.run(x, labels);
    times.push(performance.now() - before);
    await collected();
  } while (performance.now() - started < seconds * 1000);
  const median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
  return {
    name,
    batch,
    steps: times.length,
    stepMs: median,
    imagesPerSecond: (1000 * batch) / median,
  };
}

// ## The report

const kind = isEmulated ? "emulated" : "cuda";
const built = step(`building for ${kind}`, () =>
  run("npm", ["run", "--silent", "build:gpu", kind]),
);
if (built.code !== 0) {
  console.error(built.said);
  process.exit(1);
}
if (!loadKernels(convnotes).available) throw new Error("there are no kernels");
const hardware = convnotes.backendOf(device).describe!();
const names = values.networks.split(",");
const models = isEmulated ? null : step("the hardware's instructions", compareModels);
const kernels = step("every kernel", () => verifyKernels({ device, seed: 1, runs: 100 }));
const networks = names.map((model) =>
  step(`the calls of ${model}`, () =>
    verifyModel({ device, model, batch: 4, seed: 1, steps: 50, milliseconds: seconds * 1000 }),
  ),
);
const sanitizer = spawnSync("compute-sanitizer", ["--version"]).status === 0 && !isEmulated;
const sanitized = sanitizer
  ? step("compute-sanitizer", () =>
      run("compute-sanitizer", [
        ...["--tool", "memcheck", "--error-exitcode", "9", "npx", "convnotes", "verify"],
        ...["--device", device, "--runs", "5", "--out", join(root, "build", "sanitized.json")],
      ]),
    )
  : null;
loadKernels(convnotes);
const speed: object[] = [];
for (const name of names) {
  process.stderr.write(`steps of ${name} …\n`);
  speed.push(await measure(name));
}
const passed =
  kernels.passed &&
  networks.every((seen) => seen.passed) &&
  (models === null || (models as { code: number | null }).code === 0) &&
  (sanitized === null || sanitized.code === 0);
const report = {
  date: new Date().toISOString(),
  device,
  hardware,
  passed,
  models,
  kernels,
  networks,
  sanitized,
  speed,
};
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`);
console.table(speed);
console.log(`${passed ? "passed" : "FAILED"}: ${values.out}`);
process.exitCode = passed ? 0 : 1;
