// # The network that a word names
//
// One of the library's, by its name; or FILE:ENTRY of the user's own source. PyTorch source is read and never
// run. TypeScript is run, so only the user may name it: not a run folder or a file with weights, which may
// come from anywhere.

import { modelNamed } from "../models/index.js";
import type { Module } from "../nn/module.js";
import { manualSeed } from "../random.js";
import { UsageError } from "./flags.js";
import { moduleFromSource, sourceName } from "./source.js";
import { typeScriptModule, typeScriptName } from "./typescript.js";

/** Makes it, with the weights of a seed. */
export async function makeModel(name: string, seed: number): Promise<Module> {
  const source = sourceName(name);
  if (source !== null) return moduleFromSource(source, seed);
  const program = typeScriptName(name);
  if (program !== null) return (await typeScriptModule(program))(seed);
  manualSeed(seed);
  return modelNamed(name).create();
}

/** Whether making it runs a file. */
export const isProgram = (name: string): boolean => /\.m?ts(:|$)/.test(name);

/** Throws: UsageError for a network that would run a file which only `from` names; `command` names it. */
export function checkNamed(name: string, from: string, command: string): void {
  if (isProgram(name))
    throw new UsageError(
      `${from} is of ${name}, a program, and may come from anywhere; to have it run, name it ` +
        `yourself: ${command}`,
    );
}
