// # Slices
//
// A concatenation copies nothing where its parts are computed where they belong: in its result's memory, as
// slices whose images lie apart. Likewise a run of neighbours along an axis (narrow), which is what the
// gradient of a part is, need not be copied for who can read a slice. A slice is a buffer like any other; only
// its first element and the gap behind each image say that there is more to its memory (`Buffer`).

import type { Shape } from "convnotes";
import { gates, isAlike, uses } from "./fuse.js";
import { type Buffer, bytesOf, type Call, type Draft } from "./plan.js";

/** Places of the inputs and outputs that may be slices. */
interface Takes {
  readonly inputs: readonly number[];
  /** Default: none. */
  readonly outputs?: readonly number[];
}

/** Kernels for GPUs whose images may lie apart. */
const takesSlices: Readonly<Record<string, Takes>> = {
  conv2d: { inputs: [0], outputs: [0] },
  conv2d_backward_input: { inputs: [0] },
  conv2d_backward_weight: { inputs: [0, 1] },
  conv2d_backward_bias: { inputs: [0] },
  max_pool2d: { inputs: [0], outputs: [0] },
  max_pool2d_backward_input: { inputs: [0, 1] },
  ...Object.fromEntries(
    ["avg_pool2d", "adaptive_avg_pool2d"].flatMap((name) => [
      [name, { inputs: [0], outputs: [0] }],
      [`${name}_backward_input`, { inputs: [0] }],
    ]),
  ),
  batch_norm: { inputs: [0], outputs: [0] },
  ...Object.fromEntries(
    ["", "_input", "_weight"].map((of) => [`batch_norm_backward${of}`, { inputs: [0, 1] }]),
  ),
  batch_norm_backward_bias: { inputs: [0] },
  ...Object.fromEntries(
    ["relu", "sigmoid", "tanh"].flatMap((name) => [
      [name, { inputs: [0], outputs: [0] }],
      [`${name}_backward_input`, { inputs: [0, 1], outputs: [0] }],
    ]),
  ),
  add: { inputs: [0, 1], outputs: [0] },
  narrow: { inputs: [0] },
};

const takesOf = (call: Call): Partial<Takes> =>
  call.kernel === "concat"
    ? { inputs: [...call.inputs.keys()] }
    : Object.hasOwn(takesSlices, call.kernel)
      ? takesSlices[call.kernel]
      : {};

const sizeOf = (shape: Shape) => shape.reduce((product, d) => product * d, 1);

interface AlongAxis {
  readonly dim?: number;
  readonly start?: number;
}

/** What a concatenation or a cut is along, as axes are counted from the front. */
function axisOf(call: Call, { length }: Shape): number {
  const { dim = 0 } = call.options as AlongAxis;
  return dim < 0 ? dim + length : dim;
}

/** The index of a cut's first element. */
function startOf(call: Call, shape: Shape): number {
  const { start = 0 } = call.options as AlongAxis;
  return start < 0 ? start + shape[axisOf(call, shape)] : start;
}

/** Where each part of a concatenation begins along its axis. */
function startsOf(call: Call, buffers: readonly Buffer[]): number[] {
  const axis = axisOf(call, buffers[call.outputs[0]!].shape);
  let at = 0;
  return call.inputs.map((b) => {
    const start = at;
    at += buffers[b!].shape[axis];
    return start;
  });
}

/** Whether both are along the same axis of that shape. */
const isAlong = (a: Call, b: Call, shape: Shape): boolean => axisOf(a, shape) === axisOf(b, shape);

// ## Before that

/**
 * Where each part of a concatenation is an activation's result, the gradients of the activation are the
 * gradient of the whole, cut: one call for all parts, which can join whoever writes dy (`joinGates`).
 */
export function gateBeforeCutting(draft: Draft): Draft {
  const { readers } = uses(draft);
  const memories = [...draft.memories];
  const buffers = [...draft.buffers];
  const calls: (Call | null)[] = [...draft.calls];
  const before = new Map<number, Call>();
  const only = (b: number) => {
    const { memory } = buffers[b];
    const list = readers.get(memory) ?? [];
    return memories[memory].storage === null && list.length === 1 ? list[0] : undefined;
  };
  const cuts = new Map<number, number[]>();
  draft.calls.forEach(({ kernel, inputs }, i) => {
    if (kernel === "narrow") cuts.set(inputs[0]!, [...(cuts.get(inputs[0]!) ?? []), i]);
  });
  for (const [dy, list] of cuts) {
    const { memory, shape, dtype } = buffers[dy];
    if (readers.get(memory)!.length !== list.length) continue;
    const gatesOf = list.map((i) => only(draft.calls[i].outputs[0]!) ?? -1);
    const [first] = gatesOf.map((i) => draft.calls[i] as Call | undefined);
    if (first === undefined || !gates.has(first.kernel)) continue;
    const whole = draft.calls.slice(0, list[0]).find((concat) => {
      if (concat.kernel !== "concat" || buffers[concat.outputs[0]!].shape.join() !== shape.join())
        return false;
      const starts = startsOf(concat, buffers);
      return list.every((i, k) => {
        const [cut, gate] = [draft.calls[i], draft.calls[gatesOf[k]] as Call | undefined];
        const part = starts.indexOf(startOf(cut, shape));
        return (
          gate?.kernel === first.kernel &&
          gate.inputs[0] === cut.outputs[0] &&
          gate.inputs[1] === concat.inputs[part] &&
          isAlong(cut, concat, shape)
        );
      });
    });
    if (whole === undefined) continue;
    memories.push({ bytes: bytesOf(shape, dtype), storage: null });
    const dx = buffers.push({ memory: memories.length - 1, shape, dtype }) - 1;
    before.set(list[0], { ...first, inputs: [dy, whole.outputs[0]], outputs: [dx] });
    list.forEach((i, k) => {
      calls[i] = { ...draft.calls[i], inputs: [dx], outputs: draft.calls[gatesOf[k]].outputs };
      calls[gatesOf[k]] = null;
    });
  }
  const all = calls.flatMap((call, i) => [before.get(i), call]);
  return { ...draft, memories, buffers, calls: all.filter((call) => !!call) };
}

// ## Parts in their place

/** Where the part of `shape` from index `start` on lies in `whole`, if all its images lie equally far apart. */
function partOf(whole: Buffer, shape: Shape, axis: number, start: number) {
  const image = sizeOf(whole.shape.slice(1));
  const { gap = 0 } = whole;
  const inner = sizeOf(whole.shape.slice(axis + 1));
  if (axis === 0) return { first: start * (image + gap), gap };
  if (sizeOf(whole.shape.slice(0, axis)) === 1) return { first: start * inner, gap: 0 };
  if (sizeOf(whole.shape.slice(1, axis)) > 1) return undefined;
  return { first: start * inner, gap: image + gap - sizeOf(shape.slice(1)) };
}

/** Has concatenations and cuts copy only what has to be copied. */
export function intoSlices(draft: Draft): Draft {
  const { memories } = draft;
  const buffers = [...draft.buffers];
  const calls: (Call | null)[] = [...draft.calls];
  /** By memory, the calls that write to it before anything has moved. */
  const writers = memories.map((): number[] => []);
  draft.calls.forEach(({ outputs }, i) => {
    for (const b of outputs) if (b !== null) writers[draft.buffers[b].memory].push(i);
  });

  /** Whether `ask` holds for everybody who reads or writes a memory, but for call number `but`. */
  const everybody = (memory: number, but: number, ask: (call: Call, takes: boolean) => boolean) =>
    calls.every((call, i) => {
      if (call === null || i === but) return true;
      const { inputs = [], outputs = [] } = takesOf(call);
      const asked = (operands: Call["inputs"], able: readonly number[]) =>
        operands.every(
          (b, k) => b === null || buffers[b].memory !== memory || ask(call, able.includes(k)),
        );
      return asked(call.inputs, inputs) && asked(call.outputs, outputs);
    });

  /** Puts a part, and all that lies where it lies, where it is in `whole`; whether that is possible. */
  const place = (part: number, whole: number, axis: number, start: number, i: number): boolean => {
    const { memory, shape, dtype, first = 0, gap = 0 } = buffers[part];
    const into = buffers[whole];
    const at = partOf(into, shape, axis, start);
    const isOwn = (m: number, b: number) =>
      memories[m].storage === null && writers[draft.buffers[b].memory].length === 1;
    const isAll = first === 0 && gap === 0 && bytesOf(shape, dtype) === memories[memory].bytes;
    if (at === undefined || memory === into.memory || !isAll) return false;
    if (!isOwn(memory, part) || !isOwn(into.memory, whole)) return false;
    // What it is read as besides, by another shape, still has to be made of the same images.
    const here = buffers.flatMap((b, k) => (b.memory === memory ? [k] : []));
    if (at.gap > 0 && here.some((k) => buffers[k].shape[0] !== shape[0])) return false;
    const able = (call: Call, takes: boolean) =>
      takes && (call.kernel !== "add" || isAlike(call, draft));
    if (at.gap > 0 && !everybody(memory, i, able)) return false;
    for (const k of here) {
      const b = buffers[k];
      const moved = {
        first: (into.first ?? 0) + at.first + (b.first ?? 0),
        gap: at.gap + (b.gap ?? 0),
      };
      buffers[k] = { ...b, memory: into.memory, ...moved };
    }
    return true;
  };

  draft.calls.forEach((call, i) => {
    const [whole, cut] = [call.outputs[0], call.inputs[0]] as [number, number];
    if (call.kernel === "concat") {
      const axis = axisOf(call, buffers[whole].shape);
      const starts = startsOf(call, buffers);
      const placed = call.inputs.map((b, k) => place(b!, whole, axis, starts[k], i));
      if (placed.every(Boolean)) calls[i] = null;
    } else if (call.kernel === "narrow") {
      const { shape } = buffers[cut];
      if (place(whole, cut, axisOf(call, shape), startOf(call, shape), i)) calls[i] = null;
    }
  });
  return { ...draft, buffers, calls: calls.filter((call) => call !== null) };
}
