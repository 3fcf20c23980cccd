// # Plans
//
// A plan says how a traced step is run as one program: which kernels in which order, in which layout
// each value lies, and where in memory. It is made of plain data and knows no device; `print.ts` shows
// it to people, `program.ts` hands it to the host.
//
// A draft starts as one call for each step of the graph that something needs. Passes rewrite it in
// turn (layouts, fusions, order); at the end memory is placed by lifetime.

import type { DType, Graph, Primitive, Shape } from "convnotes";
import { type Lifetime, mostAlive, placeInMemory } from "./memory.js";

// ## What a plan is made of

/** A stretch of memory: a storage of the graph, or what a pass has added. */
export interface Memory {
  readonly bytes: number;
  /** The storage of the graph that lies outside of the program and is bound at each run. */
  readonly storage: number | null;
}

/** A value: what kernels read and write. Several may look at one memory. */
export interface Buffer {
  /** Place in `memories`. */
  readonly memory: number;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Of a slice: the elements before its first one. Default: 0. */
  readonly first?: number;
  /** Of a slice: the elements between the end of an image and the next one's beginning. Default: 0. */
  readonly gap?: number;
}

/** One run of a kernel. */
export interface Call {
  readonly kernel: string;
  /** Places in `buffers`; null where an optional one is left out. */
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  readonly options: object;
  /**
   * The steps of the graph that it does; of those that do the same for each part of a whole, the first. Options
   * that vary are those of the one that has them.
   */
  readonly nodes: readonly number[];
  /**
   * Where the steps after the first go on with its result, one after another: for each, where its inputs
   * stand among `inputs`; null for that result.
   */
  readonly besides?: readonly (readonly (number | null)[])[];
  /** Names of options that differ from run to run. */
  readonly varying: readonly string[];
}

/** What the passes work on. */
export interface Draft {
  readonly memories: readonly Memory[];
  readonly buffers: readonly Buffer[];
  readonly calls: readonly Call[];
  /** The buffer that must be finite before anything lasting is written. */
  readonly guard: number | null;
}

export interface Plan extends Draft {
  /** By memory: its offset in the arena; null for what is bound or no longer used. */
  readonly offsets: readonly (number | null)[];
  readonly arenaBytes: number;
  /** The most that is alive at once: no arena can be smaller. */
  readonly lowerBoundBytes: number;
  /** Calls after which the guard is looked at. */
  readonly guardAfter: number;
}

// ## What kernels take

/** Beside float32: class labels, places in a list, stored pixels. By the name of the input. */
const integers: Readonly<Record<string, DType>> = {
  target: "int64",
  indices: "int64",
  images: "uint8",
};

type Operands = readonly ({ readonly shape: Shape; readonly dtype: DType } | null)[];

/** Whether a primitive's kernel takes tensors of those types and so many axes. */
export const suits = (
  { inputs: names }: Pick<Primitive, "inputs">,
  inputs: Operands,
  outputs: Operands,
): boolean =>
  [...inputs, ...outputs].every((t) => t === null || t.shape.length <= 8) &&
  inputs.every(
    (t, i) =>
      t === null ||
      t.dtype === "float32" ||
      (Object.hasOwn(integers, names[i]) && t.dtype === integers[names[i]]),
  ) &&
  outputs.every((t) => t === null || t.dtype === "float32" || t.dtype === "int64");

/** Options that may differ from run to run, by primitive. */
const varyingOptions: Readonly<Record<string, readonly string[]>> = {
  sgd: ["lr", "first"],
  adam: ["lr", "step"],
  dropout: ["step", "layer"],
  dropout_backward_input: ["step", "layer"],
};

const elementBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  int64: 8,
  uint8: 1,
};

export const bytesOf = (shape: Shape, dtype: DType): number =>
  shape.reduce((product, d) => product * d, elementBytes[dtype]);

/** What the operands of a call hold. */
export const operandBytes = ({ buffers }: Draft, { inputs, outputs }: Call): number =>
  [...inputs, ...outputs].reduce<number>(
    (sum, b) => sum + (b === null ? 0 : bytesOf(buffers[b].shape, buffers[b].dtype)),
    0,
  );

// ## From graph to draft

/**
 * The steps of the graph that do something wanted: write an output, change what was there before, or
 * compute what another such step reads.
 */
function neededNodes(graph: Graph, outputs: readonly number[]): Set<number> {
  const needed = new Set<number>();
  const wanted = new Set(outputs.map((id) => graph.values[id].storage));
  for (const v of graph.values) if (v.source !== null) wanted.add(v.storage);
  const storages = (ids: readonly (number | null)[]) =>
    ids.flatMap((id) => (id === null ? [] : [graph.values[id].storage]));
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const { primitive, inputs, outputs: written } = graph.nodes[i];
    // A view computes nothing, and shares the storage of what it views.
    if (primitive === "view" || !storages(written).some((s) => wanted.has(s))) continue;
    needed.add(i);
    for (const s of storages(inputs)) wanted.add(s);
  }
  return needed;
}

/** One call for each needed step, one memory for each storage, one buffer for each shape of it. */
export function draftOf(graph: Graph, outputs: readonly number[], guard: number | null): Draft {
  const needed = neededNodes(graph, outputs);
  const outside = new Set(outputs.map((id) => graph.values[id].storage));
  for (const v of graph.values) if (v.source !== null) outside.add(v.storage);
  const memories: Memory[] = [];
  const buffers: Buffer[] = [];
  const memoryOf = new Map<number, number>();
  const known = new Map<string, number>();
  const bufferOf = graph.values.map(({ shape, dtype, storage }) => {
    const key = `${storage}: ${shape.join(" ")}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    let memory = memoryOf.get(storage);
    if (memory === undefined) {
      memory = memories.length;
      memoryOf.set(storage, memory);
      memories.push({
        bytes: bytesOf(shape, dtype),
        storage: outside.has(storage) ? storage : null,
      });
    }
    known.set(key, buffers.length);
    return buffers.push({ memory, shape, dtype }) - 1;
  });
  const place = (id: number | null) => (id === null ? null : bufferOf[id]);
  const calls = [...needed]
    .sort((a, b) => a - b)
    .map((i): Call => {
      const { name, inputs, outputs, options } = graph.nodes[i];
      return {
        kernel: name,
        inputs: inputs.map(place),
        outputs: outputs.map(place),
        options,
        nodes: [i],
        varying: (varyingOptions[name] ?? []).filter((option) => option in options),
      };
    });
  return { memories, buffers, calls, guard: place(guard) };
}

// ## From draft to plan

const touched = ({ inputs, outputs }: Call) =>
  [...inputs, ...outputs].filter((b): b is number => b !== null);

/** By memory: from which call to which it is alive; undefined for what is bound or unused. */
export function lifetimes({ memories, buffers, calls }: Draft): (Lifetime | undefined)[] {
  const lives = new Array<Lifetime | undefined>(memories.length).fill(undefined);
  calls.forEach((call, i) => {
    for (const b of touched(call)) {
      const { memory } = buffers[b];
      const { bytes, storage } = memories[memory];
      if (storage === null) lives[memory] = { bytes, first: lives[memory]?.first ?? i, last: i };
    }
  });
  return lives;
}

/** Places the draft's memory; with `apart` as if all of it were alive all the time. */
export function finish(draft: Draft, apart = false): Plan {
  const lives = lifetimes(draft);
  const used = lives.flatMap((life, memory) => (life ? [{ life, memory }] : []));
  const always = { first: 0, last: draft.calls.length };
  const { offsets, bytes } = placeInMemory(
    used.map(({ life }) => (apart ? { ...life, ...always } : life)),
  );
  const byMemory = new Array<number | null>(draft.memories.length).fill(null);
  used.forEach(({ memory }, i) => (byMemory[memory] = offsets[i]));
  const { guard, calls } = draft;
  return {
    ...draft,
    offsets: byMemory,
    arenaBytes: bytes,
    lowerBoundBytes: mostAlive(used.map(({ life }) => life)),
    guardAfter: guard === null ? 0 : calls.findIndex(({ outputs }) => outputs.includes(guard)) + 1,
  };
}
