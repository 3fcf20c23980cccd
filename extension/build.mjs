// # The extension's build
//
// Everything that the extension needs at run time, in `extension/dist`: the client, the server and its
// worker, the panels' scripts, the parser, the `convnotes` command, the chapters that hovers open, and the
// tests that run inside of VS Code.

import { build } from "esbuild";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const extension = dirname(fileURLToPath(import.meta.url));
const root = join(extension, "..");
const dist = join(extension, "dist");
const reference = (path) => join(root, "reference", path);

const common = {
  absWorkingDir: extension,
  outdir: dist,
  bundle: true,
  target: ["node20", "es2022"],
  // A model prints itself by the name of its class.
  keepNames: true,
  minify: true,
  logLevel: "warning",
  alias: {
    "convnotes/pytorch": reference("pytorch/index.ts"),
    convnotes: reference("index.ts"),
  },
};

/** What asks where it lies does so in the words of another kind of module. */
const commonJs = {
  platform: "node",
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  external: ["vscode", "mocha"],
  define: { "import.meta.url": "moduleUrl" },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
};

const inBrowser = {
  platform: "browser",
  target: ["es2022"],
  // The parser asks for Node's modules only where there is Node.
  external: ["vscode", "module", "fs/promises", "fs", "path"],
};

export async function buildExtension() {
  rmSync(dist, { recursive: true, force: true });
  await Promise.all([
    build({
      ...common,
      ...commonJs,
      entryPoints: {
        client: "client/client.ts",
        server: "server/node.ts",
        worker: "server/worker.ts",
      },
    }),
    build({
      ...common,
      ...commonJs,
      outdir: join(dist, "test"),
      entryPoints: { run: "test/inside/run.ts", tests: "test/inside/tests.ts" },
      minify: false,
    }),
    build({
      ...common,
      ...inBrowser,
      format: "iife",
      entryPoints: { "panel/outputs": "panel/outputs.ts", "panel/training": "panel/training.ts" },
    }),
    build({
      ...common,
      ...inBrowser,
      format: "cjs",
      outExtension: { ".js": ".cjs" },
      entryPoints: { "web/client": "client/web.ts" },
      define: { "import.meta.url": '""' },
    }),
    build({
      ...common,
      ...inBrowser,
      format: "iife",
      entryPoints: { "web/server": "server/web.ts" },
      define: { "import.meta.url": '""' },
    }),
    // The command finds its parser one folder up.
    build({
      ...common,
      platform: "node",
      format: "esm",
      outExtension: { ".js": ".mjs" },
      entryPoints: { "cli/main": reference("cli/main.ts") },
      external: ["convnotes-kernels", "convnotes-vscode"],
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
    }),
  ]).catch(() => process.exit(1)); // It has said why.

  mkdirSync(join(dist, "wasm"));
  for (const name of ["web-tree-sitter", "tree-sitter-python"])
    cpSync(join(root, "node_modules", name, `${name}.wasm`), join(dist, "wasm", `${name}.wasm`));
  packChapters();
}

// ## Chapters

/** The chapters as they stand, and a list of what they state about which operation. */
function packChapters() {
  const from = join(root, "spec", "chapters");
  const to = join(dist, "chapters");
  mkdirSync(to);
  const statements = [];
  for (const file of readdirSync(from)) {
    const match = /^(\d\d-[a-z0-9-]+)(\.zh)?\.md$/.exec(file);
    if (match === null) continue;
    const text = readFileSync(join(from, file), "utf8");
    writeFileSync(join(to, file), text);
    const pattern = /^::: statement ([a-z0-9-]+)\n\*\*([\s\S]*?)\*\*([\s\S]*?)^:::$/gm;
    for (const [, label, title, body] of text.matchAll(pattern)) {
      const operations = /^operations: (.*)$/m.exec(body);
      if (operations === null) continue;
      statements.push({
        ...{ label, chapter: match[1], language: match[2] ? "zh" : "en" },
        title: title.replaceAll(/\s+/g, " "),
        operations: operations[1].split(/,\s*/),
      });
    }
  }
  writeFileSync(join(dist, "statements.json"), JSON.stringify(statements));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildExtension();
