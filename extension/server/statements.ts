// # What the notes say of a layer
//
// The one statement of the chapters that a layer's hover cites. Titles come with the extension, as the
// build has read them in the chapters.

import type { Language } from "./show.js";

/** One of the chapters' statements, as the build writes it to `statements.json`. */
export interface CitedStatement {
  readonly label: string;
  readonly chapter: string;
  readonly language: Language;
  readonly title: string;
}

/** By PyTorch's name of the layer: the label of the statement. */
const labelOf: Readonly<Record<string, string>> = {
  Conv2d: "kernels",
  Linear: "mlp",
  MaxPool2d: "pooling",
  AvgPool2d: "pooling",
  AdaptiveAvgPool2d: "nin-global-pooling",
  BatchNorm1d: "batchnorm",
  BatchNorm2d: "batchnorm",
  ReLU: "alexnet-relu",
  Sigmoid: "sigmoid",
  Softmax: "softmax",
  LogSoftmax: "softmax",
  Dropout: "dropout",
  Flatten: "input-sizes",
  CrossEntropyLoss: "cross-entropy",
};

/** The statement in the reader's language, with a link where the editor can follow one; or nothing. */
export function statementMarkdown(
  className: string,
  statements: readonly CitedStatement[],
  language: Language,
  linked: boolean,
): string {
  const label = labelOf[className];
  const found = statements.find((s) => s.label === label && s.language === language);
  if (found === undefined) return "";
  const { title, chapter } = found;
  const file = language === "zh" ? `${chapter}.zh` : chapter;
  const where = encodeURIComponent(JSON.stringify([file, label]));
  const number = Number(chapter.slice(0, 2));
  const name = language === "zh" ? `第 ${number} 章` : `chapter ${number}`;
  const link = linked ? `[${name}](command:convnotes.chapter?${where})` : name;
  return `> ${title}${language === "zh" ? "——" : " — "}${link}`;
}
