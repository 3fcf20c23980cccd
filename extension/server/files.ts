// # Files beside the source
//
// All that the server reads from the disk: neighbouring modules, weights, and its own parser.

import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { createFrontEnd, type FrontEnd, type Neighbour } from "convnotes/pytorch";
import type { WeightsFile } from "./outputs.js";
import type { CitedStatement } from "./statements.js";

/** Source files beyond this are not read. Units: bytes. */
const LARGEST = 2_000_000;

/** Weights beyond this are not read. Units: bytes. */
const LARGEST_WEIGHTS = 1e9;

/** Files in the folder of the document and below; nothing else is read. */
export function neighboursOf(uri: string): Neighbour {
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

/**
 * Weights named like the network or like the file, beside it: `net.safetensors` or `lenet.pth`
 * for `net` in `lenet.py`. Null where there are none.
 */
export function weightsOf(uri: string, network: string): WeightsFile | null {
  if (!uri.startsWith("file:")) return null;
  try {
    const path = fileURLToPath(uri);
    const stem = basename(path, extname(path));
    for (const name of [network, stem])
      for (const ending of ["safetensors", "pth", "pt"]) {
        const file = join(dirname(path), `${basename(name)}.${ending}`);
        const stats = statSync(file, { throwIfNoEntry: false });
        if (stats?.isFile() && stats.size <= LARGEST_WEIGHTS)
          return { name: basename(file), bytes: readFileSync(file) };
      }
  } catch {
    // Whatever cannot be read is as good as not there.
  }
  return null;
}

/** The folder of the program that runs: the build puts beside it what it reads. */
export const ownFolder = (): string => dirname(process.argv[1] ?? ".");

const wasm = (name: string): Uint8Array => readFileSync(join(ownFolder(), "wasm", `${name}.wasm`));

export const frontEnd = (): Promise<FrontEnd> =>
  createFrontEnd({ runtime: wasm("web-tree-sitter"), python: wasm("tree-sitter-python") });

/** What the chapters state. */
export const statements = (): readonly CitedStatement[] =>
  JSON.parse(readFileSync(join(ownFolder(), "statements.json"), "utf8")) as CitedStatement[];
