// # Experiments
//
// Some claims of the notes are about training: no theorem settles them, only runs do. An experiment
// is data: a claim, a few networks that differ in the one thing claimed, how all of them are
// trained, and what the claim lets one expect. Here it is run, over several seeds; `page.ts` says
// what came out.

import {
  beginning,
  type Device,
  type EpochEvent,
  type ImageDataset,
  makeOptimizer,
  manualSeed,
  nn,
  type OptimizerSettings,
  train,
  type TrainingData,
} from "convnotes";

/** How every variant of an experiment is trained. */
export interface Settings {
  readonly optimizer: OptimizerSettings;
  readonly batchSize: number;
  /** The first so many images of the training set. */
  readonly images: number;
  /** The first so many images of the test set. */
  readonly validationImages: number;
  readonly epochs: number;
  /** Side of the images that the networks see, in pixels. */
  readonly imageSize: number;
  readonly seeds: readonly number[];
}

/** What can be read off a run, in words. */
export const measures = {
  steps: "steps until the running training loss is below the threshold",
  loss: "training loss of the last epoch",
  validationAccuracy: "validation accuracy after the last epoch",
} as const;

export type Measure = keyof typeof measures;

/** What the claim lets one expect of two variants. */
export interface Expectation {
  /** The expectation as a sentence. */
  readonly says: string;
  readonly measure: Measure;
  readonly of: string;
  readonly is: "higher" | "lower" | "not higher";
  readonly than: string;
}

export interface Experiment {
  readonly name: string;
  readonly title: string;
  /** The claim of the notes, in one sentence. */
  readonly claim: string;
  /** Each network that is trained, by its label. */
  readonly variants: ReadonlyMap<string, () => nn.Module>;
  readonly settings: Settings;
  /** Training loss below which a network counts as having begun to learn. Units: nats. */
  readonly threshold: number;
  readonly expectations: readonly Expectation[];
  /** What the size of the experiment can show, and what it cannot. */
  readonly reach: string;
  /** What we saw in the results of exactly these settings. */
  readonly reading: string;
}

// ## A run

/** One variant trained from one seed. */
export interface Run {
  readonly seed: number;
  /** Training loss of every step. Units: nats. */
  readonly losses: readonly number[];
  readonly epochs: readonly EpochEvent[];
}

export interface Outcome {
  readonly label: string;
  readonly parameters: number;
  /** One for each seed. */
  readonly runs: readonly Run[];
}

/** The first `count` images of `dataset`, or all when there are fewer. */
export function firstImages(dataset: ImageDataset, count: number): ImageDataset {
  const kept = Math.min(count, dataset.count);
  return {
    ...dataset,
    count: kept,
    images: dataset.images.subarray(0, kept * dataset.height * dataset.width),
    labels: dataset.labels.subarray(0, kept),
  };
}

/** Trains a network that `create` makes, from `seed`; `onEpoch` hears of each epoch. */
export function runOnce(
  create: () => nn.Module,
  settings: Settings,
  data: Pick<TrainingData, "train" | "test">,
  { seed, device = "cpu", onEpoch }: RunOptions,
): Run {
  manualSeed(seed);
  const model = create().to(device);
  const { batchSize, epochs, imageSize, optimizer } = settings;
  const events = train({
    model,
    optimizer: makeOptimizer(model, optimizer),
    recipe: {
      model: model.getName(),
      epochs,
      batchSize,
      optimizer,
      pipeline: imageSize === data.train.width ? {} : { resize: imageSize },
    },
    train: firstImages(data.train, settings.images),
    test: firstImages(data.test, settings.validationImages),
    device,
    progress: beginning(),
  });
  const losses: number[] = [];
  const ended: EpochEvent[] = [];
  for (const event of events)
    if (event.type === "step") losses.push(event.loss);
    else if (event.type === "epoch") {
      ended.push(event);
      onEpoch?.(event);
    }
  return { seed, losses, epochs: ended };
}

export interface RunOptions {
  readonly seed: number;
  /** Default: cpu. */
  readonly device?: Device;
  readonly onEpoch?: (event: EpochEvent) => void;
}

// ## What is read off

/** Steps that the running mean of the training loss spans. */
export const RUNNING = 10;

/** For each step, the mean of the last ten losses, or of as many as there are. */
export function runningMean(losses: readonly number[]): number[] {
  return losses.map((_, i) => mean(losses.slice(Math.max(0, i + 1 - RUNNING), i + 1)));
}

/** The first step, from 1, after which the running loss is below `threshold`; else infinity. */
export function firstStepBelow(losses: readonly number[], threshold: number): number {
  const index = runningMean(losses).findIndex((loss) => loss < threshold);
  return index < 0 ? Number.POSITIVE_INFINITY : index + 1;
}

/** Throws: RangeError for no values, which have no mean. */
export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("mean: no values, expected at least one");
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

/** `measure` of every run of `outcome`. */
export function read(outcome: Outcome, measure: Measure, threshold: number): number[] {
  return outcome.runs.map(({ losses, epochs }) => {
    if (measure === "steps") return firstStepBelow(losses, threshold);
    return epochs[epochs.length - 1][measure];
  });
}

export type Verdict = "seen" | "contradicted" | "undecided";

/**
 * Whether every seed of one variant lies on the expected side of every seed of the other. Runs
 * that overlap decide nothing, except that the one is not higher.
 */
export function judge(
  is: Expectation["is"],
  of: readonly number[],
  than: readonly number[],
): Verdict {
  const above = Math.min(...of) > Math.max(...than);
  const below = Math.max(...of) < Math.min(...than);
  switch (is) {
    case "higher":
      return above ? "seen" : below ? "contradicted" : "undecided";
    case "lower":
      return below ? "seen" : above ? "contradicted" : "undecided";
    case "not higher":
      return above ? "contradicted" : "seen";
  }
}
