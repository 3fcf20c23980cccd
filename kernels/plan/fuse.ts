// # Fusions
//
// Two calls become one where the second only passes over what the first has just written, or reads
// what it has just read. The host's kernels in blocks and those for GPUs can take on different things, in the
// same ways: a tensor that is added, an activation, an activation's gradient, dropout or its gradient.

import type { Available } from "./layout.js";
import { bytesOf, type Call, type Draft, lifetimes } from "./plan.js";

/** Reads of each buffer's memory, and writes. */
export function uses({ buffers, calls }: Draft) {
  const readers = new Map<number, number[]>();
  const writers = new Map<number, number[]>();
  const note = (uses: Map<number, number[]>, b: number | null, i: number) => {
    if (b === null) return;
    const { memory } = buffers[b];
    uses.set(memory, [...(uses.get(memory) ?? []), i]);
  };
  calls.forEach(({ inputs, outputs }, i) => {
    for (const b of inputs) note(readers, b, i);
    for (const b of outputs) note(writers, b, i);
  });
  return { readers, writers };
}

/** What kernels can do beside their own work. */
export interface Fusions {
  /** Those that can apply an activation to what they write, by the option `activation`. */
  readonly activation: ReadonlySet<string>;
  /** Those that can take an activation's gradient of what they write: the place of its result. */
  readonly gate: ReadonlyMap<string, number>;
  /** Those that can add to what they write, before either: the place of the tensor to add. */
  readonly addend: ReadonlyMap<string, number>;
  /** Those that can drop elements: after an activation, or before an activation's gradient. */
  readonly mask: ReadonlySet<string>;
  /** Those that can leave parts of what they write's statistics, as output 1. */
  readonly statistics: ReadonlySet<string>;
}

const pools = ["avg_pool2d_backward_input", "adaptive_avg_pool2d_backward_input"];

export const hostFusions: Fusions = {
  activation: new Set(["blocked_conv2d", "blocked_batch_norm"]),
  gate: new Map([
    ["blocked_conv2d_backward_input", 2],
    ["blocked_max_pool2d_backward_input", 2],
    ...pools.map((kernel) => [`blocked_${kernel}`, 1] as const),
  ]),
  addend: new Map(),
  mask: new Set(),
  statistics: new Set(),
};

export const gpuFusions: Fusions = {
  activation: new Set(["conv2d", "linear", "batch_norm", "add"]),
  gate: new Map([
    ["conv2d_backward_input", 2],
    ["linear_backward_input", 2],
    ["max_pool2d_backward_input", 2],
    ...pools.map((kernel) => [kernel, 1] as const),
    ["dropout_backward_input", 1],
    ["add", 2],
  ]),
  addend: new Map([
    ["conv2d", 3],
    ["linear", 3],
    ["conv2d_backward_input", 3],
    ["linear_backward_input", 3],
    ["batch_norm", 5],
  ]),
  mask: new Set([
    ...["conv2d", "linear", "max_pool2d"],
    ...["conv2d_backward_input", "linear_backward_input"],
  ]),
  statistics: new Set(["conv2d", "linear"]),
};

/** Kernels that only programs for GPUs run. */
export const gpuKernels: readonly string[] = ["batch_norm_backward"];

/** `call` with one more input at `place`, going on with `step`, which reads it `besides`. */
function joined(
  call: Call,
  step: Call,
  place: number | null,
  b: number | null,
  hole: number,
): Call {
  const inputs = [...call.inputs];
  if (place !== null) {
    while (inputs.length <= place) inputs.push(null);
    inputs[place] = b;
  }
  return {
    ...call,
    inputs,
    outputs: [step.outputs[0], ...call.outputs.slice(1)],
    nodes: [...call.nodes, ...step.nodes],
    besides: [...(call.besides ?? []), step.inputs.map((_, k) => (k === hole ? null : place))],
  };
}

/** The call that alone writes what only one other reads, in the same shape, and nobody outside sees. */
function onlyWriter(
  { buffers, memories, calls }: Draft,
  { readers, writers }: ReturnType<typeof uses>,
  b: number,
): number | undefined {
  const { memory } = buffers[b];
  const written = writers.get(memory) ?? [];
  if (written.length !== 1 || readers.get(memory)?.length !== 1) return undefined;
  const [writer] = written;
  return memories[memory].storage === null && calls[writer].outputs[0] === b ? writer : undefined;
}

/**
 * The three gradients of a batch normalisation read the same: one call gives all of them, where it
 * exists.
 */
export function joinBatchNormGradients(draft: Draft, hasJoint: (joint: Call) => boolean): Draft {
  const gone = new Set<number>();
  const calls = draft.calls.map((call, i): Call => {
    if (call.kernel !== "batch_norm_backward_input") return call;
    const [dy, x] = call.inputs;
    const all = { ...call, kernel: "batch_norm_backward" };
    if (!hasJoint(all)) return call;
    const partner = (kernel: string) => {
      const k = draft.calls.findIndex(
        (c, j) => j > i && c.kernel === kernel && c.inputs[0] === dy && (c.inputs[1] ?? x) === x,
      );
      if (k >= 0) gone.add(k);
      return k >= 0 ? draft.calls[k] : undefined;
    };
    const weight = partner("batch_norm_backward_weight");
    const bias = partner("batch_norm_backward_bias");
    return {
      ...all,
      outputs: [call.outputs[0], weight?.outputs[0] ?? null, bias?.outputs[0] ?? null],
      nodes: [call, weight, bias].flatMap((c) => c?.nodes ?? []),
    };
  });
  return { ...draft, calls: calls.filter((_, i) => !gone.has(i)) };
}

const activations = new Set(["relu", "sigmoid"]);

/** An activation joins the call that writes its input, if nobody else wants that input. */
export function joinActivations(draft: Draft, { activation: takes }: Fusions): Draft {
  const used = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  draft.calls.forEach((call, i) => {
    if (!activations.has(call.kernel)) return;
    const writer = onlyWriter(draft, used, call.inputs[0]!);
    const before = writer === undefined ? null : calls[writer];
    if (!before || !takes.has(before.kernel) || "activation" in before.options) return;
    if (before.kernel === "add" && !isAlike(before, draft)) return;
    calls[writer!] = {
      ...joined(before, call, null, null, 0),
      options: { ...before.options, activation: call.kernel },
    };
    calls[i] = null;
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** What draws an element's mask. */
const drawn = ["p", "seed", "step", "layer"] as const;

const isSameMask = (a: object, b: object): boolean =>
  drawn.every(
    (name) => (a as Record<string, unknown>)[name] === (b as Record<string, unknown>)[name],
  );

/**
 * A rectifier's gradient behind dropout's looks at what dropout gave instead of what it took: where the mask
 * keeps, both have the same sign, and elsewhere dropout's gradient is 0 (cuda/epilogue.h). So what dropout takes
 * need not be kept, nor the mask be drawn again.
 */
export function gateByDropped(draft: Draft): Draft {
  const used = uses(draft);
  const { buffers } = draft;
  const calls = draft.calls.map((call): Call => {
    if (call.kernel !== "relu_backward_input") return call;
    const [dy, y] = call.inputs;
    const writer = onlyWriter(draft, used, dy!);
    const before = writer === undefined ? null : draft.calls[writer];
    if (before?.kernel !== "dropout_backward_input") return call;
    const forward = draft.calls.find(
      ({ kernel, inputs, options }) =>
        kernel === "dropout" && inputs[0] === y && isSameMask(options, before.options),
    );
    const d = forward?.outputs[0];
    if (d === null || d === undefined || used.writers.get(buffers[d].memory)!.length > 1)
      return call;
    return { ...call, inputs: [dy, d], options: { ...call.options, dropped: true } };
  });
  return { ...draft, calls };
}

/** Dropout, or its gradient, joins the call that writes what it takes, if nobody else wants that. */
export function joinMasks(draft: Draft, { mask: takes }: Fusions): Draft {
  const used = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  draft.calls.forEach((call, i) => {
    if (call.kernel !== "dropout" && call.kernel !== "dropout_backward_input") return;
    const writer = onlyWriter(draft, used, call.inputs[0]!);
    const before = writer === undefined ? null : calls[writer];
    if (!before || !takes.has(before.kernel) || "p" in before.options) return;
    calls[writer!] = {
      ...joined(before, call, null, null, 0),
      options: { ...before.options, ...call.options },
      varying: [...before.varying, ...call.varying],
    };
    calls[i] = null;
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** Values of a channel that make one part of its statistics, and numbers that are left of it (cuda/moments.h). */
const PART = 64;
const NUMBERS_OF_PART = 4;
/** Where a batch normalisation takes the parts. */
const PARTS_PLACE = 6;

/**
 * A batch normalisation in training takes its statistics from parts that whoever writes its input leaves, instead
 * of reading that once more.
 */
export function joinStatistics(draft: Draft, { statistics: leaves }: Fusions): Draft {
  const { writers } = uses(draft);
  const memories = [...draft.memories];
  const buffers = [...draft.buffers];
  const calls = [...draft.calls];
  draft.calls.forEach((call, i) => {
    if (call.kernel !== "batch_norm" || !("training" in call.options && call.options.training))
      return;
    const x = call.inputs[0]!;
    const { memory, shape } = buffers[x];
    const written = writers.get(memory) ?? [];
    const writer = written.length === 1 ? calls[written[0]] : undefined;
    if (!writer || !leaves.has(writer.kernel) || writer.outputs[0] !== x) return;
    // Channels of a linear layer lie along the last axis.
    if (writer.kernel === "linear" && shape.length !== 2) return;
    const [, channels] = shape;
    const values = shape.reduce((product, d) => product * d, 1) / channels;
    const size = [channels, Math.ceil(values / PART), NUMBERS_OF_PART];
    let parts = writer.outputs[1] ?? null;
    if (parts === null) {
      const bytes = bytesOf(size, "float32");
      const place = memories.push({ bytes, storage: null }) - 1;
      parts = buffers.push({ memory: place, shape: size, dtype: "float32" }) - 1;
      calls[written[0]] = { ...writer, outputs: [x, parts] };
    }
    const inputs = [...calls[i].inputs];
    while (inputs.length < PARTS_PLACE) inputs.push(null);
    calls[i] = { ...calls[i], inputs: [...inputs, parts] };
  });
  return { ...draft, memories, buffers, calls };
}

export const gates: ReadonlyMap<string, string> = new Map([
  ["relu_backward_input", "relu"],
  ["sigmoid_backward_input", "sigmoid"],
]);

/** An activation's gradient joins the call that writes dy, if nobody else wants that. */
export function joinGates(draft: Draft, { gate: places }: Fusions): Draft {
  const used = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  draft.calls.forEach((call, i) => {
    const activation = gates.get(call.kernel);
    if (activation === undefined) return;
    const [dy, y] = call.inputs;
    const writer = onlyWriter(draft, used, dy!);
    const before = writer === undefined ? null : calls[writer];
    const place = before ? places.get(before.kernel) : undefined;
    if (!before || place === undefined || "activation" in before.options) return;
    if (before.kernel === "add" && !isAlike(before, draft)) return;
    calls[writer!] = {
      ...joined(before, call, place, y, 0),
      options: { ...before.options, ...call.options, activation },
    };
    calls[i] = null;
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** Whether no operand is repeated. */
export const isAlike = ({ inputs, outputs }: Call, { buffers }: Draft): boolean =>
  new Set([...inputs, ...outputs].map((b) => buffers[b!].shape.join())).size === 1;

/**
 * A sum joins the call that writes one of its terms, if nobody else wants that term. It is then computed
 * where the sum was, since the other term may come later.
 */
export function joinSums(draft: Draft, { addend: places }: Fusions): Draft {
  const used = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  const memoryOf = (b: number | null) => (b === null ? -1 : draft.buffers[b].memory);
  /** Whether a call can wait until `to` without anything that it reads or writes being touched. */
  const canWait = (call: Call, from: number, to: number) => {
    const reads = new Set(call.inputs.map(memoryOf));
    const writes = new Set(call.outputs.map(memoryOf));
    return calls.slice(from + 1, to).every((other) => {
      if (other === null) return true;
      const touched = [...other.inputs, ...other.outputs].map(memoryOf);
      return (
        !other.outputs.some((b) => b !== null && reads.has(memoryOf(b))) &&
        !touched.some((memory) => memory >= 0 && writes.has(memory))
      );
    });
  };
  draft.calls.forEach((sum, i) => {
    if (sum.kernel !== "add" || !isAlike(sum, draft)) return;
    const terms = [0, 1]
      .map((hole) => ({ hole, writer: onlyWriter(draft, used, sum.inputs[hole]!) ?? -1 }))
      // What is computed last need not wait.
      .sort((a, b) => b.writer - a.writer);
    for (const { hole, writer } of terms) {
      // An earlier sum may have taken the call that wrote this term along.
      const at = calls.findIndex((c) => c?.outputs[0] === sum.inputs[hole]);
      const before = at < 0 || writer < 0 ? null : calls[at];
      const place = before ? places.get(before.kernel) : undefined;
      if (!before || place === undefined || before.inputs.length > place) continue;
      if (!canWait(before, at, i)) continue;
      calls[i] = joined(before, sum, place, sum.inputs[1 - hole], hole);
      calls[at] = null;
      return;
    }
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** Up to so many images, a linear layer of so many weights is bound by reading them. */
const THIN_IMAGES = 32;
const MANY_WEIGHTS = 1 << 18;

/**
 * Linear layers of few images and many weights get kernels that read each weight once. The update
 * joins the gradient: computing it costs less than writing it down and reading it again.
 */
export function thinLinear(draft: Draft, { kernels, always }: Available): Draft {
  const { buffers } = draft;
  const { readers, writers } = uses(draft);
  const isThin = (b: number | null, weight: number | null) =>
    b !== null &&
    weight !== null &&
    buffers[b].shape.length === 2 &&
    buffers[b].shape[0] <= THIN_IMAGES &&
    (always || buffers[weight].shape[0] * buffers[weight].shape[1] >= MANY_WEIGHTS);
  const calls: (Call | null)[] = draft.calls.map((call) => {
    const { kernel, inputs } = call;
    const thin = `thin_${kernel}`;
    const known = kernel === "linear" || kernel === "linear_backward_input";
    return known && kernels.has(thin) && isThin(inputs[0], inputs[1])
      ? { ...call, kernel: thin }
      : call;
  });
  draft.calls.forEach((update, i) => {
    const [param, gradient, buffer] = update.inputs;
    if (update.kernel !== "sgd" || !kernels.has("thin_linear_sgd")) return;
    const { memory } = buffers[gradient!];
    const [writer] = writers.get(memory) ?? [];
    const before = writers.has(memory) ? calls[writer] : null;
    if (before?.kernel !== "linear_backward_weight" || !isThin(before.inputs[0], param)) return;
    if (readers.get(memory)!.length !== 1 || draft.memories[memory].storage !== null) return;
    calls[writer] = null;
    calls[i] = {
      ...update,
      kernel: "thin_linear_sgd",
      inputs: [...before.inputs, param, buffer],
      nodes: [...before.nodes, ...update.nodes],
      besides: [[before.inputs.length, null, before.inputs.length + 1]],
    };
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** Kernels that read each number of their inputs just before they write the one in its place. */
const elementwise = new Set(
  ["relu", "sigmoid", "tanh"].flatMap((name) => [name, `${name}_backward_input`]).concat("add"),
);

/** Lets an elementwise call write over an input that nobody reads again. */
export function writeInPlace(draft: Draft): Draft {
  const buffers = [...draft.buffers];
  const lives = lifetimes(draft);
  const now = (b: number) => buffers[b].memory;
  draft.calls.forEach((call, i) => {
    const [to] = call.outputs;
    if (!elementwise.has(call.kernel) || to === null) return;
    const { bytes, storage } = draft.memories[now(to)];
    const isAll = (b: number) => bytesOf(buffers[b].shape, buffers[b].dtype) === bytes;
    const from = call.inputs.find(
      (b): b is number =>
        b !== null &&
        storage === null &&
        lives[now(b)]?.last === i &&
        draft.memories[now(b)].bytes === bytes &&
        // A slice lies otherwise than what takes its place.
        isAll(b) &&
        isAll(to),
    );
    // Only a value that is made here can begin in another's place.
    if (from === undefined || now(from) === now(to) || lives[now(to)]?.first !== i) return;
    const [kept, gone] = [now(from), now(to)];
    lives[kept] = { ...lives[kept]!, last: lives[gone]!.last };
    buffers.forEach((b, k) => {
      if (b.memory === gone) buffers[k] = { ...b, memory: kept };
    });
  });
  return { ...draft, buffers };
}

const updates = new Set(["sgd", "adam", "thin_linear_sgd"]);

/**
 * Moves each update of a parameter up to where its gradient is known and its old value no longer
 * wanted: the gradient is still in the cache, and its memory is free again for the next one.
 */
export function updateEarly(draft: Draft): Draft {
  const { buffers, guard } = draft;
  const calls = draft.calls.filter(({ kernel }) => !updates.has(kernel));
  if (calls.length === 0) return draft;
  const guarded = calls.findIndex(({ outputs }) => guard !== null && outputs.includes(guard));
  const after: Call[][] = calls.map(() => []);
  for (const update of draft.calls.filter(({ kernel }) => updates.has(kernel))) {
    const touched = new Set(
      [...update.inputs, ...update.outputs].map((b) => (b === null ? -1 : buffers[b].memory)),
    );
    const last = calls.findLastIndex(({ inputs, outputs }) =>
      [...inputs, ...outputs].some((b) => b !== null && touched.has(buffers[b].memory)),
    );
    after[Math.max(last, guarded, 0)].push(update);
  }
  return { ...draft, calls: calls.flatMap((call, i) => [call, ...after[i]]) };
}
