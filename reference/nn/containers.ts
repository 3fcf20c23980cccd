// # Containers
//
// Modules made of modules: one after another, or just kept.

import type { Tensor } from "../tensor.js";
import { indented, Module } from "./module.js";

// ## Sequential
//
// Its modules are its properties `0`, `1`, `2`, …, or the names that were given. The type below
// remembers the class of each, so that `net[0].weight` is known to be a Conv2d's.

class SequentialModule extends Module {
  readonly [index: number]: Module;

  constructor(...modules: readonly (Module | Readonly<Record<string, Module>>)[]) {
    super();
    const [first] = modules;
    const named = modules.length === 1 && !(first instanceof Module) ? first : { ...modules };
    Object.assign(this, named);
  }

  override forward(...inputs: Tensor[]): Tensor {
    let [x] = inputs;
    for (const module of this) x = module.call(x);
    return x;
  }

  override getName(): string {
    return "Sequential";
  }

  /** How many modules it runs. */
  get length(): number {
    return [...this.children()].length;
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.children();
  }

  /** The module at `index`; negative counts from the end. Throws: RangeError when there is none. */
  at(index: number): Module {
    const module = [...this.children()].at(index);
    if (module === undefined)
      throw new RangeError(`index ${index} is out of range for ${this.length} modules`);
    return module;
  }

  /** The modules from `start` to before `end`, shared and under the names that they have here. */
  slice(start?: number, end?: number): SequentialModule {
    return new SequentialModule(Object.fromEntries([...this.namedChildren()].slice(start, end)));
  }

  /** Adds a module at the end, under the next number. */
  append(module: Module): this {
    return Object.assign(this, { [this.length]: module });
  }
}

/** A chain of modules, with the class of each where it is known. */
export type Sequential<M extends readonly Module[] = readonly Module[]> = SequentialModule & {
  readonly [K in keyof M as K extends `${number}` ? K : never]: M[K];
};

/** Runs modules one after another: `new Sequential(a, b)`, or with names `new Sequential({ a, b })`. */
export const Sequential = SequentialModule as {
  new <const M extends readonly Module[]>(...modules: M): Sequential<M>;
  new <const R extends Readonly<Record<string, Module>>>(named: R): SequentialModule & R;
};

// ## ModuleList

/** Keeps modules in order without running them. */
export class ModuleList extends Module {
  readonly [index: number]: Module;

  constructor(modules: Iterable<Module> = []) {
    super();
    for (const module of modules) this.append(module);
  }

  /** Throws: TypeError; a list does not say in which order its modules are to be run. */
  override forward(): Tensor {
    throw new TypeError("ModuleList has no forward: call its modules one by one");
  }

  get length(): number {
    return [...this.children()].length;
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.children();
  }

  append(module: Module): this {
    return Object.assign(this, { [this.length]: module });
  }

  /** Neighbours that print alike are printed once, as `(0-2): 3 x Linear(…)`. */
  protected override childLines(): string[] {
    const runs: { first: number; last: number; text: string }[] = [];
    [...this.children()].forEach((child, i) => {
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
