// # From a fresh clone to something that runs
//
// Installs what the lock file names, and builds; each only when it has to. It uses nothing but
// Node, since nothing else is there yet.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const OLDEST_NODE = 20;

/** Where the fingerprint of what was last installed or built is kept. */
const stampFile = (name) => join(root, "node_modules", ".convnotes", name);

function upToDate(name, fingerprint) {
  return existsSync(stampFile(name)) && readFileSync(stampFile(name), "utf8") === fingerprint;
}

function stamp(name, fingerprint) {
  mkdirSync(dirname(stampFile(name)), { recursive: true });
  writeFileSync(stampFile(name), fingerprint);
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

/** Changes when any source that goes into the build changes. */
function sourceFingerprint() {
  const hash = createHash("sha256");
  const visit = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (["node_modules", "dist", "build"].includes(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (/\.(ts|json|mjs|cpp|h|def)$/.test(entry.name)) {
        const { mtimeMs, size } = statSync(path);
        hash.update(`${path} ${mtimeMs} ${size}\n`);
      }
    }
  };
  for (const folder of ["reference", "kernels", ".ci"])
    if (existsSync(join(root, folder))) visit(join(root, folder));
  return hash.digest("hex");
}

/** Installs and builds what is not up to date. */
export function setUp() {
  const [major] = process.versions.node.split(".").map(Number);
  if (major < OLDEST_NODE) {
    console.error(
      `convnotes needs Node.js ${OLDEST_NODE} or newer, this is ${process.versions.node}. ` +
        `Install a current one from https://nodejs.org`,
    );
    process.exit(1);
  }
  const lock = createHash("sha256").update(readFileSync(join(root, "package-lock.json")));
  const installed = `${lock.digest("hex")} ${process.platform} ${process.arch}`;
  if (!upToDate("installed", installed)) {
    run("installing", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    stamp("installed", installed);
  }
  const sources = sourceFingerprint();
  if (!upToDate("built", sources)) {
    run("building", process.execPath, [join(root, ".ci", "build.mjs")]);
    stamp("built", sources);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp();
