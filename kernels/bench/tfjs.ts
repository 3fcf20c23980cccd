// # Steps in TensorFlow.js
//
// Timed for peer.ts, which asks for them line by line. The network is built from our own graph of it, with
// our own weights and images, in the layout that TensorFlow.js computes in ([N, H, W, C]).
// Arguments: the folder where it is installed, model, images in a batch, threads, train or infer.
//
// Its fastest way to compute on a processor is `@tensorflow/tfjs-node`, where that is installed (its
// installation downloads a library); else WebAssembly, which in Node has one thread and no gradient of a
// convolution's weight. That gradient is then composed of what there is: it is itself a convolution, of
// the images with the gradients as weights, where batch and channels change places.

import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import * as convnotes from "convnotes";

// ## What is used of it

interface T {
  readonly shape: readonly number[];
  dataSync(): ArrayLike<number>;
  dispose(): void;
}
type Sizes = readonly number[];
type Activation = "linear" | "relu" | "sigmoid";
interface ConvOptions {
  readonly x: T;
  readonly filter: T;
  readonly strides: Sizes;
  readonly pad: Pad;
  readonly bias?: T | undefined;
  readonly activation: Activation;
  readonly dimRoundingMode: "floor";
}
type Pad = number | "valid" | readonly Sizes[];
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  enableProdMode(): void;
  tidy<R>(body: () => R): R;
  variable(t: T): T;
  tensor(data: ArrayLike<number>, shape: Sizes, dtype?: string): T;
  add(a: T, b: T): T;
  relu(x: T): T;
  sigmoid(x: T): T;
  tanh(x: T): T;
  matMul(a: T, b: T, transposeA: boolean, transposeB: boolean): T;
  concat(list: readonly T[], axis: number): T;
  reshape(x: T, shape: Sizes): T;
  transpose(x: T, axes: Sizes): T;
  slice(x: T, begin: Sizes, size: Sizes): T;
  mean(x: T, axes: Sizes): T;
  moments(x: T, axes: Sizes): { mean: T; variance: T };
  batchNorm(x: T, mean: T, variance: T, offset: T | null, scale: T | null, epsilon: number): T;
  dropout(x: T, rate: number): T;
  conv2d(
    ...args: [
      x: T,
      w: T,
      strides: Sizes,
      pad: Pad,
      format: "NHWC",
      dilations: Sizes,
      round: "floor",
    ]
  ): T;
  conv2dTranspose(dy: T, w: T, shape: Sizes, strides: Sizes, pad: Pad): T;
  maxPool(x: T, size: Sizes, strides: Sizes, pad: number, round: "floor"): T;
  avgPool(x: T, size: Sizes, strides: Sizes, pad: number, round: "floor"): T;
  customGrad(
    f: (
      x: T,
      w: T,
      save: (kept: readonly T[]) => void,
    ) => { value: T; gradFunc: (dy: T, saved: readonly T[]) => T[] },
  ): (x: T, w: T) => T;
  readonly fused: { conv2d(options: ConvOptions): T };
  readonly losses: { softmaxCrossEntropy(labels: T, logits: T): T };
  readonly train: { sgd(rate: number): { minimize(f: () => T, returnCost: true): T } };
}

const [folder, name, images, threads, work] = process.argv.slice(2);
const installed = createRequire(join(resolve(folder), "package.json"));
const has = (module: string): boolean => {
  try {
    installed.resolve(module);
    return true;
  } catch {
    return false;
  }
};

async function load(): Promise<{ tf: TensorFlow; backend: string }> {
  if (has("@tensorflow/tfjs-node")) {
    process.env.TF_NUM_INTRAOP_THREADS = threads;
    return { tf: installed("@tensorflow/tfjs-node") as TensorFlow, backend: "tensorflow" };
  }
  const tf = installed("@tensorflow/tfjs") as TensorFlow;
  tf.enableProdMode();
  const wasm = installed("@tensorflow/tfjs-backend-wasm") as { setWasmPaths(folder: string): void };
  wasm.setWasmPaths(`${dirname(installed.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
  if (!(await tf.setBackend("wasm"))) throw new Error("WebAssembly does not start");
  return { tf, backend: "wasm" };
}

const { tf, backend } = await load();
const training = work === "train";

// ## The network
//
// A traced forward pass, node by node. What has four axes is turned once.

const { create, inputShape } = convnotes.modelNamed(name);
convnotes.manualSeed(0);
const model = create();
if (!training) model.eval();
const images4 = convnotes.rand([Number(images), ...inputShape]);
const { graph, result } = convnotes.trace(() =>
  convnotes.uncomputed(() => convnotes.noGrad(() => model.call(images4))),
);

const turned = (t: convnotes.Tensor, axes: Sizes): T => {
  const y = convnotes.permute(t.detach().to("reference"), { dims: axes });
  return tf.tensor(Float32Array.from(y.data as Float32Array), y.shape);
};
const plain = (t: convnotes.Tensor): T =>
  tf.tensor(Float32Array.from(t.data as Float32Array), t.shape);

/** By number of a value that was there before: its variable. */
const constants = new Map<number, T>();
for (const { primitive, inputs, name: kind } of graph.nodes) {
  if (primitive === "view") continue;
  inputs.forEach((id, k) => {
    const { source = null } = id === null ? {} : graph.values[id];
    if (id === null || source === null || source === images4) return;
    if (kind === "conv2d" && k === 1) constants.set(id, tf.variable(turned(source, [2, 3, 1, 0])));
    else if (kind === "linear" && k === 1) {
      // Behind images the columns are in the order of [C, H, W].
      const from = graph.nodes.find(({ outputs }) => outputs.includes(inputs[0]));
      const before = from?.primitive === "view" ? graph.values[from.inputs[0]!].shape : [];
      const [O, K] = source.shape;
      if (before.length !== 4) constants.set(id, tf.variable(plain(source)));
      else {
        const [, C, H, W] = before;
        const split = convnotes.reshape(source.detach().to("reference"), { shape: [O, C, H, W] });
        constants.set(id, tf.variable(tf.reshape(turned(split, [0, 2, 3, 1]), [O, K])));
      }
    } else constants.set(id, tf.variable(plain(source)));
  });
}

const both = (value: unknown): number[] =>
  Array.isArray(value) ? (value as number[]) : [Number(value), Number(value)];
const single = (value: unknown): number => {
  const [a, b] = both(value);
  if (a !== b) throw new RangeError("paddings that differ are not compared");
  return a;
};

/** A convolution whose weight's gradient is a convolution. */
function convolved(x: T, w: T, stride: Sizes, padding: number): T {
  const forward = (x: T, w: T) => tf.conv2d(x, w, stride, padding, "NHWC", [1, 1], "floor");
  if (!training || backend !== "wasm") return forward(x, w);
  return tf.customGrad((x, w, save) => {
    save([x, w]);
    return {
      value: forward(x, w),
      gradFunc: (dy, [x, w]) => {
        const [KH, KW, C, O] = w.shape;
        const [, H, W] = dy.shape;
        const turnedX = tf.transpose(x, [3, 1, 2, 0]);
        const filter = tf.transpose(dy, [1, 2, 0, 3]);
        // What a stride leaves over at the end belongs to no tap.
        const over = (size: number, out: number, k: number, s: number) =>
          Math.max(0, size + 2 * padding - (s * (out - 1) + k));
        const [bottom, right] = [
          over(x.shape[1], H, KH, stride[0]),
          over(x.shape[2], W, KW, stride[1]),
        ];
        const wide = tf.conv2d(turnedX, filter, [1, 1], padding, "NHWC", stride, "floor");
        const kept = bottom + right > 0 ? tf.slice(wide, [0, 0, 0, 0], [C, KH, KW, O]) : wide;
        const dx = tf.conv2dTranspose(dy, w, x.shape, stride, padding === 0 ? "valid" : padding);
        return [dx, tf.transpose(kept, [1, 2, 0, 3])];
      },
    };
  })(x, w);
}

const activations: Readonly<Record<string, (x: T) => T>> = {
  relu: (x) => tf.relu(x),
  sigmoid: (x) => tf.sigmoid(x),
  tanh: (x) => tf.tanh(x),
};

function forward(x: T): T {
  const values = new Map(constants);
  const first = graph.valueOf(images4).id;
  values.set(first, x);
  for (const { name: kind, inputs, outputs, options } of graph.nodes) {
    const o = options as Record<string, unknown>;
    const [a, b, c, mean, variance] = inputs.map((id) =>
      id === null ? undefined : values.get(id),
    );
    const put = (t: T) => values.set(outputs[0]!, t);
    if (kind === "conv2d") {
      const [stride, padding] = [both(o.stride), single(o.padding)];
      if (training) {
        const y = convolved(a!, b!, stride, padding);
        put(c ? tf.add(y, c) : y);
      } else
        put(
          tf.fused.conv2d({
            ...{ x: a!, filter: b!, strides: stride, pad: padding, bias: c },
            ...{ activation: "linear", dimRoundingMode: "floor" },
          }),
        );
    } else if (kind === "linear") {
      const y = tf.matMul(a!, b!, false, true);
      put(c ? tf.add(y, c) : y);
    } else if (kind in activations) put(activations[kind](a!));
    else if (kind === "max_pool2d" || kind === "avg_pool2d") {
      const size = both(o.kernelSize);
      const pool = kind === "max_pool2d" ? "maxPool" : "avgPool";
      put(tf[pool](a!, size, both(o.stride ?? size), single(o.padding ?? 0), "floor"));
    } else if (kind === "adaptive_avg_pool2d") put(tf.mean(a!, [1, 2]));
    else if (kind === "view")
      put(tf.reshape(a!, [Number(images), graph.values[outputs[0]!].shape[1]]));
    else if (kind === "add") put(tf.add(a!, b!));
    else if (kind === "concat")
      put(
        tf.concat(
          inputs.map((id) => values.get(id!)!),
          3,
        ),
      );
    else if (kind === "dropout") put(tf.dropout(a!, Number(o.p)));
    else if (kind === "batch_norm") {
      const own = training ? tf.moments(a!, a!.shape.length === 4 ? [0, 1, 2] : [0]) : null;
      put(
        tf.batchNorm(
          a!,
          own?.mean ?? mean!,
          own?.variance ?? variance!,
          c ?? null,
          b ?? null,
          Number(o.eps),
        ),
      );
    } else throw new RangeError(`${kind} has no counterpart`);
  }
  return values.get(graph.valueOf(result).id)!;
}

// ## Steps

const x = turned(images4, [0, 2, 3, 1]);
const classes = result.shape[1];
const labels = tf.tensor(
  Float32Array.from({ length: Number(images) * classes }, (_, i) =>
    i % classes === Math.floor(i / classes) % 10 ? 1 : 0,
  ),
  [Number(images), classes],
);
const lossOf = () => tf.losses.softmaxCrossEntropy(labels, forward(x));
const optimizer = tf.train.sgd(0.01);
let loss = NaN;

function step(): number {
  const begin = performance.now();
  tf.tidy(() => {
    [loss] = Array.from((training ? optimizer.minimize(lossOf, true) : lossOf()).dataSync());
  });
  return performance.now() - begin;
}

step();
console.log(JSON.stringify({ loss, setting: backend }));
for await (const line of createInterface({ input: process.stdin })) {
  const times = [step()];
  while (times.reduce((a, b) => a + b) < Number(line)) times.push(step());
  console.log(JSON.stringify(times));
}
console.log(JSON.stringify(process.resourceUsage().maxRSS * 1024));
