// # Where Python stands in a document
//
// A Python file is Python throughout. In Markdown it stands between fences, in a notebook in JSON
// strings with their escapes. The blocks are put together to one text, and every position in it
// is led back to where it came from.

import type { Document, SourceRange } from "./analysis.js";
import type { Span } from "./ast.js";

/** From `python` on, `length` characters of the text are the document's from `document` on. */
interface Piece {
  readonly python: number;
  readonly document: number;
}

export class SourceFile {
  private constructor(
    readonly name: string,
    /** The Python of the document. */
    readonly text: string,
    readonly pieces: readonly Piece[],
    readonly blocks: readonly SourceRange[],
  ) {}

  static of(document: Document): SourceFile {
    const { file, text, language } = document;
    const whole = { file, start: 0, end: text.length };
    if (language === "python")
      return new SourceFile(file, text, [{ python: 0, document: 0 }], [whole]);
    const builder = new Builder(file, text);
    if (language === "markdown") readMarkdown(text, builder);
    else readNotebook(text, builder);
    return new SourceFile(file, builder.python, builder.pieces, builder.blocks);
  }

  range({ start, end }: Span): SourceRange {
    return { file: this.name, start: this.#at(start), end: this.#at(end - 1) + 1 };
  }

  #at(python: number): number {
    if (this.pieces.length === 0) return 0;
    let [low, high] = [0, this.pieces.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.pieces[middle].python <= python) low = middle;
      else high = middle - 1;
    }
    const piece = this.pieces[low];
    return piece.document + (python - piece.python);
  }
}

class Builder {
  python = "";
  readonly pieces: Piece[] = [];
  readonly blocks: SourceRange[] = [];

  constructor(
    readonly file: string,
    readonly text: string,
  ) {}

  /** What a character stands for; the next ones are taken to follow it in the document. */
  add(python: string, document: number): void {
    this.pieces.push({ python: this.python.length, document });
    this.python += python;
  }

  block(start: number, end: number): void {
    this.blocks.push({ file: this.file, start, end });
  }
}

/** Fenced blocks whose info string begins with `python` or `py`. */
function readMarkdown(text: string, to: Builder): void {
  let fence: { mark: string; indent: number; python: boolean; start: number } | null = null;
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf("\n", at);
    const end = newline === -1 ? text.length : newline + 1;
    const line = text.slice(at, end);
    const marks = /^(\s*)(`{3,}|~{3,})\s*(.*?)\s*$/.exec(line);
    if (fence === null) {
      if (marks !== null)
        fence = {
          mark: marks[2],
          indent: marks[1].length,
          python: /^\{?\.?(python|py)3?\b/i.test(marks[3]),
          start: end,
        };
    } else if (marks !== null && marks[3] === "" && marks[2].startsWith(fence.mark)) {
      if (fence.python) to.block(fence.start, at);
      fence = null;
    } else if (fence.python) {
      const indent = Math.min(fence.indent, line.length - line.trimStart().length);
      const own = line.slice(indent);
      to.add(own.endsWith("\n") ? own : `${own}\n`, at + indent);
    }
    at = end;
  }
  if (fence?.python) to.block(fence.start, text.length);
}

/**
 * The sources of a notebook's code cells. The JSON is scanned by hand, because each character's place
 * must be known; what is not JSON ends the reading.
 */
function readNotebook(text: string, to: Builder): void {
  let at = 0;
  const skip = () => {
    while (at < text.length && " \t\r\n".includes(text[at])) at++;
  };
  /** The characters of the string at `at`, each with its place. */
  const string = (): [c: string, at: number][] => {
    const characters: [string, number][] = [];
    for (at++; at < text.length && text[at] !== '"';) {
      const start = at;
      if (text[at] !== "\\") characters.push([text[at++], start]);
      else if (text[at + 1] === "u") {
        characters.push([
          String.fromCharCode(parseInt(text.slice(at + 2, at + 6), 16) || 63),
          start,
        ]);
        at += 6;
      } else {
        const c = text[at + 1] ?? "";
        characters.push([{ n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" }[c] ?? c, start]);
        at += 2;
      }
    }
    at++;
    return characters;
  };
  interface Cell {
    type: string;
    source: [string, number][];
    start: number;
  }
  const emit = ({ type, source, start }: Cell) => {
    if (type !== "code" || source.length === 0) return;
    let lineStart = true;
    let next = -1;
    let magic = false;
    for (const [c, place] of source) {
      if (lineStart) magic = c === "%" || c === "!";
      // A line for the notebook, such as `%matplotlib inline`, is none of Python's.
      const python = magic && c !== "\n" ? "#" : c;
      if (place === next) to.python += python;
      else to.add(python, place);
      next = place + 1;
      lineStart = c === "\n";
    }
    to.add("\n", next);
    to.block(start, next);
  };
  const value = (depth: number, cell: Cell | null, key: string): void => {
    skip();
    const c = text[at];
    if (depth > 100 || at >= text.length) {
      at = text.length;
      return;
    }
    if (c === '"') {
      const start = at + 1;
      const characters = string();
      if (cell === null) return;
      if (key === "cell_type") cell.type = characters.map(([d]) => d).join("");
      if (key === "source") {
        if (cell.source.length === 0) cell.start = start;
        for (const character of characters) cell.source.push(character);
      }
    } else if (c === "{" || c === "[") {
      const close = c === "{" ? "}" : "]";
      for (at++, skip(); at < text.length && text[at] !== close; skip()) {
        const before = at;
        if (c === "[") {
          // The notebook is `{ cells: [ { cell_type, source: [ … ] } ] }`.
          const isCell = depth === 1 && key === "cells";
          const inner = isCell ? { type: "", source: [], start: at } : cell;
          value(depth + 1, inner, depth === 3 && key === "source" ? key : "");
          if (isCell && inner !== null) emit(inner);
        } else {
          const name = text[at] === '"' ? string() : [];
          skip();
          if (text[at] === ":") at++;
          const inner = name.map(([d]) => d).join("");
          value(depth + 1, depth === 2 || depth === 0 ? cell : null, inner);
        }
        skip();
        if (text[at] === ",") at++;
        if (at === before) at = text.length;
      }
      at++;
    } else {
      const before = at;
      while (at < text.length && !',]} \t\r\n"'.includes(text[at])) at++;
      if (at === before) at = text.length;
    }
  };
  value(0, null, "");
}
