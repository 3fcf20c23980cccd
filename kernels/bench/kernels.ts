// # npm run bench:kernels
//
// Kernels below their roofs: the multiply-adds that the processor computes at most, and the bytes that it
// copies (peak.cpp). No call can take less time than the nearer of the two wants for its work, each
// operand read or written once; the last column is that time's share of the time taken. Single kernels first,
// on matrices and images far larger than a cache and on the sizes of the notes' convolutions, then all
// kernels of a training step, by network.
//
// One thread, unless more are asked for: `npm run bench:kernels -- 2`. Times of single kernels are the best of
// many calls in turn with the roofs, so that neither a busy machine nor a clock that changes favours one of
// them; those of steps are means. Terms in the padding count as work and are not computed, Winograd's tiles
// compute fewer, and operands of a step may still lie in a cache, so a share may exceed 100 %.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as convnotes from "convnotes";
import type { Tensor } from "convnotes";
import { loadKernels } from "../backend.js";

const threads = Number(process.argv[2] ?? 1);
const status = loadKernels(convnotes, { threads });
if (!status.available) throw new Error(status.reason);
const kernels = convnotes.backendOf("cpu");

// ## The roofs

const flags: Readonly<Record<string, string>> = {
  avx512: "-DCN_AVX512 -DCN_ISA=avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl",
  avx2: "-DCN_AVX2 -DCN_ISA=avx2 -mavx2 -mfma",
};

const folder = mkdtempSync(join(tmpdir(), "convnotes-peak-"));
const peak = join(folder, "peak");
execFileSync(process.env.CXX ?? "c++", [
  ..."-std=c++20 -O3 -ffp-contract=off -pthread".split(" "),
  ...(flags[status.isa] ?? "-DCN_ISA=portable").split(" "),
  ...[join(import.meta.dirname, "peak.cpp"), "-o", peak],
]);

/** The most that was seen. Units: GFLOP/s and GB/s. */
const roofs = { computed: 0, copied: 0 };

function lookUp(): void {
  const printed = execFileSync(peak, [String(threads)], { encoding: "utf8" });
  const [computed, copied] = printed.split(" ").map(Number);
  roofs.computed = Math.max(roofs.computed, computed);
  roofs.copied = Math.max(roofs.copied, copied);
}

interface Work {
  readonly name: string;
  readonly multiplyAdds: number;
  readonly bytes: number;
}

function print({ name, multiplyAdds, bytes }: Work, ms: number): void {
  const [flops, moved] = [(2 * multiplyAdds) / ms / 1e6, bytes / ms / 1e6];
  const share = Math.max(flops / roofs.computed, moved / roofs.copied);
  const cells = [
    `${ms.toFixed(3)} ms`,
    multiplyAdds > 0 ? `${flops.toFixed(0)} GFLOP/s` : "",
    `${moved.toFixed(1)} GB/s`,
    `${(100 * share).toFixed(0)} %`,
  ];
  console.log(name.padEnd(58) + cells.map((cell) => cell.padStart(13)).join(""));
}

// ## Single kernels

const works: (Work & { readonly run: () => void })[] = [];

/** Each kernel that `body` calls, on the operands that it had the first time. */
function kernelsOf(where: string, body: () => unknown): void {
  const seen = new Set<string>();
  convnotes.registerBackend({
    ...kernels,
    run(primitive, inputs, outputs, options) {
      const run = () => {
        kernels.run(primitive, inputs, outputs, options);
      };
      run();
      if (seen.has(primitive.name)) return;
      seen.add(primitive.name);
      const shapes = (tensors: typeof inputs) => tensors.map((t) => t && t.shape);
      works.push({
        name: `${primitive.name}, ${where}`,
        multiplyAdds: primitive.multiplyAdds(shapes(inputs), shapes(outputs), options),
        bytes: [...inputs, ...outputs].reduce((sum, t) => sum + (t?.data.byteLength ?? 0), 0),
        run,
      });
    },
  });
  body();
  convnotes.registerBackend(kernels);
}

const leaves: Tensor[] = [];

/** Forward, and backward from a gradient that is drawn; earlier gradients would be added to. */
function both(body: () => Tensor): () => void {
  return () => {
    for (const leaf of leaves) leaf.grad = null;
    const y = body();
    const dy = convnotes.rand([...y.shape]);
    y.backward(y.size === 1 ? undefined : dy);
  };
}

const drawn = (...shape: number[]): Tensor => {
  const t = convnotes.rand(shape);
  t.requiresGrad = true;
  leaves.push(t);
  return t;
};

const sizes = (t: Tensor) => t.shape.join("×");

function product(M: number, N: number, K: number): void {
  const [a, b] = [convnotes.rand([M, K]), convnotes.rand([K, N])];
  kernelsOf(`${M}×${K} · ${K}×${N}`, () => convnotes.matmul(a, b));
}

function convolution(
  where: string,
  image: readonly number[],
  [O, K]: readonly number[],
  options: { stride?: number; padding?: number },
): void {
  const [x, w] = [drawn(...image), drawn(O, image[1], K, K)];
  const name = `${where} ${sizes(x)} ∗ ${O}×${K}×${K}`;
  kernelsOf(
    name,
    both(() => convnotes.conv2d(x, w, null, options)),
  );
}

for (const n of [256, 512, 1024, 2048]) product(n, n, n);
product(256, 4096, 6400);
convolution("LeNet", [64, 1, 28, 28], [6, 5], { padding: 2 });
convolution("LeNet", [64, 6, 14, 14], [16, 5], {});
convolution("AlexNet", [8, 1, 224, 224], [96, 11], { stride: 4, padding: 1 });
convolution("AlexNet", [8, 96, 26, 26], [256, 5], { padding: 2 });
convolution("AlexNet", [8, 384, 12, 12], [384, 3], { padding: 1 });
convolution("VGG", [4, 64, 112, 112], [128, 3], { padding: 1 });
convolution("VGG", [4, 512, 14, 14], [512, 3], { padding: 1 });
convolution("NiN", [8, 256, 26, 26], [256, 1], {});
convolution("ResNet", [8, 64, 24, 24], [64, 3], { padding: 1 });
convolution("ResNet", [8, 64, 24, 24], [128, 3], { stride: 2, padding: 1 });

{
  const [few, weight] = [drawn(8, 9216), drawn(4096, 9216)];
  kernelsOf(
    `${sizes(few)}, weight ${sizes(weight)}`,
    both(() => convnotes.linear(few, weight, drawn(4096))),
  );
}
{
  // Of 103 MB each: what is gone through is not in a cache the next time.
  const [images, others] = [drawn(32, 64, 112, 112), drawn(32, 64, 112, 112)];
  const stored = convnotes.fromData(new Uint8Array(60_000 * 784), [60_000, 28, 28]);
  const order = Array.from({ length: 30_000 }, (_, i) => (7919 * i) % 60_000);
  const indices = convnotes.tensor(order, { dtype: "int64" });
  const norm = new convnotes.nn.BatchNorm2d(64);
  const bodies: Readonly<Record<string, () => Tensor>> = {
    relu: () => convnotes.relu(images),
    sigmoid: () => convnotes.sigmoid(images),
    tanh: () => convnotes.tanh(images),
    dropout: () => new convnotes.nn.Dropout(0.5).call(images),
    add: () => convnotes.add(images, others),
    mul: () => convnotes.mul(images, others),
    norm: () => norm.call(images),
    max_pool: () => convnotes.maxPool2d(images, { kernelSize: 2, stride: 2 }),
    avg_pool: () => convnotes.avgPool2d(images, { kernelSize: 2, stride: 2 }),
    adaptive_pool: () => convnotes.adaptiveAvgPool2d(images, { outputSize: 1 }),
    pad: () => convnotes.pad(images, { padding: [1, 1, 1, 1] }),
    permute: () => convnotes.permute(images, { dims: [0, 2, 3, 1] }),
    narrow: () => convnotes.narrow(images, { dim: 1, start: 16, length: 32 }),
    concat: () => convnotes.concat([images, others], { dim: 1 }),
    sum: () => convnotes.sum(images, { dim: [0, 2, 3] }),
    mean: () => convnotes.mean(images, { dim: [2, 3] }),
    max: () => convnotes.max(images),
  };
  for (const body of Object.values(bodies)) kernelsOf(sizes(images), both(body));
  kernelsOf(`30,000 of ${sizes(stored)}`, () => convnotes.gatherImages(stored, indices, {}));
}
{
  const scores = drawn(25_600, 1000);
  const labels = convnotes.tensor(
    Array.from({ length: scores.shape[0] }, (_, i) => i % 1000),
    { dtype: "int64" },
  );
  const bodies = {
    softmax: () => convnotes.softmax(scores, { dim: 1 }),
    log_softmax: () => convnotes.logSoftmax(scores, { dim: 1 }),
    cross_entropy: () => convnotes.crossEntropy(scores, labels, null),
  };
  for (const body of Object.values(bodies)) kernelsOf(sizes(scores), both(body));
  kernelsOf(sizes(scores), () => convnotes.argmax(scores, { dim: 1 }));
  const weight = new convnotes.nn.Parameter(convnotes.rand([4096, 9216]));
  weight.grad = convnotes.rand([...weight.shape]);
  for (const [how, optimizer] of [
    ["", new convnotes.optim.SGD([weight], { lr: 1e-3 })],
    [" with momentum", new convnotes.optim.SGD([weight], { lr: 1e-3, momentum: 0.9 })],
    ["", new convnotes.optim.Adam([weight], { lr: 1e-3 })],
  ] as const)
    kernelsOf(sizes(weight) + how, () => {
      optimizer.step();
    });
}

const best = works.map(() => Infinity);
for (let round = 0; round < 3; round++) {
  lookUp();
  works.forEach(({ run }, i) => {
    run();
    const until = performance.now() + 100;
    for (let calls = 0; calls < 3 || performance.now() < until; calls++) {
      const begin = performance.now();
      run();
      best[i] = Math.min(best[i], performance.now() - begin);
    }
  });
}
console.log(
  `${status.isa}, ${threads} threads: computes ${roofs.computed.toFixed(0)} GFLOP/s, ` +
    `copies ${roofs.copied.toFixed(1)} GB/s`,
);
works.forEach((work, i) => {
  print(work, best[i]);
});
works.length = 0;

// ## Kernels of a step

const STEPS = 10;

const networks: readonly (readonly [name: string, batch: number])[] = [
  ["lenet", 256],
  ["lenet_bn", 256],
  ["alexnet", 32],
  ["vgg", 16],
  ["nin", 16],
  ["googlenet", 32],
  ["resnet", 32],
];
for (const [name, batch] of networks) {
  const { create, inputShape } = convnotes.modelNamed(name);
  const model = create();
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 1e-3 });
  const x = convnotes.randn([batch, ...inputShape]);
  const labels = convnotes.tensor(
    Array.from({ length: batch }, (_, i) => i % 10),
    { dtype: "int64" },
  );
  const step = convnotes.traceStep(model, optimizer, x, labels);
  const program = kernels.compile!(step);
  const outputs = step.outputs.map((t) => convnotes.emptyTensor(t.shape, t.dtype, "cpu"));
  program.run([x, labels], outputs, new Map());
  program.times = new Float64Array(program.calls.length);
  for (let i = 0; i < STEPS; i++) program.run([x, labels], outputs, new Map());

  const sums = new Map<string, Work & { readonly ms: number }>();
  program.calls.forEach(({ kernel, nodes, bytes }, i) => {
    const known = sums.get(kernel) ?? { name: kernel, multiplyAdds: 0, bytes: 0, ms: 0 };
    const work = nodes.map((n) => convnotes.multiplyAdds(step.graph, step.graph.nodes[n]));
    sums.set(kernel, {
      name: kernel,
      multiplyAdds: work.reduce((sum, n) => sum + n, known.multiplyAdds),
      bytes: known.bytes + bytes,
      ms: known.ms + program.times![i] / STEPS / 1e6,
    });
  });
  const rows = [...sums.values()].sort((a, b) => b.ms - a.ms);
  const total = rows.reduce((sum, { ms }) => sum + ms, 0);
  console.log(`\n${name}, ${batch} images: ${total.toFixed(2)} ms in kernels`);
  for (const row of rows) if (row.ms > total / 100) print(row, row.ms);
}
rmSync(folder, { recursive: true });
