// # What is asked of a trace
//
// Questions and answers between the server and the process that runs the user's file. Plain data.

import type { Analysis, Network } from "convnotes/pytorch";
import type { NetworkOutputs, NoOutputs, OutputsQuestion, WeightsFile } from "../outputs.js";

export interface TypeScriptSource {
  /** The document's URI, for ranges. */
  readonly file: string;
  readonly text: string;
}

export interface TraceQuestion {
  readonly source: TypeScriptSource;
  /** The file's path. */
  readonly path: string;
  /** Sizes that the user chose, by network, without the batch. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly batch: number;
  /** Where outputs are wanted, of which network. */
  readonly outputs?: Pick<OutputsQuestion, "network" | "image"> & {
    readonly weights?: WeightsFile | null;
  };
}

export type TracedNetwork = Omit<Network, "build">;

export interface Traced {
  readonly networks: readonly TracedNetwork[];
  readonly findings: Analysis["findings"];
  readonly outputs?: NetworkOutputs | NoOutputs;
  /** Whether the file could not be read as it stands, as while it is typed. */
  readonly unfinished?: boolean;
}

/** What the process says before it runs the file, where it has come so far. */
export const BEGUN = "begun";
