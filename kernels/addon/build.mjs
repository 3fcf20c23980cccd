// # Building the addon
//
// `node addon/build.mjs` compiles the kernels with whatever C++ compiler there is; npm runs it after an
// install. It needs no network and no build tool, and headers that come from npm, so the result
// loads in every Node from 20 on.
//
// It never fails an install: without the addon everything runs on the reference. What went wrong is
// written beside the result, where `loadKernels` finds it.
//
// A package may carry a result: `prebuilt/PLATFORM-ARCH/convnotes.node`, where `loadKernels` finds it with
// install scripts off as well. Nothing is compiled where one is that loads and is of these sources.
//
//     --prebuilt            compiles, and puts the result where a package carries it
//     --strict              warnings are errors, and a failure is one
//     --sanitize=address    an addon with checks built in, in a folder of its own (or =thread)
//     --force               even if nothing has changed

import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sourcesOf } from "./sources.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
const strict = process.argv.includes("--strict");
const sanitizer = process.argv.find((a) => a.startsWith("--sanitize="))?.split("=")[1];
const place = `${process.platform}-${process.arch}${sanitizer ? `-${sanitizer}` : ""}`;
const folder = join(root, "build", place);
const result = join(folder, "convnotes.node");
const carried = join(root, "prebuilt", place, "convnotes.node");
const publishes = process.argv.includes("--prebuilt");

// ## What is compiled
//
// The kernels once for each instruction set. The linker keeps the first of equal functions, so the
// plainest set comes first: no function that all share may need a processor that not all have.

const isas =
  process.arch === "x64"
    ? [
        { name: "portable", flags: [] },
        { name: "avx2", flags: ["-DCN_AVX2", "-mavx2", "-mfma"] },
        {
          name: "avx512",
          flags: [
            ..."avx2 fma avx512f avx512bw avx512dq avx512vl".split(" ").map((f) => `-m${f}`),
            "-DCN_AVX512",
          ],
        },
      ]
    : [{ name: "portable", flags: [] }];

const units = [
  { object: "pool.o", source: "host/pool.cpp", flags: [] },
  { object: "dispatch.o", source: "host/dispatch.cpp", flags: [] },
  { object: "program.o", source: "host/program.cpp", flags: [] },
  {
    object: "addon.o",
    source: "addon/addon.cpp",
    flags: [`-DCN_SOURCES="${sourcesOf(root)}"`],
  },
  { object: "binding.o", source: "addon/program.cpp", flags: [] },
  { object: "gpu_program.o", source: "addon/gpu_program.cpp", flags: [] },
  { object: "gpu.o", source: "addon/gpu.cpp", flags: [] },
  ...isas.map(({ name, flags }) => ({
    object: `${name}.o`,
    source: "host/isa.cpp",
    flags: [`-DCN_ISA=${name}`, ...flags],
  })),
];

// Every multiply-add that is to be fused says so, and no sum is reordered: the bounds count on it.
const common = [
  ..."-std=c++20 -fPIC -fvisibility=hidden -pthread -ffp-contract=off".split(" "),
  // With checks built in, more would take minutes to compile.
  sanitizer ? "-O1" : "-O3",
  "-fno-math-errno",
  "-Wall",
  "-Wextra",
  // GCC's own vector headers set these off.
  "-Wno-uninitialized",
  "-Wno-psabi",
  ...(strict ? ["-Werror"] : []),
  ...(sanitizer
    ? [
        `-fsanitize=${sanitizer}${sanitizer === "address" ? ",undefined" : ""}`,
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
        "-g",
      ]
    : ["-DNDEBUG"]),
];

const linking =
  process.platform === "darwin"
    ? ["-bundle", "-undefined", "dynamic_lookup"]
    : [
        "-shared",
        "-ldl",
        ...(sanitizer
          ? []
          : ["-s", "-static-libgcc", "-static-libstdc++", "-Wl,--exclude-libs,ALL"]),
        // Threads may still sleep in it when the last worker that loaded it ends.
        "-Wl,-z,nodelete",
      ];

// ## With what

/** Throws: Error that says what to install. */
function findCompiler() {
  const tried = [process.env.CXX, "c++", "g++", "clang++"].filter(Boolean);
  for (const command of tried) {
    const probe = spawnSync(command, ["-std=c++20", "-x", "c++", "-", "-fsyntax-only"], {
      input: "#include <atomic>\n#include <thread>\nint main() {}\n",
      encoding: "utf8",
    });
    if (probe.status === 0) return command;
  }
  const how = {
    linux: "install g++ 12 or newer (Debian and Ubuntu: apt install g++)",
    darwin: "install Apple's command line tools: xcode-select --install",
    win32: "the kernels cannot be built on Windows yet; in WSL they can",
  }[process.platform];
  throw new Error(
    `no C++20 compiler among ${tried.join(", ")}; ${how ?? "install g++ or clang++"}, ` +
      `then run: node ${join(root, "addon", "build.mjs")}`,
  );
}

function findHeaders() {
  try {
    return [
      dirname(require.resolve("node-addon-api/napi.h")),
      require("node-api-headers").include_dir,
    ].map((path) => `-I${path}`);
  } catch {
    throw new Error("node-addon-api and node-api-headers are missing; run npm install");
  }
}

/** Of everything that the result depends on. */
function fingerprint(...extra) {
  const hash = createHash("sha256").update(extra.join("\n")).update(sourcesOf(root));
  return hash.update(readFileSync(join(root, "addon", "build.mjs"))).digest("hex");
}

// ## Doing it

const execute = promisify(execFile);

/** Whether the package carries a result for this machine. */
function comesBuilt() {
  if (strict || sanitizer || publishes || !existsSync(carried)) return false;
  const ask = "process.stdout.write(String(require(process.argv[1]).describe().sources))";
  const { stdout } = spawnSync(process.execPath, ["-e", ask, carried], { encoding: "utf8" });
  return stdout === sourcesOf(root);
}

async function build() {
  if (comesBuilt()) return { ok: true, carried };
  const compiler = findCompiler();
  const headers = findHeaders();
  const { stdout: version } = spawnSync(compiler, ["--version"], { encoding: "utf8" });
  const print = fingerprint(version, common.join(" "), linking.join(" "));
  const last = status();
  if (!process.argv.includes("--force") && last?.fingerprint === print && last.ok) return last;

  const started = performance.now();
  process.stderr.write(`building the kernels with ${compiler} … `);
  const work = join(folder, `work-${process.pid}`);
  mkdirSync(work, { recursive: true });
  try {
    const queue = [...units].reverse();
    const worker = async () => {
      for (let unit = queue.shift(); unit !== undefined; unit = queue.shift()) {
        const { object, source, flags } = unit;
        const output = ["-c", join(root, source), "-o", join(work, object)];
        await execute(compiler, [...common, ...flags, ...headers, ...output], {
          maxBuffer: 1 << 28,
        });
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
    const made = join(work, "convnotes.node");
    const objects = units.map(({ object }) => join(work, object));
    await execute(compiler, [...common, ...objects, ...linking, "-o", made]);
    // What does not load is no result. A sanitizer's runtime is loaded by whoever runs it.
    if (!sanitizer) await execute(process.execPath, ["-e", `require(process.argv[1])`, made]);
    renameSync(made, result);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return { ok: true, fingerprint: print, compiler: version.split("\n")[0] };
}

function status() {
  try {
    return JSON.parse(readFileSync(join(folder, "status.json"), "utf8"));
  } catch {
    return undefined;
  }
}

const outcome = await build().catch((error) => {
  const reason = String(error.stderr || error.message).trim();
  return { ok: false, reason: reason.length > 4000 ? `${reason.slice(0, 4000)} …` : reason };
});
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "status.json"), JSON.stringify(outcome, null, 2));
if (outcome.ok && publishes) {
  mkdirSync(dirname(carried), { recursive: true });
  copyFileSync(result, carried);
}
if (!outcome.ok) {
  rmSync(result, { force: true });
  console.error(`\nconvnotes: the fast kernels were not built; everything runs without them.`);
  console.error(outcome.reason);
  if (strict || publishes) process.exitCode = 1;
}
