// # Convolution layer
//
// A bank of kernels with one bias each, learned; `ops/conv2d.ts` computes it.

import { zeros } from "../create.js";
import { conv2d } from "../ops/index.js";
import { ShapeError } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { type Pair, pair } from "../window.js";
import { defaultInit_ } from "./init.js";
import { Module, Parameter } from "./module.js";
import { printedPair } from "./printed.js";
import { say } from "../words.js";

export interface Conv2dSettings {
  /** Pixels from one window to the next. Default: 1. */
  readonly stride?: Pair;
  /** Zero pixels added on each side. Default: 0. */
  readonly padding?: Pair;
  /** Pixels from one tap to the next. Default: 1. */
  readonly dilation?: Pair;
  /** Parts into which the channels are split. Default: 1. */
  readonly groups?: number;
  /** Whether each output channel has a bias. Default: true. */
  readonly bias?: boolean;
}

/**
 * Convolution with learned kernels.
 *
 * Shape: `[N, inChannels, H, W]` → `[N, outChannels, H', W']`; `weight` is
 * `[outChannels, inChannels/groups, K, L]`, `bias` is `[outChannels]`.
 * Throws: ShapeError when the groups do not divide the channels.
 * Source: PyTorch's nn.Conv2d, initial values included. Differs: no padding modes.
 */
export class Conv2d extends Module {
  weight: Parameter;
  bias: Parameter | null;
  readonly #settings: Required<Omit<Conv2dSettings, "bias">>;

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true }: Conv2dSettings = {},
  ) {
    super();
    if (inChannels % groups !== 0 || outChannels % groups !== 0)
      throw new ShapeError(
        say`Conv2d: groups ${groups} must divide both the ${inChannels} input and the ${outChannels}
          output channels`,
        "groups",
      );
    this.#settings = { stride, padding, dilation, groups };
    this.weight = new Parameter(zeros([outChannels, inChannels / groups, ...pair(kernelSize)]));
    this.bias = bias ? new Parameter(zeros([outChannels])) : null;
    defaultInit_(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.#settings);
  }

  override extraRepr(): string {
    const { stride, padding, dilation, groups } = this.#settings;
    const [outChannels, perGroup, ...kernel] = this.weight.shape;
    const both = (value: Pair) => printedPair(pair(value));
    const parts = [
      String(perGroup * groups),
      String(outChannels),
      `kernel_size=(${kernel.join(", ")})`,
      `stride=${both(stride)}`,
    ];
    if (both(padding) !== "(0, 0)") parts.push(`padding=${both(padding)}`);
    if (both(dilation) !== "(1, 1)") parts.push(`dilation=${both(dilation)}`);
    if (groups !== 1) parts.push(`groups=${groups}`);
    if (this.bias === null) parts.push("bias=False");
    return parts.join(", ");
  }
}
