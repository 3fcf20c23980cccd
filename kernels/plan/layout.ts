// # Layouts
//
// Where a run of operations on images can stay in blocks of 16 images (`host/blocked.h` says how they
// lie and why), it does: a tensor is turned into blocks once, before the first that wants it so, and
// back before the first that does not. What is bound, and all that is no image, stays as it is.

import type { Shape } from "convnotes";
import { type Buffer, bytesOf, type Call, type Draft, type Memory } from "./plan.js";

const LANES = 16;

/** A kernel that also exists for blocks, and which of its operands are images. */
interface Blocked {
  readonly kernel: string;
  /** Default: all. */
  readonly inputs?: readonly number[];
  readonly outputs?: readonly number[];
  /** Whether every option and shape can be had in blocks. Default: yes. */
  suits?(call: Call, buffers: readonly Buffer[]): boolean;
  /** Whether it has to know how many images there are. */
  readonly counts?: true;
}

const option = (call: Call, name: string): unknown =>
  (call.options as Record<string, unknown>)[name];

const ungrouped = (call: Call) => (option(call, "groups") ?? 1) === 1;
const training = (call: Call) => option(call, "training") === true;
const byChannels = (call: Call) => option(call, "dim") === 1 || option(call, "dim") === -3;
const alike = ({ inputs, outputs }: Call, buffers: readonly Buffer[]) =>
  new Set([...inputs, ...outputs].map((b) => buffers[b!].shape.join())).size === 1;

/** What touches each number once does so in any layout. */
const elementwise = ["relu", "sigmoid", "tanh"].flatMap((name) => [name, `${name}_backward_input`]);

const blockedKernels: Readonly<Record<string, Blocked>> = {
  conv2d: {
    kernel: "blocked_conv2d",
    inputs: [0],
    outputs: [0],
    suits: ungrouped,
    counts: true,
  },
  conv2d_backward_input: {
    kernel: "blocked_conv2d_backward_input",
    inputs: [0],
    suits: ungrouped,
    counts: true,
  },
  conv2d_backward_weight: {
    kernel: "blocked_conv2d_backward_weight",
    outputs: [],
    suits: ungrouped,
  },
  conv2d_backward_bias: { kernel: "blocked_conv2d_backward_bias", outputs: [] },
  batch_norm: {
    kernel: "blocked_batch_norm",
    inputs: [0],
    outputs: [0],
    counts: true,
  },
  batch_norm_backward: {
    kernel: "blocked_batch_norm_backward",
    inputs: [0, 1],
    outputs: [0],
    suits: training,
    counts: true,
  },
  concat: { kernel: "blocked_concat", suits: byChannels },
  narrow: { kernel: "blocked_narrow", suits: byChannels },
  add: { kernel: "add", suits: alike },
  ...Object.fromEntries(elementwise.map((kernel) => [kernel, { kernel }])),
  ...Object.fromEntries(
    ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"]
      .flatMap((name) => [name, `${name}_backward_input`])
      .map((name) => [name, { kernel: `blocked_${name}` }]),
  ),
};

/** What there is to choose from, and whether to choose it even where it does not pay. */
export interface Available {
  readonly kernels: ReadonlySet<string>;
  readonly always: boolean;
}

/** The part of the lanes that images must fill for blocks to pay. */
const FILL = 0.5;

/** The part of the lanes that are images. */
const filled = (images: number) => images / (Math.ceil(images / LANES) * LANES);

const blocksOf = ([N, C, H, W]: Shape): Shape => [Math.ceil(N / LANES), H, W, C, LANES];

/** Whether `call` would run in blocks. */
export const goesIntoBlocks = (
  call: Call,
  buffers: readonly Buffer[],
  available: Available,
): boolean => blockedForm(call, buffers, available) !== undefined;

/** How a call runs in blocks, with the places of its operands that are images; or undefined. */
function blockedForm(call: Call, buffers: readonly Buffer[], { kernels, always }: Available) {
  const form = Object.hasOwn(blockedKernels, call.kernel) ? blockedKernels[call.kernel] : undefined;
  if (form === undefined || !kernels.has(form.kernel)) return undefined;
  const inputs = new Set(form.inputs ?? call.inputs.keys());
  const outputs = new Set(form.outputs ?? call.outputs.keys());
  const images = [
    ...call.inputs.filter((_, i) => inputs.has(i)),
    ...call.outputs.filter((_, i) => outputs.has(i)),
  ];
  const fit = images.every((b) => {
    if (b === null) return false;
    const { shape, dtype } = buffers[b];
    return dtype === "float32" && shape.length === 4 && (always || filled(shape[0]) >= FILL);
  });
  if (!fit || !(form.suits?.(call, buffers) ?? true)) return undefined;
  return { form, inputs, outputs, images: buffers[images[0]!].shape[0] };
}

/** Puts runs of calls on images into blocks. */
export function intoBlocks(draft: Draft, available: Available): Draft {
  const memories: Memory[] = [...draft.memories];
  const buffers: Buffer[] = [...draft.buffers];
  const calls: Call[] = [];
  /** By memory: its blocks, if they hold what it holds; and whether it holds that itself. */
  const blocks = new Map<number, number>();
  const stale = new Set<number>();

  const newBlocks = (b: number): number => {
    const { memory, dtype } = buffers[b];
    const shape = blocksOf(buffers[b].shape);
    memories.push({ bytes: bytesOf(shape, dtype), storage: null });
    buffers.push({ memory: memories.length - 1, shape, dtype });
    blocks.set(memory, buffers.length - 1);
    return buffers.length - 1;
  };
  const plain = (b: number | null): number | null => {
    if (b === null || !stale.delete(buffers[b].memory)) return b;
    const from = blocks.get(buffers[b].memory)!;
    calls.push({
      kernel: "from_blocks",
      inputs: [from],
      outputs: [b],
      options: {},
      nodes: [],
      varying: [],
    });
    return b;
  };
  const blocked = (b: number): number => {
    const known = blocks.get(buffers[b].memory);
    if (known !== undefined && buffers[known].shape.join() === blocksOf(buffers[b].shape).join())
      return known;
    plain(b);
    const to = newBlocks(b);
    calls.push({
      kernel: "to_blocks",
      inputs: [b],
      outputs: [to],
      options: {},
      nodes: [],
      varying: [],
    });
    return to;
  };

  for (const call of draft.calls) {
    const found = blockedForm(call, buffers, available);
    const inputs = call.inputs.map((b, i) => (found?.inputs.has(i) ? blocked(b!) : plain(b)));
    const outputs = call.outputs.map((b, i) => {
      if (b === null) return b;
      const { memory } = buffers[b];
      if (found?.outputs.has(i)) {
        stale.add(memory);
        return newBlocks(b);
      }
      blocks.delete(memory);
      stale.delete(memory);
      return b;
    });
    const options = found?.form.counts ? { ...call.options, images: found.images } : call.options;
    calls.push({ ...call, kernel: found?.form.kernel ?? call.kernel, inputs, outputs, options });
  }
  // What is looked at from outside has to lie where it is looked for.
  draft.buffers.forEach(({ memory }, b) => {
    if (memories[memory].storage !== null) plain(b);
  });
  return { ...draft, memories, buffers, calls };
}
