// # npm run package
//
// Builds the extension and packs it: `build/convnotes-VERSION.vsix`, which any VS Code installs.

import { createVSIX } from "@vscode/vsce";
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { buildExtension } from "./build.mjs";

const extension = dirname(fileURLToPath(import.meta.url));
const root = join(extension, "..");

await buildExtension();
const { version } = JSON.parse(readFileSync(join(extension, "package.json"), "utf8"));
const packagePath = join(root, "build", `convnotes-${version}.vsix`);
mkdirSync(dirname(packagePath), { recursive: true });

// The house has one licence and one history; the package brings copies.
const copies = ["LICENSE", "CHANGELOG.md"];
for (const name of copies) copyFileSync(join(root, name), join(extension, name));
try {
  // What it needs is in its bundles.
  await createVSIX({
    cwd: extension,
    packagePath,
    dependencies: false,
    allowMissingRepository: true,
  });
} finally {
  for (const name of copies) rmSync(join(extension, name));
}
const size = (statSync(packagePath).size / 1e6).toFixed(2);
console.log(`${relative(process.cwd(), packagePath)}: ${size} MB`);
