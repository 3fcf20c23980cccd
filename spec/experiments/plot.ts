// # The plot of an experiment
//
// Training loss over the steps and validation accuracy over the epochs, side by side as SVG. Each
// variant has a colour: a faint line for every seed, a strong one for their mean.

import { ticks } from "convnotes";
import { mean, type Outcome, runningMean } from "./experiment.js";

type Point = readonly [x: number, y: number];

const panel = { width: 400, height: 260 };
const margin = { left: 52, top: 40, between: 68, right: 16, axis: 52, row: 22 };

/** Colours that stay apart for colour-blind eyes; the second is for dark paper. */
const colours = [
  ["#2468b2", "#6aa9f0"],
  ["#c2541b", "#f0955c"],
  ["#0f7f63", "#3fc39f"],
  ["#8a3f97", "#cf8bdb"],
  ["#8a6a00", "#dcb63c"],
  ["#59636e", "#a9b4c0"],
] as const;

const style = `
  .experiment { font: 13px system-ui, sans-serif; --ink: #1c2733; --grid: #d9dee4; --paper: #fff;
    ${colours.map(([light], i) => `--c${i}: ${light};`).join(" ")} }
  @media (prefers-color-scheme: dark) {
    .experiment { --ink: #dfe5ec; --grid: #3a4450; --paper: #161b21;
      ${colours.map(([, dark], i) => `--c${i}: ${dark};`).join(" ")} } }
  .experiment .paper { fill: var(--paper); } .experiment text { fill: var(--ink); }
  .experiment path { fill: none; } .experiment .grid { stroke: var(--grid); }
  .experiment .seed { opacity: .3; } .experiment .mean { stroke-width: 2; }
`;

interface Panel {
  readonly title: string;
  readonly axis: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  /** For each variant, the line of every seed. */
  readonly lines: readonly (readonly (readonly Point[])[])[];
}

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (text: string) => text.replace(/[&<>]/g, (c) => escapes[c]);
const short = (v: number) => String(Number(v.toPrecision(6)));

/**
 * The plot as a complete SVG document.
 *
 * Throws: RangeError for more variants than there are colours, or for none.
 */
export function plotSvg(title: string, outcomes: readonly Outcome[]): string {
  if (outcomes.length === 0 || outcomes.length > colours.length)
    throw new RangeError(
      `plotSvg: ${outcomes.length} variants, expected 1 to ${colours.length}, a colour each`,
    );
  const losses = outcomes.map(({ runs }) =>
    runs.map((run) => runningMean(run.losses).map((v, i): Point => [i + 1, v])),
  );
  const accuracies = outcomes.map(({ runs }) =>
    runs.map((run) => run.epochs.map((e): Point => [e.epoch, e.validationAccuracy])),
  );
  const largest = (lines: Panel["lines"], axis: 0 | 1) =>
    lines.flat(2).reduce((top, point) => Math.max(top, point[axis]), 1e-9);
  const second = margin.left + panel.width + margin.between;
  const width = second + panel.width + margin.right;
  const legendTop = margin.top + panel.height + margin.axis;
  const rows = Math.ceil(outcomes.length / 2);
  const height = legendTop + margin.row * rows + 4;
  const parts = [
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...drawPanel({
      title: "Training loss, running mean (nats)",
      axis: "step",
      left: margin.left,
      right: largest(losses, 0),
      top: largest(losses, 1),
      lines: losses,
    }),
    ...drawPanel({
      title: "Validation accuracy",
      axis: "epoch",
      left: second,
      right: largest(accuracies, 0),
      top: 1,
      lines: accuracies,
    }),
    ...outcomes.map(({ label }, i) => {
      const x = i < rows ? margin.left : second;
      const y = legendTop + margin.row * (i % rows) + 8;
      return (
        `<path class="mean" stroke="var(--c${i})" d="M${x} ${y}h22"/>` +
        `<text x="${x + 30}" y="${y + 4}">${escaped(label)}</text>`
      );
    }),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="experiment" role="img" ` +
    `aria-label="${escaped(title).replaceAll('"', "&quot;")}: training loss and validation ` +
    `accuracy of each variant" viewBox="0 0 ${width} ${height}">` +
    `<style>${style}</style>\n${parts.join("\n")}\n</svg>\n`
  );
}

/**
 * A line on the screen. Of points in one column, a unit wide, the first, the lowest, the highest and the last
 * draw what all of them would.
 */
export function pathThrough(points: readonly Point[]): string {
  const columns = new Map<
    number,
    { first: number; lowest: number; highest: number; last: number }
  >();
  points.forEach(([x, y], i) => {
    const column = columns.get(Math.floor(x)) ?? { first: i, lowest: i, highest: i, last: i };
    if (y < points[column.lowest][1]) column.lowest = i;
    if (y > points[column.highest][1]) column.highest = i;
    columns.set(Math.floor(x), { ...column, last: i });
  });
  const seen = new Set([...columns.values()].flatMap((column) => Object.values(column)));
  return points
    .filter((_, i) => seen.has(i))
    .map(([x, y], i) => `${i === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`)
    .join("");
}

function drawPanel({ title, axis, left, right, top, lines }: Panel): string[] {
  const x = (v: number) => left + (v / right) * panel.width;
  const y = (v: number) => margin.top + (1 - v / top) * panel.height;
  const path = (points: readonly Point[]) => pathThrough(points.map(([u, v]) => [x(u), y(v)]));
  const bottom = margin.top + panel.height;
  return [
    `<text x="${left}" y="24" font-weight="600">${title}</text>`,
    ...ticks(0, top, 5).map(
      (v) =>
        `<path class="grid" d="M${left} ${y(v).toFixed(1)}h${panel.width}"/>` +
        `<text x="${left - 8}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${short(v)}</text>`,
    ),
    ...ticks(0, right, 5)
      .filter((v) => axis === "step" || Number.isInteger(v))
      .map(
        (v) =>
          `<path class="grid" d="M${x(v).toFixed(1)} ${margin.top}v${panel.height}"/>` +
          `<text x="${x(v).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${short(v)}</text>`,
      ),
    `<text x="${left + panel.width / 2}" y="${bottom + 36}" text-anchor="middle">${axis}</text>`,
    ...lines.flatMap((seeds, i) => [
      ...seeds.map((line) => `<path class="seed" stroke="var(--c${i})" d="${path(line)}"/>`),
      `<path class="mean" stroke="var(--c${i})" d="${path(averaged(seeds))}"/>`,
    ]),
  ];
}

/** The mean of lines over the same places. */
const averaged = (lines: readonly (readonly Point[])[]): Point[] =>
  lines[0].map(([u], i) => [u, mean(lines.map((line) => line[i][1]))]);
