// # Questions beyond the protocol
//
// What panels and trees ask the server for, over the language server protocol's connection. Plain data.

import type { Range } from "vscode-languageserver";
import type { NetworkOutputs, NoOutputs, OwnImage } from "./outputs.js";

/** Sent by the server whenever it has analysed a document anew. Parameters: `{ uri }`. */
export const ANALYSED = "convnotes/analysed";

/** `{ uri }` → the networks of a document. */
export const NETWORKS = "convnotes/networks";

/** `OutputsRequest` → `OutputsAnswer`; null when there is no such network any more. */
export const OUTPUTS = "convnotes/outputs";

/**
 * `ReadRequest` → the text of a file, or null. Asked by a server that reads no files itself; it waits for
 * nothing, and a client that never answers has none.
 */
export const READ = "convnotes/read";

/** Sent by the client when the workspace becomes trusted: what it holds may be run. */
export const TRUSTED = "convnotes/trusted";

/** What a client that is no plain editor says of itself when it begins. */
export interface ClientOptions {
  /** It wants `ANALYSED`. */
  readonly panels?: boolean;
  /** It shows pictures in a hover. */
  readonly pictures?: boolean;
  /** It follows `command:convnotes.chapter` in a hover. */
  readonly chapters?: boolean;
  /** The user trusts the files: TypeScript, whose models are known by running it, may be run. */
  readonly trusted?: boolean;
}

export interface ReadRequest {
  readonly uri: string;
  /** The document in whose folder, or below, it must lie. */
  readonly of: string;
}

export interface Place {
  readonly uri: string;
  readonly range: Range;
}

export interface LayerView {
  readonly path: string;
  readonly className: string;
  readonly printed: string;
  readonly output: string;
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** Where it is constructed; null when that is in another file. */
  readonly place: Place | null;
}

export interface NetworkView {
  /** What was analysed: the document, or its notebook. */
  readonly file: string;
  readonly name: string;
  readonly place: Place | null;
  /** Such as `N×1×28×28 (from a call)`. */
  readonly input: string;
  readonly totals: string;
  readonly failed: string | null;
  readonly layers: readonly LayerView[];
}

export interface OutputsRequest {
  readonly file: string;
  readonly network: string;
  /** Which built-in image, or an own one. */
  readonly image?: number | OwnImage;
}

export interface OutputsAnswer {
  readonly view: NetworkView;
  readonly outputs: NetworkOutputs<string> | NoOutputs<string>;
}
