// # Modules
//
// A module is a function with parameters: `forward` says what it computes, and its own properties
// are what it is made of. A property that holds a module is a child; one that holds a Parameter is
// a parameter; buffers (values that are saved but not learned) are registered by name. Properties
// keep the order in which they were assigned, so everything that walks them is in PyTorch's order,
// and their names are PyTorch's: they are the keys of the state dict.

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

/** A tensor that a module learns. Gradients are kept for it. */
export class Parameter extends Tensor {
  constructor(value: Tensor) {
    super(value.shape, value.dtype, value.device, value.storage);
    this.requiresGrad = true;
  }
}

/** The values of a module and of all below it, by PyTorch's names, in PyTorch's order. */
export type StateDict = Map<string, Tensor>;

/** Undoes a registration. */
export interface Handle {
  remove(): void;
}

type PreHook = (module: Module, inputs: readonly Tensor[]) => void;
type Hook = (module: Module, inputs: readonly Tensor[], output: Tensor) => Tensor | undefined;

export abstract class Module implements Scope {
  /** Whether dropout drops and batch normalisation uses the batch; see `train` and `eval`. */
  training = true;
  readonly #buffers = new Map<string, Tensor>();
  readonly #preHooks = new Set<PreHook>();
  readonly #hooks = new Set<Hook>();

  // ## Running

  /** What the module computes. Call it through `call`, so that hooks and error paths work. */
  abstract forward(...inputs: Tensor[]): Tensor;

  /**
   * Runs the module: hooks, then `forward`, then hooks.
   *
   * Throws: whatever an operation throws; a ShapeError gets the path of the innermost module.
   */
  call(...inputs: Tensor[]): Tensor {
    return inside(this, () => {
      for (const hook of this.#preHooks) hook(this, inputs);
      let output = this.#forwardNamed(inputs);
      for (const hook of this.#hooks) output = hook(this, inputs, output) ?? output;
      return output;
    });
  }

  #forwardNamed(inputs: Tensor[]): Tensor {
    try {
      return this.forward(...inputs);
    } catch (error) {
      if (error instanceof ShapeError && error.path === undefined) {
        error.path = currentPath();
        const place = error.path === "" ? this.getName() : `${error.path} (${this.getName()})`;
        error.message = `${place}: ${error.message}`;
      }
      throw error;
    }
  }

  /** Calls `hook` with the module and its inputs before each forward. */
  registerForwardPreHook(hook: PreHook): Handle {
    this.#preHooks.add(hook);
    return { remove: () => void this.#preHooks.delete(hook) };
  }

  /** Calls `hook` after each forward; a tensor that it returns replaces the output. */
  registerForwardHook(hook: Hook): Handle {
    this.#hooks.add(hook);
    return { remove: () => void this.#hooks.delete(hook) };
  }

  // ## What it is made of

  /** Registers a value that is saved with the module but not learned, and returns it. */
  protected registerBuffer(name: string, value: Tensor): Tensor {
    this.#buffers.set(name, value);
    return value;
  }

  /** The buffer of that name, or null when the module has none. */
  protected buffer(name: string): Tensor | null {
    return this.#buffers.get(name) ?? null;
  }

  /** The modules directly below this one, in order of assignment. */
  *namedChildren(): Generator<[name: string, child: Module]> {
    for (const [name, value] of Object.entries(this))
      if (value instanceof Module) yield [name, value];
  }

  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** This module (path `""`) and all below it, each once, parents first. */
  *namedModules(prefix = "", seen = new Set<Module>()): Generator<[path: string, Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.namedChildren())
      yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`, seen);
  }

  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** The parameters of this module and of all below it, each once. */
  *namedParameters(): Generator<[name: string, Parameter]> {
    const seen = new Set<Parameter>();
    for (const [path, module] of this.namedModules())
      for (const [name, value] of module.#ownParameters())
        if (!seen.has(value)) {
          seen.add(value);
          yield [join(path, name), value];
        }
  }

  *parameters(): Generator<Parameter> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  /** The buffers of this module and of all below it. */
  *namedBuffers(): Generator<[name: string, Tensor]> {
    for (const [path, module] of this.namedModules())
      for (const [name, value] of module.#buffers) yield [join(path, name), value];
  }

  *#ownParameters(): Generator<[name: string, Parameter]> {
    for (const [name, value] of Object.entries(this))
      if (value instanceof Parameter) yield [name, value];
  }

  /** The path of `inner` below this module; `""` for this module itself, and for strangers. */
  pathOf(inner: Scope): string {
    for (const [path, module] of this.namedModules()) if (module === inner) return path;
    return "";
  }

  // ## Changing all of it

  /** Calls `visit` with every module, children before parents, each once, and returns this. */
  apply(visit: (module: Module) => void): this {
    const seen = new Set<Module>();
    const walk = (module: Module): void => {
      if (seen.has(module)) return;
      seen.add(module);
      for (const child of module.children()) walk(child);
      visit(module);
    };
    walk(this);
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
   * Moves all parameters and buffers to a device or to another floating-point type. Parameters
   * stay the objects that they were, so an optimiser that holds them goes on working. Integer
   * buffers keep their type.
   *
   * Throws: RangeError for a device that is not there; TypeError for an integer type.
   */
  to(target: Device | DType): this {
    if (target in elementBytes && !isFloat(target as DType))
      throw new TypeError(`a module can be float32 or float64, not ${target}`);
    const values = [...this.namedParameters(), ...this.namedBuffers()];
    for (const [, value] of values)
      if (!(target in elementBytes) || isFloat(value.dtype)) value.move_(target);
    return this;
  }

  // ## Saving and loading

  /** All parameters and buffers under PyTorch's names. The tensors share the module's numbers. */
  stateDict(): StateDict {
    const state: StateDict = new Map();
    const collect = (module: Module, prefix: string): void => {
      for (const [name, value] of module.#ownParameters()) state.set(prefix + name, value.detach());
      for (const [name, value] of module.#buffers) state.set(prefix + name, value.detach());
      for (const [name, child] of module.namedChildren()) collect(child, `${prefix}${name}.`);
    };
    collect(this, "");
    return state;
  }

  /**
   * Copies the values of `state` into this module: all of them, or none.
   *
   * With `strict` (the default) the names must be exactly this module's; otherwise names that are
   * missing or unexpected are only reported.
   * Throws: RangeError in PyTorch's words, for names and for sizes that do not fit.
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    { strict = true } = {},
  ): { missingKeys: string[]; unexpectedKeys: string[] } {
    const own = this.stateDict();
    const missingKeys = [...own.keys()].filter((name) => !state.has(name));
    const unexpectedKeys = [...state.keys()].filter((name) => !own.has(name));
    const quoted = (names: readonly string[]) => names.map((n) => `"${n}"`).join(", ");
    const problems: string[] = [];
    if (strict && missingKeys.length > 0)
      problems.push(`Missing key(s) in state_dict: ${quoted(missingKeys)}. `);
    if (strict && unexpectedKeys.length > 0)
      problems.push(`Unexpected key(s) in state_dict: ${quoted(unexpectedKeys)}. `);
    for (const [name, target] of own) {
      const value = state.get(name);
      if (value !== undefined && !sameShape(value.shape, target.shape))
        problems.push(
          `size mismatch for ${name}: copying a param with shape ` +
            `torch.Size(${showShape(value.shape)}) from checkpoint, the shape in current model ` +
            `is torch.Size(${showShape(target.shape)}).`,
        );
    }
    if (problems.length > 0)
      throw new RangeError(
        `Error(s) in loading state_dict for ${this.getName()}:\n\t${problems.join("\n\t")}`,
      );
    for (const [name, target] of own) {
      const value = state.get(name);
      if (value !== undefined) target.copy_(value);
    }
    return { missingKeys, unexpectedKeys };
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
    return [...this.namedChildren()].map(([name, child]) => `(${name}): ${indented(child)}`);
  }
}

/** The printed form of a child, with its inner lines moved in by two. */
export const indented = (module: Module): string => String(module).replaceAll("\n", "\n  ");

const join = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);
