// # Modules
//
// A module is a function with parameters: `forward` says what it computes, and its own properties
// are what it is made of. A property that holds a Module is a child, one that holds a Parameter is
// learned, and a buffer (running statistics, say) is saved and moved but not learned. Null stands
// for what was left out, such as a bias. `#private` properties are nobody's business and take no
// part.
//
// Properties stay in the order in which a class declares them, so whoever walks them goes
// PyTorch's way, and their names are PyTorch's: they are the keys of the state dict.

import { ShapeError } from "../errors.js";
import { currentPath, inside, type Scope } from "../scope.js";
import {
  type Device,
  type DType,
  elementBytes,
  isFloat,
  sameShape,
  showShape,
  Tensor,
} from "../tensor.js";

/** A tensor that a module learns: backward keeps its gradient, an optimiser moves it. */
export class Parameter extends Tensor {
  /** Shares the numbers of `value`. Throws: TypeError for integers, which have no gradient. */
  constructor(value: Tensor) {
    super(value.shape, value.dtype, value.device, value.storage);
    this.requiresGrad = true;
  }
}

let witness: ((made: Module) => void) | null = null;

/** Runs `body` while `next` is told of every module that is made, as its construction begins. */
export function whileMaking<T>(next: (made: Module) => void, body: () => T): T {
  const before = witness;
  witness = next;
  try {
    return body();
  } finally {
    witness = before;
  }
}

/** The values of a module and of all below it, by PyTorch's names, in PyTorch's order. */
export type StateDict = Map<string, Tensor>;

/** Undoes a registration. */
export interface Handle {
  remove(): void;
}

/** Runs before `forward`. */
export type ForwardPreHook = (module: Module, inputs: readonly Tensor[]) => void;

/** Runs after `forward`; what it returns, if anything, takes the place of the output. */
export type ForwardHook = (
  module: Module,
  inputs: readonly Tensor[],
  output: Tensor,
) => Tensor | undefined;

/**
 * What every layer and every network is: a function of tensors with parameters, buffers and modules
 * of its own. A subclass assigns those to properties and says in `forward` what it computes.
 *
 * Source: PyTorch's nn.Module; names, order and printed form are its.
 */
export abstract class Module implements Scope {
  /** Whether dropout drops and batch normalisation uses the batch; see `train` and `eval`. */
  training = true;
  readonly #bufferNames = new Set<string>();
  readonly #preHooks = new Set<ForwardPreHook>();
  readonly #hooks = new Set<ForwardHook>();

  constructor() {
    witness?.(this);
  }

  // ## Running

  /** What the module computes. Run it with `call`, which also runs hooks and names errors. */
  abstract forward(...inputs: Tensor[]): Tensor;

  /**
   * Runs the module: the hooks before, `forward`, the hooks after.
   *
   * Throws: what an operation throws. A ShapeError says in which module it happened, by the path
   * below the outermost module that is running: `classification.0 (Linear): linear: …`.
   */
  call(...inputs: Tensor[]): Tensor {
    return inside(this, () => {
      for (const hook of this.#preHooks) hook(this, inputs);
      let output = this.#forwardOrSayWhere(inputs);
      for (const hook of this.#hooks) output = hook(this, inputs, output) ?? output;
      return output;
    });
  }

  #forwardOrSayWhere(inputs: Tensor[]): Tensor {
    try {
      return this.forward(...inputs);
    } catch (error) {
      // The innermost module comes first; those around it find the path there.
      if (error instanceof ShapeError && error.path === undefined) {
        error.path = currentPath();
        const place = error.path === "" ? this.getName() : `${error.path} (${this.getName()})`;
        error.message = `${place}: ${error.message}`;
      }
      throw error;
    }
  }

  /** Calls `hook` before each `forward`, until the handle is removed. */
  registerForwardPreHook(hook: ForwardPreHook): Handle {
    this.#preHooks.add(hook);
    return { remove: () => void this.#preHooks.delete(hook) };
  }

  /** Calls `hook` after each `forward`, until the handle is removed. */
  registerForwardHook(hook: ForwardHook): Handle {
    this.#hooks.add(hook);
    return { remove: () => void this.#hooks.delete(hook) };
  }

  /** Whether hooks look on, or change what comes out. */
  get hasHooks(): boolean {
    return this.#preHooks.size + this.#hooks.size > 0;
  }

  // ## What it is made of

  /**
   * Makes the property `name` a buffer: saved and moved with the module, but not learned. Declare
   * it, for its type: `declare readonly running_mean: Tensor | null`.
   */
  protected buffer(name: string, value: Tensor | null): void {
    this.#bufferNames.add(name);
    Object.assign(this, { [name]: value });
  }

  /** The children under all their names, in order. */
  protected ownChildren(): [name: string, child: Module][] {
    return Object.entries(this).filter(
      (entry): entry is [string, Module] => entry[1] instanceof Module,
    );
  }

  #ownParameters(): [name: string, Parameter][] {
    return Object.entries(this).filter(
      (entry): entry is [string, Parameter] => entry[1] instanceof Parameter,
    );
  }

  #ownBuffers(): [name: string, Tensor][] {
    return Object.entries(this).filter(
      (entry): entry is [string, Tensor] =>
        this.#bufferNames.has(entry[0]) && entry[1] instanceof Tensor,
    );
  }

  // Whatever stands under several names is walked once, under the first.

  /** The modules directly below this one. */
  namedChildren(): Generator<[name: string, child: Module]> {
    return once(this.ownChildren());
  }

  /** The modules directly below this one. */
  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** This module, whose path is `""`, and all below it; parents first. */
  namedModules(): Generator<[path: string, Module]> {
    return once(this.#tree(""));
  }

  /** This module and all below it, each once, parents first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** The parameters of this module and of all below it. */
  namedParameters(): Generator<[name: string, Parameter]> {
    return once(this.#below((module) => module.#ownParameters()));
  }

  /** The parameters of this module and of all below it, each once. */
  *parameters(): Generator<Parameter> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  /** The buffers of this module and of all below it. */
  namedBuffers(): Generator<[name: string, Tensor]> {
    return once(this.#below((module) => module.#ownBuffers()));
  }

  /** Every module under every path that leads to it. */
  *#tree(path: string): Generator<[path: string, Module]> {
    yield [path, this];
    for (const [name, child] of this.ownChildren()) yield* child.#tree(join(path, name));
  }

  *#below<T>(own: (module: Module) => [name: string, T][]): Generator<[name: string, T]> {
    for (const [path, module] of this.#tree(""))
      for (const [name, value] of own(module)) yield [join(path, name), value];
  }

  /** The path of `inner` below this module; `""` for this module itself, and for strangers. */
  pathOf(inner: Scope): string {
    for (const [path, module] of this.namedModules()) if (module === inner) return path;
    return "";
  }

  // ## Changing all of it

  /**
   * Calls `visit` with every module below this one, children first, and then with this one. As in
   * PyTorch, a module that stands in two parents is visited from both.
   */
  apply(visit: (module: Module) => void): this {
    for (const child of this.children()) child.apply(visit);
    visit(this);
    return this;
  }

  /** Switches this module and all below it to training (or, with false, to evaluation). */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Switches to evaluation: dropout keeps everything, batch normalisation uses what it learned. */
  eval(): this {
    return this.train(false);
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Says whether gradients are kept for the parameters, for example to freeze a part. */
  requiresGrad_(value = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = value;
    return this;
  }

  /**
   * Moves parameters, gradients and buffers to the device `target` or, if it is `float32` or
   * `float64`, gives them that type; buffers that count keep their integers. They stay the
   * objects that they are, so an optimiser that holds them goes on working.
   *
   * Throws: RangeError for a device that is not there; TypeError for an integer type.
   */
  to(target: Device): this {
    const isType = target in elementBytes;
    if (isType && !isFloat(target as DType))
      throw new TypeError(`${this.getName()}: a module is float32 or float64, not ${target}`);
    for (const [, value] of [...this.namedParameters(), ...this.namedBuffers()])
      if (!isType || isFloat(value.dtype)) value.move_(target);
    return this;
  }

  // ## Saving and loading

  /** All parameters and buffers under PyTorch's names. The tensors share the module's numbers. */
  stateDict(): StateDict {
    const own = this.#below((m) => [...m.#ownParameters(), ...m.#ownBuffers()]);
    return new Map(Array.from(own, ([name, value]) => [name, value.detach()]));
  }

  /**
   * Copies the values of `state` into this module: all of them, or none.
   *
   * With `strict` (the default) the names must be exactly this module's; otherwise names that are
   * missing or unexpected are only reported. Element types are converted.
   * Throws: RangeError in PyTorch's words, for names and for sizes that do not fit.
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    { strict = true } = {},
  ): { missingKeys: string[]; unexpectedKeys: string[] } {
    const own = this.stateDict();
    const missingKeys = [...own.keys()].filter((name) => !state.has(name));
    const unexpectedKeys = [...this.#unexpected([...state.keys()])];
    const problems: string[] = [];
    const quoted = (names: readonly string[]) => names.map((n) => `"${n}"`).join(", ");
    if (strict && missingKeys.length > 0)
      problems.push(`Missing key(s) in state_dict: ${quoted(missingKeys)}. `);
    if (strict && unexpectedKeys.length > 0)
      problems.push(`Unexpected key(s) in state_dict: ${quoted(unexpectedKeys)}. `);
    const copies: [from: Tensor, to: Tensor][] = [];
    for (const [name, target] of own) {
      const value = state.get(name);
      if (value === undefined) continue;
      copies.push([value, target]);
      if (!sameShape(value.shape, target.shape))
        problems.push(
          `size mismatch for ${name}: copying a param with shape ` +
            `torch.Size(${showShape(value.shape)}) from checkpoint, the shape in current model ` +
            `is torch.Size(${showShape(target.shape)}).`,
        );
      else if (value.storage.data === null && target.storage.data !== null)
        problems.push(`no numbers for ${name}: the tensor is on "${value.device}".`);
    }
    if (problems.length > 0)
      throw new RangeError(
        `Error(s) in loading state_dict for ${this.getName()}:\n\t${problems.join("\n\t")}`,
      );
    for (const [from, to] of copies) to.copy_(from);
    return { missingKeys, unexpectedKeys };
  }

  /** Names that lead nowhere, in PyTorch's order: by the module at which they go astray. */
  *#unexpected(names: readonly string[]): Generator<string> {
    for (const [path, module] of this.#tree("")) {
      const children = new Set(module.ownChildren().map(([name]) => name));
      const values = new Set([...module.#ownParameters(), ...module.#ownBuffers()].map(([n]) => n));
      for (const name of names) {
        const prefix = join(path, "");
        if (!name.startsWith(prefix)) continue;
        const [head, ...rest] = name.slice(prefix.length).split(".");
        if (!(rest.length > 0 ? children : values).has(head)) yield name;
      }
    }
  }

  // ## Printing

  /** The name that the module prints itself by: its class's. */
  getName(): string {
    return this.constructor.name;
  }

  /** What stands between the parentheses of the printed form, such as `1, 6, kernel_size=(5, 5)`. */
  extraRepr(): string {
    return "";
  }

  /** What PyTorch prints for the same module, character for character. */
  toString(): string {
    const extra = this.extraRepr();
    const children = this.childLines();
    if (children.length === 0) return `${this.getName()}(${extra})`;
    const lines = extra === "" ? children : [extra, ...children];
    return `${this.getName()}(\n  ${lines.join("\n  ")}\n)`;
  }

  protected childLines(): string[] {
    return this.ownChildren().map(([name, child]) => `(${name}): ${indented(child)}`);
  }
}

/** The printed form of a child, with its inner lines moved in by two. */
export const indented = (module: Module): string => String(module).replaceAll("\n", "\n  ");

const join = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

/** Leaves out values that have come before under another name. */
function* once<T>(named: Iterable<[string, T]>): Generator<[string, T]> {
  const seen = new Set<T>();
  for (const [name, value] of named) {
    if (seen.has(value)) continue;
    seen.add(value);
    yield [name, value];
  }
}
