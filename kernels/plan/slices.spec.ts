// # Parts in their place
//
// A plan with slices is run here by the reference, call by call, in memory that is full of NaN before: what a
// call reads is taken from where the plan says that it lies, and what it writes is put there. Networks of
// concatenations and cuts must give the very numbers that they give without a plan, and must not where the
// plan is spoiled.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import fc from "fast-check";
import { type PartedNetwork, partedNetwork, stepOf } from "./drawn_parts.js";
import { type Buffer, type Call, draftOf, finish, type Plan } from "./plan.js";
import { gateBeforeCutting, intoSlices } from "./slices.js";

const numbersOf = (tensors: readonly convnotes.Tensor[]) =>
  tensors.map(({ data }) => Array.from(data, Number));

const sizeOf = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** A network's plan, and how to run it, or what has been made of it. */
function planned(net: PartedNetwork) {
  const { run, inputs } = stepOf(net, "reference");
  const { graph, result } = convnotes.trace(() => convnotes.uncomputed(run));
  const outputs = result.map((t) => graph.valueOf(t).id);
  const plan = finish(intoSlices(gateBeforeCutting(draftOf(graph, outputs, null))));
  const bound = new Map(result.map((t) => [graph.valueOf(t).storage, t.data]));
  for (const { source, storage } of graph.values) if (source) bound.set(storage, source.data);

  const runPlan = ({ buffers, calls, memories, offsets, arenaBytes }: Plan): number[][] => {
    const arena = new Float32Array(arenaBytes / 4).fill(NaN);
    /** By element, where in its memory it lies. */
    const places = ({ shape, first = 0, gap = 0 }: Buffer) =>
      Array.from({ length: sizeOf(shape) }, (_, i) => {
        const image = Math.floor(i / sizeOf(shape.slice(1)));
        return first + i + image * gap;
      });
    const memoryOf = ({ memory }: Buffer) => {
      const { storage } = memories[memory];
      return storage === null ? arena.subarray(offsets[memory]! / 4) : bound.get(storage)!;
    };
    for (const { nodes, inputs, outputs, options } of calls) {
      const tensors = (list: Call["inputs"]) =>
        list.map((b) => {
          if (b === null) return null;
          const from = memoryOf(buffers[b]);
          const data = places(buffers[b]).map((k) => Number(from[k]));
          return convnotes.fromData(Float32Array.from(data), buffers[b].shape);
        });
      const results = tensors(outputs);
      const { primitive } = graph.nodes[nodes[0]];
      convnotes.runReference(primitive as convnotes.Primitive, tensors(inputs), results, options);
      outputs.forEach((b, k) => {
        if (b === null) return;
        const to = memoryOf(buffers[b]);
        places(buffers[b]).forEach((place, i) => (to[place] = results[k]!.data[i]));
      });
    }
    return numbersOf(result);
  };
  return { plan, runPlan, inputs };
}

const isSlice = ({ first = 0, gap = 0 }: Buffer) => first > 0 || gap > 0;

const count = ({ calls }: Plan, kernel: string) => calls.filter((c) => c.kernel === kernel).length;

describe("slices", () => {
  it("hold what their calls would copy, in networks drawn at random", () => {
    let [slices, copies] = [0, 0];
    fc.assert(
      fc.property(partedNetwork, (net) => {
        const expected = numbersOf(stepOf(net, "reference").run());
        const { plan, runPlan } = planned(net);
        assert.deepEqual(runPlan(plan), expected);
        slices += plan.buffers.filter(({ gap = 0 }) => gap > 0).length;
        copies += count(plan, "concat") + count(plan, "narrow");
      }),
      { numRuns: 100 },
    );
    assert(slices > 100 && copies > 10, `${slices} slices, ${copies} copies`);
  });

  /** Concatenations one in another, as in a dense block; then one of activations; a part that is a whole. */
  const net: PartedNetwork = {
    ...{ images: 3, height: 2, width: 3, channels: 2, atOnce: false, lastCut: 0 },
    blocks: [
      [
        { kind: "same", channels: 1 },
        { kind: "conv", channels: 2 },
      ],
      [
        { kind: "same", channels: 1 },
        { kind: "norm", channels: 1 },
      ],
      [
        { kind: "relu", channels: 2 },
        { kind: "relu", channels: 3 },
        { kind: "relu", channels: 1 },
      ],
    ],
    numbers: Array.from({ length: 79 }, (_, i) => Math.fround(Math.sin(i + 1))),
  };

  it("make concatenations and cuts go, and one activation's gradient of many", () => {
    const { plan } = planned(net);
    assert.equal(count(plan, "concat"), 0);
    assert.equal(count(plan, "narrow"), 0);
    assert.equal(count(plan, "relu_backward_input"), 1);
  });

  /** Says of each spoiled plan whether its numbers are others. */
  const notices = (spoil: (plan: Plan) => Plan[]) => {
    const { plan, runPlan } = planned(net);
    const right = runPlan(plan);
    const spoiled = spoil(plan);
    assert(spoiled.length > 3);
    for (const wrong of spoiled) assert.notDeepEqual(runPlan(wrong), right);
    assert.deepEqual(runPlan(plan), right);
  };

  const used = ({ calls }: Plan, b: number) =>
    calls.some(({ inputs, outputs }) => [...inputs, ...outputs].includes(b));

  const withBuffer = (plan: Plan, b: number, change: Partial<Buffer>): Plan => ({
    ...plan,
    buffers: plan.buffers.map((old, k) => (k === b ? { ...old, ...change } : old)),
  });

  it("are noticed where a gap is wrong", () =>
    notices((plan) =>
      plan.buffers.flatMap(({ gap = 0 }, b) =>
        gap > 0 && used(plan, b) ? [1, -1].map((d) => withBuffer(plan, b, { gap: gap + d })) : [],
      ),
    ));

  it("are noticed where they begin elsewhere", () =>
    notices((plan) =>
      plan.buffers.flatMap((buffer, b) =>
        isSlice(buffer) && used(plan, b)
          ? [withBuffer(plan, b, { first: (buffer.first ?? 0) + 1 })]
          : [],
      ),
    ));

  it("are noticed where they are written after they are read", () =>
    notices((plan) =>
      plan.calls.flatMap((call, i) => {
        const b = call.outputs[0];
        if (b === null || !isSlice(plan.buffers[b])) return [];
        const isRead = (r: number | null) =>
          r === b ||
          (r !== null &&
            plan.buffers[r].memory === plan.buffers[b].memory &&
            !isSlice(plan.buffers[r]));
        const reader = plan.calls.findIndex(({ inputs }, k) => k > i && inputs.some(isRead));
        const calls = plan.calls.toSpliced(i, 1).toSpliced(reader, 0, call);
        return reader < 0 ? [] : [{ ...plan, calls }];
      }),
    ));
});
