// # From plan to program
//
// What a backend's `compile` does: plan the step, check that there is a kernel for every call, and
// hand the plan to the host's executor (host/program.cpp). A run binds parameters where they lie.

import type { Primitive, Program, Tensor, TracedStep } from "convnotes";
import {
  gateByDropped,
  gpuFusions,
  hostFusions,
  joinActivations,
  joinBatchNormGradients,
  joinGates,
  joinMasks,
  joinStatistics,
  joinSums,
  thinLinear,
  updateEarly,
  writeInPlace,
} from "./fuse.js";
import { goesIntoBlocks, intoBlocks } from "./layout.js";
import { gateBeforeCutting, intoSlices } from "./slices.js";
import { intoTiles } from "./winograd.js";
import { type Call, type Draft, draftOf, finish, operandBytes, type Plan, suits } from "./plan.js";
import { printed } from "./print.js";

/** The class that the addon exports; addon/program.h describes its arguments. */
export type HostProgram = new (description: object) => {
  run(
    bound: readonly unknown[],
    numbers: Float64Array,
    times: Float64Array | null,
    watch?: object,
  ): boolean;
};

export interface Host {
  readonly Program: HostProgram;
  /** The names of all kernels. */
  readonly kernels: ReadonlySet<string>;
  /** Whose kernels they are, which says what can be fused. Default: `host`. */
  readonly target?: "host" | "gpu";
  /** What is bound for a tensor, which the program reads or writes. Default: its numbers. */
  readonly lend?: (tensor: Tensor, written: boolean) => unknown;
}

export interface CompileOptions {
  /** Fills the arena with NaN before each run. Default: false. */
  readonly poison?: boolean;
  /**
   * `pay`: other layouts and fused kernels are used where they pay. `always`: wherever they can be.
   * `never`: the program does what operations do one by one, with the same kernels. Default: `pay`.
   */
  readonly rewrite?: "pay" | "always" | "never";
  /**
   * Whether convolutions may use Winograd's tiles, which multiply less and whose results are rounded
   * otherwise (docs/decisions/0008-winograd.md). Default: true.
   */
  readonly winograd?: boolean;
  /** Lets no two values share memory. Default: false. */
  readonly apart?: boolean;
}

/** Why a step cannot become a program: one of `CannotCompile`'s, made by whoever has the class. */
export class NoProgram extends Error {}

/** The passes in turn. Throws: NoProgram where the graph has a step without a kernel. */
export function planStep(
  step: TracedStep,
  { kernels, target = "host" }: Pick<Host, "kernels" | "target">,
  { rewrite = "pay", winograd = true, apart = false }: CompileOptions = {},
): Plan {
  const { graph, outputs, guard } = step;
  const draft = draftOf(
    graph,
    outputs.map((t) => graph.valueOf(t).id),
    guard ? graph.valueOf(guard).id : null,
  );
  for (const { kernel, nodes, inputs, outputs } of draft.calls) {
    const at = graph.nodes[nodes[0]].path;
    const where = at === "" ? "" : ` in ${at}`;
    if (!kernels.has(kernel)) throw new NoProgram(`there is no kernel for ${kernel}${where}`);
    const of = (list: Call["inputs"]) => list.map((b) => (b === null ? null : draft.buffers[b]));
    const tensors = [...of(inputs), ...of(outputs)].filter((b) => b !== null);
    if (tensors.some(({ shape }) => shape.includes(0) || shape.length > 8))
      throw new NoProgram(`${kernel}${where} has a tensor that is empty or has over 8 axes`);
    if (!suits(graph.nodes[nodes[0]].primitive as Primitive, of(inputs), of(outputs))) {
      const other = tensors.find(({ dtype }) => dtype !== "float32");
      throw new NoProgram(`kernels compute in float32, but ${kernel}${where} has ${other?.dtype}`);
    }
  }
  const done = (last: Draft) =>
    finish(apart || rewrite === "never" ? last : writeInPlace(last), apart);
  if (target === "gpu") {
    // One launch updates all parameters, so the updates stay together.
    if (rewrite === "never") return done(draft);
    const joint = joinBatchNormGradients(draft, ({ kernel }) => kernels.has(kernel));
    const summed = joinSums(joint, gpuFusions);
    // Dropout comes after an activation, and its gradient before an activation's.
    const masked = joinMasks(gateByDropped(joinActivations(summed, gpuFusions)), gpuFusions);
    const gated = joinGates(gateBeforeCutting(masked), gpuFusions);
    return done(intoSlices(joinStatistics(gated, gpuFusions)));
  }
  if (rewrite === "never") return done(updateEarly(draft));
  const available = { kernels, always: rewrite === "always" };
  const joint = joinBatchNormGradients(draft, (call) =>
    goesIntoBlocks(call, draft.buffers, available),
  );
  const blocked = intoBlocks(joint, available);
  const fused = joinGates(joinActivations(blocked, hostFusions), hostFusions);
  const tiled = winograd ? intoTiles(fused, available) : fused;
  return done(updateEarly(thinLinear(tiled, available)));
}

/** Throws: NoProgram for a step that the host cannot run as a whole. */
export function compileStep(
  host: Host,
  step: TracedStep,
  options: CompileOptions = {},
): Program & { readonly plan: Plan } {
  const { graph, inputs, outputs } = step;
  const plan = planStep(step, host, options);

  // What is bound, by storage: the images and results of the run, or tensors that stay.
  const given = new Map<number, number>();
  const wanted = new Map<number, number>();
  const storageOf = (t: Tensor) => graph.valueOf(t).storage;
  // An input that nothing reads took no part in the trace.
  inputs.forEach((t, i) => {
    const value = graph.values.find((v) => v.source === t);
    if (value) given.set(value.storage, i);
  });
  outputs.forEach((t, i) => wanted.set(storageOf(t), i));
  const lasting = new Map<number, Tensor>();
  for (const { source, storage } of graph.values) if (source) lasting.set(storage, source);
  const written = new Set(
    plan.calls.flatMap((call) =>
      call.outputs.flatMap((b) =>
        b === null ? [] : [plan.memories[plan.buffers[b].memory].storage],
      ),
    ),
  );
  const lend = host.lend ?? (({ data }: Tensor) => data);
  const binders: ((inputs: readonly Tensor[], outputs: readonly Tensor[]) => unknown)[] = [];
  const boundAt = plan.memories.map(({ storage }) => {
    if (storage === null) return -1;
    const [input, output, stays] = [given.get(storage), wanted.get(storage), lasting.get(storage)];
    if (input !== undefined) return binders.push((all) => lend(all[input], false)) - 1;
    if (output !== undefined) return binders.push((_, all) => lend(all[output], true)) - 1;
    // What stays keeps the numbers that the step does not write.
    return binders.push(() => lend(stays!, false)) - 1;
  });
  // What nobody touches is not bound.
  const touched = new Set(
    plan.calls.flatMap((c) => [...c.inputs, ...c.outputs].filter((b) => b !== null)),
  );
  const changed = [...lasting].filter(([s]) => written.has(s)).map(([, t]) => t.storage);

  const program = new host.Program({
    // A buffer that nobody touches is said to lie at its start, as one number.
    arenaBytes: Math.max(plan.arenaBytes, 8),
    places: plan.buffers.map(({ memory, shape, dtype, first = 0, gap = 0 }, b) => {
      const bound = boundAt[memory];
      const offset = plan.offsets[memory] ?? 0;
      if (bound >= 0) return { dtype, shape, bound };
      return touched.has(b)
        ? { dtype, shape, offset, first, gap }
        : { dtype, shape: [], offset: 0 };
    }),
    steps: plan.calls.map(({ kernel, inputs, outputs, options, varying }) => ({
      kernel,
      inputs: inputs.map((b) => b ?? -1),
      outputs: outputs.map((b) => b ?? -1),
      options,
      varying,
    })),
    guard: plan.guard === null ? null : { after: plan.guardAfter, place: plan.guard },
    poison: options.poison ?? false,
  });
  const varying = plan.calls.flatMap(({ nodes, varying }) =>
    varying.map((name) => {
      const node = nodes.find((n) => name in graph.nodes[n].options)!;
      return { node, name };
    }),
  );
  const numbers = new Float64Array(varying.length);

  return {
    plan,
    calls: plan.calls.map((call) => ({
      ...{ kernel: call.kernel, nodes: call.nodes },
      bytes: operandBytes(plan, call),
    })),
    times: null,
    run(inputs, outputs, options) {
      varying.forEach(({ node, name }, i) => {
        const now = options.get(node) ?? graph.nodes[node].options;
        numbers[i] = Number((now as Record<string, number | boolean>)[name]);
      });
      const bound = binders.map((bind) => bind(inputs, outputs));
      const finished = program.run(bound, numbers, this.times);
      for (const storage of changed) storage.version++;
      return finished;
    },
    toString: () => printed(plan, graph),
  };
}
