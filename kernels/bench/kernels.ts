// # npm run bench:kernels
//
// Single kernels against the most that the processor computes (peak.cpp): large matrix products, and
// the convolutions of the notes, forward and gradients. One thread, unless more are asked for:
// `npm run bench:kernels -- 2`. Times are the best of many calls in turn with the peak, so that
// neither a busy machine nor a clock that changes favours one of them.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";

const threads = Number(process.argv[2] ?? 1);
const status = loadKernels(convnotes, { threads });
if (!status.available) throw new Error(status.reason);

// ## The peak

const flags: Readonly<Record<string, string>> = {
  avx512: "-DCN_AVX512 -DCN_ISA=avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl",
  avx2: "-DCN_AVX2 -DCN_ISA=avx2 -mavx2 -mfma",
};

const folder = mkdtempSync(join(tmpdir(), "convnotes-peak-"));
const program = join(folder, "peak");
execFileSync(process.env.CXX ?? "c++", [
  ..."-std=c++20 -O3 -ffp-contract=off -pthread".split(" "),
  ...(flags[status.isa] ?? "-DCN_ISA=portable").split(" "),
  ...[join(import.meta.dirname, "peak.cpp"), "-o", program],
]);
const peak = (): number => Number(execFileSync(program, [String(threads)], { encoding: "utf8" }));

// ## What is measured

interface Work {
  readonly name: string;
  readonly multiplyAdds: number;
  readonly run: () => void;
}

const works: Work[] = [];

function product(M: number, N: number, K: number): void {
  const [a, b] = [convnotes.rand([M, K]), convnotes.rand([K, N])];
  works.push({
    name: `matmul ${M}×${K} · ${K}×${N}`,
    multiplyAdds: M * N * K,
    run: () => convnotes.matmul(a, b),
  });
}

/** A convolution and its two large gradients, each by itself: the other input wants none. */
function convolution(
  where: string,
  [N, C, H, W]: readonly number[],
  [O, K]: readonly number[],
  options: { stride?: number; padding?: number },
): void {
  const x = convnotes.rand([N, C, H, W]);
  const w = convnotes.rand([O, C, K, K]);
  const y = convnotes.conv2d(x, w, null, options);
  const dy = convnotes.rand([...y.shape]);
  const name = `${where} ${N}×${C}×${H}×${W} ∗ ${O}×${K}×${K}`;
  const multiplyAdds = y.size * C * K * K;
  works.push({ name, multiplyAdds, run: () => convnotes.conv2d(x, w, null, options) });
  for (const [what, wanted] of [
    ["dx", x],
    ["dw", w],
  ] as const)
    works.push({
      name: `  ${what}`,
      multiplyAdds,
      run: () => {
        wanted.requiresGrad = true;
        const node = convnotes.uncomputed(() => convnotes.conv2d(x, w, null, options));
        node.backward(dy);
        wanted.requiresGrad = false;
        wanted.grad = null;
      },
    });
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

// ## Measuring

const best = works.map(() => Infinity);
let most = 0;
for (let round = 0; round < 3; round++) {
  most = Math.max(most, peak());
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
rmSync(folder, { recursive: true });

console.log(`${status.isa}, ${threads} threads, peak ${most.toFixed(0)} GFLOP/s`);
works.forEach(({ name, multiplyAdds }, i) => {
  const speed = (2 * multiplyAdds) / best[i] / 1e6;
  console.log(
    name.padEnd(44) +
      `${best[i].toFixed(3)} ms`.padStart(14) +
      `${speed.toFixed(0)} GFLOP/s`.padStart(14) +
      `${((100 * speed) / most).toFixed(0)} %`.padStart(7),
  );
});
