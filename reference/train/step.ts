// # Steps
//
// A training step (zero the gradients, forward, loss, backward, update) and a look at unseen images
// (forward, loss): operation by operation, or, where the backend can compile, as programs. Both ways do
// the same: the first step on a shape is traced without computing anything, the backend makes a
// program of it, and from then on a step is a call of the program with the numbers that change
// (learning rate, number of the step, dropout masks).

import {
  backendOf,
  CannotCompile,
  type MemoryNeeds,
  type Program,
  type TracedStep,
  uncomputed,
} from "../backend.js";
import { BatchNorm } from "../nn/batchnorm.js";
import type { Module, Parameter } from "../nn/module.js";
import { observed } from "../op.js";
import { crossEntropy } from "../ops/index.js";
import type { Optimizer } from "../optim/index.js";
import { dropoutState } from "../random.js";
import { showBytes } from "../summary.js";
import { noGrad } from "../tape.js";
import { type Device, emptyTensor, Tensor } from "../tensor.js";
import { trace } from "../trace.js";
import { gathered, handedIn, type StepImages } from "./batches.js";

export interface StepResult {
  /** Mean cross-entropy over the batch, in nats; in training before the update. */
  readonly loss: number;
  /** Shape: `[N, classes]`. */
  readonly logits: Tensor;
}

// ## Tracing

/** A step as a backend is told it, and what is to be told to the program at each run. */
export interface TracedTraining extends TracedStep {
  readonly loss: Tensor;
  readonly logits: Tensor;
  /** The place in the graph of the optimiser's first step. */
  readonly firstUpdate: number;
  /** The parameters that get a gradient, each with a tensor that stands for it. */
  readonly gradients: ReadonlyMap<Parameter, Tensor>;
}

/**
 * Traces a step on images and labels of those shapes; without an optimiser one that only looks.
 * Nothing is computed and no parameter changed, but the optimiser and dropout count the step.
 */
export function traceStep(
  model: Module,
  optimizer: Optimizer | null,
  x: StepImages,
  labels: Tensor,
): TracedTraining {
  const { graph, result } = trace((stepsSoFar) =>
    uncomputed(() => {
      optimizer?.zeroGrad();
      const logits = model.call(gathered(x));
      const loss = crossEntropy(logits, labels, null);
      if (optimizer) loss.backward();
      const firstUpdate = stepsSoFar();
      optimizer?.step();
      return { logits, loss, firstUpdate };
    }),
  );
  const gradients = new Map<Parameter, Tensor>();
  for (const p of optimizer?.paramGroups[0].params ?? []) if (p.grad) gradients.set(p, p.grad);
  const { loss, logits } = result;
  const step = {
    graph,
    inputs: [handedIn(x), labels],
    outputs: [loss, logits],
    ...result,
    gradients,
  };
  return optimizer ? { ...step, guard: loss } : step;
}

// ## Memory

const bytesOf = ({ parts }: MemoryNeeds): number =>
  parts.reduce((sum, { bytes }) => sum + bytes, 0);

/** A step that does not fit into a device's memory. Nothing of it was done. */
export class MemoryError extends Error {
  override readonly name = "MemoryError";

  constructor(
    device: Device,
    images: number,
    needs: MemoryNeeds,
    /** The most images whose step would fit; 0 where not even one does. */
    readonly largestBatch: number,
  ) {
    const parts = [...needs.parts]
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ what, bytes }) => `${showBytes(bytes)} for ${what}`);
    super(
      `a step of ${images} images needs ${showBytes(bytesOf(needs))} on ${device}, which has ` +
        `${showBytes(needs.freeBytes)} free of ${showBytes(needs.totalBytes)}: ${parts.join(", ")}. ` +
        (largestBatch > 0
          ? `The largest batch that fits is ${largestBatch}: --batch-size ${largestBatch}`
          : `Not even a batch of one image fits; take smaller images (--resize) or another device`),
    );
  }
}

// ## Running

interface Compiled extends TracedTraining {
  readonly program: Program;
  /** By their options as traced: the places of a dropout and its gradient. */
  readonly dropouts: ReadonlyMap<object, readonly number[]>;
}

/** Programs of a model, one for each shape of images; all are taken from the same data set. */
class Steps {
  /** Why steps run operation by operation, where they do. */
  reason: string | null = null;
  readonly #compiled = new Map<string, Compiled>();

  constructor(
    private readonly model: Module,
    private readonly optimizer: Optimizer | null,
    private readonly device: Device,
    /** What the device is to have room for besides. */
    private readonly besides: MemoryNeeds["parts"] = [],
  ) {
    if (backendOf(device).compile === undefined)
      this.reason = `the device "${device}" runs operations one by one`;
  }

  /** One step as a program; undefined where there can be none. */
  run(x: StepImages, labels: Tensor): StepResult | undefined {
    const modules = [...this.model.modules()];
    // Hooks want to see tensors that a program does not make.
    if (this.reason !== null || modules.some((m) => m.hasHooks)) return undefined;
    const { shape, dtype } = handedIn(x);
    const key = `${shape.join(" ")} ${dtype}`;
    const known = this.#compiled.get(key);
    const options = known && this.#optionsNow(known);
    const compiled = known && options ? known : this.#compile(x, labels);
    if (compiled === undefined) return undefined;
    this.#compiled.set(key, compiled);

    const loss = emptyTensor([], compiled.loss.dtype, this.device);
    const logits = emptyTensor(compiled.logits.shape, compiled.logits.dtype, this.device);
    compiled.program.run(
      [handedIn(x), labels],
      [loss, logits],
      options ?? new Map<number, object>(),
    );
    // A program knows nothing of counters.
    for (const module of modules) if (module instanceof BatchNorm) module.countBatch();
    return { loss: loss.item(), logits };
  }

  #compile(x: StepImages, labels: Tensor): Compiled | undefined {
    // What the trace counts it counts for the run that follows; if there is none, it is taken back.
    const counted = this.optimizer?.stateDict();
    const dropout = dropoutState.getState();
    try {
      const step = traceStep(this.model, this.optimizer, x, labels);
      const program = backendOf(this.device).compile!(step);
      const needs = program.needs && this.#withBesides(program.needs());
      if (needs && bytesOf(needs) > needs.freeBytes)
        throw new MemoryError(this.device, labels.shape[0], needs, this.#largestBatch(x, labels));
      const dropouts = new Map<object, number[]>();
      step.graph.nodes.forEach(({ options }, i) => {
        if ("seed" in options) dropouts.set(options, [...(dropouts.get(options) ?? []), i]);
      });
      return { ...step, program, dropouts };
    } catch (error) {
      if (counted) this.optimizer?.loadStateDict(counted);
      dropoutState.setState(dropout);
      if (!(error instanceof CannotCompile)) throw error;
      this.reason = error.message;
      return undefined;
    }
  }

  #withBesides(needs: MemoryNeeds): MemoryNeeds {
    const besides = this.besides.filter(({ bytes }) => bytes > 0);
    // What was there at an earlier step is there still, or will be asked for then.
    return this.#compiled.size > 0 ? needs : { ...needs, parts: [...needs.parts, ...besides] };
  }

  /** The most images whose step fits into the device's memory, by plans of steps that are not done. */
  #largestBatch(x: StepImages, labels: Tensor): number {
    const fits = (images: number) => {
      const of = ({ shape, dtype }: Tensor) =>
        emptyTensor([images, ...shape.slice(1)], dtype, this.device);
      const fewer = x instanceof Tensor ? of(x) : { ...x, indices: of(x.indices) };
      const step = traceStep(this.model, this.optimizer, fewer, of(labels));
      const needs = this.#withBesides(backendOf(this.device).compile!(step).needs!());
      return bytesOf(needs) <= needs.freeBytes;
    };
    let [most, tooMany] = [0, labels.shape[0]];
    while (tooMany - most > 1) {
      const middle = (most + tooMany) >> 1;
      if (fits(middle)) most = middle;
      else tooMany = middle;
    }
    return most;
  }

  /**
   * The options of this run: those that the optimiser would use now, and dropout's next masks.
   * Undefined where the program has to be made again, for another seed.
   */
  #optionsNow({ firstUpdate, dropouts, gradients }: Compiled): Map<number, object> | undefined {
    const options = new Map<number, object>();
    const before = dropoutState.getState();
    for (const [traced, places] of dropouts) {
      const now = dropoutState.nextLayer();
      if (!("seed" in traced && traced.seed === now.seed)) {
        dropoutState.setState(before);
        return undefined;
      }
      for (const i of places) options.set(i, { ...traced, ...now });
    }
    if (this.optimizer === null) return options;
    for (const [parameter, gradient] of gradients) parameter.grad = gradient;
    let place = firstUpdate;
    const observer = {
      step: (...[, , , now]: [unknown, unknown, unknown, object]) => void options.set(place++, now),
      view: () => {},
    };
    observed(observer, () => uncomputed(() => this.optimizer?.step()));
    return options;
  }
}

/**
 * Trains `model` step by step.
 *
 * After a step that ran as a program no parameter has a `grad`: gradients are used where they arise.
 */
export class TrainingStep {
  readonly #steps: Steps;

  constructor(
    private readonly model: Module,
    private readonly optimizer: Optimizer,
    device: Device,
    /** What the device is to have room for after the first step, if it has memory of its own. */
    later?: MemoryNeeds["parts"][number],
  ) {
    this.#steps = new Steps(model, optimizer, device, later && [later]);
  }

  /** Why steps run operation by operation; null where they run as programs. */
  get reason(): string | null {
    return this.#steps.reason;
  }

  /** One step. Where the loss is not finite, nothing was updated. */
  run(x: StepImages, labels: Tensor): StepResult {
    const { model, optimizer } = this;
    optimizer.zeroGrad();
    const result = this.#steps.run(x, labels);
    optimizer.zeroGrad();
    if (result) return result;
    const logits = model.call(gathered(x));
    const loss = crossEntropy(logits, labels, null);
    if (Number.isFinite(loss.item())) {
      loss.backward();
      optimizer.step();
    }
    return { loss: loss.item(), logits };
  }
}

/** Judges `model`, which is to be in evaluation mode, batch by batch. */
export class EvaluationStep {
  readonly #steps: Steps;

  constructor(
    private readonly model: Module,
    device: Device,
  ) {
    this.#steps = new Steps(model, null, device);
  }

  /** The loss and the scores of a batch. */
  run(x: StepImages, labels: Tensor): StepResult {
    return noGrad(() => {
      const result = this.#steps.run(x, labels);
      if (result) return result;
      const logits = this.model.call(gathered(x));
      return { loss: crossEntropy(logits, labels, null).item(), logits };
    });
  }
}
