// # npm run build:gpu
//
// `npm run build:gpu emulated` builds the kernels for the emulated device, `emulated:check` those whose every
// access to memory is judged, `cuda` those for GPUs, where NVIDIA's compiler is; left out, all that can be
// built here.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildEmulated } from "../emulated/build.js";

const here = dirname(fileURLToPath(import.meta.url));
const nvcc = process.env.NVCC ?? "nvcc";
const hasNvcc = spawnSync(nvcc, ["--version"]).status === 0;

/** `75` … `90a` …, as nvcc calls them. */
const architectures = [
  ...readFileSync(join(here, "architectures.def"), "utf8").matchAll(
    /^ARCHITECTURE\((\d+), "(a?)"\)/gm,
  ),
].map(([, number, suffix]) => number + suffix);

const sources = ["all.cu", "library.cu"].map((name) => join(here, name));

async function emulated(checks: boolean): Promise<string> {
  return buildEmulated({ name: "kernels", sources, checks, library: true });
}

function cuda(): string {
  if (!hasNvcc)
    throw new Error(
      `there is no ${nvcc}: install NVIDIA's CUDA toolkit 13, or name its compiler by NVCC`,
    );
  const folder = join(here, "..", "build", `${process.platform}-${process.arch}`);
  mkdirSync(folder, { recursive: true });
  const made = join(folder, "convnotes-cuda.so");
  execFileSync(
    nvcc,
    [
      ...["-std=c++20", "-O3", "-fmad=false", "-lineinfo", "--threads=0"],
      ...["--Werror", "all-warnings", "-Xptxas", "-warn-spills,-warn-lmem-usage,-Werror"],
      ...["-Xcompiler", "-fPIC,-fvisibility=hidden,-Wno-psabi", "--compress-mode=size"],
      ...architectures.flatMap((a) => ["-gencode", `arch=compute_${a},code=sm_${a}`]),
      ...["-shared", "-cudart=static", ...sources, "-o", made],
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  return made;
}

const known: Readonly<Record<string, () => Promise<string> | string>> = {
  emulated: () => emulated(false),
  "emulated:check": () => emulated(true),
  cuda,
};
const asked = process.argv.slice(2);
const wanted = asked.length > 0 ? asked : ["emulated", ...(hasNvcc ? ["cuda"] : [])];
for (const what of wanted) {
  const build = known[what] as (() => Promise<string> | string) | undefined;
  if (build === undefined) {
    console.error(`build:gpu: there is no ${what}; there are ${Object.keys(known).join(", ")}`);
    process.exit(2);
  }
  const started = performance.now();
  try {
    const made = await build();
    console.log(`${made} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    console.error(`build:gpu ${what}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
