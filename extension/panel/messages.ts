// # What panels and the extension say to each other

import type { OwnImage } from "../server/outputs.js";
import type { OutputsAnswer } from "../server/protocol.js";

// ## Outputs

export type ToOutputsPanel =
  | { readonly kind: "busy" }
  | { readonly kind: "same"; readonly gone: boolean }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "outputs"; readonly answer: OutputsAnswer; readonly words: OutputsWords };

export type FromOutputsPanel =
  | { readonly kind: "ready" }
  | { readonly kind: "image"; readonly image: number | OwnImage }
  | { readonly kind: "reveal"; readonly layer: number };

/** In the reader's language. */
export type OutputsWords = Readonly<
  Record<
    | "mean"
    | "std"
    | "zeros"
    | "notFinite"
    | "parameters"
    | "maps"
    | "input"
    | "ownImage"
    | "drop"
    | "computing"
    | "gone"
    | "noOutput",
    string
  >
>;

// ## Training

/** One line of a run's log. */
export type LogLine =
  | {
      readonly type: "step";
      readonly epoch: number;
      readonly batch: number;
      readonly loss: number;
      readonly accuracy: number;
    }
  | {
      readonly type: "epoch";
      readonly epoch: number;
      readonly loss: number;
      readonly accuracy: number;
      readonly validationLoss: number;
      readonly validationAccuracy: number;
    };

export interface TrainingSettings {
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly images: "built-in" | "fashion-mnist";
  readonly resize: number | null;
}

export type RunState = "idle" | "running" | "stopping" | "stopped" | "finished" | "failed";

export type ToTrainingPanel =
  | {
      readonly kind: "begin";
      readonly network: string;
      readonly settings: TrainingSettings;
      readonly words: TrainingWords;
    }
  | { readonly kind: "state"; readonly state: RunState; readonly text: string }
  | {
      readonly kind: "log";
      readonly lines: readonly LogLine[];
      readonly epochs: number;
      readonly batches: number;
      /** The run begins anew: what was drawn is of another one. */
      readonly anew: boolean;
    };

export type FromTrainingPanel =
  | { readonly kind: "ready" }
  | { readonly kind: "start"; readonly settings: TrainingSettings }
  | { readonly kind: "stop" }
  | { readonly kind: "resume" }
  | { readonly kind: "folder" };

export type TrainingWords = Readonly<
  Record<
    | "epochs"
    | "batchSize"
    | "lr"
    | "images"
    | "builtIn"
    | "fashionMnist"
    | "resize"
    | "asInput"
    | "start"
    | "stop"
    | "resume"
    | "folder"
    | "loss"
    | "accuracy"
    | "training"
    | "validation"
    | "step"
    | "epoch",
    string
  >
>;
