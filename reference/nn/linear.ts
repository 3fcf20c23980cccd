// # Linear layer, and layers that only rearrange

import { zeros } from "../create.js";
import { flatten, linear } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import { defaultInit_ } from "./init.js";
import { Module, Parameter } from "./module.js";
import { printedBool } from "./printed.js";

/**
 * `x·Wᵀ + b` with learned `weight` and `bias`.
 *
 * Shape: `[*, inFeatures]` → `[*, outFeatures]`; `weight` is `[outFeatures, inFeatures]`.
 * Source: PyTorch's nn.Linear, initial values included.
 */
export class Linear extends Module {
  weight: Parameter;
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, { bias = true } = {}) {
    super();
    this.weight = new Parameter(zeros([outFeatures, inFeatures]));
    this.bias = bias ? new Parameter(zeros([outFeatures])) : null;
    defaultInit_(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  override extraRepr(): string {
    const [outFeatures, inFeatures] = this.weight.shape;
    const bias = printedBool(this.bias !== null);
    return `in_features=${inFeatures}, out_features=${outFeatures}, bias=${bias}`;
  }
}

/** Joins the axes from `startDim` to `endDim`. Shape: `[N, C, H, W]` → `[N, C·H·W]` by default. */
export class Flatten extends Module {
  readonly #axes: { readonly startDim: number; readonly endDim: number };

  constructor(startDim = 1, endDim = -1) {
    super();
    this.#axes = { startDim, endDim };
  }

  override forward(x: Tensor): Tensor {
    return flatten(x, this.#axes);
  }

  override extraRepr(): string {
    return `start_dim=${this.#axes.startDim}, end_dim=${this.#axes.endDim}`;
  }
}

/** Hands its input through. */
export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x;
  }
}
