// # The outputs panel, inside
//
// A card for each layer: its path, shape and cost, a picture of its maps, a histogram, a few numbers. A
// click shows the layer in the source; an image of one's own can be dropped anywhere.

import type { LayerOutputs, NetworkOutputs } from "../server/outputs.js";
import type { LayerView, OutputsAnswer } from "../server/protocol.js";
import type { FromOutputsPanel, OutputsWords, ToOutputsPanel } from "./messages.js";
import { element, host, main, shape, text } from "./page.js";

/** An own image is made no larger than this before it is sent. Units: pixels. */
const LARGEST = 512;

/** The width that a picture may take. Units: CSS pixels. */
const WIDTH = 560;

const say = (message: FromOutputsPanel) => host.postMessage(message);
const busy = element("p", { class: "busy", role: "status" });
const content = element("div");
main.append(busy, content);
busy.textContent = "…";

window.addEventListener("message", ({ data }: MessageEvent<ToOutputsPanel>) => {
  main.classList.toggle("waiting", data.kind === "busy");
  if (data.kind === "outputs") draw(data.answer, data.words);
  else if (data.kind === "failed") busy.textContent = data.why;
  else if (data.kind === "same") busy.textContent = data.gone ? current.gone : "";
  else busy.textContent = current.computing;
});

let current: OutputsWords = { computing: "…", gone: "" } as OutputsWords;

function draw({ view, outputs }: OutputsAnswer, words: OutputsWords): void {
  current = words;
  const top = document.documentElement.scrollTop;
  busy.textContent = "";
  const head = element(
    "header",
    {},
    element("h1", {}, view.name),
    element("p", { class: "totals" }, view.totals),
  );
  if ("unavailable" in outputs) {
    const why = element("p", { class: "why" }, `${words.noOutput} ${outputs.unavailable}`);
    const list = view.layers.map((layer, i) => card(layer, i, null, words));
    content.replaceChildren(head, why, element("div", { class: "layers" }, ...list));
    return;
  }
  head.append(chooser(outputs, words));
  const from = element("p", { class: "from" }, `${outputs.image} · ${outputs.weights}`);
  if (outputs.refused) from.append(element("span", { class: "why" }, ` ${outputs.refused}`));
  head.append(from);
  const byCall = new Map(outputs.layers.map((layer) => [layer.call, layer]));
  const input = element(
    "article",
    { class: "layer" },
    element("h2", {}, words.input),
    element("p", { class: "shape" }, view.input),
    picture(outputs.input),
  );
  const cards = view.layers.map((layer, i) => card(layer, i, byCall.get(i) ?? null, words));
  content.replaceChildren(head, element("div", { class: "layers" }, input, ...cards));
  document.documentElement.scrollTop = top;
}

function card(
  layer: LayerView,
  index: number,
  output: LayerOutputs | null,
  words: OutputsWords,
): HTMLElement {
  const { path, className, printed, parameters } = layer;
  const title = element("button", { class: "link", title: printed }, path || className);
  title.addEventListener("click", () => say({ kind: "reveal", layer: index }));
  const made = element(
    "article",
    { class: "layer" },
    element("h2", {}, title, element("span", { class: "class" }, className)),
    element(
      "p",
      { class: "shape" },
      `→ ${layer.output}`,
      ...(parameters > 0 ? [` · ${parameters.toLocaleString("en-US")} ${words.parameters}`] : []),
    ),
  );
  if (output === null) return made;
  const { mean, std, zeros, notFinite, picture: maps } = output;
  made.append(picture(maps));
  const channels = output.shape.length === 4 ? output.shape[1] : 1;
  if (maps.maps < channels)
    made.append(
      element(
        "p",
        { class: "note" },
        words.maps.replace("{0}", String(maps.maps)).replace("{1}", String(channels)),
      ),
    );
  made.append(
    histogram(output),
    element(
      "p",
      { class: "numbers" },
      `${words.mean} ${text(mean)} · ${words.std} ${text(std)} · ` +
        `${words.zeros} ${(100 * zeros).toFixed(zeros < 0.1 ? 1 : 0)} %`,
    ),
  );
  if (notFinite > 0)
    made.append(
      element("p", { class: "why" }, `${words.notFinite} ${(100 * notFinite).toFixed(1)} %`),
    );
  return made;
}

function picture({ uri, width, height }: NetworkOutputs["input"]): HTMLElement {
  const scale = Math.max(1, Math.min(8, Math.floor(WIDTH / width)));
  return element("img", {
    ...{ src: uri, width: width * scale, height: height * scale, class: "maps", alt: "" },
  });
}

function histogram({ histogram: counts, min, max }: LayerOutputs): HTMLElement {
  const [width, height] = [240, 36];
  const most = Math.max(...counts, 1);
  const step = width / counts.length;
  const bars = counts.map((n, i) => {
    const high = n === 0 ? 0 : Math.max(1, (n / most) * height);
    return shape("rect", {
      ...{ x: i * step, y: height - high, width: step - 1, height: high },
    });
  });
  return element(
    "figure",
    { class: "histogram" },
    shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" }, ...bars),
    element("figcaption", {}, element("span", {}, text(min)), element("span", {}, text(max))),
  );
}

// ## Choosing the image

const SAMPLES = 10;

function chooser(outputs: NetworkOutputs<string>, words: OutputsWords): HTMLElement {
  const buttons = Array.from({ length: SAMPLES }, (_, i) => {
    const button = element("button", { class: "sample" }, String(i + 1));
    button.addEventListener("click", () => say({ kind: "image", image: i }));
    return button;
  });
  const file = element("input", { type: "file", accept: "image/*", hidden: "" });
  file.addEventListener("change", () => void take(file.files?.[0]));
  const own = element("button", { class: "sample own" }, words.ownImage);
  own.addEventListener("click", () => file.click());
  return element(
    "div",
    { class: "chooser", title: outputs.image },
    ...buttons,
    own,
    file,
    element("span", { class: "note" }, words.drop),
  );
}

document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  void take(event.dataTransfer?.files[0]);
});

/** The browser reads the image, whatever its format; only pixels are sent on. */
async function take(file: File | undefined): Promise<void> {
  if (file === undefined) return;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
    const width = Math.max(1, Math.round(bitmap.width * scale));
    const height = Math.max(1, Math.round(bitmap.height * scale));
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d")!;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = Array.from({ length: 3 * width * height }, (_, i) => {
      const pixel = Math.floor(i / 3);
      return data[4 * pixel + (i % 3)];
    });
    say({ kind: "image", image: { name: file.name, width, height, rgb } });
  } catch {
    busy.textContent = `${file.name}: ?`;
  }
}

say({ kind: "ready" });
