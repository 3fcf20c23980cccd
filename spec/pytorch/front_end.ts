// # The front end, ready to ask
//
// Made once for all tests of a process.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createFrontEnd, type Document, type Neighbour } from "convnotes/pytorch";

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

/** The files beside each other. */
export const neighbour: Neighbour = (module) => {
  const name = `${module.replace(/^\./, "")}.py`;
  return /^\w+\.py$/.test(name) && existsSync(new URL(name, folder)) ? modelFile(name) : null;
};

export const python = (text: string): Document => ({ file: "a.py", language: "python", text });
