// # Checkpoints
//
// A checkpoint is a safetensors file with everything that the next step depends on: the model's
// state, the optimiser's, both generators', and the place in the epoch. A run that is killed and
// resumed from it goes on bit for bit as if it had not been killed.

import { fromData } from "../create.js";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../files/safetensors.js";
import { FileFormatError } from "../files/source.js";
import type { Module } from "../nn/module.js";
import type { Optimizer } from "../optim/index.js";
import { dropoutState } from "../random.js";
import { Tensor } from "../tensor.js";
import type { Progress } from "./loop.js";

const FORMAT = "convnotes checkpoint 1";

/** What a checkpoint says beside its tensors. */
interface Contents {
  readonly format: typeof FORMAT;
  readonly model: string;
  readonly progress: Progress;
  readonly dropoutSeed: string;
  /** The optimiser's state with each tensor replaced by its name in the file. */
  readonly optimizer: unknown;
  /** Length of the log when the checkpoint was written, so that later lines can be cut off. */
  readonly logBytes: number;
}

export interface Run {
  /** The name of the model in the table of models. */
  readonly name: string;
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly progress: Progress;
}

/** The model's state, under the names of its state dict. */
export function storedState(model: Module): [string, StoredTensor][] {
  return [...model.stateDict()].map(([name, t]) => [name, stored(t)]);
}

const stored = (t: Tensor): StoredTensor => ({
  shape: t.shape,
  data: t.detach().to("cpu").data,
});

/** The bytes of a checkpoint. */
export function encodeCheckpoint(run: Run, logBytes: number): Uint8Array {
  const tensors = storedState(run.model).map(([name, t]): [string, StoredTensor] => [
    `model.${name}`,
    t,
  ]);
  const withNames = (value: unknown, path: string): unknown => {
    if (value instanceof Tensor) {
      tensors.push([path, stored(value)]);
      return { tensor: path };
    }
    if (Array.isArray(value)) return value.map((v, i) => withNames(v, `${path}.${i}`));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([k, v]) => [k, withNames(v, `${path}.${k}`)]),
    );
  };
  const contents: Contents = {
    format: FORMAT,
    model: run.name,
    progress: run.progress,
    dropoutSeed: dropoutState.getState().seed,
    optimizer: withNames(run.optimizer.stateDict(), "optimizer"),
    logBytes,
  };
  return encodeSafetensors(tensors, { convnotes: JSON.stringify(contents) });
}

/**
 * Puts a run where the checkpoint in `bytes` left off, and returns the length of its log then.
 *
 * Throws: FileFormatError when it is no checkpoint, or one of another model; `loadStateDict`'s
 * errors when the model of that name has changed since.
 */
export function restoreCheckpoint(bytes: Uint8Array, file: string, run: Run): number {
  const { tensors, metadata } = decodeSafetensors(bytes, file);
  const contents = parse(metadata.convnotes, file);
  if (contents.model !== run.name)
    throw new FileFormatError(
      `${file}: is a checkpoint of ${contents.model}, but the run trains ${run.name}; ` +
        `give the run folder of a ${run.name} run, or train ${contents.model}`,
    );
  const read = (name: string): Tensor => {
    const t = tensors.get(name);
    if (t === undefined) throw new FileFormatError(`${file}: has no tensor "${name}"`);
    return fromData(t.data, t.shape, "cpu");
  };
  const withTensors = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(withTensors);
    if (typeof value !== "object" || value === null) return value;
    if ("tensor" in value) return read(String(value.tensor));
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withTensors(v)]));
  };
  const prefix = "model.";
  const state = [...tensors.keys()].filter((name) => name.startsWith(prefix));
  run.model.loadStateDict(new Map(state.map((n) => [n.slice(prefix.length), read(n)])));
  run.optimizer.loadStateDict(
    withTensors(contents.optimizer) as ReturnType<Optimizer["stateDict"]>,
  );
  dropoutState.setState({ ...dropoutState.getState(), seed: contents.dropoutSeed });
  Object.assign(run.progress, contents.progress);
  return contents.logBytes;
}

function parse(text: string | undefined, file: string): Contents {
  const contents = (text === undefined ? {} : JSON.parse(text)) as Partial<Contents>;
  if (contents.format !== FORMAT)
    throw new FileFormatError(
      `${file}: is no checkpoint of this version (expected "${FORMAT}"); ` +
        `if it holds weights, use them with eval or predict`,
    );
  return contents as Contents;
}
