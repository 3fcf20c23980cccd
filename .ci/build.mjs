// # The build
//
// Bundles the library, the command and the language server into `reference/dist`, and the door to the
// kernels into `kernels/dist`. The entries share their chunks, so that there is one `Tensor` and one
// generator however a program imports them. `--types` also builds the extension, and writes the
// declarations that a published package needs.

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildExtension, buildServer } from "../extension/build.mjs";
import { sourcesOf } from "../kernels/addon/sources.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const reference = join(root, "reference");
const dist = join(reference, "dist");

const common = {
  absWorkingDir: reference,
  outdir: dist,
  bundle: true,
  write: false,
  format: "esm",
  target: ["node20", "es2022"],
  // A model prints itself by the name of its class.
  keepNames: true,
  logLevel: "warning",
};

const kernels = join(root, "kernels");

const results = await Promise.all([
  build({
    ...common,
    entryPoints: ["index.ts", "node.ts", "pytorch/index.ts", "cli/main.ts"],
    platform: "node",
    packages: "external",
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    sourcemap: true,
  }),
  build({
    ...common,
    absWorkingDir: kernels,
    outdir: join(kernels, "dist"),
    entryPoints: { backend: "backend.ts", verify: "check/verify.ts" },
    platform: "node",
    // The laws travel with what judges by them; the library is the one that a program runs, and not
    // what the house's own tsconfig.json makes of its name.
    packages: "external",
    external: ["convnotes"],
    define: { CONVNOTES_SOURCES: JSON.stringify(sourcesOf(kernels)) },
    sourcemap: true,
  }),
  // Nothing is kept of this one: it fails as soon as the library asks for what browsers lack.
  build({
    ...common,
    entryPoints: ["index.ts", "pytorch/index.ts"],
    platform: "browser",
    // The parser asks for Node's modules only where there is Node.
    external: ["web-tree-sitter"],
  }),
]).catch(() => process.exit(1)); // It has said why.

// Only what has been built as a whole takes the place of what was there.
for (const folder of [dist, join(kernels, "dist")])
  rmSync(folder, { recursive: true, force: true });
for (const { path, contents } of results.slice(0, 2).flatMap((r) => r.outputFiles)) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}

// The parser's WebAssembly is read from here; its packages are needed for nothing else.
mkdirSync(join(dist, "wasm"));
for (const name of ["web-tree-sitter", "tree-sitter-python"])
  cpSync(join(root, "node_modules", name, `${name}.wasm`), join(dist, "wasm", `${name}.wasm`));

// `convnotes lsp` starts it.
await buildServer(join(dist, "lsp")).catch(() => process.exit(1));

if (process.argv.includes("--types")) {
  await buildExtension();

  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const project = join(reference, "tsconfig.build.json");
  const { status } = spawnSync(process.execPath, [tsc, "-p", project], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
  cpSync(join(root, "LICENSE"), join(dist, "LICENSE"));
}
