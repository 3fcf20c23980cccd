// # A plan to read
//
// One line for each call: the module, the kernel, what it reads and writes and where that lies, in bytes from
// where the arena begins. Of a slice, images lie apart: there is one `every` so many bytes.

import type { Graph, Shape } from "convnotes";
import { gpuFusions } from "./fuse.js";
import { bytesOf, lifetimes, type Plan } from "./plan.js";

const size = (bytes: number): string =>
  bytes < 1024 * 1024
    ? `${(bytes / 1024).toFixed(1)} KiB`
    : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

/** A table of all calls, with what memory they take. */
export function printed(plan: Plan, graph: Graph): string {
  const { calls, buffers, memories, offsets, arenaBytes, lowerBoundBytes } = plan;
  const nameOf = (b: number | null): string => {
    if (b === null) return "-";
    const { memory, shape, dtype, first = 0, gap = 0 } = buffers[b];
    const sizes = (of: Shape) => of.join("×") || "1";
    const offset = offsets[memory];
    if (offset === null) return `bound ${memories[memory].storage} ${sizes(shape)}`;
    if (first === 0 && gap === 0) return `@${offset} ${sizes(shape)}`;
    const at = offset + first * bytesOf([], dtype);
    return `@${at} ${sizes(shape)} every ${bytesOf(shape.slice(1), dtype) + bytesOf([gap], dtype)}`;
  };
  const rows = calls.map(({ kernel, nodes, inputs, outputs }) => {
    const steps = nodes.map((i) => graph.nodes[i].name);
    if (gpuFusions.statistics.has(kernel) && outputs.length > 1) steps.push("statistics");
    return [
      nodes.length === 0 ? "" : graph.nodes[nodes[0]].path,
      steps.length < 2 ? kernel : `${kernel} (${steps.join(" + ")})`,
      inputs.map(nameOf).join(", "),
      outputs.map(nameOf).join(", "),
    ];
  });
  const head = ["module", "kernel", "reads", "writes"];
  const widths = [0, 1, 2].map((k) => Math.max(...[head, ...rows].map((r) => r[k].length)));
  const line = (row: readonly string[]) =>
    row.map((cell, k) => (k < 3 ? cell.padEnd(widths[k]) : cell)).join("  ");
  const bound = buffers
    .filter((_, b) => buffers.findIndex((o) => o.memory === buffers[b].memory) === b)
    .filter(({ memory }) => memories[memory].storage !== null)
    .reduce((sum, { shape, dtype }) => sum + bytesOf(shape, dtype), 0);
  const pieces = lifetimes(plan).filter((life) => life !== undefined).length;
  const named = (name: string) => graph.nodes.filter((n) => n.name === name).length;
  const [joins, cuts] = [named("concat"), named("narrow")];
  const copying = calls.filter(({ kernel }) => /(^|_)(concat|narrow)$/.test(kernel)).length;
  return [
    line(head),
    ...rows.map(line),
    "",
    `${graph.nodes.length} steps of the graph became ${calls.length} calls`,
    ...(joins + cuts > 0
      ? [`${joins} concatenations and ${cuts} cuts, of which ${copying} copy anything`]
      : []),
    `arena: ${size(arenaBytes)} for ${pieces} pieces; at least ${size(lowerBoundBytes)} is alive at once`,
    `bound: ${size(bound)} of parameters, states, images and results`,
  ].join("\n");
}
