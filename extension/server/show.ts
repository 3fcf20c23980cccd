// # What is shown
//
// From an analysis to text: the hint behind a layer, the table under the pointer, the line above a
// network. Nothing here knows an editor.

import type { Dim, LayerCall, Network } from "convnotes/pytorch";

export type Language = "en" | "zh";

/** `N×6×28×28`; `?` for what is not known. */
export const shapeText = (shape: readonly Dim[] | null): string =>
  shape === null ? "?" : shape.length === 0 ? "()" : shape.join("×");

const count = (n: number): string => n.toLocaleString("en-US");

const bytesText = (n: number): string => {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = n < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(n) / 3));
  return `${Number((n / 1000 ** power).toPrecision(3))} ${units[power]}`;
};

const words = {
  en: {
    input: "input",
    output: "output",
    size: "size",
    parameters: "parameters",
    multiplyAdds: "multiply-adds",
    field: "receptive field",
    memory: "activation memory",
    shared: "counted before",
    unknown: "unknown",
    atLeast: "at least",
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
    field: "感受野",
    memory: "激活值内存",
    shared: "已计入",
    unknown: "未知",
    atLeast: "至少",
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
    `${least}${count(parameters)} ${t.parameters}`,
    `${count(multiplyAdds)} ${t.multiplyAdds}`,
    `${bytesText(activationBytes)} (N = ${batch})`,
    inputText(network, language),
  ].join(" · ");
}

/** `input N×1×28×28 (solved: 28…31)`. */
export function inputText({ input }: Network, language: Language): string {
  const t = words[language];
  const interval = input.interval ? `: ${input.interval.from}…${input.interval.to}` : "";
  return `${t.input} ${shapeText(input.shape)} (${t.sources[input.source]}${interval})`;
}

/** What foreign text may not do in Markdown. */
const literal = (text: string): string => `\`${text.replaceAll("`", "ʼ").replaceAll("\n", " ")}\``;

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
        (call.shared ? ` (${t.shared})` : ""),
    ]);
  if (call.multiplyAdds > 0) rows.push([t.multiplyAdds, count(call.multiplyAdds)]);
  if (call.receptiveField) rows.push([t.field, call.receptiveField.join("×")]);
  rows.push([t.memory, bytesText(call.activationBytes)]);
  const lines = [
    `**${literal(call.path)}** ${literal(call.printed)}`,
    "",
    "| | |",
    "| --- | --- |",
    ...rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "\\|")} |`),
  ];
  if (call.unknown !== undefined) lines.push("", `${t.unknown}: ${literal(call.unknown)}`);
  return lines.join("\n");
}

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
    `${t.parameters}: ${count(network.totals.parameters)} · ` +
      `${t.multiplyAdds}: ${count(network.totals.multiplyAdds)} · ` +
      `${t.memory}: ${bytesText(network.totals.activationBytes)}`,
    ...(network.failed ? ["", `**${network.failed.message}**`] : []),
    "",
    "```",
    network.printed,
    "```",
    "",
  ].join("\n");
}
