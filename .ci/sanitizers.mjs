// # npm run test:sanitizers
//
// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer, knocks at its door and holds
// every kernel and program to the laws; then once more with ThreadSanitizer, for its threads. Node
// itself has no checks built in, so their runtimes are loaded before it. Linux with GCC; the builds
// take minutes, and only when something has changed. Names of sanitizers choose: `address`, `thread`.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root, setUp } from "./setup.mjs";

const chosen = process.argv.slice(2);
const kernels = join(root, "kernels");

/** The runtime libraries of that name, as the compiler finds them. */
function runtimes(...names) {
  const compiler = process.env.CXX ?? "c++";
  return names.map((name) => {
    const { stdout } = spawnSync(compiler, [`-print-file-name=${name}.so`], { encoding: "utf8" });
    const path = (stdout ?? "").trim();
    if (existsSync(path)) return path;
    throw new Error(
      `${compiler} has no ${name}.so; install GCC's sanitizers (Debian: libgcc-12-dev)`,
    );
  });
}

function run(what, command, args, env = {}) {
  const started = performance.now();
  console.log(`${what} …`);
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) {
    console.log(`FAILED ${what} (${signal ?? `status ${status}`})`);
    process.exit(1);
  }
  console.log(`ok     ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}

/** Steps with enough images for all threads to have work; of larger networks they take long. */
const networks = ["kernels/plan/networks.spec.ts", "--grep=lenet|reference"];

const sanitizers = {
  address: {
    preload: () => runtimes("libasan", "libubsan", "libstdc++"),
    // Node keeps what it needs until its end, which is no leak of ours.
    options: { ASAN_OPTIONS: "detect_leaks=0", UBSAN_OPTIONS: "print_stacktrace=1" },
    knocks: ["5000"],
    tests: [["kernels/check/laws.spec.ts", "kernels/plan/laws.spec.ts"], networks],
    start: [],
  },
  thread: {
    preload: () => runtimes("libtsan", "libstdc++"),
    options: { TSAN_OPTIONS: "ignore_noninstrumented_modules=1 halt_on_error=1" },
    knocks: ["1000", "--apart"],
    tests: [networks],
    // Layouts of address spaces are drawn so widely that ThreadSanitizer's may not fit in; where
    // that cannot be switched off, it may be lucky.
    start: spawnSync("setarch", ["-R", "true"]).status === 0 ? ["setarch", "-R"] : [],
  },
};

setUp({ tools: true });
for (const [name, { preload, options, knocks, tests, start }] of Object.entries(sanitizers)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const build = [join(kernels, "addon", "build.mjs"), "--strict", `--sanitize=${name}`];
  run(`building with ${name} checks`, process.execPath, build);
  const folder = `${process.platform}-${process.arch}-${name}`;
  const env = {
    ...options,
    CONVNOTES_ADDON: join(kernels, "build", folder, "convnotes.node"),
    LD_PRELOAD: preload().join(":"),
  };
  const [command, ...args] = [...start, process.execPath, "--import=tsx"];
  run(`knocking, ${name}`, command, [...args, "kernels/check/door.run.ts", ...knocks], env);
  const mocha = join(root, "node_modules", "mocha", "bin", "mocha.js");
  const quiet = ["--no-config", "--import=tsx", "--reporter=dot", "--timeout=600000"];
  for (const files of tests)
    run(`tests, ${name}`, command, [...args, mocha, ...quiet, ...files], env);
}
