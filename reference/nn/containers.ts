// # Containers
//
// Modules made of modules: run one after another, or only kept.

import type { Tensor } from "../tensor.js";
import { indented, Module } from "./module.js";

/**
 * Modules under names of their own, which are properties as everywhere: `net[0]`, `net.b1`.
 *
 * JavaScript lists properties that look like numbers before all others, so the order of the
 * modules is kept apart.
 */
abstract class Container extends Module {
  readonly [index: number]: Module;
  readonly #names: string[] = [];

  /** Adds a module at the end. Throws: RangeError for a name that is taken, empty or dotted. */
  protected add(name: string, module: Module): this {
    if (name in this)
      throw new RangeError(`${this.getName()}: the name "${name}" is taken; choose another`);
    if (name === "" || name.includes("."))
      throw new RangeError(
        `${this.getName()}: "${name}" cannot name a module: names are not empty and have no dot`,
      );
    this.#names.push(name);
    Object.assign(this, { [name]: module });
    return this;
  }

  protected override ownChildren(): [name: string, child: Module][] {
    const modules = new Map(super.ownChildren());
    return this.#names.map((name) => [name, modules.get(name)!]);
  }

  /** How many modules there are. */
  get length(): number {
    return this.#names.length;
  }

  *[Symbol.iterator](): Generator<Module> {
    for (const [, module] of this.ownChildren()) yield module;
  }

  /** The module at `index`; negative counts from the end. Throws: RangeError when there is none. */
  at(index: number): Module {
    const module = [...this].at(index);
    if (module === undefined)
      throw new RangeError(
        `${this.getName()}: index ${index} is out of range, it has ${this.length} modules`,
      );
    return module;
  }

  /** Adds a module at the end, named by how many there were. Throws: RangeError if that is taken. */
  append(module: Module): this {
    return this.add(String(this.length), module);
  }
}

// ## Sequential

class SequentialModule extends Container {
  constructor(...modules: readonly (Module | Readonly<Record<string, Module>>)[]) {
    super();
    for (const given of modules)
      if (given instanceof Module) this.append(given);
      else for (const [name, module] of Object.entries(given)) this.add(name, module);
  }

  override forward(x: Tensor): Tensor {
    for (const module of this) x = module.call(x);
    return x;
  }

  override getName(): string {
    return "Sequential";
  }

  /** The modules from `start` to before `end`, shared and under the names that they have here. */
  slice(start?: number, end?: number): Sequential {
    const part = new SequentialModule();
    for (const [name, module] of this.ownChildren().slice(start, end)) part.add(name, module);
    return part;
  }
}

/**
 * Runs its modules one after another: the output of each is the input of the next.
 *
 * `M` remembers the class of each module, so that `net[0].weight` is known to be a Conv2d's.
 */
export type Sequential<M extends readonly Module[] = readonly Module[]> = SequentialModule & {
  readonly [K in keyof M as K extends `${number}` ? K : never]: M[K];
};

/** The same with names: `net.features` is known by the class it was given with. */
export type NamedSequential<R extends Readonly<Record<string, Module>>> = SequentialModule & R;

/** `new Sequential(a, b)` names its modules `0` and `1`, `new Sequential({ a, b })` as it says. */
export const Sequential = SequentialModule as {
  new <const M extends readonly Module[]>(...modules: M): Sequential<M>;
  new <const R extends Readonly<Record<string, Module>>>(named: R): NamedSequential<R>;
};

// ## ModuleList

/** Keeps modules in order and leaves it to others to run them. */
export class ModuleList extends Container {
  constructor(modules: Iterable<Module> = []) {
    super();
    for (const module of modules) this.append(module);
  }

  /** Throws: TypeError; a list does not say how its modules are to be run. */
  override forward(): Tensor {
    throw new TypeError("ModuleList has no forward: call its modules one by one");
  }

  /** Neighbours that print alike are printed once, as `(0-2): 3 x Linear(…)`. */
  protected override childLines(): string[] {
    const runs: { first: number; last: number; text: string }[] = [];
    [...this].forEach((child, i) => {
      const text = indented(child);
      const run = runs.at(-1);
      if (run?.text === text) run.last = i;
      else runs.push({ first: i, last: i, text });
    });
    return runs.map(({ first, last, text }) =>
      first === last ? `(${first}): ${text}` : `(${first}-${last}): ${last - first + 1} x ${text}`,
    );
  }
}
