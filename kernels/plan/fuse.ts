// # Fusions
//
// Two calls become one where the second only passes over what the first has just written, or reads
// what it has just read.

import { type Available, goesIntoBlocks } from "./layout.js";
import { type Call, type Draft, lifetimes } from "./plan.js";

/** Reads of each buffer's memory, and writes. */
function uses({ buffers, calls }: Draft) {
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

/**
 * The three gradients of a batch normalisation read the same: one call gives all of them, where it
 * exists.
 */
export function joinBatchNormGradients(draft: Draft, available: Available): Draft {
  const gone = new Set<number>();
  const calls = draft.calls.map((call, i): Call => {
    if (call.kernel !== "batch_norm_backward_input") return call;
    const [dy, x] = call.inputs;
    const all = { ...call, kernel: "batch_norm_backward" };
    if (!goesIntoBlocks(all, draft.buffers, available)) return call;
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

/** Kernels that can apply an activation to what they write, and those activations. */
const takesActivation = new Set(["blocked_conv2d", "blocked_batch_norm"]);
const activations = new Set(["relu", "sigmoid"]);

/** An activation joins the call that writes its input, if nobody else wants that input. */
export function joinActivations(draft: Draft): Draft {
  const { readers, writers } = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  draft.calls.forEach((call, i) => {
    if (!activations.has(call.kernel)) return;
    const { memory } = draft.buffers[call.inputs[0]!];
    const [writer] = writers.get(memory) ?? [];
    const alone = readers.get(memory)!.length === 1 && writers.get(memory)?.length === 1;
    const before = writers.has(memory) ? calls[writer] : null;
    if (!alone || !before || !takesActivation.has(before.kernel)) return;
    if (draft.memories[memory].storage !== null || "activation" in before.options) return;
    calls[writer] = {
      ...before,
      outputs: [call.outputs[0], ...before.outputs.slice(1)],
      options: { ...before.options, activation: call.kernel },
      nodes: [...before.nodes, ...call.nodes],
    };
    calls[i] = null;
  });
  return { ...draft, calls: calls.filter((call) => call !== null) };
}

/** Kernels that can take an activation's gradient of what they write; its result comes last. */
const takesGate: ReadonlyMap<string, number> = new Map([
  ["blocked_conv2d_backward_input", 2],
  ["blocked_max_pool2d_backward_input", 2],
  ["blocked_avg_pool2d_backward_input", 1],
  ["blocked_adaptive_avg_pool2d_backward_input", 1],
]);
const gates: ReadonlyMap<string, string> = new Map([
  ["relu_backward_input", "relu"],
  ["sigmoid_backward_input", "sigmoid"],
]);

/** An activation's gradient joins the call that writes dy, if nobody else wants that. */
export function joinGates(draft: Draft): Draft {
  const { readers, writers } = uses(draft);
  const calls: (Call | null)[] = [...draft.calls];
  draft.calls.forEach((call, i) => {
    const activation = gates.get(call.kernel);
    if (activation === undefined) return;
    const [dy, y] = call.inputs;
    const { memory } = draft.buffers[dy!];
    const writer = writers.get(memory)?.length === 1 ? writers.get(memory)![0] : undefined;
    if (writer === undefined || readers.get(memory)!.length !== 1) return;
    const before = calls[writer];
    if (!before || draft.memories[memory].storage !== null) return;
    if (takesGate.get(before.kernel) !== before.inputs.length) return;
    calls[writer] = {
      ...before,
      inputs: [...before.inputs, y],
      outputs: call.outputs,
      options: { ...before.options, activation },
      nodes: [...before.nodes, ...call.nodes],
    };
    calls[i] = null;
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
    const from = call.inputs.find(
      (b): b is number =>
        b !== null &&
        storage === null &&
        lives[now(b)]?.last === i &&
        draft.memories[now(b)].bytes === bytes,
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
