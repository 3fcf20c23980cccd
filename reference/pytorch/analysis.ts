// # What an analysis of PyTorch source says
//
// The types that the front end promises to the editor and the command line. All of them are plain
// data, so that they can cross from a worker, except `Network.build`.

import type { FittingSizes } from "../fitting.js";
import type { Module } from "../nn/module.js";
import type { Said } from "../words.js";

/** Half-open, in UTF-16 code units of the document's text; of a notebook, of its JSON. */
export interface SourceRange {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

export interface Document {
  readonly file: string;
  readonly language: "python" | "markdown" | "notebook";
  readonly text: string;
}

/** The file that `from .blocks import X` or `import blocks` names, or null. The host bounds it. */
export type Neighbour = (importedModule: string, from: string) => Document | null;

/** What one analysis may cost. What does not fit is marked unknown. */
export interface Budget {
  /** Statements and expressions evaluated. Default: 2,000,000. */
  readonly steps?: number;
  /** Calls within calls. Default: 100. */
  readonly depth?: number;
  /** Elements of one list, string or dictionary. Default: 100,000. */
  readonly elements?: number;
  /** Default: 2000. */
  readonly milliseconds?: number;
}

export interface AnalysisOptions {
  readonly neighbour?: Neighbour;
  /** Input sizes that the user chose, by network name, without the batch: `[C, H, W]` or `[C]`. */
  readonly inputs?: ReadonlyMap<string, readonly number[]>;
  /** Images in a batch, for the activations' memory. Default: 1. */
  readonly batch?: number;
  readonly budget?: Budget;
}

export interface Analysis {
  readonly networks: readonly Network[];
  readonly findings: readonly Finding[];
  /** The Python in a Markdown file or notebook; the whole of a Python file. */
  readonly blocks: readonly SourceRange[];
}

/** A size; `N` is the batch, `N·4` four times it, `?` what is not known. */
export type Dim = number | string;

export interface NetworkInput {
  /** Batch first. Empty when the network's input could not be told. */
  readonly shape: readonly Dim[];
  readonly source: "chosen" | "call" | "dataset" | "comment" | "solved" | "assumed";
  /** The call, comment or data set. */
  readonly range?: SourceRange;
  /** The heights (and widths) that fit, of square images. */
  readonly interval?: FittingSizes;
}

export interface Network {
  /** `LeNet`, `net`, `vgg_block`. */
  readonly name: string;
  /** The name where it is declared. */
  readonly range: SourceRange;
  readonly input: NetworkInput;
  /** In the order of execution, up to the failing layer. */
  readonly calls: readonly LayerCall[];
  /** Assignments of tensors in a forward: `x = x + y`. */
  readonly values: readonly ValueHint[];
  readonly output: readonly Dim[] | null;
  readonly totals: Totals;
  readonly failed: Finding | null;
  /** What `print(net)` prints in PyTorch. */
  readonly printed: string;
  /**
   * A live module with the initial weights that PyTorch draws after `torch.manual_seed(seed)`, where
   * every layer is one that convnotes computes; else why not.
   */
  build(seed?: number): Module | { readonly unavailable: Said };
}

/** Units: memory is in bytes. `complete` is false when a part of the network is unknown. */
export interface Totals {
  readonly parameters: number;
  readonly trainable: number;
  readonly multiplyAdds: number;
  readonly activationBytes: number;
  readonly complete: boolean;
}

/** One call of a layer: a module that PyTorch itself defines and that has no modules inside. */
export interface LayerCall {
  /** `net.0`. */
  readonly path: string;
  /** `Conv2d`. */
  readonly className: string;
  /** `Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))`. */
  readonly printed: string;
  readonly inputs: readonly (readonly Dim[])[];
  /** Null: unknown. */
  readonly output: readonly Dim[] | null;
  /** Why it is unknown. */
  readonly unknown?: Said;
  /** One line an axis: `(28 + 2·2 − 5)/1 + 1 = 28`. */
  readonly arithmetic: readonly string[];
  readonly parameters: number;
  /** `6·1·5·5 + 6`. */
  readonly parameterFormula: string;
  /** Whether the parameters have been counted at an earlier call. */
  readonly shared: boolean;
  /** For `batch` images, as is the memory. */
  readonly multiplyAdds: number;
  readonly activationBytes: number;
  readonly receptiveField: readonly [height: number, width: number] | null;
  /** Where it is constructed: `nn.Conv2d(1, 6, …)`. */
  readonly definition: SourceRange;
  /** `self.conv1(x)`, or the call of the Sequential around it. */
  readonly call: SourceRange;
}

export interface ValueHint {
  readonly range: SourceRange;
  /** Null: unknown. */
  readonly shape: readonly Dim[] | null;
  readonly unknown?: Said;
}

export type FindingCode =
  | "shape"
  | "unknown"
  | "syntax"
  | "fits-other-size"
  | "bias-before-batch-norm"
  | "softmax-before-cross-entropy"
  | "unused-layer"
  | "no-relu"
  | "odd-size";

export interface Edit {
  readonly range: SourceRange;
  readonly text: string;
}

export interface Finding {
  readonly severity: "error" | "warning" | "note";
  readonly code: FindingCode;
  readonly message: Said;
  /** Of the argument that is wrong, where there is one. */
  readonly range: SourceRange;
  readonly expected?: string;
  readonly got?: string;
  readonly related: readonly { readonly range: SourceRange; readonly message: Said }[];
  readonly fix?: { readonly title: Said; readonly edits: readonly Edit[] };
}

export interface FrontEnd {
  /** Never throws, whatever the document holds. */
  analyse(document: Document, options?: AnalysisOptions): Analysis;
  /**
   * The network that `entry` names: a class, a function or an expression in the file's scope, such as
   * `VGG("VGG11")`. Throws: RangeError when it names no network, saying why.
   */
  analyseEntry(document: Document, entry: string, options?: AnalysisOptions): Network;
  /** Drops what is kept of a file. */
  forget(file: string): void;
}
