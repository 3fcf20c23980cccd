// # The front end, ready to ask
//
// Made once for all tests of a process.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createFrontEnd, type Document } from "convnotes/pytorch";

const read = (name: string) => readFileSync(createRequire(import.meta.url).resolve(name));

export const frontEnd = await createFrontEnd({
  runtime: read("web-tree-sitter/web-tree-sitter.wasm"),
  python: read("tree-sitter-python/tree-sitter-python.wasm"),
});

const folder = new URL("./files/", import.meta.url);

export const modelFile = (name: string): Document => ({
  file: name,
  language: "python",
  text: readFileSync(new URL(name, folder), "utf8"),
});

export const python = (text: string): Document => ({ file: "a.py", language: "python", text });
