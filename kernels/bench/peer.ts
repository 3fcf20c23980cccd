// # Side by side with PyTorch
//
// `npm run bench -- --peer torch --python V/bin/python` measures whole training steps (zero the
// gradients, forward, cross-entropy, backward, SGD) of our kernels and of PyTorch's CPU build, on random
// images of the same shape, in processes of their own that take turns. PyTorch runs as it comes and in
// the settings that make it faster: tensors in channels_last, and an allocator that gives no memory back.
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
import { modelNamed } from "convnotes";

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

const { values: flags } = parseArgs({
  options: {
    peer: { type: "string", default: "torch" },
    python: { type: "string", default: "python3" },
    models: { type: "string", default: Object.keys(batchSizes).join() },
    threads: { type: "string", default: "2" },
    rounds: { type: "string", default: "7" },
    inference: { type: "boolean", default: false },
  },
});
if (flags.peer !== "torch") throw new RangeError(`--peer is torch, got ${flags.peer}`);

/** A process that answers each line with one line. */
class Runner {
  readonly times: number[] = [];
  peakBytes = 0;
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  constructor(
    readonly title: string,
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#child = spawn(command, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
  }

  async #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#lines.once("line", (line) => resolve(JSON.parse(line)));
      this.#child.once("error", reject);
      this.#lines.once("close", () => reject(new Error(`${this.title} ended without an answer`)));
    });
  }

  async turn(): Promise<void> {
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

console.log(`${cpus()[0].model}, ${cpus().length} processors; medians of steps in ms`);
const columns = [
  ...["network, batch", "threads", "PyTorch", "its best", "ours", "best ÷ ours"],
  ...["fastest: PyTorch", "ours", "PyTorch ÷ ours", "MB: PyTorch", "ours"],
];
console.log(`| ${columns.join(" | ")} |\n| --- |${" ---: |".repeat(columns.length - 1)}`);
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
    const keeping = { MALLOC_MMAP_MAX_: "0", MALLOC_TRIM_THRESHOLD_: String(2 ** 40) };
    const peers = [
      torch("PyTorch", "plain"),
      torch("PyTorch, keeping memory", "plain", keeping),
      torch("PyTorch, channels last, keeping memory", "channels_last", keeping),
    ];
    const ours = new Runner("convnotes", process.execPath, [
      "--import=tsx",
      near("ours.ts"),
      ...[name, images, threads, work].map(String),
    ]);
    for (let round = 0; round < Number(flags.rounds); round++)
      for (const runner of [...peers, ours]) await runner.turn();
    for (const runner of [...peers, ours]) await runner.end();
    const best = peers.reduce((a, b) => (b.median < a.median ? b : a));
    const fastest = Math.min(...peers.map((p) => p.fastest));
    const cells = [
      `${name}, ${images}`,
      threads,
      ...[peers[0], best, ours].map(({ median }) => median.toFixed(flags.inference ? 2 : 1)),
      (best.median / ours.median).toFixed(2),
      ...[fastest.toFixed(1), ours.fastest.toFixed(1), (fastest / ours.fastest).toFixed(2)],
      megabytes(Math.min(...peers.map((p) => p.peakBytes))),
      megabytes(ours.peakBytes),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
