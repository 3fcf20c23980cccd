// # Models in the user's own TypeScript
//
// `FILE.ts:NAME` names a module that the file makes, or a class of modules that is made without arguments.
// The file runs, as `node FILE` would run it, and on the library of this command: what it imports as
// `convnotes` is what trains it. The esbuild that lies beside it puts it together.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { runInThisContext } from "node:vm";
import { withDevice } from "../backend.js";
import { zeros } from "../create.js";
import { didYouMean } from "../errors.js";
import { customarySizes } from "../fitting.js";
import { Module } from "../nn/module.js";
import { manualSeed } from "../random.js";
import { noGrad } from "../tape.js";
import type { Recipe } from "../train/recipes.js";
import { UsageError } from "./flags.js";

/** What is asked of esbuild, and what it answers. */
interface Bundler {
  build(options: object): Promise<{ readonly outputFiles: readonly { readonly text: string }[] }>;
}

export interface TypeScriptName {
  readonly file: string;
  readonly entry: string;
}

const slot = "__convnotesEntry";

/** `FILE.ts:NAME` taken apart; null for what is no file of TypeScript. Throws: UsageError without a name. */
export function typeScriptName(text: string): TypeScriptName | null {
  const match = /^(.*?\.m?ts)(?::(.*))?$/s.exec(text);
  if (match === null) return null;
  const [, file, entry] = match as (string | undefined)[];
  if (!/^[A-Za-z_$][\w$]*$/.test(entry ?? ""))
    throw new UsageError(
      `say which network of ${file}: ${file}:NAME, where NAME is a module, or a class of modules ` +
        `that is made without arguments`,
    );
  return { file: file!, entry: entry! };
}

/** Makes the network anew whenever it is called, by running the file. */
export async function typeScriptModule({
  file,
  entry,
}: TypeScriptName): Promise<(seed?: number) => Module> {
  const path = resolve(file);
  const near = createRequire(path);
  if (!existsSync(path)) throw new Error(`${file}: there is no such file`);
  const text = readFileSync(path, "utf8").replace(/^#!.*/, "");
  let bundler: Bundler;
  try {
    bundler = near("esbuild") as Bundler;
  } catch {
    throw new UsageError(
      `to run ${file}, esbuild must be installed beside it: npm install --save-dev esbuild`,
    );
  }
  // On the first line, so that the others stay where they are.
  const contents = `globalThis.${slot} = () => ${entry}; ${text}`;
  const { outputFiles } = await bundler.build({
    ...{ stdin: { contents, resolveDir: dirname(path), sourcefile: path, loader: "ts" } },
    ...{ bundle: true, write: false, format: "cjs", platform: "node", target: "node20" },
    ...{ keepNames: true, logLevel: "silent", absWorkingDir: dirname(path) },
    external: ["convnotes", "convnotes-kernels"],
  });
  const library: Readonly<Record<string, object>> = {
    convnotes: await import("../index.js"),
    "convnotes/node": await import("../node.js"),
    "convnotes/pytorch": await import("../pytorch/index.js"),
  };
  const require = (id: string): unknown =>
    Object.hasOwn(library, id) ? library[id] : (near(id) as unknown);
  type Program = (module: { exports: object }, exports: object, require: unknown) => void;
  const program = runInThisContext(
    `(function (module, exports, require) {${outputFiles[0].text}\n})`,
    { filename: path },
  ) as Program;
  return (seed = 0) => {
    manualSeed(seed);
    const module = { exports: {} };
    program(module, module.exports, require);
    const value = named(file, entry, text);
    if (value instanceof Module) return value;
    const isClass = typeof value === "function" && value.prototype instanceof Module;
    if (!isClass)
      throw new UsageError(
        `${entry} of ${file} is neither a module nor a class of modules; is "convnotes" what it imports?`,
      );
    if (value.length > 0)
      throw new UsageError(
        `${entry} of ${file} is made with arguments: name a module, such as ` +
          `const net = new ${entry}(…)`,
      );
    manualSeed(seed);
    return new (value as new () => Module)();
  };
}

function named(file: string, entry: string, text: string): unknown {
  try {
    return (globalThis as { [slot]?: () => unknown })[slot]?.();
  } catch {
    const names = text.matchAll(/^(?:export\s+)?(?:class|const|let)\s+([A-Za-z_$][\w$]*)/gm);
    const near = didYouMean(
      entry,
      Array.from(names, ([, name]) => name),
    );
    throw new UsageError(`${file} declares no ${entry} at its top.${near}`);
  }
}

/**
 * The notes' settings, for images of the given side, or of the first that the network takes: 28 pixels, as
 * they are, or else a customary size.
 */
export async function recipeForTypeScript(
  model: string,
  name: TypeScriptName,
  resize?: number,
): Promise<Recipe> {
  const make = await typeScriptModule(name);
  const network = make().to("meta").eval();
  const outputFor = (side: number) =>
    withDevice("meta", () => noGrad(() => network.call(zeros([2, 1, side, side])).shape));
  const fits = (side: number) => {
    try {
      outputFor(side);
      return true;
    } catch {
      return false;
    }
  };
  const side = resize ?? [28, ...customarySizes].find(fits) ?? 28;
  const output = outputFor(side);
  if (output.length !== 2 || output[1] !== 10)
    throw new UsageError(
      `train: the images are N×1×28×28 in 10 classes, resized by --resize; for ${side}×${side} pixels ` +
        `${name.entry} gives ${["N", ...output.slice(1)].join("×")}`,
    );
  return {
    model,
    epochs: 10,
    batchSize: 128,
    optimizer: { name: "adam", lr: 0.003 },
    pipeline: side === 28 ? {} : { resize: side },
  };
}
