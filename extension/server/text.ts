// # Where things are
//
// An analysis speaks of one text and of places in it. What an editor shows may be that text, or the cells
// of a notebook, which are analysed one behind the other as one text. Here both are the same: parts,
// each with a document of its own.

import type { Range } from "vscode-languageserver";
import type { TextDocument } from "vscode-languageserver-textdocument";
import type { Document } from "convnotes/pytorch";

/** What is read, and how. */
export type Source =
  Document | { readonly file: string; readonly language: "typescript"; readonly text: string };

/** A document of the editor, and where its text begins in the whole. */
interface Part {
  readonly document: TextDocument;
  readonly start: number;
}

/** What is analysed as one. */
export class Sheet {
  readonly source: Source;
  readonly #parts: readonly Part[];

  private constructor(file: string, language: Source["language"], parts: Part[], text: string) {
    this.source = { file, language, text };
    this.#parts = parts;
  }

  /** A Python, Markdown or TypeScript file. */
  static ofDocument(document: TextDocument): Sheet {
    const { languageId } = document;
    const known = languageId === "markdown" || languageId === "typescript";
    const language = known ? languageId : "python";
    return new Sheet(document.uri, language, [{ document, start: 0 }], document.getText());
  }

  /** The Python cells of a notebook, in order. */
  static ofCells(uri: string, cells: readonly TextDocument[]): Sheet {
    const parts: Part[] = [];
    let text = "";
    for (const document of cells) {
      parts.push({ document, start: text.length });
      text += `${withoutMagic(document.getText())}\n`;
    }
    return new Sheet(uri, "python", parts, text);
  }

  get documents(): readonly TextDocument[] {
    return this.#parts.map(({ document }) => document);
  }

  /** The place in the whole text; null for a document that is no part of it. */
  offsetAt(uri: string, position: Range["start"]): number | null {
    const part = this.#parts.find(({ document }) => document.uri === uri);
    return part ? part.start + part.document.offsetAt(position) : null;
  }

  /** The document and range of a stretch of the whole text; null where it is in another file. */
  rangeOf(place: {
    readonly file: string;
    readonly start: number;
    readonly end: number;
  }): { uri: string; range: Range } | null {
    if (place.file !== this.source.file) return null;
    const part = this.#parts.findLast(({ start }) => start <= place.start);
    if (part === undefined) return null;
    const { document, start } = part;
    const at = (offset: number) => document.positionAt(offset - start);
    return { uri: document.uri, range: { start: at(place.start), end: at(place.end) } };
  }
}

/** Commands to the notebook are no Python; blanks keep everything else in its place. */
const withoutMagic = (text: string): string =>
  text.replace(/^[ \t]*[%!?].*$/gm, (line) => " ".repeat(line.length));
