// # The training panel, inside
//
// Settings, three buttons, a bar, and two curves that grow while the run goes on.

import { ticks } from "convnotes";
import type {
  FromTrainingPanel,
  LogLine,
  RunState,
  ToTrainingPanel,
  TrainingSettings,
  TrainingWords,
} from "./messages.js";
import { element, host, main, shape, text } from "./page.js";

const say = (message: FromTrainingPanel) => host.postMessage(message);

type Step = Extract<LogLine, { type: "step" }>;
type Epoch = Extract<LogLine, { type: "epoch" }>;

const steps: Step[] = [];
const ends: Epoch[] = [];
let length = { epochs: 1, batches: 1 };
let words: TrainingWords | null = null;
let view: View | null = null;

window.addEventListener("message", ({ data }: MessageEvent<ToTrainingPanel>) => {
  if (data.kind === "begin") {
    words = data.words;
    view = build(data.network, data.settings, data.words);
    setState("idle", "");
  } else if (data.kind === "state") setState(data.state, data.text);
  else {
    if (data.anew) {
      steps.length = 0;
      ends.length = 0;
    }
    length = data;
    for (const line of data.lines)
      if (line.type === "step") steps.push(line);
      else ends.push(line);
    requestAnimationFrame(draw);
  }
});

// ## The form

interface View {
  readonly start: HTMLButtonElement;
  readonly stop: HTMLButtonElement;
  readonly resume: HTMLButtonElement;
  readonly folder: HTMLButtonElement;
  readonly fields: HTMLFieldSetElement;
  readonly bar: HTMLProgressElement;
  readonly now: HTMLElement;
  readonly said: HTMLElement;
  readonly curves: HTMLElement;
}

function build(network: string, settings: TrainingSettings, t: TrainingWords): View {
  const number = (name: string, value: number | null, step: string, min: string, hint = "") =>
    element("input", {
      ...{ type: "number", name, step, min, value: value ?? "", placeholder: hint },
    });
  const epochs = number("epochs", settings.epochs, "1", "1");
  const batch = number("batchSize", settings.batchSize, "1", "1");
  const lr = number("lr", settings.lr, "any", "0");
  const resize = number("resize", settings.resize, "1", "1", t.asInput);
  const images = element(
    "select",
    { name: "images" },
    element("option", { value: "built-in" }, t.builtIn),
    element("option", { value: "fashion-mnist" }, t.fashionMnist),
  );
  const label = (name: string, field: HTMLElement) => element("label", {}, name, field);
  const fields = element(
    "fieldset",
    {},
    label(t.epochs, epochs),
    label(t.batchSize, batch),
    label(t.lr, lr),
    label(t.images, images),
    label(t.resize, resize),
  );
  const start = element("button", { class: "primary" }, t.start);
  const stop = element("button", {}, t.stop);
  const resume = element("button", {}, t.resume);
  const folder = element("button", {}, t.folder);
  start.addEventListener("click", () =>
    say({
      kind: "start",
      settings: {
        epochs: Math.max(1, epochs.valueAsNumber || settings.epochs),
        batchSize: Math.max(1, batch.valueAsNumber || settings.batchSize),
        lr: lr.valueAsNumber > 0 ? lr.valueAsNumber : settings.lr,
        images: images.value === "built-in" ? "built-in" : "fashion-mnist",
        resize: resize.valueAsNumber >= 1 ? resize.valueAsNumber : null,
      },
    }),
  );
  stop.addEventListener("click", () => say({ kind: "stop" }));
  resume.addEventListener("click", () => say({ kind: "resume" }));
  folder.addEventListener("click", () => say({ kind: "folder" }));
  const made: View = {
    ...{ start, stop, resume, folder, fields },
    bar: element("progress", { max: 1, value: 0 }),
    now: element("p", { class: "numbers", role: "status" }),
    said: element("pre", { class: "said" }),
    curves: element("div", { class: "curves" }),
  };
  main.replaceChildren(
    element("header", {}, element("h1", {}, network)),
    fields,
    element("div", { class: "buttons" }, start, stop, resume, folder),
    made.bar,
    made.now,
    made.curves,
    made.said,
  );
  return made;
}

function setState(state: RunState, said: string): void {
  if (view === null) return;
  const runs = state === "running" || state === "stopping";
  view.start.disabled = runs;
  view.fields.disabled = runs;
  view.stop.disabled = state !== "running";
  view.resume.disabled = !(state === "stopped" || (state === "failed" && steps.length > 0));
  view.folder.disabled = state === "idle";
  view.said.textContent = said;
  view.said.classList.toggle("why", state === "failed");
  draw();
}

// ## The curves

function draw(): void {
  if (view === null || words === null) return;
  const t = words;
  const last = steps.at(-1);
  const { epochs, batches } = length;
  const total = epochs * batches;
  const at = last ? (last.epoch - 1) * batches + last.batch : 0;
  view.bar.value = total === 0 ? 0 : at / total;
  const end = ends.at(-1);
  view.now.textContent = last
    ? `${t.epoch} ${last.epoch}/${epochs} · ${t.step} ${last.batch}/${batches} · ` +
      `${t.loss} ${text(last.loss)} · ${t.accuracy} ${text(last.accuracy)}` +
      (end
        ? ` · ${t.validation}: ${t.loss} ${text(end.validationLoss)}, ` +
          `${t.accuracy} ${text(end.validationAccuracy)}`
        : "")
    : "";
  const place = (epoch: number, batch: number) => ((epoch - 1) * batches + batch) / batches;
  const one = (which: "loss" | "accuracy", name: string) =>
    curve(name, epochs, [
      {
        name: `${t.training} (${t.step})`,
        kind: "thin",
        points: steps.map((s) => [place(s.epoch, s.batch), s[which]]),
      },
      { name: t.training, kind: "training", points: ends.map((e) => [e.epoch, e[which]]) },
      {
        name: t.validation,
        kind: "validation",
        points: ends.map((e) => [
          e.epoch,
          which === "loss" ? e.validationLoss : e.validationAccuracy,
        ]),
      },
    ]);
  view.curves.replaceChildren(one("loss", t.loss), one("accuracy", t.accuracy));
}

interface Line {
  readonly name: string;
  readonly kind: "thin" | "training" | "validation";
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** The most points that are worth drawing. */
const MOST_POINTS = 600;

function curve(title: string, epochs: number, lines: readonly Line[]): HTMLElement {
  const [width, height, left, bottom, top] = [460, 220, 46, 24, 10];
  const ys = lines.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite);
  const high = Math.max(...ys, 0.1);
  const low = Math.min(...ys, 0);
  const x = (epoch: number) => left + (epoch / epochs) * (width - left - 8);
  const y = (value: number) =>
    height - bottom - ((value - low) / (high - low || 1)) * (height - bottom - top);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const label = (text: string, attributes: Record<string, string | number>) => {
    const made = shape("text", attributes);
    made.textContent = text;
    return made;
  };
  for (const value of ticks(low, high, 4))
    drawing.append(
      shape("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), class: "grid" }),
      label(text(value), { x: left - 6, y: y(value) + 4, "text-anchor": "end" }),
    );
  const every = Math.max(1, Math.ceil(epochs / 10));
  for (let e = 0; e <= epochs; e += every)
    drawing.append(label(String(e), { x: x(e), y: height - 6, "text-anchor": "middle" }));
  for (const { points, kind } of lines) {
    if (points.length === 0) continue;
    const thinned = Math.max(1, Math.ceil(points.length / MOST_POINTS));
    const kept = points.filter((_, i) => i % thinned === 0 || i === points.length - 1);
    drawing.append(
      shape("polyline", {
        points: kept.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" "),
        class: kind,
      }),
    );
    if (kind !== "thin")
      for (const [px, py] of points)
        drawing.append(shape("circle", { cx: x(px), cy: y(py), r: 3, class: kind }));
  }
  const legend = element(
    "figcaption",
    {},
    element("b", {}, title),
    ...lines.map(({ name, kind }) => element("span", { class: `key ${kind}` }, name)),
  );
  return element("figure", {}, legend, drawing);
}

say({ kind: "ready" });
