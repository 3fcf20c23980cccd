// # Building for the emulated device
//
// Compiles kernels, and what calls them, for the emulated device, with whatever C++ compiler there
// is. An object is kept beside the list of files that went into it, and made again when one has
// changed.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface Emulated {
  /** What the result is called, without ending. */
  readonly name: string;
  /** Paths of kernels (.cu) and of what calls them (.cpp). */
  readonly sources: readonly string[];
  /** Whether every access to memory is judged: some ten times slower. */
  readonly checks: boolean;
  /** The compute capability that the device has, times a hundred. Default: 900. */
  readonly architecture?: number;
  /** Whether to make a library to load instead of a program to run. Default: false. */
  readonly library?: boolean;
}

/** Whether the emulated device knows how to switch stacks on this system. */
export const canEmulate = process.platform === "linux" && process.arch === "x64";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "..", "build", "emulated");
const compiler = process.env.CXX ?? "c++";
const execute = promisify(execFile);

// A fused multiply-add is a call unless the processor is known to have it.
const isModern =
  existsSync("/proc/cpuinfo") && / fma .* avx2 /.test(readFileSync("/proc/cpuinfo", "utf8"));

// Every multiply-add that is to be fused says so: the GPU's compiler is told the same.
const common = [
  ...(isModern ? ["-march=x86-64-v3"] : []),
  ..."-std=c++20 -O2 -fPIC -fvisibility=hidden -pthread -ffp-contract=off -Wall -Wextra".split(" "),
  "-DGPU_EMU=1",
];
// Kernels tell where in the source they are by debug information. A `#pragma unroll` is nvcc's.
const forKernels = ["-g", "-Wno-unknown-pragmas", "-Wno-psabi", "-x", "c++"];
// The compiler calls us before each access, which is not what its own library would do with it.
const forChecks = [
  "-fsanitize=thread,alignment",
  ..."--param tsan-instrument-func-entry-exit=0".split(" "),
];

const digest = (...texts: (string | Buffer)[]) => {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text);
  return hash.digest("hex").slice(0, 16);
};

const digestOfFile = (path: string) => (existsSync(path) ? digest(readFileSync(path)) : "none");

/** What something was made of: the digest of each file, and of the command. */
type Recipe = Readonly<Record<string, string>>;

const recipe = (command: string, files: readonly string[]): Recipe => ({
  "": digest(command),
  ...Object.fromEntries(files.map((path) => [path, digestOfFile(path)])),
});

function isFresh(made: string, command: string): boolean {
  const list = `${made}.json`;
  if (!existsSync(made) || !existsSync(list)) return false;
  const known = JSON.parse(readFileSync(list, "utf8")) as Recipe;
  const now = recipe(command, Object.keys(known).filter(Boolean));
  return Object.entries(now).every(([path, found]) => known[path] === found);
}

/** Has `make` write a file, and return what went into it, unless the file is there and fresh. */
async function keep(made: string, command: string, make: (output: string) => Promise<string[]>) {
  if (isFresh(made, command)) return made;
  // Others may be reading it, or making it, too: a complete one takes its place at once.
  const output = `${made}.${process.pid}`;
  const files = await make(output);
  writeFileSync(`${output}.json`, JSON.stringify(recipe(command, files)));
  renameSync(output, made);
  renameSync(`${output}.json`, `${made}.json`);
  return made;
}

function compile(source: string, flags: readonly string[], version: string): Promise<string> {
  const all = [...common, ...flags];
  const object = `${basename(source)}-${digest(source, flags.join(" "))}.o`;
  return keep(join(folder, object), `${version} ${all.join(" ")}`, async (output) => {
    const list = `${output}.d`;
    const outputs = ["-MMD", "-MF", list, "-c", source, "-o", output];
    const { stderr } = await execute(compiler, [...all, ...outputs], { maxBuffer: 1 << 28 });
    // Warnings: of another compiler's, perhaps, so they stop nothing.
    process.stderr.write(stderr);
    // A rule of make: what is made, a colon, and what it is made of, over several lines.
    const [, ...files] = readFileSync(list, "utf8").replaceAll("\\\n", " ").trim().split(/\s+/);
    rmSync(list);
    return files;
  });
}

/**
 * Builds a program or a library that runs kernels on the emulated device.
 *
 * Throws: Error with what the compiler said, or when the emulated device cannot run here.
 */
export async function buildEmulated(what: Emulated): Promise<string> {
  if (!canEmulate)
    throw new Error(
      `the emulated device runs on Linux on x86-64 only; this is ${process.platform} on ${process.arch}`,
    );
  mkdirSync(folder, { recursive: true });
  const { stdout: version } = await execute(compiler, ["--version"]);
  const architecture = what.architecture ?? 900;
  const settings = [`-DGPU_EMU_ARCH=${architecture}`];
  // The device comes first: all.cpp says why.
  const jobs = [
    {
      source: join(here, "all.cpp"),
      flags: [`-DEMULATED_CHECK=${Number(what.checks)}`],
    },
    ...what.sources.map((source) => ({
      source,
      flags: source.endsWith(".cu")
        ? [...settings, ...(what.checks ? forChecks : []), ...forKernels]
        : settings,
    })),
  ];
  const objects = new Map<string, string>();
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift())
      objects.set(job.source, await compile(job.source, job.flags, version));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const inputs = jobs.map(({ source }) => objects.get(source)!);
  // A library keeps to its own functions, the instrumented ones above all, whatever loads it has.
  const linking = [
    ...(what.library
      ? ["-shared", "-static-libgcc", "-static-libstdc++"].concat(
          "-Wl,--exclude-libs,ALL,-Bsymbolic,-z,nodelete",
        )
      : []),
    ..."-pthread -ldl".split(" "),
  ];
  const variant = `${what.name}-${architecture}${what.checks ? "-checked" : ""}`;
  const made = join(folder, what.library ? `${variant}.so` : variant);
  return keep(made, [version, ...inputs, ...linking].join(" "), async (output) => {
    await execute(compiler, [...inputs, ...linking, "-o", output]);
    return inputs;
  });
}
