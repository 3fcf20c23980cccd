// # Looking into a program
//
// A program runs without JavaScript between its calls, and its values share memory. But the host copies
// the operands of one call on request (host/program.h, `Watch`), and the plan says which steps of the
// graph that call does and how its values lie. That is all the sampler needs.

import type { DType, Graph, GraphNode, Primitive, Shape } from "convnotes";
import type { Buffer, Call, Plan } from "../plan/plan.js";
import type { HostProgram } from "../plan/program.js";
import type { Held } from "./cut.js";
import type { Factors } from "../../spec/rounding.js";
import type { HeldCall, Sampler } from "./sampler.js";
import type { NamesOf } from "./call.js";

const arrays = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array } as const;

const roomFor = ({ shape, dtype }: { shape: Shape; dtype: DType }) =>
  new (dtype === "uint8" ? Uint8Array : arrays[dtype])(shape.reduce((n, d) => n * d, 1));

type Copies = readonly (ReturnType<typeof roomFor> | null)[];

/**
 * How a buffer lies that holds a value of `shape`: images may be in blocks `[…, H, W, C, lanes]`. Where not, the
 * buffer may hold all parts of what that value is one of.
 */
const held = (data: ReturnType<typeof roomFor>, shape: Shape, buffer: Buffer): Held =>
  buffer.shape.length === shape.length + 1
    ? { data, shape, layout: { lanes: buffer.shape.at(-1)! } }
    : { data, shape: buffer.shape, layout: "plain" };

/**
 * The calls of single steps of the graph that a call of the plan does, as far as they can be told
 * apart: one step, with others that go on with its result; or several that read the same.
 */
function callsIn(
  call: Call,
  plan: Plan,
  graph: Graph,
  inputs: Copies,
  outputs: Copies,
  now: object,
): HeldCall[] {
  const nodes = call.nodes.map((n) => graph.nodes[n]);
  const [first] = nodes;
  const primitiveOf = ({ primitive }: GraphNode) => primitive as Primitive;
  /** Copy number `k`, as the value `id` of the graph. */
  const take = (copies: Copies, places: Call["inputs"], k: number, id: number | null) => {
    const [data, place] = [copies[k] ?? null, places[k] ?? null];
    if (data === null || place === null || id === null) return null;
    return held(data, graph.values[id].shape, plan.buffers[place]);
  };
  const operands = first.inputs.map((id, k) => take(inputs, call.inputs, k, id));
  const start = {
    ...{ primitive: primitiveOf(first), inputs: operands, path: first.path },
    options: { ...first.options, ...now },
    tiled: call.kernel.startsWith("winograd_"),
  };
  const { besides = [] } = call;
  if (nodes.length === 1 + besides.length) {
    const then = besides.map((places, i) => {
      const node = nodes[i + 1];
      return {
        primitive: primitiveOf(node),
        inputs: node.inputs.map((id, k) => {
          const place = places[k];
          return place === null ? null : take(inputs, call.inputs, place, id);
        }),
        hole: places.indexOf(null),
        options: { ...node.options, ...now },
      };
    });
    // What the first step writes beside its result stays; in the place of that is what the last one writes.
    const last = nodes[nodes.length - 1];
    // What is left for a later call besides is none of the graph's values.
    const ids = call.outputs.map((_, k) => last.outputs[k] ?? first.outputs[k] ?? null);
    return [{ ...start, outputs: ids.map((id, k) => take(outputs, call.outputs, k, id)), then }];
  }

  const byName = new Map(start.primitive.inputs.map((name, k) => [name, operands[k]]));
  const places = call.outputs.flatMap((b, k) => (b === null ? [] : [k]));
  const isShared = nodes.every((n) => primitiveOf(n).inputs.every((name) => byName.has(name)));
  if (places.length !== nodes.length || !isShared) return [];
  return nodes.map((node, i) => ({
    primitive: primitiveOf(node),
    inputs: primitiveOf(node).inputs.map((name) => byName.get(name)!),
    outputs: [take(outputs, call.outputs, places[i], node.outputs[0])],
    options: { ...node.options, ...now },
    path: node.path,
  }));
}

interface Description {
  readonly steps: readonly { readonly varying: readonly string[] }[];
}

/** A host's program class whose programs are looked into; `plan` is told once it is known. */
export function watched(
  Base: HostProgram,
  graph: Graph,
  sampler: Sampler,
  namesOf: NamesOf,
  factors: Factors | "host" = "host",
) {
  const known: { plan: Plan | null } = { plan: null };
  const Program = class implements InstanceType<HostProgram> {
    readonly #base: InstanceType<HostProgram>;
    readonly #steps: Description["steps"];

    constructor(description: object) {
      this.#base = new Base(description);
      this.#steps = (description as Description).steps;
    }

    run(bound: readonly unknown[], numbers: Float64Array, times: Float64Array | null): boolean {
      const { plan } = known;
      if (plan === null || !sampler.due) return this.#base.run(bound, numbers, times);
      const { step, watch } = sampler.timed(() => {
        const worthIt = plan.calls.flatMap(({ nodes }, i) => (nodes.length > 0 ? [i] : []));
        const step = worthIt[Math.floor(sampler.random() * worthIt.length)];
        const room = (places: Call["inputs"]) =>
          places.map((b) => (b === null ? null : roomFor(plan.buffers[b])));
        const { inputs, outputs } = plan.calls[step];
        return { step, watch: { step, inputs: room(inputs), outputs: room(outputs) } };
      });
      const finished = this.#base.run(bound, numbers, times, watch);
      if (finished) sampler.timed(() => this.#judge(plan, step, watch, numbers));
      return finished;
    }

    #judge(
      plan: Plan,
      step: number,
      { inputs, outputs }: { inputs: Copies; outputs: Copies },
      numbers: Float64Array,
    ): void {
      const call = plan.calls[step];
      let next = this.#steps.slice(0, step).reduce((n, { varying }) => n + varying.length, 0);
      const traced = call.options as Record<string, unknown>;
      const now = this.#steps[step].varying.map((name) => {
        const number = numbers[next++];
        return [name, typeof traced[name] === "boolean" ? number !== 0 : number] as const;
      });
      const calls = callsIn(call, plan, graph, inputs, outputs, Object.fromEntries(now));
      if (calls.length === 0) sampler.unchecked.add(call.kernel);
      for (const one of calls) sampler.judge(one, namesOf, factors);
    }
  };
  return { Program: Program as HostProgram, known };
}
