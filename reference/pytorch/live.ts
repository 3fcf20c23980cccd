// # A live network
//
// The tree that the interpreter built, as a module of the library: its layers compute, its `forward`
// is the source's, interpreted. State dict, printed form and initial weights are PyTorch's.

import { Module, Parameter } from "../nn/module.js";
import type { Tensor } from "../tensor.js";
import { Failure, type Interpreter } from "./interpreter.js";
import { childrenOf, type Instance, isModule, plainArgs, TensorValue, Unknown } from "./values.js";
import { type Said, say, spoken } from "../words.js";

/** A module of the source, with all that it is made of. */
export function live(
  run: Interpreter,
  instance: Instance,
  made = new Map<Instance, Module>(),
): Module {
  const known = made.get(instance);
  if (known !== undefined) return known;
  const { layer } = instance;
  if (layer?.real && instance.cls.file === null) {
    made.set(instance, layer.real);
    return layer.real;
  }
  const result = new SourceModule(run, instance);
  made.set(instance, result);
  for (const [name, value] of instance.attributes) {
    if (isModule(value)) result.adopt(name, live(run, value, made));
    else if (value instanceof TensorValue && value.tensor instanceof Parameter)
      result.adopt(name, value.tensor);
  }
  if (layer?.real)
    for (const [name, parameter] of layer.real.namedParameters()) result.adopt(name, parameter);
  return result;
}

/** The source does something that is not followed. */
class NotComputed extends TypeError {
  constructor(readonly said: Said) {
    super(spoken(said));
  }
}

class SourceModule extends Module {
  readonly #run: Interpreter;
  readonly #instance: Instance;
  readonly #children: [string, Module][] = [];

  constructor(run: Interpreter, instance: Instance) {
    super();
    this.#run = run;
    this.#instance = instance;
  }

  adopt(name: string, value: Module | Parameter): void {
    if (value instanceof Module) this.#children.push([name, value]);
    // What is called like a method of ours can still be found among the children.
    if (!(name in this)) Object.assign(this, { [name]: value });
  }

  protected override ownChildren(): [name: string, child: Module][] {
    return this.#children;
  }

  override getName(): string {
    return this.#instance.cls.name;
  }

  /** Throws: TypeError when the source does something that is not followed. */
  override forward(...inputs: Tensor[]): Tensor {
    const run = this.#run;
    run.renew();
    for (const [instance, training] of this.#modes()) instance.attributes.set("training", training);
    const values = inputs.map((tensor) => new TensorValue(tensor));
    let output;
    try {
      output = run.attempt(() => run.forward(this.#instance, plainArgs(values)));
    } catch (error) {
      throw error instanceof Failure ? error.error : error;
    }
    const uncomputed = run.unavailable();
    if (output instanceof TensorValue && uncomputed === null) return output.tensor;
    const why =
      output instanceof Unknown ? output.reason : say`${uncomputed ?? say`it`} is not computed`;
    throw new NotComputed(say`${this.getName()}: ${why}`);
  }

  /** The source asks `self.training`. */
  *#modes(): Generator<[Instance, boolean]> {
    yield [this.#instance, this.training];
    const children = new Map(this.#children);
    for (const [name, child] of childrenOf(this.#instance)) {
      const module = children.get(name);
      if (module instanceof SourceModule) yield* module.#modes();
      else if (module !== undefined) yield [child, module.training];
    }
  }
}
