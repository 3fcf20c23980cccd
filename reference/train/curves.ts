// # Curves
//
// Loss and accuracy over the epochs as SVG: every step as a faint line, their running mean as a
// strong one, the validation result of each epoch as a dot. The same drawing stands alone as a
// file and inside the run page.

import type { EpochEvent, StepEvent } from "./loop.js";

/** What has been logged of a run. */
export interface History {
  readonly steps: readonly StepEvent[];
  readonly epochs: readonly EpochEvent[];
  /** Steps of a whole epoch, which make one unit of the horizontal axis. */
  readonly stepsPerEpoch: number;
}

export type Curve = "loss" | "accuracy";

const validationOf = { loss: "validationLoss", accuracy: "validationAccuracy" } as const;
const title = { loss: "Loss (cross-entropy, nats)", accuracy: "Accuracy" } as const;

// ## Layout, in pixels of a drawing that scales

const size = { width: 640, height: 360 };
const margin = { left: 56, right: 16, top: 40, bottom: 44 };
const plot = {
  width: size.width - margin.left - margin.right,
  height: size.height - margin.top - margin.bottom,
};

const palette = `
  .curve { font: 13px system-ui, sans-serif; --ink: #1c2733; --grid: #d9dee4; --paper: #fff;
           --train: #2468b2; --validation: #c2541b; }
  @media (prefers-color-scheme: dark) {
    .curve { --ink: #dfe5ec; --grid: #3a4450; --paper: #161b21; --train: #6aa9f0;
             --validation: #f0955c; } }
  .curve .paper { fill: var(--paper); } .curve text { fill: var(--ink); }
  .curve .grid { stroke: var(--grid); } .curve .steps { stroke: var(--train); opacity: .3; }
  .curve .mean { stroke: var(--train); stroke-width: 2; }
  .curve .validation { stroke: var(--validation); stroke-width: 2; }
  .curve .dot { fill: var(--validation); } .curve path { fill: none; }
`;

/** Places on an axis that are easy to read: steps of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, about: number): number[] {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** The curve of `which` as a complete SVG document. */
export function curveSvg(history: History, which: Curve): string {
  const { steps, epochs, stepsPerEpoch } = history;
  const at = (s: StepEvent) => s.epoch - 1 + s.batch / stepsPerEpoch;
  const values = [...steps.map((s) => s[which]), ...epochs.map((e) => e[validationOf[which]])];
  const right = Math.max(1, ...epochs.map((e) => e.epoch), ...steps.slice(-1).map(at));
  const top =
    which === "accuracy"
      ? 1
      : Math.max(
          1e-9,
          values.reduce((a, b) => Math.max(a, b), 0),
        );
  const x = (epoch: number) => margin.left + (epoch / right) * plot.width;
  const y = (value: number) => margin.top + (1 - value / top) * plot.height;
  const path = (points: readonly (readonly [number, number])[]) =>
    points
      .map(([u, v], i) => `${i === 0 ? "M" : "L"}${x(u).toFixed(1)} ${y(v).toFixed(1)}`)
      .join("");

  const shown = thinned(steps);
  const mean = thinned(runningMean(steps, which, Math.max(1, Math.round(stepsPerEpoch / 25))));
  const judged = epochs.map((e) => [e.epoch, e[validationOf[which]]] as const);
  const number = (v: number) => String(Number(v.toPrecision(6)));
  const parts = [
    `<rect class="paper" width="${size.width}" height="${size.height}"/>`,
    `<text x="${margin.left}" y="22" font-weight="600">${title[which]}</text>`,
    ...ticks(0, top, 5).map(
      (v) =>
        `<path class="grid" d="M${margin.left} ${y(v).toFixed(1)}h${plot.width}"/>` +
        `<text x="${margin.left - 8}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${number(v)}</text>`,
    ),
    ...ticks(0, right, 8).map(
      (v) =>
        `<path class="grid" d="M${x(v).toFixed(1)} ${margin.top}v${plot.height}"/>` +
        `<text x="${x(v).toFixed(1)}" y="${margin.top + plot.height + 18}" text-anchor="middle">` +
        `${number(v)}</text>`,
    ),
    `<text x="${margin.left + plot.width / 2}" y="${size.height - 8}" text-anchor="middle">epoch</text>`,
    `<path class="steps" d="${path(shown.map((s) => [at(s), s[which]]))}"/>`,
    `<path class="mean" d="${path(mean.map(({ step, value }) => [at(step), value]))}"/>`,
    `<path class="validation" d="${path(judged)}"/>`,
    ...judged.map(
      ([u, v]) => `<circle class="dot" cx="${x(u).toFixed(1)}" cy="${y(v).toFixed(1)}" r="4"/>`,
    ),
    ...legend(),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="curve" role="img" ` +
    `aria-label="${title[which]} over epochs" viewBox="0 0 ${size.width} ${size.height}">` +
    `<style>${palette}</style>\n${parts.join("\n")}\n</svg>\n`
  );
}

function legend(): string[] {
  const entry = (left: number, name: string, text: string) =>
    `<path class="${name}" d="M${left} 18h18"/><text x="${left + 24}" y="22">${text}</text>`;
  return [entry(430, "mean", "training"), entry(530, "validation", "validation")];
}

/** Mean of each step and those before it, `window` at most. */
function runningMean(steps: readonly StepEvent[], which: Curve, window: number) {
  let sum = 0;
  return steps.map((step, i) => {
    sum += step[which];
    if (i >= window) sum -= steps[i - window][which];
    return { step, value: sum / Math.min(i + 1, window) };
  });
}

/** At most two points a pixel: more cannot be seen and make the file heavy. */
function thinned<T>(list: readonly T[]): T[] {
  const every = Math.ceil(list.length / (2 * plot.width));
  return list.filter((_, i) => i % every === 0 || i === list.length - 1);
}

// ## The run page

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** `text` with everything that HTML would take for its own written as entities. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>]/g, (c) => escapes[c]).replace(/"/g, "&quot;");

/**
 * One page, without scripts or links to anything outside, that shows the run: its settings, both
 * curves, and the table of epochs.
 */
export function runPage(
  name: string,
  settings: readonly (readonly [string, string])[],
  history: History,
): string {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((c) => `<${tag}>${escapeHtml(c)}</${tag}>`).join("")}</tr>`;
  const number = (v: number) => v.toFixed(4);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(name)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
  .curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
  table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
  th, td { text-align: right; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #8884; }
  .settings th, .settings td { text-align: left; font-weight: normal; }
  .settings th { opacity: .7; }
  .scroll { overflow-x: auto; }
</style></head><body>
<h1>${escapeHtml(name)}</h1>
<table class="settings">
${settings.map(([k, v]) => `<tr><th scope="row">${escapeHtml(k)}</th><td>${escapeHtml(v)}</td></tr>`).join("\n")}
</table>
<div class="curves">
${curveSvg(history, "loss")}${curveSvg(history, "accuracy")}</div>
<div class="scroll"><table>
<thead>${row(["epoch", "loss", "accuracy", "validation loss", "validation accuracy"], "th")}</thead>
<tbody>
${history.epochs
  .map((e) =>
    row(
      [
        String(e.epoch),
        number(e.loss),
        number(e.accuracy),
        number(e.validationLoss),
        number(e.validationAccuracy),
      ],
      "td",
    ),
  )
  .join("\n")}
</tbody></table></div>
</body></html>
`;
}
