// # Pooling layers
//
// Nothing is learned here: windows of pixels become their maximum or their mean.

import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import type { Pair } from "../window.js";
import { Module } from "./module.js";
import { printedBool, printedPair } from "./printed.js";

export interface PoolSettings {
  /** Pixels from one window to the next. Default: the window's size. */
  readonly stride?: Pair;
  /** Pixels added on each side. Default: 0. */
  readonly padding?: Pair;
  /** Whether a last window that overhangs the image counts. Default: false. */
  readonly ceilMode?: boolean;
}

export interface MaxPoolSettings extends PoolSettings {
  /** Pixels from one tap to the next. Default: 1. */
  readonly dilation?: Pair;
}

/** The largest pixel of each window. Shape: `[N, C, H, W]` → `[N, C, H', W']`. */
export class MaxPool2d extends Module {
  readonly #window: Required<MaxPoolSettings> & { readonly kernelSize: Pair };

  constructor(kernelSize: Pair, settings: MaxPoolSettings = {}) {
    super();
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = settings;
    this.#window = { kernelSize, stride, padding, dilation, ceilMode };
  }

  override forward(x: Tensor): Tensor {
    return maxPool2d(x, this.#window);
  }

  override extraRepr(): string {
    const { kernelSize, stride, padding, dilation, ceilMode } = this.#window;
    return (
      `kernel_size=${printedPair(kernelSize)}, stride=${printedPair(stride)}, ` +
      `padding=${printedPair(padding)}, dilation=${printedPair(dilation)}, ` +
      `ceil_mode=${printedBool(ceilMode)}`
    );
  }
}

export interface AvgPoolSettings extends PoolSettings {
  /** Whether padded zeros count in the divisor. Default: true. */
  readonly countIncludePad?: boolean;
}

/** The mean of each window. Shape: `[N, C, H, W]` → `[N, C, H', W']`. */
export class AvgPool2d extends Module {
  readonly #window: Required<AvgPoolSettings> & { readonly kernelSize: Pair };

  constructor(kernelSize: Pair, settings: AvgPoolSettings = {}) {
    super();
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = settings;
    this.#window = { kernelSize, stride, padding, ceilMode, countIncludePad };
  }

  override forward(x: Tensor): Tensor {
    return avgPool2d(x, this.#window);
  }

  override extraRepr(): string {
    const { kernelSize, stride, padding } = this.#window;
    return (
      `kernel_size=${printedPair(kernelSize)}, stride=${printedPair(stride)}, ` +
      `padding=${printedPair(padding)}`
    );
  }
}

/** The mean of each of `outputSize` equal parts. Shape: `[N, C, H, W]` → `[N, C, …outputSize]`. */
export class AdaptiveAvgPool2d extends Module {
  constructor(private readonly outputSize: Pair) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, { outputSize: this.outputSize });
  }

  override extraRepr(): string {
    return `output_size=${printedPair(this.outputSize)}`;
  }
}
