// # From a fresh clone to something that runs
//
// Installs what the lock file names, unless that is what is installed, and builds. It uses nothing
// but Node, since nothing else is there yet.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The packages in a lock file, by the folder that each lies in; the empty name is the project's. */
function packagesOf(lockFile) {
  const path = join(root, lockFile);
  if (!existsSync(path)) return [];
  return Object.entries(JSON.parse(readFileSync(path, "utf8")).packages).filter(([name]) => name);
}

/** Whether npm's record of what it installed last agrees with what the lock file asks for. */
function isInstalled(tools) {
  const release = ({ version, integrity }) => `${version} ${integrity}`;
  const wanted = packagesOf("package-lock.json");
  const installed = packagesOf("node_modules/.package-lock.json");
  const found = new Map(installed.map(([folder, entry]) => [folder, release(entry)]));
  const known = new Map(wanted.map(([folder, entry]) => [folder, release(entry)]));
  // What is optional may be for another machine.
  const needed = wanted.filter(([, { optional, dev }]) => !optional && (tools || !dev));
  return (
    installed.length > 0 &&
    needed.every(([folder]) => found.has(folder)) &&
    installed.every(([folder]) => known.get(folder) === found.get(folder))
  );
}

function run(what, command, args) {
  const started = performance.now();
  process.stderr.write(`${what} … `);
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
    maxBuffer: 1 << 28,
    // Its library for CPUs is in the package; what it would fetch besides is for CUDA.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" },
  });
  if (status !== 0) {
    process.stderr.write("failed\n");
    process.stderr.write(`${stdout ?? ""}${stderr ?? ""}${error ? `${error.message}\n` : ""}`);
    process.exit(1);
  }
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

/**
 * Installs and builds: with `tools`, also installs what only tests and documentation need; with
 * `types`, also builds what only a published package needs.
 */
export function setUp({ tools, types = false }) {
  if (!isInstalled(tools)) {
    const omit = tools ? [] : ["--omit=dev"];
    run("installing", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error", ...omit]);
  }
  // Without a compiler there are no kernels; that is said, and is no failure.
  for (const build of [
    [join(root, "kernels", "addon", "build.mjs")],
    [join(root, ".ci", "build.mjs"), ...(types ? ["--types"] : [])],
  ]) {
    const { status } = spawnSync(process.execPath, build, {
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (status !== 0) process.exit(1);
  }
}

// `npm run build`
if (process.argv[1] === fileURLToPath(import.meta.url)) setUp({ tools: true, types: true });
