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
  // Nor where it lies: it is handed its own bytes.
  define: { "import.meta.url": '"file:///"' },
};

/** The language server, its worker, and what they read, in a folder. */
export async function buildServer(folder) {
  await build({
    ...common,
    ...commonJs,
    outdir: folder,
    entryPoints: {
      server: "server/node.ts",
      worker: "server/worker.ts",
      trace: "server/typescript/process.ts",
    },
  });
  // It is put together with the user's file and the library that the file uses.
  await build({
    ...common,
    outdir: folder,
    entryPoints: { look: "server/typescript/look.ts" },
    outExtension: { ".js": ".mjs" },
    format: "esm",
    platform: "node",
    alias: {},
    external: ["convnotes"],
  });
  mkdirSync(join(folder, "wasm"), { recursive: true });
  for (const name of ["web-tree-sitter", "tree-sitter-python"])
    cpSync(join(root, "node_modules", name, `${name}.wasm`), join(folder, "wasm", `${name}.wasm`));
  writeFileSync(join(folder, "statements.json"), JSON.stringify(chapters().flatMap(statementsOf)));
}

/** The server as a browser's worker, `server.js` in a folder; it is handed what the other one reads. */
export const buildWebServer = (folder) =>
  build({
    ...common,
    ...inBrowser,
    outdir: folder,
    format: "iife",
    entryPoints: { server: "server/web.ts" },
  });

export async function buildExtension() {
  rmSync(dist, { recursive: true, force: true });
  await Promise.all([
    buildServer(dist),
    build({ ...common, ...commonJs, entryPoints: { client: "client/client.ts" } }),
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
    }),
    buildWebServer(join(dist, "web")),
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

  mkdirSync(join(dist, "chapters"));
  for (const { file, text } of chapters()) writeFileSync(join(dist, "chapters", file), text);
}

// ## Chapters

/** The notes' chapters as they stand, in both languages. */
function chapters() {
  const folder = join(root, "spec", "chapters");
  return readdirSync(folder).flatMap((file) => {
    const match = /^(\d\d-[a-z0-9-]+)(\.zh)?\.md$/.exec(file);
    if (match === null) return [];
    const text = readFileSync(join(folder, file), "utf8");
    return [{ file, text, name: match[1], language: match[2] ? "zh" : "en" }];
  });
}

/** The labels and titles of a chapter's statements. */
function statementsOf({ text, name, language }) {
  const pattern = /^::: statement ([a-z0-9-]+)\n\*\*([\s\S]*?)\*\*/gm;
  return [...text.matchAll(pattern)].map(([, label, title]) => ({
    ...{ label, chapter: name, language },
    title: title.replaceAll(/\s+/g, " "),
  }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildExtension();
