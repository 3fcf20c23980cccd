// # Files beside the source
//
// All that the server reads from the disk: neighbouring modules, weights, and its own parser.

import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { createFrontEnd, type FrontEnd } from "convnotes/pytorch";
import { LARGEST } from "./neighbours.js";
import type { WeightsFile } from "./outputs.js";
import type { CitedStatement } from "./statements.js";

/** Weights beyond this are not read. Units: bytes. */
const LARGEST_WEIGHTS = 1e9;

/** The text of `uri`, where it is a file in the folder of `of` or below; else null. */
export function read(uri: string, of: string): string | null {
  if (!uri.startsWith("file:") || !of.startsWith("file:")) return null;
  try {
    const root = realpathSync(dirname(fileURLToPath(of)));
    const file = realpathSync(fileURLToPath(uri));
    const stats = statSync(file);
    const inside = file.startsWith(root.endsWith(sep) ? root : root + sep);
    return inside && stats.isFile() && stats.size <= LARGEST ? readFileSync(file, "utf8") : null;
  } catch {
    // Whatever cannot be read is as good as not there.
    return null;
  }
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
