// # Statements
//
// The chapters are Markdown with numbered statements in it; `chapters/README.md` shows how one is
// written. This file reads them: plain functions from text to statements, without a test runner and
// without a Markdown library, so that the matrix, the tests and the site all read the same thing.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

export type Language = "en" | "zh";

/** A place in the source that computes what a statement says. */
export interface Source {
  /** From the top of the project, such as `reference/ops/conv2d.ts`. */
  readonly path: string;
  /** The slug of one of the file's headings; null cites the whole file. */
  readonly anchor: string | null;
  readonly line: number;
}

/** One letter of a formula. */
export interface SymbolRow {
  /** As it stands in the table, such as `$w$`. */
  readonly symbol: string;
  readonly shape: string;
  readonly line: number;
}

export interface Statement {
  /** Unique in the whole specification, such as `kernel-size`. */
  readonly label: string;
  /** The file's name without language and ending, such as `02-from-mlp-to-convolution`. */
  readonly chapter: string;
  readonly language: Language;
  readonly title: string;
  /** Markdown: everything but the field lines. */
  readonly body: string;
  /** TeX of the display formulas, in order, without the dollars. */
  readonly formulas: readonly string[];
  readonly symbols: readonly SymbolRow[];
  /** Stems of the operations that the statement is about. */
  readonly operations: readonly string[];
  readonly sources: readonly Source[];
  /** What the notes print where they err; null where they do not. */
  readonly erratum: string | null;
  /** From the top of the project. */
  readonly file: string;
  /** Of the opening line, from 1. */
  readonly line: number;
}

/** A link in a chapter's prose, and where it stands. */
export interface Link {
  readonly target: string;
  readonly line: number;
}

export interface Chapter {
  readonly name: string;
  readonly language: Language;
  readonly title: string;
  readonly file: string;
  readonly statements: readonly Statement[];
  readonly links: readonly Link[];
}

/** The top of the project. */
export const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)));

// ## Reading a chapter

/** A line that cannot be understood; the message begins with `file:line`. */
export class ChapterError extends Error {
  override readonly name = "ChapterError";
}

const fieldNames = ["operations", "source", "erratum"] as const;
type Field = (typeof fieldNames)[number];

/**
 * The statements of one chapter.
 *
 * Throws: ChapterError for a container that is not closed, inside another, or without a title.
 */
export function parseChapter(text: string, file: string): Chapter {
  const language: Language = file.endsWith(".zh.md") ? "zh" : "en";
  const name = posix.basename(file).replace(/(\.zh)?\.md$/, "");
  const refuse = (line: number, message: string): never => {
    throw new ChapterError(`${file}:${line}: ${message}`);
  };
  const statements: Statement[] = [];
  const links: Link[] = [];
  let title = "";
  let open: { label: string; line: number; lines: string[] } | null = null;
  let fence = "";
  text.split("\n").forEach((content, index) => {
    const line = index + 1;
    const mark = /^(```+)/.exec(content)?.[1];
    if (mark !== undefined) fence = fence === "" ? mark : mark === fence ? "" : fence;
    if (fence === "") {
      title ||= /^# (.+)$/.exec(content)?.[1] ?? "";
      for (const [, target] of content.matchAll(/\]\(([^)\s]+)\)/g)) links.push({ target, line });
      const container = /^:::\s*(\S*)\s*(.*)$/.exec(content);
      if (container !== null) {
        const [, kind, label] = container;
        if (kind === "") {
          if (open === null) return refuse(line, "::: closes nothing");
          statements.push(readStatement(open, { chapter: name, language, file }, refuse));
          open = null;
        } else {
          if (kind !== "statement") refuse(line, `unknown container "${kind}"; known: statement`);
          if (open !== null) refuse(line, `statement ${open.label} is still open`);
          if (!/^[a-z][a-z0-9-]*$/.test(label))
            refuse(line, `a label is small letters, digits and hyphens, got "${label}"`);
          open = { label, line, lines: [] };
        }
        return;
      }
    }
    open?.lines.push(content);
  });
  const left = open as { label: string; line: number } | null;
  if (left !== null) refuse(left.line, `statement ${left.label} is never closed`);
  if (title === "") refuse(1, "a chapter begins with a title: # …");
  return { name, language, title, file, statements, links };
}

function readStatement(
  { label, line, lines }: { label: string; line: number; lines: readonly string[] },
  place: { chapter: string; language: Language; file: string },
  refuse: (line: number, message: string) => never,
): Statement {
  const fields: { name: Field; value: string; line: number }[] = [];
  const symbols: SymbolRow[] = [];
  const body = lines.filter((content, i) => {
    const at = line + 1 + i;
    const pair = /^([a-z]+): (.+)$/.exec(content);
    const field = fieldNames.find((known) => known === pair?.[1]);
    if (field !== undefined) fields.push({ name: field, value: pair![2], line: at });
    const row = /^\| (\$[^|]+\$) +\| ([^|]*?) +\|/.exec(content);
    if (row !== null) symbols.push({ symbol: row[1].trim(), shape: row[2], line: at });
    return field === undefined;
  });
  const text = body.join("\n").trim();
  const title = /^\*\*(.+?)\*\*/.exec(text);
  if (title === null) return refuse(line, `statement ${label} begins with its **title**`);
  return {
    label,
    ...place,
    title: title[1],
    body: text,
    formulas: [...text.matchAll(/\$\$([\s\S]+?)\$\$/g)].map(([, tex]) =>
      tex.trim().replace(/\s+/g, " "),
    ),
    symbols,
    operations: fields
      .filter((f) => f.name === "operations")
      .flatMap((f) => f.value.split(",").map((stem) => stem.trim())),
    sources: fields
      .filter((f) => f.name === "source")
      .map((f) => {
        const [path, anchor] = f.value.trim().split("#") as [string, string?];
        return { path, anchor: anchor ?? null, line: f.line };
      }),
    erratum: fields.find((f) => f.name === "erratum")?.value ?? null,
    file: place.file,
    line,
  };
}

/** All chapters under `spec/chapters`, in order, English before Chinese. */
export function readChapters(root = projectRoot): Chapter[] {
  const folder = join(root, "spec", "chapters");
  return readdirSync(folder)
    .filter((name) => /^\d\d-.*\.md$/.test(name))
    .sort()
    .map((name) => parseChapter(readFileSync(join(folder, name), "utf8"), `spec/chapters/${name}`));
}

// ## Headings of a source file

/**
 * The anchor of a heading: its words, up to a colon or a formula, in small letters.
 *
 * `Backward, input: $\bar x = …$` has the anchor `backward-input`.
 */
export const slug = (heading: string): string =>
  heading
    .replace(/[:$：].*$/, "")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "");

/** The anchors of all headings in a source file (`// ## …`) or a note (`## …`), in order. */
export const anchorsOf = (text: string, path: string): string[] =>
  [...text.matchAll(path.endsWith(".md") ? /^#{1,4} (.+)$/gm : /^\s*\/\/ #{1,4} (.+)$/gm)].map(
    ([, heading]) => slug(heading),
  );

// ## What can be wrong with a set of chapters

/** How the checks see the rest of the project; tests put in a project of their own. */
export interface Project {
  /** The text of a file, from the top of the project; null where there is none. */
  read(path: string): string | null;
  /** The stems of all operations. */
  readonly operations: readonly string[];
}

export const projectAt = (root: string, operations: readonly string[]): Project => ({
  operations,
  read: (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : null),
});

/**
 * Everything that is wrong with what the chapters cite and with how their languages agree, each as
 * `file:line: what, and what was expected`.
 */
export function chapterProblems(chapters: readonly Chapter[], project: Project): string[] {
  return [
    ...chapters.flatMap((chapter) => linkProblems(chapter, chapters, project)),
    ...chapters.flatMap((chapter) =>
      chapter.statements.flatMap((statement) => statementProblems(statement, project)),
    ),
    ...labelProblems(chapters),
    ...languageProblems(chapters),
    ...symbolProblems(chapters, project),
  ];
}

function linkProblems(
  { file, links }: Chapter,
  chapters: readonly Chapter[],
  project: Project,
): string[] {
  return links.flatMap(({ target, line }) => {
    if (/^https?:/.test(target)) return [];
    const [path, anchor] = target.split("#") as [string, string?];
    const cited = path === "" ? file : posix.normalize(posix.join(posix.dirname(file), path));
    const chapter = chapters.find((c) => c.file === cited);
    const text = chapter === undefined ? project.read(cited) : "";
    if (text === null) return [`${file}:${line}: cites ${cited}, which does not exist`];
    if (anchor === undefined) return [];
    const known = chapter?.statements.map((s) => s.label) ?? anchorsOf(text, cited);
    return known.includes(anchor)
      ? []
      : [`${file}:${line}: cites the label "${anchor}", which ${cited} does not have`];
  });
}

function statementProblems(
  { label, file, line, formulas, symbols, operations, sources }: Statement,
  project: Project,
): string[] {
  const problems: string[] = [];
  if (formulas.length === 0) problems.push(`${file}:${line}: statement ${label} has no formula`);
  if (symbols.length === 0)
    problems.push(`${file}:${line}: statement ${label} has no table of symbols and shapes`);
  if (sources.length === 0) problems.push(`${file}:${line}: statement ${label} cites no source`);
  for (const stem of operations)
    if (!project.operations.includes(stem))
      problems.push(`${file}:${line}: statement ${label} names an unknown operation "${stem}"`);
  for (const { path, anchor, line: at } of sources) {
    const text = project.read(path);
    if (text === null) {
      problems.push(`${file}:${at}: cites ${path}, which does not exist`);
    } else if (anchor !== null) {
      const anchors = anchorsOf(text, path);
      const found = anchors.filter((a) => a === anchor).length;
      if (found !== 1)
        problems.push(
          `${file}:${at}: cites ${path}#${anchor}, but the file has ${found} such headings; ` +
            `it has: ${[...new Set(anchors)].join(", ")}`,
        );
    }
  }
  return problems;
}

function labelProblems(chapters: readonly Chapter[]): string[] {
  const first = new Map<string, Statement>();
  const problems: string[] = [];
  for (const statement of chapters.flatMap((c) => c.statements)) {
    const key = `${statement.language} ${statement.label}`;
    const other = first.get(key);
    if (other === undefined) first.set(key, statement);
    else
      problems.push(
        `${statement.file}:${statement.line}: label ${statement.label} is taken ` +
          `(${other.file}:${other.line})`,
      );
  }
  return problems;
}

// Both languages say the same: the same labels in the same order, with the same formulas, letters,
// shapes, operations and sources. Words are free.

const other: Readonly<Record<Language, Language>> = { en: "zh", zh: "en" };

function languageProblems(chapters: readonly Chapter[]): string[] {
  return chapters.flatMap((chapter) => {
    const twin = chapters.find(
      (c) => c.name === chapter.name && c.language === other[chapter.language],
    );
    if (twin === undefined)
      return [`${chapter.file}:1: has no counterpart in "${other[chapter.language]}"`];
    if (chapter.language === "en") return [];
    const problems: string[] = [];
    const order = (c: Chapter) => c.statements.map((s) => s.label).join(", ");
    if (order(chapter) !== order(twin))
      problems.push(
        `${chapter.file}:1: has the labels ${order(chapter)}; ${twin.file} has ${order(twin)}`,
      );
    for (const statement of chapter.statements) {
      const english = twin.statements.find((s) => s.label === statement.label);
      if (english === undefined) continue;
      for (const [what, of] of Object.entries(saidInBoth))
        if (of(statement) !== of(english))
          problems.push(
            `${chapter.file}:${statement.line}: statement ${statement.label} has the ${what} ` +
              `${of(statement)}; ${english.file}:${english.line} has ${of(english)}`,
          );
    }
    return problems;
  });
}

const saidInBoth: Readonly<Record<string, (s: Statement) => string>> = {
  formulas: (s) => s.formulas.join(" ; "),
  symbols: (s) => s.symbols.map((row) => `${row.symbol} ${row.shape}`).join(" ; "),
  operations: (s) => s.operations.join(", "),
  sources: (s) => s.sources.map((cited) => `${cited.path}#${cited.anchor ?? ""}`).join(", "),
  erratum: (s) => (s.erratum === null ? "none" : "one"),
};

// ## Letters
//
// Every letter means one thing: `notation.md` lists each once, and a statement uses no other. What
// hangs on a letter (a prime, a bar, an index) is explained there too, but makes no new letter.

/** `$w$` for `$\bar w$`, `$w'$` and `$w_{ij}$`. */
const letterOf = (symbol: string): string =>
  symbol
    .replace(/\\(bar|hat|tilde)\s*/g, "")
    .replace(/[_^](\{[^{}]*\}|\\[a-z]+|.)/g, "")
    .replaceAll("'", "");

function symbolProblems(chapters: readonly Chapter[], project: Project): string[] {
  const file = "spec/notation.md";
  const text = project.read(file);
  if (text === null) return [`${file}:1: is missing`];
  const listed = new Map<string, number>();
  const problems: string[] = [];
  text.split("\n").forEach((content, i) => {
    const symbol = /^\| (\$[^|]+\$) +\|/.exec(content)?.[1].trim();
    if (symbol === undefined) return;
    const before = listed.get(symbol);
    if (before !== undefined)
      problems.push(`${file}:${i + 1}: ${symbol} already has a meaning in line ${before}`);
    listed.set(symbol, i + 1);
  });
  for (const { statements } of chapters)
    for (const { label, symbols, file: chapter } of statements)
      for (const { symbol, line } of symbols)
        for (const letter of symbol.split(/(?<=\$), (?=\$)/))
          if (!listed.has(letterOf(letter)))
            problems.push(
              `${chapter}:${line}: statement ${label} uses ${letterOf(letter)}, ` +
                `which ${file} does not list`,
            );
  return problems;
}

// ## Tests that name a label

/** A test of a statement, as it stands in a specification file. */
export interface NamedTest {
  readonly label: string;
  readonly title: string;
  readonly file: string;
  readonly line: number;
}

/** The tests in a specification file: calls of `statement("label", "title", …)`. */
export function testsIn(text: string, file: string): NamedTest[] {
  const calls = /\bstatement\(\s*"([^"]+)",\s*(?:"([^"]*)"|`([^`]*)`)/g;
  return [...text.matchAll(calls)].map((match) => ({
    label: match[1],
    title: (match.at(2) ?? match[3]).replace(/\$\{([^}]*)\}/g, "⟨$1⟩"),
    file,
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** All of them in `spec/`. */
export function readTests(root = projectRoot): NamedTest[] {
  const folder = join(root, "spec");
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".spec.ts") && basename(name) !== "statements.spec.ts")
    .sort()
    .flatMap((name) => testsIn(readFileSync(join(folder, name), "utf8"), `spec/${name}`));
}
