// # Optimisers
//
// What they share: the parameters with their settings, a state for each parameter, and both as
// plain data for checkpoints. The state's form and names are PyTorch's, which allows for several
// groups of parameters; ours has one.

import type { Parameter } from "../nn/module.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";

/** Parameters and their settings. */
export type Group<S> = S & { readonly params: readonly Parameter[] };

/** What an optimiser remembers of one parameter: step number, running means. */
export type ParameterState = Record<string, Tensor | number | null>;

/** As PyTorch's `state_dict()`: parameters are named by their position over all groups. */
export interface OptimizerState {
  readonly state: Readonly<Record<number, ParameterState>>;
  readonly param_groups: readonly Readonly<Record<string, unknown>>[];
}

export abstract class Optimizer<S extends { lr: number } = { lr: number }> {
  /** One group; its settings may be changed between steps, and schedules change `lr`. */
  readonly paramGroups: readonly [Group<S>];
  protected readonly state = new Map<Parameter, ParameterState>();

  /** Throws: RangeError when there is nothing to optimise, or a parameter is given twice. */
  constructor(parameters: Iterable<Parameter>, settings: S) {
    const params = [...parameters];
    if (params.length === 0) throw new RangeError("an optimiser needs at least one parameter");
    if (new Set(params).size < params.length)
      throw new RangeError("a parameter is given to the optimiser twice");
    this.paramGroups = [{ ...settings, params }];
  }

  #parameters(): Parameter[] {
    return [...this.paramGroups[0].params];
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.#parameters()) parameter.grad = null;
  }

  /** Moves every parameter that has a gradient one step. */
  step(): void {
    noGrad(() => {
      for (const group of this.paramGroups)
        for (const parameter of group.params)
          if (parameter.grad !== null) {
            const state = this.state.get(parameter) ?? {};
            this.state.set(parameter, state);
            this.update(parameter, parameter.grad, group, state);
          }
    });
  }

  protected abstract update(
    parameter: Parameter,
    gradient: Tensor,
    settings: S,
    state: ParameterState,
  ): void;

  /** Everything that the next step depends on beside the parameters. Tensors are shared. */
  stateDict(): OptimizerState {
    const position = new Map(this.#parameters().map((p, i) => [p, i]));
    return {
      state: Object.fromEntries(
        [...this.state].map(([p, state]) => [position.get(p)!, { ...state }]),
      ),
      param_groups: this.paramGroups.map(({ params, ...settings }) => ({
        ...settings,
        params: params.map((p) => position.get(p)),
      })),
    };
  }

  /**
   * Takes over what `stateDict` gave; tensors are copied to the parameters' devices.
   *
   * Throws: RangeError when the groups hold other numbers of parameters.
   */
  loadStateDict({ state, param_groups }: OptimizerState): void {
    const sizes = (groups: readonly { readonly params?: unknown }[]) =>
      groups.map((g) => (Array.isArray(g.params) ? g.params.length : 0)).join(", ");
    if (sizes(param_groups) !== sizes(this.paramGroups))
      throw new RangeError(
        `the saved optimiser state has groups of ${sizes(param_groups)} parameters, ` +
          `this optimiser has ${sizes(this.paramGroups)}; it belongs to another model`,
      );
    this.paramGroups.forEach((group, i) =>
      Object.assign(group, { ...param_groups[i], params: group.params }),
    );
    this.state.clear();
    this.#parameters().forEach((parameter, i) => {
      if (!Object.hasOwn(state, i)) return;
      const copies = Object.entries(state[i]).map(([name, value]) => [
        name,
        value !== null && typeof value === "object" ? value.clone().to(parameter.device) : value,
      ]);
      this.state.set(parameter, Object.fromEntries(copies) as ParameterState);
    });
  }
}

/** Throws: RangeError, in the words of the setting, unless `value` is in `[least, below)`. */
export function expectSetting(name: string, value: number, least: number, below = Infinity): void {
  if (!(value >= least && value < below))
    throw new RangeError(
      `${name} must be at least ${least}${below === Infinity ? "" : ` and below ${below}`}, got ${value}`,
    );
}
