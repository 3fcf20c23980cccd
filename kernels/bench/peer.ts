// # Side by side with others
//
// `npm run bench -- --peer torch,tfjs --python V/bin/python --tfjs F` measures whole training steps (zero
// the gradients, forward, cross-entropy, backward, SGD) of our kernels, of PyTorch's CPU build and of
// TensorFlow.js, on the same random images and weights, in processes of their own that take turns. PyTorch
// runs as it comes and in the settings that make it faster: tensors in channels_last, and an allocator
// that gives no memory back. TensorFlow.js runs in the fastest way that is installed in F (tfjs.ts).
//
//     --models lenet,resnet    default: all that the table has
//     --threads 1,2            default: 2
//     --rounds 7               turns of each; default: 7
//     --inference              forward and loss of one image at a time instead

import { type ChildProcess, spawn } from "node:child_process";
import { cpus } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { modelNamed, nn } from "convnotes";

const batchSizes: Readonly<Record<string, number>> = {
  lenet: 256,
  lenet_bn: 256,
  alexnet: 32,
  vgg: 16,
  nin: 16,
  googlenet: 32,
  resnet: 32,
};

/** How long one turn is, and the pause after it, in which the other's threads go to sleep. */
const TURN_MS = 400;
const PAUSE_MS = 300;

/** Whoever takes longer for a step has one turn only. */
const PATIENCE_MS = 2000;

const { values: flags } = parseArgs({
  options: {
    peer: { type: "string", default: "torch" },
    python: { type: "string", default: "python3" },
    tfjs: { type: "string" },
    models: { type: "string", default: Object.keys(batchSizes).join() },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "7" },
    inference: { type: "boolean", default: false },
  },
});
/** Ends with a message. */
function refuse(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

const wanted = flags.peer.split(",");
const unknown = wanted.find((peer) => peer !== "torch" && peer !== "tfjs");
if (unknown !== undefined) refuse(`--peer names torch, tfjs or both (torch,tfjs), got ${unknown}`);
if (wanted.includes("tfjs") && flags.tfjs === undefined)
  refuse(
    "--peer tfjs needs --tfjs FOLDER, where it is installed: npm install --prefix FOLDER " +
      "@tensorflow/tfjs @tensorflow/tfjs-backend-wasm (or @tensorflow/tfjs-node)",
  );

/** A process that answers each line with one line; the first comes unasked. */
class Runner {
  readonly times: number[] = [];
  peakBytes = 0;
  /** Of the first step. */
  loss = NaN;
  /** How it computes, where there is a choice. */
  setting = "";
  #child!: ChildProcess;
  #lines!: Interface;
  #complaints = "";

  constructor(
    readonly title: string,
    readonly command: string,
    readonly args: readonly string[],
    readonly env: Readonly<Record<string, string>> = {},
  ) {}

  async #answer(): Promise<unknown> {
    return new Promise((resolve) => this.#lines.once("line", (line) => resolve(JSON.parse(line))));
  }

  async begin(): Promise<void> {
    const env = { ...process.env, ...this.env };
    this.#child = spawn(this.command, this.args, { stdio: "pipe", env });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#child.stderr!.on("data", (words: Buffer) => (this.#complaints += words.toString()));
    this.#child.once("error", () =>
      refuse(`${this.title}: there is no ${this.command}; name Python with --python V/bin/python`),
    );
    this.#child.once("close", () => {
      // The last answer is its peak memory.
      if (this.peakBytes > 0) return;
      // A stack trace may quote a whole library in one line.
      const words = this.#complaints.trim().split("\n");
      const last = words.findLast((line) => /^\S*Error/.test(line)) ?? words[words.length - 1];
      const install = /No module named/.test(last)
        ? " (python3 -m venv V && V/bin/pip install torch numpy, then --python V/bin/python)"
        : "";
      refuse(`${this.title} ended without an answer: ${last.slice(0, 400)}${install}`);
    });
    const { loss, setting = "" } = (await this.#answer()) as { loss: number; setting?: string };
    this.loss = loss;
    this.setting = setting;
  }

  async turn(): Promise<void> {
    if (this.times.length > 0 && this.median > PATIENCE_MS) return;
    const answer = this.#answer();
    this.#child.stdin!.write(`${TURN_MS}\n`);
    this.times.push(...((await answer) as number[]));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }

  async end(): Promise<void> {
    const answer = this.#answer();
    this.#child.stdin!.end();
    this.peakBytes = (await answer) as number;
  }

  /** What noise of the machine disturbs least. */
  get fastest(): number {
    return Math.min(...this.times);
  }

  get median(): number {
    return [...this.times].sort((a, b) => a - b)[this.times.length >> 1];
  }
}

const near = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);

/** Whether masks are drawn, each in its own way. */
const drawsMasks = (name: string) =>
  [...modelNamed(name).create().modules()].some((m) => m instanceof nn.Dropout);

const ms = (x: number) => x.toFixed(x < 10 ? 2 : 1);
const [withTorch, withTfjs] = ["torch", "tfjs"].map((peer) => wanted.includes(peer));
console.log(`${cpus()[0].model}, ${cpus().length} processors; medians of steps in ms`);
const columns = [
  ...["network, batch", "threads"],
  ...(withTorch ? ["PyTorch", "its best"] : []),
  ...(withTfjs ? ["TensorFlow.js"] : []),
  "ours",
  ...(withTorch ? ["best ÷ ours", "of the fastest steps"] : []),
  ...(withTfjs ? ["TensorFlow.js ÷ ours"] : []),
  ...(withTorch ? ["MB: PyTorch"] : []),
  ...(withTfjs ? ["MB: TensorFlow.js"] : []),
  "MB: ours",
];
console.log(`| ${columns.join(" | ")} |\n| --- |${" ---: |".repeat(columns.length - 1)}`);
const settings = new Set<string>();
for (const threads of flags.threads.split(","))
  for (const name of flags.models.split(",")) {
    const [channels, height] = modelNamed(name).inputShape;
    const images = flags.inference ? 1 : (batchSizes[name] ?? 32);
    const work = flags.inference ? "infer" : "train";
    const torch = (title: string, layout: string, env = {}) =>
      new Runner(
        title,
        flags.python,
        [near("peer.py"), ...[name, images, channels, height, threads, layout, work].map(String)],
        env,
      );
    const ts = (title: string, file: string, ...first: string[]) =>
      new Runner(title, process.execPath, [
        ...["--import=tsx", near(file), ...first],
        ...[name, images, threads, work].map(String),
      ]);
    const keeping = { MALLOC_MMAP_MAX_: "0", MALLOC_TRIM_THRESHOLD_: String(2 ** 40) };
    const torches = withTorch
      ? [
          torch("PyTorch", "plain"),
          torch("PyTorch, keeping memory", "plain", keeping),
          torch("PyTorch, channels last, keeping memory", "channels_last", keeping),
        ]
      : [];
    const tfjs = withTfjs ? [ts("TensorFlow.js", "tfjs.ts", flags.tfjs!)] : [];
    const ours = ts("convnotes", "ours.ts");
    const all = [...torches, ...tfjs, ours];
    for (const runner of all) await runner.begin();
    if (flags.inference || !drawsMasks(name))
      for (const { title, loss } of all)
        if (Math.abs(loss - ours.loss) > 1e-3 * Math.abs(ours.loss))
          refuse(
            `${title} has another network ${name}: its first loss is ${loss}, ours ${ours.loss}`,
          );
    for (let round = 0; round < Number(flags.rounds); round++)
      for (const runner of all) await runner.turn();
    for (const runner of all) await runner.end();
    for (const { title, setting } of all) if (setting !== "") settings.add(`${title}: ${setting}`);
    const best = torches.reduce((a, b) => (b.median < a.median ? b : a), torches[0]);
    const fastest = Math.min(...torches.map((p) => p.fastest));
    const cells = [
      ...[`${name}, ${images}`, threads],
      ...(withTorch ? [torches[0], best] : []).map(({ median }) => ms(median)),
      ...[...tfjs, ours].map(({ median }) => ms(median)),
      ...(withTorch ? [best.median / ours.median, fastest / ours.fastest] : []).map((r) =>
        r.toFixed(2),
      ),
      ...tfjs.map(({ median }) => (median / ours.median).toFixed(1)),
      ...(withTorch ? [megabytes(Math.min(...torches.map((p) => p.peakBytes)))] : []),
      ...[...tfjs, ours].map(({ peakBytes }) => megabytes(peakBytes)),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
for (const setting of settings) console.log(setting);
