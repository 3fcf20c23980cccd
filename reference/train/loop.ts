// # The training loop
//
// Zero the gradients, forward, loss, backward, step; after each epoch a pass over the validation
// images. The loop is a generator of events: whoever runs it prints, plots and writes files, and
// may stop it between any two batches. It holds no clock and reads no file, so that the same
// settings and seed give the same events, on any machine, however often it was interrupted.

import { batchRanges } from "../data/loader.js";
import type { ImageDataset } from "../data/dataset.js";
import type { Module } from "../nn/module.js";
import { Adam, AdamW, type Optimizer, SGD } from "../optim/index.js";
import {
  defaultGenerator,
  dropoutState,
  type GeneratorState,
  sequentialOrder,
  shuffledOrder,
} from "../random.js";
import type { Device, Tensor } from "../tensor.js";
import { Batches, type StepBatch } from "./batches.js";
import type { OptimizerSettings, Recipe } from "./recipes.js";
import { EvaluationStep, TrainingStep } from "./step.js";

// ## What happens

/** One training step is done. */
export interface StepEvent {
  readonly type: "step";
  /** From 1. */
  readonly epoch: number;
  /** From 1. */
  readonly batch: number;
  /** Mean cross-entropy over the batch, in nats. */
  readonly loss: number;
  /** The fraction of the batch whose most likely class was right, before the step. */
  readonly accuracy: number;
  /** Images in the batch. */
  readonly examples: number;
}

/** An epoch is done: means over its training images, then over all validation images. */
export interface EpochEvent {
  readonly type: "epoch";
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly validationLoss: number;
  readonly validationAccuracy: number;
}

/** A part of the validation pass is done. */
export interface ValidationEvent {
  readonly type: "validation";
  readonly epoch: number;
  /** Images judged so far. */
  readonly examples: number;
}

export type TrainingEvent = StepEvent | ValidationEvent | EpochEvent;

// ## Where a run stands
//
// Everything beside weights and optimiser state that the next step depends on. The order of an
// epoch's images is not stored: it follows from the generator as it was when the epoch began.

export interface Progress {
  /** The epoch to go on with, from 1. */
  epoch: number;
  /** Batches of it that are done. */
  batch: number;
  /** Steps since the run began; numbers the dropout masks. */
  step: number;
  /** The generator as it was when the epoch began. */
  generator: GeneratorState;
  /** Sums over the epoch's images so far. */
  lossSum: number;
  correct: number;
}

/** A run before its first step. */
export const beginning = (): Progress => ({
  epoch: 1,
  batch: 0,
  step: 0,
  generator: defaultGenerator.getState(),
  lossSum: 0,
  correct: 0,
});

/**
 * The loss is no longer a number. The step that made it so has not been taken.
 */
export class DivergedError extends Error {
  override readonly name = "DivergedError";

  constructor(
    readonly epoch: number,
    readonly batch: number,
    readonly loss: number,
  ) {
    super(
      `the loss became ${loss} at epoch ${epoch}, batch ${batch}: training has diverged. ` +
        `Lower the learning rate (--lr), or look at the inputs of that batch`,
    );
  }
}

/**
 * Throws: DivergedError when some parameter is no longer a finite number, so that what is saved
 * can always be gone on with.
 */
export function checkFinite(model: Module, { epoch, batch }: Progress): void {
  for (const parameter of model.parameters())
    for (const value of parameter.detach().to("cpu").data)
      if (!Number.isFinite(Number(value))) throw new DivergedError(epoch, batch, Number(value));
}

/** The optimiser that the settings describe, over the parameters of `model`. */
export function makeOptimizer(model: Module, settings: OptimizerSettings): Optimizer {
  const parameters = [...model.parameters()];
  const { name, lr, momentum, weightDecay } = settings;
  switch (name) {
    case "adam":
      return new Adam(parameters, { lr, weightDecay });
    case "adamw":
      return new AdamW(parameters, { lr, weightDecay });
    case "sgd":
      return new SGD(parameters, { lr, momentum, weightDecay });
  }
}

export interface TrainOptions {
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly recipe: Recipe;
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  readonly device: Device;
  /** Where to go on; changed in place as the run proceeds. */
  readonly progress: Progress;
  /** Steps after which each epoch ends early. Default: none. */
  readonly maxBatches?: number;
}

// ## The loop

/**
 * Trains until `recipe.epochs` are done, and tells of each step, validation batch and epoch.
 *
 * `progress` is up to date whenever an event is handed out, so that a checkpoint written there
 * resumes to the same events and the same bits.
 *
 * Throws: DivergedError when a loss is not finite.
 */
export function* train(options: TrainOptions): Generator<TrainingEvent, void, void> {
  const { model, optimizer, recipe, progress } = options;
  const batches = new Batches(options.train, recipe.pipeline, options.device);
  const unseen = new Batches(options.test, recipe.pipeline, options.device);
  const later = { what: "the validation images", bytes: unseen.bytes };
  const step = new TrainingStep(model, optimizer, options.device, later);
  while (progress.epoch <= recipe.epochs) {
    defaultGenerator.setState(progress.generator);
    const order = shuffledOrder(options.train.count, defaultGenerator);
    const ranges = batchRanges(options.train.count, recipe.batchSize).slice(0, options.maxBatches);
    model.train();
    while (progress.batch < ranges.length) {
      const [start, end] = ranges[progress.batch];
      const batch = batches.at(order.subarray(start, end));
      dropoutState.setStep(progress.step);
      const { loss, correct } = trainStep(step, batch, progress);
      progress.batch++;
      progress.step++;
      progress.lossSum += loss * (end - start);
      progress.correct += correct;
      yield {
        type: "step",
        epoch: progress.epoch,
        batch: progress.batch,
        loss,
        accuracy: correct / (end - start),
        examples: end - start,
      };
    }
    const seen = ranges.length === 0 ? 1 : ranges[ranges.length - 1][1];
    const validation = yield* validate(options, unseen, progress.epoch);
    const epoch: EpochEvent = {
      type: "epoch",
      epoch: progress.epoch,
      loss: progress.lossSum / seen,
      accuracy: progress.correct / seen,
      ...validation,
    };
    Object.assign(progress, { ...beginning(), epoch: progress.epoch + 1, step: progress.step });
    yield epoch;
  }
}

/** One step: the loss and the number of right answers are those before the update. */
function trainStep(
  step: TrainingStep,
  batch: StepBatch,
  at: { readonly epoch: number; readonly batch: number },
): { loss: number; correct: number } {
  const { loss, logits } = step.run(batch.x, batch.labels);
  if (!Number.isFinite(loss)) throw new DivergedError(at.epoch, at.batch + 1, loss);
  return { loss, correct: countCorrect(logits, batch.classes) };
}

function* validate(
  { model, test, recipe, device, maxBatches }: TrainOptions,
  batches: Batches,
  epoch: number,
): Generator<ValidationEvent, { validationLoss: number; validationAccuracy: number }, void> {
  const order = sequentialOrder(test.count, defaultGenerator);
  let [lossSum, correct, seen] = [0, 0, 0];
  for (const result of evaluate(model, test, { ...recipe, device, maxBatches, order, batches })) {
    lossSum += result.loss * result.examples;
    correct += result.correct;
    seen += result.examples;
    yield { type: "validation", epoch, examples: seen };
  }
  return { validationLoss: lossSum / seen, validationAccuracy: correct / seen };
}

export interface EvaluateOptions extends Pick<Recipe, "batchSize" | "pipeline"> {
  readonly device: Device;
  readonly maxBatches?: number;
  /** Which images, in which order. Default: all, as they are stored. */
  readonly order?: Int32Array;
  /** The data set, if it is on the device already. */
  readonly batches?: Batches;
}

export interface EvaluatedBatch {
  /** Mean cross-entropy over the batch, in nats. */
  readonly loss: number;
  readonly correct: number;
  readonly examples: number;
  /** Shape: `[examples, classes]`. */
  readonly logits: Tensor;
}

/** Judges `model` on `dataset` in evaluation mode, batch by batch, in order. */
export function* evaluate(
  model: Module,
  dataset: ImageDataset,
  { batchSize, pipeline, device, maxBatches, order, batches: made }: EvaluateOptions,
): Generator<EvaluatedBatch, void, void> {
  model.eval();
  const step = new EvaluationStep(model, device);
  const batches = made ?? new Batches(dataset, pipeline, device);
  const images = order ?? Int32Array.from({ length: dataset.count }, (_, i) => i);
  for (const [start, end] of batchRanges(images.length, batchSize).slice(0, maxBatches)) {
    const { x, labels, classes } = batches.at(images.subarray(start, end));
    const { loss, logits } = step.run(x, labels);
    yield { loss, logits, correct: countCorrect(logits, classes), examples: end - start };
  }
}

/** How many rows of `logits` have their largest entry at the label. */
function countCorrect(logits: Tensor, labels: BigInt64Array): number {
  const [, classes] = logits.shape;
  const scores = logits.detach().to("cpu").data;
  let correct = 0;
  for (let i = 0; i < labels.length; i++) {
    let best = 0;
    for (let k = 1; k < classes; k++)
      if (scores[i * classes + k] > scores[i * classes + best]) best = k;
    if (BigInt(best) === labels[i]) correct++;
  }
  return correct;
}
