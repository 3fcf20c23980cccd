// # One training step
//
// Zero the gradients, forward, loss, backward, update: operation by operation, or, where the backend
// can compile, as a program. Both do the same: the first step of a shape is traced without computing
// anything, the backend makes a program of it, and from then on a step is a call of the program with
// the numbers that change (learning rate, number of the step, dropout masks).

import { backendOf, CannotCompile, type Program, uncomputed } from "../backend.js";
import { BatchNorm } from "../nn/batchnorm.js";
import type { Module, Parameter } from "../nn/module.js";
import { observed } from "../op.js";
import { crossEntropy } from "../ops/index.js";
import type { Optimizer } from "../optim/index.js";
import { dropoutState } from "../random.js";
import { type Device, emptyTensor, type Tensor } from "../tensor.js";
import { trace } from "../trace.js";

export interface StepResult {
  /** Mean cross-entropy over the batch before the update, in nats. Where it is not finite, there was no update. */
  readonly loss: number;
  /** Shape: `[N, classes]`. */
  readonly logits: Tensor;
}

/** A program, and what is to be told to it at each run. */
interface Compiled {
  readonly program: Program;
  readonly loss: Tensor;
  readonly logits: Tensor;
  /** The place in the graph of the optimiser's first step. */
  readonly firstUpdate: number;
  /** By their options as traced: the places of dropout and its gradient. */
  readonly dropouts: ReadonlyMap<object, readonly number[]>;
  readonly gradients: ReadonlyMap<Parameter, Tensor>;
}

/** What is known to make each call of dropout draw another mask. */
const isDropout = (options: object): boolean => "seed" in options && "layer" in options;

/**
 * Trains `model` step by step.
 *
 * After a step that ran as a program no parameter has a `grad`: gradients are used where they arise.
 */
export class TrainingStep {
  /** Why steps run operation by operation, where they do. */
  reason: string | null = null;
  readonly #compiled = new Map<string, Compiled>();

  constructor(
    private readonly model: Module,
    private readonly optimizer: Optimizer,
    private readonly device: Device,
  ) {
    if (backendOf(device).compile === undefined)
      this.reason = `the device "${device}" runs operations one by one`;
  }

  /** One step on the images `x` and their `labels`. */
  run(x: Tensor, labels: Tensor): StepResult {
    if (this.reason !== null || [...this.model.modules()].some((m) => m.hasHooks))
      return this.#byOperations(x, labels);
    const key = `${x.shape.join(" ")} ${this.model.training}`;
    const known = this.#compiled.get(key);
    let options = known && this.#look(known);
    let compiled = known;
    if (compiled === undefined || options === undefined) {
      // What the trace counts up (steps of the optimiser, dropout's layers) it counts for the run
      // that follows; if there is none, it is taken back.
      const optimizer = this.optimizer.stateDict();
      const dropout = dropoutState.getState();
      try {
        compiled = this.#compile(x, labels);
      } catch (error) {
        if (!(error instanceof CannotCompile)) throw error;
        this.reason = error.message;
        this.optimizer.loadStateDict(optimizer);
        dropoutState.setState(dropout);
        return this.#byOperations(x, labels);
      }
      this.#compiled.set(key, compiled);
      options = new Map();
    }
    const loss = emptyTensor([], "float32", this.device);
    const logits = emptyTensor(compiled.logits.shape, compiled.logits.dtype, this.device);
    compiled.program.run([x, labels], [loss, logits], options);
    for (const module of this.model.modules()) if (module instanceof BatchNorm) module.countBatch();
    this.optimizer.zeroGrad();
    return { loss: loss.item(), logits };
  }

  #byOperations(x: Tensor, labels: Tensor): StepResult {
    this.optimizer.zeroGrad();
    const logits = this.model.call(x);
    const loss = crossEntropy(logits, labels, null);
    if (Number.isFinite(loss.item())) {
      loss.backward();
      this.optimizer.step();
    }
    return { loss: loss.item(), logits };
  }

  #compile(x: Tensor, labels: Tensor): Compiled {
    const { model, optimizer, device } = this;
    const { graph, result } = trace((stepsSoFar) =>
      uncomputed(() => {
        optimizer.zeroGrad();
        const logits = model.call(x);
        const loss = crossEntropy(logits, labels, null);
        loss.backward();
        const firstUpdate = stepsSoFar();
        optimizer.step();
        return { logits, loss, firstUpdate };
      }),
    );
    const dropouts = new Map<object, number[]>();
    graph.nodes.forEach(({ options }, i) => {
      if (isDropout(options)) dropouts.set(options, [...(dropouts.get(options) ?? []), i]);
    });
    const gradients = new Map<Parameter, Tensor>();
    for (const p of optimizer.paramGroups[0].params) if (p.grad) gradients.set(p, p.grad);
    const outputs = [result.loss, result.logits];
    const program = backendOf(device).compile!({
      graph,
      inputs: [x, labels],
      outputs,
      guard: result.loss,
    });
    return { program, ...result, dropouts, gradients };
  }

  /**
   * The options of this run: those that the optimiser would use now, and dropout's next masks.
   * Undefined where the program has to be made again, for another seed.
   */
  #look({ firstUpdate, dropouts, gradients }: Compiled): Map<number, object> | undefined {
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
    for (const [parameter, gradient] of gradients) parameter.grad = gradient;
    let place = firstUpdate;
    const observer = {
      step: (...[, , , now]: [unknown, unknown, unknown, object]) => void options.set(place++, now),
      view: () => {},
    };
    observed(observer, () => uncomputed(() => this.optimizer.step()));
    return options;
  }
}
