// # A source file as a page
//
// The sources are written to be read: prose in `//` comments, code beneath. This turns a file into
// Markdown with the prose as prose and the code in fences, so that the site can set it beside the
// chapter that cites it. Nothing is added and nothing is left out.

import { slug } from "../../spec/statements.js";

interface Piece {
  readonly kind: "prose" | "code";
  readonly lines: string[];
}

const isComment = (line: string) => /^\s*\/\/( |$)/.test(line);
const opensSection = (line: string) => /^\s*\/\/ #{1,4} /.test(line);

/**
 * Cuts a file into prose and code. A comment is prose where a paragraph of its own begins: at the
 * left margin after an empty line, or with a heading. Other comments belong to their code.
 */
export function pieces(text: string): Piece[] {
  const result: Piece[] = [];
  let prose = false;
  const lines = text.replace(/\n$/, "").split("\n");
  lines.forEach((line, i) => {
    const freestanding = !/^\s/.test(line) && (i === 0 || lines[i - 1] === "");
    if (isComment(line)) prose ||= opensSection(line) || freestanding;
    else prose = false;
    const kind = prose ? "prose" : "code";
    const last = result.at(-1);
    if (last?.kind === kind && !(prose && opensSection(line))) last.lines.push(line);
    else result.push({ kind, lines: [line] });
  });
  return result.filter(({ lines }) => lines.some((line) => line.trim() !== ""));
}

/** The id of a heading of `path` on a page; without `anchor`, that of the file. */
export function sourceId(path: string, anchor: string | null = null): string {
  const file = path.replace(/[^a-z0-9]+/gi, "-");
  return anchor === null ? file : `${file}--${anchor}`;
}

/** What Vue would take for a tag is shown as it stands; code spans and formulas are left alone. */
const escapeTags = (line: string): string =>
  line
    .split(/(`[^`]*`|\$[^$]*\$)/)
    .map((part, i) => (i % 2 === 1 ? part : part.replace(/</g, "&lt;")))
    .join("");

/** Markdown for one source file. */
export function sourceMarkdown(path: string, text: string): string {
  return pieces(text)
    .map(({ kind, lines }) => (kind === "prose" ? proseMarkdown(path, lines) : fence(lines)))
    .join("\n\n");
}

function proseMarkdown(path: string, lines: readonly string[]): string {
  const [first, ...rest] = lines.map((line) => line.replace(/^\s*\/\/ ?/, ""));
  const heading = /^(#{1,4}) (.+)$/.exec(first);
  if (heading === null) return [first, ...rest].map(escapeTags).join("\n");
  const [, level, words] = heading;
  const depth = Math.min(6, level.length + 2);
  const id = level === "#" ? sourceId(path, slug(words)) : sourceId(path, slug(words));
  const title = `${"#".repeat(depth)} ${escapeTags(words)} {#${id}}`;
  return [title, ...rest.map(escapeTags)].join("\n");
}

function fence(lines: readonly string[]): string {
  const body = lines
    .join("\n")
    .replace(/^\n+|\n+$/g, "")
    .split("\n");
  const margins = body.filter((l) => l.trim() !== "").map((l) => /^ */.exec(l)![0].length);
  const margin = Math.min(...margins);
  return ["```ts", ...body.map((l) => l.slice(margin)), "```"].join("\n");
}
