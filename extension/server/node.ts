// # The server as a program
//
// `node dist/server.cjs --stdio`: speaks the language server protocol over its input and output, or, when
// VS Code starts it, over what VS Code says.

import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { createConnection, ProposedFeatures } from "vscode-languageserver/node.js";
import { createFrontEnd, type Neighbour } from "convnotes/pytorch";
import { serve } from "./server.js";

/** Source files beyond this are not read. Units: bytes. */
const LARGEST = 2_000_000;

/** Files in the folder of the document and below; nothing else is read. */
function neighboursOf(uri: string): Neighbour {
  if (!uri.startsWith("file:")) return () => null;
  let root: string;
  try {
    root = realpathSync(dirname(fileURLToPath(uri)));
  } catch {
    return () => null;
  }
  return (module, from) => {
    const dots = /^\.*/.exec(module)![0].length;
    const base = from.startsWith("file:") ? dirname(fileURLToPath(from)) : dirname(from);
    const start = dots > 0 ? join(base, ...Array<string>(dots - 1).fill("..")) : root;
    const path = join(start, ...module.slice(dots).split("."));
    for (const candidate of [`${path}.py`, join(path, "__init__.py")]) {
      if (!existsSync(candidate)) continue;
      const file = realpathSync(candidate);
      if (!file.startsWith(root + sep) || statSync(file).size > LARGEST) return null;
      return { file, language: "python", text: readFileSync(file, "utf8") };
    }
    return null;
  };
}

/** The parser's files: beside the bundle, else in the packages that they come from. */
function wasm(name: string): Uint8Array {
  const built = join(dirname(process.argv[1] ?? "."), "wasm", `${name}.wasm`);
  if (existsSync(built)) return readFileSync(built);
  return readFileSync(createRequire(join(process.cwd(), "x.js")).resolve(`${name}/${name}.wasm`));
}

const connection = createConnection(ProposedFeatures.all);
// What a library prints would break the protocol.
console.log = (...words: unknown[]) => connection.console.log(words.join(" "));

serve(connection, {
  frontEnd: createFrontEnd({
    runtime: wasm("web-tree-sitter"),
    python: wasm("tree-sitter-python"),
  }),
  neighboursOf,
});
