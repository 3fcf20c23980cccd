// # Optimisers
//
// What they share: the parameters with their settings, a state for each parameter, and both as
// plain data for checkpoints. Their form and names are PyTorch's, where parameters come in groups
// of different settings; here there is always one group.

import type { Parameter } from "../nn/module.js";
import { noGrad } from "../tape.js";
import { sameShape, showShape, Tensor } from "../tensor.js";

/** What every optimiser can be set to; names are PyTorch's. */
export interface Settings {
  /** The learning rate, in units of parameter per unit of the optimiser's direction. */
  lr: number;
}

/** What an optimiser remembers of one parameter: counts, and tensors of the parameter's shape. */
export type ParameterState = Readonly<Record<string, Tensor | number>>;

/**
 * PyTorch's `state_dict()`: parameters are known by their position. Differs from PyTorch: Adam's
 * `step` is a number.
 */
export interface OptimizerState {
  readonly state: Readonly<Record<number, ParameterState>>;
  readonly param_groups: readonly Readonly<Record<string, unknown>>[];
}

/** What can be loaded: our own states, and those in PyTorch's files. */
export interface SavedOptimizerState extends Pick<OptimizerState, "param_groups"> {
  readonly state: Readonly<Record<number, Readonly<Record<string, Tensor | number | null>>>>;
}

/**
 * Moves parameters along their gradients. A subclass says by which rule.
 *
 * Source: PyTorch's optim.Optimizer, with one group of parameters.
 */
export abstract class Optimizer<
  S extends Settings = Settings,
  P extends ParameterState = ParameterState,
> {
  /** The settings may be changed between steps; schedules change `lr`. */
  readonly paramGroups: readonly [S & { readonly params: readonly Parameter[] }];
  readonly #state = new Map<Parameter, P>();

  /** Throws: RangeError when there is nothing to optimise, or a parameter comes twice. */
  constructor(parameters: Iterable<Parameter>, settings: S) {
    const params = [...parameters];
    if (params.length === 0)
      throw new RangeError(`${this.constructor.name}: there are no parameters to optimise`);
    const twice = params.findIndex((p, i) => params.indexOf(p) < i);
    if (twice >= 0)
      throw new RangeError(
        `${this.constructor.name}: parameter ${twice} is parameter ` +
          `${params.indexOf(params[twice])} again; give each once`,
      );
    this.paramGroups = [{ ...settings, params }];
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.paramGroups[0].params) parameter.grad = null;
  }

  /** Moves every parameter that has a gradient one step. */
  step(): void {
    const [group] = this.paramGroups;
    noGrad(() => {
      for (const parameter of group.params) {
        if (parameter.grad === null) continue;
        const state = this.update(parameter, parameter.grad, group, this.#state.get(parameter));
        if (state !== undefined) this.#state.set(parameter, state);
      }
    });
  }

  /** Moves one parameter and returns what is to be remembered; at first nothing is. */
  protected abstract update(
    parameter: Parameter,
    gradient: Tensor,
    settings: S,
    state: P | undefined,
  ): P | undefined;

  // ## Saving and loading

  /** All that the next step depends on beside parameters and gradients. Tensors are shared. */
  stateDict(): OptimizerState {
    const [{ params, ...settings }] = this.paramGroups;
    const state = params.flatMap((p, i) => {
      const known = this.#state.get(p);
      return known === undefined ? [] : [[i, { ...known }] as const];
    });
    return {
      state: Object.fromEntries(state),
      param_groups: [{ ...settings, params: params.map((_, i) => i) }],
    };
  }

  /**
   * Takes over what `stateDict` gave: all of it, or nothing. Tensors are copied to the device and
   * element type of their parameters.
   *
   * Throws: RangeError when it is another optimiser's, or belongs to other parameters.
   */
  loadStateDict(saved: SavedOptimizerState): void {
    const refuse = (why: string) =>
      new RangeError(`${this.constructor.name}: cannot load this state: ${why}`);
    const [{ params, ...settings }] = this.paramGroups;
    const sizes = saved.param_groups.map((g) => (Array.isArray(g.params) ? g.params.length : 0));
    if (sizes.length !== 1 || sizes[0] !== params.length)
      throw refuse(
        `its groups have ${sizes.join(", ") || "no"} parameters, ` +
          `expected one group of ${params.length}; it belongs to another model`,
      );
    const [group] = saved.param_groups;
    const missing = Object.keys(settings).filter((name) => !(name in group));
    if (missing.length > 0)
      throw refuse(`it has no ${missing.join(", ")}; it belongs to another optimiser`);

    const state = params.map((parameter, i) => {
      if (!Object.hasOwn(saved.state, i)) return undefined;
      const copies = Object.entries(saved.state[i]).map(([name, value]) => {
        // PyTorch counts steps in a tensor, and writes down a running sum that is not there yet.
        if (name === "step" && value instanceof Tensor) return [name, value.item()] as const;
        if (typeof value === "number" || value === null) return [name, value] as const;
        if (!sameShape(value.shape, parameter.shape))
          throw refuse(
            `${name} of parameter ${i} has shape ${showShape(value.shape)}, expected ` +
              `${showShape(parameter.shape)}; it belongs to another model`,
          );
        return [name, value.clone().to(parameter.device).to(parameter.dtype)] as const;
      });
      const known = copies.filter(([, value]) => value !== null);
      return known.length === 0 ? undefined : (Object.fromEntries(known) as P);
    });

    for (const name of Object.keys(settings))
      Object.assign(this.paramGroups[0], { [name]: group[name] });
    this.#state.clear();
    state.forEach((known, i) => {
      if (known !== undefined) this.#state.set(params[i], known);
    });
  }
}

/** Throws: RangeError unless `value` is at least `least` and below `limit`. */
export function expectSetting(name: string, value: number, least: number, limit = Infinity): void {
  if (!(value >= least && value < limit))
    throw new RangeError(
      `${name} must be at least ${least} and ` +
        `${limit === Infinity ? "finite" : `below ${limit}`}, got ${value}`,
    );
}
