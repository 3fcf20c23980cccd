// # npm run gpu
//
// All that is to be seen on a GPU, in one go, and one report of it with the device's name and the date: the
// emulated device's models of instructions against the hardware, every kernel and every network before the
// laws, NVIDIA's compute-sanitizer, what the device can do at most, each kernel's part of that, training steps
// and an epoch beside PyTorch, what verification costs, and memory. docs/gpu.md says how to read it.
//
//     npm run gpu -- [--device cuda:0] [--networks lenet,resnet] [--batch-size 128] [--seconds 5]
//         --python V/bin/python   whose PyTorch is measured beside; without one the report says so
//         --data FOLDER           Fashion-MNIST for the epochs (default: CONVNOTES_DATA, else drawings)
//         --max-batches N         ends the epochs early
//         --recipes               trains every network by its whole recipe, for the final accuracy
//         --no-build              takes what is built; nothing here needs a network or npm
//         --sanitizer COMMAND     in place of compute-sanitizer
//         --out docs/reports/gpu.json
//
// `--device emulated` goes the same way without a GPU. It shows that the script works; its times are those
// of a processor that plays a GPU, and the report says that they say nothing.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { Sampler } from "../check/sampler.js";
import { verifyKernels, verifyModel } from "../check/verify.js";
import { buildEmulated } from "../emulated/build.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const { values: flags } = parseArgs({
  options: {
    device: { type: "string", default: "cuda:0" },
    "batch-size": { type: "string", default: "128" },
    seconds: { type: "string", default: "5" },
    networks: { type: "string", default: convnotes.models.map(({ name }) => name).join(",") },
    runs: { type: "string", default: "100" },
    python: { type: "string" },
    data: { type: "string", default: process.env.CONVNOTES_DATA ?? "" },
    "max-batches": { type: "string" },
    recipes: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
    sanitizer: { type: "string", default: "compute-sanitizer" },
    out: { type: "string", default: join(root, "docs", "reports", "gpu.json") },
  },
});
const { device } = flags;
const [batch, seconds] = [Number(flags["batch-size"]), Number(flags.seconds)];
const isEmulated = device === "emulated";
const names = flags.networks.split(",").map((name) => convnotes.modelNamed(name).name);
const work = mkdtempSync(join(tmpdir(), "convnotes-gpu-"));

// ## Parts
//
// A part that fails says so in the report, and the others go on.

interface Failed {
  readonly failed: string;
}

const hasFailed = (part: unknown): boolean =>
  typeof part === "object" &&
  part !== null &&
  ("failed" in part || ("passed" in part && !part.passed));

async function part<T>(what: string, body: () => T | Promise<T>): Promise<T | Failed> {
  const started = performance.now();
  process.stderr.write(`${what} … `);
  let result: T | Failed;
  try {
    result = await body();
  } catch (error) {
    result = { failed: error instanceof Error ? error.message : String(error) };
  }
  const took = ((performance.now() - started) / 1000).toFixed(1);
  process.stderr.write(`${hasFailed(result) ? "FAILED, " : ""}${took} s\n`);
  return result;
}

/** Throws: Error with what the command said last, unless it ends well. */
function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, ...env },
  });
  if (error) throw error;
  if (status !== 0)
    throw new Error(`${command} ended with ${status}: ${`${stdout}${stderr}`.slice(-4000)}`);
  return stdout;
}

/** The command of convnotes, from the sources that this script is from. */
const command = ["--import=tsx", join(root, "reference", "cli", "main.ts")];
const convnotesRun = (...args: string[]) => run(process.execPath, [...command, ...args]);

// ## Programs beside the kernels

/** Builds `models` or `probes` for the device, or takes what was built before; its path. */
async function program(name: string, source: string): Promise<string> {
  if (isEmulated) return buildEmulated({ name, sources: [source], checks: false });
  const made = join(root, "kernels", "build", name);
  if (flags["no-build"]) {
    if (!existsSync(made)) throw new Error(`${made} is not there; leave --no-build out, once`);
    return made;
  }
  const { major, minor } = convnotes.backendOf(device).describe!();
  const architecture = `sm_${major}${minor}${major === 9 ? "a" : ""}`;
  const options = ["-std=c++20", "-O3", "-fmad=false", `-arch=${architecture}`];
  run(process.env.NVCC ?? "nvcc", [...options, source, "-o", made]);
  return made;
}

/** A program of its own sees one GPU, that which is asked for. */
function runAlone(made: string): string {
  const number = Number(device.split(":")[1] ?? 0);
  const visible = process.env.CUDA_VISIBLE_DEVICES?.split(",")[number] ?? String(number);
  return run(made, [], { CUDA_VISIBLE_DEVICES: visible });
}

/** What the emulated device believes of mma, ldmatrix, TMA and wgmma, asked of the hardware. */
async function compareModels() {
  const models = await program("models", join(root, "kernels", "emulated", "models.cu"));
  const lines = runAlone(models).trimEnd().split("\n");
  const found = Object.fromEntries(lines.map((line) => line.split("\t") as [string, string]));
  return { passed: Object.values(found).every((said) => said === "ok"), found };
}

/** Units: bytes and floating-point operations in a second. */
interface Roofs {
  readonly copiedBytesPerSecond: number;
  readonly tf32: { readonly mma: number; readonly wgmma: number };
}

async function findRoofs(): Promise<Roofs> {
  const probes = await program("probes", join(root, "kernels", "cuda", "probes.cu"));
  return JSON.parse(runAlone(probes)) as Roofs;
}

// ## The sanitizer

function sanitize() {
  if (spawnSync(flags.sanitizer, ["--version"]).status !== 0)
    return { absent: `${flags.sanitizer} is not installed; it comes with NVIDIA's CUDA toolkit` };
  const tools = ["memcheck", "racecheck", "synccheck", "initcheck"].map((tool) => {
    const verify = ["verify", "--device", device, "--runs", "3"];
    const out = ["--out", join(work, `${tool}.json`)];
    try {
      run(flags.sanitizer, [
        ...["--tool", tool, "--error-exitcode", "9", process.execPath],
        ...[...command, ...verify, ...out],
      ]);
      return { tool, passed: true };
    } catch (error) {
      return { tool, passed: false, said: (error as Error).message };
    }
  });
  return { passed: tools.every(({ passed }) => passed), command: flags.sanitizer, tools };
}

// ## Steps

/** JavaScript gives memory back between two turns. */
const collected = () => new Promise((resolve) => void setImmediate(resolve));

const medianOf = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
const meanOf = (times: readonly number[]): number =>
  times.reduce((sum, t) => sum + t, 0) / times.length;

/** A network, ready to train on images that lie on the device. */
function prepared(name: string) {
  const { create, inputShape } = convnotes.modelNamed(name);
  convnotes.manualSeed(0);
  const model = create().to(device);
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01 });
  const x = convnotes.rand([batch, ...inputShape]).to(device);
  const labels = convnotes.tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: "int64", device },
  );
  return { model, optimizer, x, labels, inputShape };
}

/** Milliseconds of steps that fill `milliseconds`, at least one. */
async function fill(step: () => void, milliseconds: number): Promise<number[]> {
  const times: number[] = [];
  let sum = 0;
  do {
    const before = performance.now();
    step();
    times.push(performance.now() - before);
    sum += times[times.length - 1];
    await collected();
  } while (sum < milliseconds);
  return times;
}

const ourStep = async (name: string) => {
  const { model, optimizer, x, labels } = prepared(name);
  const training = new convnotes.TrainingStep(model, optimizer, device);
  const step = () => {
    training.run(x, labels);
    if (training.reason !== null) throw new Error(`no program runs: ${training.reason}`);
  };
  // Traced, captured, replayed.
  for (let i = 0; i < (isEmulated ? 2 : 5); i++) {
    step();
    await collected();
  }
  return step;
};

/** PyTorch in a process of its own, which answers each line with one line. */
class Peer {
  readonly times: number[] = [];
  about: unknown = null;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  constructor(name: string, mode: "eager" | "compile") {
    const { inputShape } = convnotes.modelNamed(name);
    const [channels, height] = inputShape;
    const where = isEmulated ? "cpu" : device;
    const args = [where, mode, batch, name, channels, height].map(String);
    const script = join(root, "kernels", "bench", "peer_gpu.py");
    this.#child = spawn(flags.python!, [script, ...args]);
    this.#child.stderr!.on("data", (text) => (this.#said += String(text)));
    this.#child.on("error", (error) => (this.#said += error.message));
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async answer(): Promise<unknown> {
    const { value, done } = (await this.#lines.next()) as IteratorResult<string, undefined>;
    if (done) throw new Error(`PyTorch ended without an answer: ${this.#said.slice(-2000)}`);
    return JSON.parse(value);
  }

  async turn(milliseconds: number): Promise<void> {
    this.#child.stdin!.write(`${milliseconds}\n`);
    this.times.push(...((await this.answer()) as number[]));
  }

  async end(): Promise<object> {
    this.#child.stdin!.end();
    return (await this.answer()) as object;
  }
}

const TURNS = 5;

/** Steps of ours and of PyTorch, taking turns. */
async function measure(name: string) {
  const before = convnotes.backendOf(device).describe!().freeBytes;
  const step = await ourStep(name);
  // Before PyTorch takes its part of the same memory.
  const takenBytes = before - convnotes.backendOf(device).describe!().freeBytes;
  const ours: number[] = [];
  const peers: { mode: "eager" | "compile"; peer: Peer | null; failed?: string }[] = [];
  for (const mode of flags.python === undefined ? [] : (["eager", "compile"] as const)) {
    try {
      const peer = new Peer(name, mode);
      peer.about = await peer.answer();
      peers.push({ mode, peer });
    } catch (error) {
      peers.push({ mode, peer: null, failed: (error as Error).message });
    }
  }
  for (let turn = 0; turn < TURNS; turn++) {
    ours.push(...(await fill(step, (1000 * seconds) / TURNS)));
    for (const { peer } of peers) await peer?.turn((1000 * seconds) / TURNS);
  }
  const line = (times: readonly number[]) => ({
    steps: times.length,
    stepMs: medianOf(times),
    imagesPerSecond: (1000 * batch) / medianOf(times),
  });
  const theirs = await Promise.all(
    peers.map(async ({ mode, peer, failed }) =>
      peer === null
        ? { mode, failed }
        : { mode, about: peer.about, ...line(peer.times), ...(await peer.end()) },
    ),
  );
  const best = Math.max(0, ...theirs.map((t) => ("imagesPerSecond" in t ? t.imagesPerSecond : 0)));
  return {
    name,
    batch,
    ...line(ours),
    takenBytes,
    pytorch: flags.python === undefined ? "absent: no --python was given" : theirs,
    timesPyTorch: best > 0 ? line(ours).imagesPerSecond / best : null,
  };
}

// ## Kernels below the roofs

/** Each kernel of a step: its time, and the part of that in which the nearer roof would have done its work. */
function belowRoofs(name: string, roofs: Roofs) {
  const { model, optimizer, x, labels } = prepared(name);
  const traced = convnotes.traceStep(model, optimizer, x, labels);
  const program = convnotes.backendOf(device).compile!(traced);
  const outputs = traced.outputs.map((t) => convnotes.emptyTensor(t.shape, t.dtype, device));
  const once = () => program.run([x, labels], outputs, new Map());
  once();
  const times = new Float64Array(program.calls.length);
  program.times = times;
  const rounds = isEmulated ? 1 : 20;
  for (let i = 0; i < rounds; i++) once();
  const peak = Math.max(roofs.tf32.mma, roofs.tf32.wgmma);
  const kernels = new Map<string, { calls: number; ms: number; roofMs: number }>();
  program.calls.forEach(({ kernel, nodes, bytes }, i) => {
    const products = nodes.reduce(
      (sum, n) => sum + convnotes.multiplyAdds(traced.graph, traced.graph.nodes[n]),
      0,
    );
    const roofMs = 1000 * Math.max(bytes / roofs.copiedBytesPerSecond, (2 * products) / peak);
    const known = kernels.get(kernel) ?? { calls: 0, ms: 0, roofMs: 0 };
    known.calls++;
    known.ms += times[i] / rounds / 1e6;
    known.roofMs += roofMs;
    kernels.set(kernel, known);
  });
  const rows = [...kernels].sort(([, a], [, b]) => b.ms - a.ms);
  return {
    name,
    kernels: rows.map(([kernel, k]) => ({ kernel, ...k, partOfRoof: k.roofMs / k.ms })),
  };
}

// ## What verification costs

/** Mean times of steps without looks and with them, at the default share, taking turns. */
async function verificationCost(name: string) {
  const plain = await ourStep(name);
  const sampler = new Sampler({ share: 0.02, seed: 0 });
  loadKernels(convnotes, { sampler });
  const looked = await ourStep(name);
  loadKernels(convnotes);
  const [without, withLooks]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    without.push(...(await fill(plain, (1000 * seconds) / TURNS)));
    withLooks.push(...(await fill(looked, (1000 * seconds) / TURNS)));
  }
  const calls = [...sampler.tallies.values()].reduce((sum, t) => sum + t.calls, 0);
  return { name, calls, overhead: meanOf(withLooks) / meanOf(without) - 1 };
}

// ## Epochs

/** An epoch by the recipe, from the command's start to its end; or the whole recipe. */
function epoch(name: string) {
  const recipe = convnotes.recipes.get(name);
  if (recipe === undefined) return { name, absent: "the notes have no recipe for it" };
  const folder = join(work, `run-${name}`);
  const data = flags.data === "" ? ["--built-in"] : ["--data", flags.data];
  const most = flags["max-batches"] === undefined ? [] : ["--max-batches", flags["max-batches"]];
  const epochs = flags.recipes ? [] : ["--epochs", "1"];
  const started = performance.now();
  convnotesRun(
    ...["train", name, "--device", device, "--run", folder],
    ...[...data, ...most, ...epochs, "--batch-size", String(batch)],
  );
  const took = (performance.now() - started) / 1000;
  const log = readFileSync(join(folder, "log.jsonl"), "utf8").trimEnd().split("\n");
  const last = JSON.parse(log[log.length - 1]) as object;
  const peer = (): unknown => {
    if (flags.python === undefined) return "absent: no --python was given";
    if (flags.data === "") return "absent: no --data was given";
    const { resize = 0 } = recipe.pipeline;
    const args = [isEmulated ? "cpu" : device, name, batch, String(resize), recipe.optimizer.lr];
    const script = join(root, "kernels", "bench", "peer_epoch.py");
    try {
      const numbers = [...args, flags["max-batches"] ?? 0, flags.data].map(String);
      return JSON.parse(run(flags.python, [script, ...numbers])) as unknown;
    } catch (error) {
      return { failed: (error as Error).message };
    }
  };
  return { name, seconds: took, last, pytorch: flags.recipes ? null : peer() };
}

// ## The report

if (!flags["no-build"]) {
  const kind = isEmulated ? "emulated" : "cuda";
  const script = join(root, "kernels", "cuda", "build.run.ts");
  const built = await part(`building for ${kind}`, () => {
    run(process.execPath, ["--import=tsx", script, kind]);
    return { passed: true };
  });
  if (hasFailed(built)) {
    console.error((built as Failed).failed);
    process.exit(1);
  }
}
const status = loadKernels(convnotes);
if (!status.available) throw new Error(`there are no kernels: ${status.reason}`);
const hardware = convnotes.backendOf(device).describe!();

const each = async <T>(what: string, body: (name: string) => T | Promise<T>) => {
  const results: (T | Failed)[] = [];
  for (const name of names) results.push(await part(`${what} ${name}`, () => body(name)));
  return results;
};
const runs = Number(flags.runs);
const models = await part("the hardware's instructions", compareModels);
const roofs = await part("what the device can do at most", findRoofs);
const kernels = await part("every kernel", () => verifyKernels({ device, seed: 1, runs }));
const networks = await each("the calls of", (model) =>
  verifyModel({ device, model, batch: 4, seed: 1, steps: 50, milliseconds: seconds * 1000 }),
);
loadKernels(convnotes);
const sanitized = await part(flags.sanitizer, sanitize);
const speed = await each("steps of", measure);
const roofline = await each("kernels of", (name) => {
  if ("failed" in roofs) throw new Error("the roofs were not found");
  return belowRoofs(name, roofs);
});
const verification = await part("what verification costs", () => verificationCost(names[0]));
const epochs = await each("an epoch of", epoch);
rmSync(work, { recursive: true, force: true });

const parts: readonly unknown[] = [
  ...[models, roofs, kernels, sanitized, verification],
  ...[...networks, ...speed, ...roofline, ...epochs],
];
const passed = !parts.some(hasFailed);
const report = {
  date: new Date().toISOString(),
  device,
  hardware,
  timesMean: isEmulated
    ? "nothing: a processor played the GPU"
    : "what they say: measured on this device",
  passed,
  ...{ models, roofs, kernels, networks, sanitized },
  ...{ speed, roofline, verification, epochs },
};
mkdirSync(dirname(flags.out), { recursive: true });
writeFileSync(flags.out, `${JSON.stringify(report, null, 2)}\n`);
console.log(`${hardware.name}: ${passed ? "passed" : "FAILED"}; the report is ${flags.out}`);
if (isEmulated) console.log("The device is emulated: its times say nothing.");
process.exitCode = passed ? 0 : 1;
