// # Networks in the user's own files
//
// `FILE:ENTRY` names a network in PyTorch source: a Python file, a Markdown file with Python in it, or a
// notebook. ENTRY is a class, a function or an expression; left out, it is every network of the file.
// Nothing of the file is executed.

import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createFrontEnd,
  type Dim,
  type Document,
  type FrontEnd,
  type LayerCall,
  type Neighbour,
  type Network,
  spoken,
} from "../pytorch/index.js";
import { Module } from "../nn/module.js";
import { showBytes } from "../summary.js";
import type { Recipe } from "../train/recipes.js";
import { UsageError } from "./flags.js";

const languages: Readonly<Record<string, Document["language"]>> = {
  ".py": "python",
  ".md": "markdown",
  ".ipynb": "notebook",
};

const largest = 10e6;

export interface SourceName {
  readonly file: string;
  readonly entry: string | null;
}

/** `FILE:ENTRY` taken apart; null for what is no file of source. */
export function sourceName(text: string): SourceName | null {
  const match = /^(.*?\.(?:py|md|ipynb))(?::(.+))?$/s.exec(text);
  return match && { file: match[1], entry: match[2] || null };
}

/** Throws: Error for a file that is not there, or too large. */
function readDocument(file: string): Document {
  if (!existsSync(file)) throw new Error(`${file}: there is no such file`);
  const { size } = statSync(file);
  if (size > largest)
    throw new Error(
      `${file} has ${showBytes(size)}; source of up to ${showBytes(largest)} is read`,
    );
  return { file, language: languages[extname(file)], text: readFileSync(file, "utf8") };
}

/** Files beside the source and in folders below it; nothing outside is read. */
function neighboursOf(file: string): Neighbour {
  const root = realpathSync(dirname(resolve(file)));
  return (module, from) => {
    const dots = /^\.*/.exec(module)![0].length;
    const up = Array.from({ length: Math.max(0, dots - 1) }, () => "..");
    const start = dots > 0 ? join(dirname(resolve(from)), ...up) : root;
    const path = join(start, ...module.slice(dots).split("."));
    for (const candidate of [`${path}.py`, join(path, "__init__.py")]) {
      if (!existsSync(candidate)) continue;
      const real = realpathSync(candidate);
      const inside = real.startsWith(root.endsWith(sep) ? root : root + sep);
      return inside && basename(real).endsWith(".py") ? readDocument(real) : null;
    }
    return null;
  };
}

/** The parser's files: beside the built command, else in the packages that they come from. */
function wasmFile(name: string, packaged: string): Uint8Array {
  const built = fileURLToPath(new URL(`../wasm/${name}`, import.meta.url));
  return readFileSync(existsSync(built) ? built : createRequire(import.meta.url).resolve(packaged));
}

export const frontEnd = (): Promise<FrontEnd> =>
  createFrontEnd({
    runtime: wasmFile("web-tree-sitter.wasm", "web-tree-sitter/web-tree-sitter.wasm"),
    python: wasmFile("tree-sitter-python.wasm", "tree-sitter-python/tree-sitter-python.wasm"),
  });

/** The networks that a name means. Throws: Error when there is none. */
export async function networksOf(
  { file, entry }: SourceName,
  input?: readonly number[],
): Promise<{ document: Document; networks: readonly Network[] }> {
  const document = readDocument(file);
  const front = await frontEnd();
  const all = { neighbour: neighboursOf(file), batch: input?.[0] ?? 1 };
  const chosen = (names: readonly string[]) =>
    input === undefined ? {} : { inputs: new Map(names.map((name) => [name, input.slice(1)])) };
  if (entry !== null) {
    const network = front.analyseEntry(document, entry, { ...all, ...chosen([entry]) });
    return { document, networks: [network] };
  }
  const { networks } = front.analyse(document, all);
  if (networks.length === 0) throw new Error(`${file}: there is no network in it`);
  const names = networks.map(({ name }) => name);
  return input === undefined
    ? { document, networks }
    : { document, networks: front.analyse(document, { ...all, ...chosen(names) }).networks };
}

// ## Training

/** The one network that a name means. Throws: UsageError when it could be several. */
async function networkOf(name: SourceName, input?: readonly number[]): Promise<Network> {
  const { networks } = await networksOf(name, input);
  if (networks.length > 1)
    throw new UsageError(
      `${name.file} has several networks, say which: ` +
        networks.map((n) => `${name.file}:${n.name}`).join(", "),
    );
  return networks[0];
}

/** A live network. Throws: Error when a part of it is not computed here. */
export async function moduleFromSource(name: SourceName, seed: number): Promise<Module> {
  const made = (await networkOf(name)).build(seed);
  if (made instanceof Module) return made;
  throw new Error(
    `${name.file}: ${name.entry ?? "the network"} cannot run: ${spoken(made.unavailable)}`,
  );
}

/** The notes' settings, for a network that has no recipe of its own. */
export async function recipeForSource(
  model: string,
  source: SourceName,
  resize?: number,
): Promise<Recipe> {
  const chosen = resize === undefined ? undefined : [1, 1, resize, resize];
  const { name, input, output, failed } = await networkOf(source, chosen);
  if (failed !== null) throw new Error(`${source.file}: ${spoken(failed.message)}`);
  const [, channels, height, width] = input.shape;
  if (channels !== 1 || height !== width || output?.length !== 2 || output[1] !== 10)
    throw new UsageError(
      `train: the images are N×1×28×28 in 10 classes, resized by --resize; ${name} takes ` +
        `${input.shape.join("×")} and gives ${output?.join("×") ?? "what is not known"}`,
    );
  return {
    model,
    epochs: 10,
    batchSize: 128,
    optimizer: { name: "adam", lr: 0.003 },
    pipeline: height === 28 ? {} : { resize: Number(height) },
  };
}

// ## The table

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** Sizes as numbers: the batch is known here. */
const sized = (shape: readonly Dim[] | null, batch: number): (number | string)[] | null =>
  shape &&
  shape.map((dim) => {
    const match = /^N(?:·(-?\d+))?(?: ([+−]) (\d+))?$/.exec(String(dim));
    if (match === null) return dim;
    const rest = Number((match[3] as string | undefined) ?? 0);
    return (
      batch * Number((match[1] as string | undefined) ?? 1) + (match[2] === "−" ? -rest : rest)
    );
  });

/** A network as plain data, with lines instead of offsets. */
export function tableOf({ file, text }: Document, network: Network, batch: number) {
  const { name, input, calls, totals, failed, output } = network;
  const line = (range: { readonly file: string; readonly start: number }) =>
    range.file === file ? lineAt(text, range.start) : null;
  return {
    network: name,
    file,
    line: line(network.range),
    inputShape: sized(input.shape, batch),
    inputSource: input.source,
    ...(input.interval ? { inputInterval: input.interval } : {}),
    rows: calls.map((call) => ({
      path: call.path,
      module: call.className,
      inputShapes: call.inputs.map((shape) => sized(shape, batch)),
      outputShape: sized(call.output, batch),
      ...(call.unknown === undefined ? {} : { unknown: spoken(call.unknown) }),
      parameters: call.parameters,
      multiplyAdds: call.multiplyAdds,
      receptiveField: call.receptiveField,
      activationBytes: call.activationBytes,
      line: line(call.definition),
    })),
    outputShape: sized(output, batch),
    parameters: totals.parameters,
    trainableParameters: totals.trainable,
    multiplyAdds: totals.multiplyAdds,
    activationBytes: totals.activationBytes,
    complete: totals.complete,
    ...(failed === null
      ? {}
      : {
          error: {
            file: failed.range.file,
            line: line(failed.range),
            message: spoken(failed.message),
            expected: failed.expected,
            got: failed.got,
          },
        }),
  };
}

/** The same as lines of text. */
export function formatNetwork(document: Document, network: Network): string {
  const { name, input, calls, totals, failed } = network;
  const grouped = (n: number) => n.toLocaleString("en-US");
  const { from, to, step } = input.interval ?? {};
  const steps = step === undefined ? "" : ` in steps of ${step}`;
  const interval = from === undefined ? "" : `, ${from} to ${to}${steps} fit`;
  const parameters = ({ shared, parameters: count }: LayerCall) =>
    shared ? `(${grouped(count)})` : grouped(count);
  const header = ["layer", "", "output", "parameters", "multiply-adds", "field"];
  const cells = calls.map((call) => [
    call.path,
    call.className,
    call.output?.join("×") ?? "?",
    parameters(call),
    grouped(call.multiplyAdds),
    call.receptiveField?.join("×") ?? "",
  ]);
  const widths = header.map((_, c) => Math.max(...[header, ...cells].map((row) => row[c].length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, c) => (c < 2 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join("  ")
      .trimEnd();
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  const place = failed && `${failed.range.file}:${lineAt(document.text, failed.range.start)}`;
  return [
    `${name} on ${input.shape.join("×") || "an unknown input"} (${input.source}${interval})`,
    ...[rule, line(header), rule, ...cells.map(line), rule],
    `parameters: ${grouped(totals.parameters)}`,
    `multiply-adds: ${grouped(totals.multiplyAdds)}`,
    `memory: ${showBytes(totals.activationBytes)} of activations`,
    ...(totals.complete || failed !== null ? [] : ["a part of the network is not known"]),
    ...(failed === null ? [] : [`error: ${place}: ${spoken(failed.message)}`]),
  ].join("\n");
}
