// # What is shown
//
// From an analysis to text: the hint behind a layer, the table under the pointer, the line above a
// network. Nothing here knows an editor.

import { type Dim, type LayerCall, type Network, type Said, spoken } from "convnotes/pytorch";
import type { Outputs } from "./calculator.js";
import { chinese } from "./chinese.js";
import type { NetworkOutputs, NoOutputs } from "./outputs.js";

export type Language = "en" | "zh";

/** What the analysis says. Words that have none in the language stay English. */
export const inLanguage = (said: Said, language: Language): string =>
  language === "en" ? spoken(said) : spoken(said, (words) => chinese.get(words) ?? words);

/** `N×6×28×28`; `?` for what is not known. */
export const shapeText = (shape: readonly Dim[] | null): string =>
  shape === null ? "?" : shape.length === 0 ? "()" : shape.join("×");

const count = (n: number): string => n.toLocaleString("en-US");

const bytesText = (n: number): string => {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = n < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(n) / 3));
  return `${Number((n / 1000 ** power).toPrecision(3))} ${units[power]}`;
};

export const words = {
  en: {
    input: "input",
    output: "output",
    size: "size",
    parameters: "parameters",
    multiplyAdds: "multiply-adds",
    /** Behind a number. */
    counted: { parameters: "parameters", multiplyAdds: "multiply-adds" },
    colon: ": ",
    aside: (text: string) => ` (${text})`,
    field: "receptive field",
    memory: "activation memory",
    shared: "counted before",
    unknown: "unknown",
    mean: "mean",
    std: "std",
    zeros: "zeros",
    notFinite: "not finite",
    computing: "its output is being computed …",
    noOutput: "no output",
    atLeast: "at least",
    steps: ", in steps of",
    sources: {
      chosen: "chosen",
      call: "from a call",
      dataset: "from the data set",
      comment: "from a comment",
      solved: "solved",
      assumed: "assumed",
    },
  },
  zh: {
    input: "输入",
    output: "输出",
    size: "尺寸",
    parameters: "参数",
    multiplyAdds: "乘加次数",
    counted: { parameters: "个参数", multiplyAdds: "次乘加" },
    colon: "：",
    aside: (text: string) => `（${text}）`,
    field: "感受野",
    memory: "激活值内存",
    shared: "已计入",
    unknown: "未知",
    mean: "均值",
    std: "标准差",
    zeros: "零值",
    notFinite: "非有限",
    computing: "正在计算输出……",
    noOutput: "没有输出",
    atLeast: "至少",
    steps: "，步长",
    sources: {
      chosen: "已选择",
      call: "来自调用",
      dataset: "来自数据集",
      comment: "来自注释",
      solved: "由网络求得",
      assumed: "假定",
    },
  },
} as const;

/** The hint behind a layer that was called with one or several shapes. */
export function hintText(outputs: readonly (readonly Dim[] | null)[]): string {
  const different = [...new Set(outputs.map(shapeText))];
  const shown = different.slice(0, 3).join(" | ");
  return `→ ${shown}${different.length > 3 ? " | …" : ""}`;
}

/** The line above a network. */
export function networkText(network: Network, batch: number, language: Language): string {
  const t = words[language];
  const { parameters, multiplyAdds, activationBytes, complete } = network.totals;
  const least = complete ? "" : `${t.atLeast} `;
  return [
    `${least}${count(parameters)} ${t.counted.parameters}`,
    `${count(multiplyAdds)} ${t.counted.multiplyAdds}`,
    `${bytesText(activationBytes)}${t.aside(`N = ${batch}`)}`,
    inputText(network, language),
  ].join(" · ");
}

/** `input N×1×28×28 (solved: 28…31)`. */
export function inputText({ input }: Network, language: Language): string {
  const t = words[language];
  const { from, to, step } = input.interval ?? {};
  const steps = step === undefined ? "" : `${t.steps} ${step}`;
  const sizes = from === to ? String(from) : `${from}…${to}${steps}`;
  const interval = from === undefined ? "" : `${t.colon}${sizes}`;
  return `${t.input} ${shapeText(input.shape)}${t.aside(t.sources[input.source] + interval)}`;
}

/** Code, in which nothing is Markdown. */
const literal = (text: string): string => `\`${text.replaceAll("`", "ʼ").replaceAll("\n", " ")}\``;

/** Words in which something foreign may stand, a file's name or a piece of source, and nothing is Markdown. */
const plain = (text: string): string =>
  text.replaceAll("\n", " ").replace(/[\\`*_[\]<>&~|]/g, "\\$&");

/** What the pointer is on: its path, and what PyTorch prints. */
export const layerTitle = (call: LayerCall): string =>
  `**${literal(call.path)}** ${literal(call.printed)}`;

/** The table under the pointer. */
export function layerMarkdown(call: LayerCall, language: Language): string {
  const t = words[language];
  const rows: (readonly [string, string])[] = [
    [t.input, call.inputs.map((shape) => literal(shapeText(shape))).join(", ")],
    [t.output, call.output ? literal(shapeText(call.output)) : t.unknown],
  ];
  for (const line of call.arithmetic) rows.push([t.size, literal(line)]);
  if (call.parameters > 0)
    rows.push([
      t.parameters,
      `${count(call.parameters)} = ${literal(call.parameterFormula)}` +
        (call.shared ? t.aside(t.shared) : ""),
    ]);
  if (call.multiplyAdds > 0) rows.push([t.multiplyAdds, count(call.multiplyAdds)]);
  if (call.receptiveField) rows.push([t.field, call.receptiveField.join("×")]);
  rows.push([t.memory, bytesText(call.activationBytes)]);
  const lines = [
    "| | |",
    "| --- | --- |",
    ...rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "\\|")} |`),
  ];
  if (call.unknown !== undefined)
    lines.push("", `${t.unknown}${t.colon}${plain(inLanguage(call.unknown, language))}`);
  return lines.join("\n");
}

/** Layers at the same place that one hover has no room for. */
export const moreText = (n: number, language: Language): string =>
  language === "en" ? `… ${n} more` : `……还有 ${n} 个`;

/** The whole network as a Markdown table. */
export function networkMarkdown(network: Network, language: Language): string {
  const t = words[language];
  const head = ["", "", t.output, t.parameters, t.multiplyAdds, t.field];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    `# ${network.name}`,
    "",
    inputText(network, language),
    "",
    line(head),
    line(["---", "---", "---", "---:", "---:", "---"]),
    ...network.calls.map((c) =>
      line([
        literal(c.path),
        c.className,
        shapeText(c.output),
        c.parameters > 0 && !c.shared ? count(c.parameters) : "",
        c.multiplyAdds > 0 ? count(c.multiplyAdds) : "",
        c.receptiveField?.join("×") ?? "",
      ]),
    ),
    "",
    [
      `${t.parameters}${t.colon}${count(network.totals.parameters)}`,
      `${t.multiplyAdds}${t.colon}${count(network.totals.multiplyAdds)}`,
      `${t.memory}${t.colon}${bytesText(network.totals.activationBytes)}`,
    ].join(" · "),
    ...(network.failed ? ["", `**${plain(inLanguage(network.failed.message, language))}**`] : []),
    "",
    "```",
    network.printed,
    "```",
    "",
  ].join("\n");
}

// ## Outputs

/** Outputs with their words in the language. */
export function outputsText(
  outputs: Outputs,
  language: Language,
): NetworkOutputs<string> | NoOutputs<string> {
  const text = (said: Said) => inLanguage(said, language);
  if ("unavailable" in outputs) return { unavailable: text(outputs.unavailable) };
  const { image, weights, refused, ...rest } = outputs;
  return {
    ...{ ...rest, image: text(image), weights: text(weights) },
    ...(refused && { refused: text(refused) }),
  };
}

const number = (x: number): string =>
  x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5)
    ? String(Number(x.toPrecision(3)))
    : x.toExponential(1);

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** A histogram as a line of text; the highest bar is full. */
function bars(counts: readonly number[]): string {
  const most = Math.max(...counts, 1);
  const levels = "▁▂▃▄▅▆▇█";
  // Whatever is there at all can be seen.
  return counts
    .map((n) => (n === 0 ? " " : levels[Math.min(7, Math.floor((n / most) * 8))]))
    .join("");
}

/** What a hover shows without being scrolled. Units: pixels. */
const [WIDEST, HIGHEST] = [420, 110];

/** What a layer put out; null while it is being computed. */
export function outputMarkdown(
  outputs: Outputs | null,
  call: number,
  language: Language,
  pictures: boolean,
): string {
  const t = words[language];
  if (outputs === null) return `_${t.computing}_`;
  if ("unavailable" in outputs)
    return `${t.noOutput}${t.colon}${plain(inLanguage(outputs.unavailable, language))}`;
  const layer = outputs.layers.find((l) => l.call === call);
  if (layer === undefined) return "";
  const { picture, mean, std, min, max, zeros, notFinite, histogram } = layer;
  const scale = Math.min(WIDEST / picture.width, HIGHEST / picture.height);
  const [width, height] = [picture.width, picture.height].map((d) => Math.round(d * scale));
  const shown = pictures ? [`![](${picture.uri}|width=${width},height=${height})`, ""] : [];
  const numbers = [
    `${t.mean} ${number(mean)}`,
    `${t.std} ${number(std)}`,
    `${t.zeros} ${percent(zeros)}`,
    ...(notFinite > 0 ? [`**${t.notFinite} ${percent(notFinite)}**`] : []),
  ];
  return [
    ...shown,
    numbers.join(" · "),
    "",
    `\`${number(min)} ${bars(histogram)} ${number(max)}\``,
    "",
    [outputs.image, outputs.weights].map((of) => plain(inLanguage(of, language))).join(" · "),
    ...(outputs.refused ? ["", plain(inLanguage(outputs.refused, language))] : []),
  ].join("\n");
}
