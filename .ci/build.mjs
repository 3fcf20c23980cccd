// # The build
//
// Bundles the reference: once for browsers, once for Node, and the command. `--types` also writes
// the declarations that a published package needs.

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(join(root, "reference"));
rmSync("dist", { recursive: true, force: true });

const common = {
  absWorkingDir: process.cwd(),
  bundle: true,
  format: "esm",
  target: "node20",
  // A model prints itself by the name of its class.
  keepNames: true,
  sourcemap: true,
  logLevel: "warning",
};

await Promise.all([
  // No platform modules: this fails if the library stops running in a browser.
  build({ ...common, entryPoints: ["./index.ts"], outdir: "dist", platform: "browser" }),
  build({
    ...common,
    entryPoints: ["./node.ts", "./cli/main.ts"],
    outdir: "dist",
    outbase: ".",
    platform: "node",
    splitting: true,
    packages: "external",
    chunkNames: "chunks/[name]-[hash]",
  }),
]);

const command = join("dist", "cli", "main.js");
writeFileSync(command, `#!/usr/bin/env node\n${readFileSync(command, "utf8")}`);
chmodSync(command, 0o755);

if (process.argv.includes("--types")) {
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules", "typescript", "bin", "tsc"),
      ...["-p", join(root, "tsconfig.json"), "--noEmit", "false", "--declaration"],
      ...["--emitDeclarationOnly", "--outDir", "dist", "--rootDir", "."],
    ],
    { stdio: "inherit" },
  );
  if (status !== 0) process.exit(1);
}
