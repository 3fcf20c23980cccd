// # Initialisation
//
// How parameters begin. All functions overwrite a tensor, end in an underscore for it, and return
// it; used through `apply`, they set up a whole network:
//
//     net.apply((m) => { if (m instanceof nn.Linear) init.xavierUniform_(m.weight); });
//
// They draw from PyTorch's generator in PyTorch's order, so that equal seeds give equal bits. On
// the `meta` device there is nothing to fill, and nothing is drawn.

import { defaultGenerator, type Generator } from "../random.js";
import { ShapeError } from "../errors.js";
import { showShape, type Shape, type Tensor } from "../tensor.js";
import { say } from "../words.js";

function fill(tensor: Tensor, draw: (data: Float32Array | Float64Array) => void): Tensor {
  tensor.storage.version++;
  const { data } = tensor.storage;
  if (data instanceof Float32Array || data instanceof Float64Array) draw(data);
  else if (data !== null) throw new TypeError(`init: cannot draw ${tensor.dtype} values`);
  return tensor;
}

/** Uniform on [from, to). */
export const uniform_ = (t: Tensor, from = 0, to = 1, generator: Generator = defaultGenerator) =>
  fill(t, (data) => generator.fillUniform(data, from, to));

/** Normal. */
export const normal_ = (t: Tensor, mean = 0, std = 1, generator: Generator = defaultGenerator) =>
  fill(t, (data) => generator.fillNormal(data, mean, std));

/** One value throughout. */
export const constant_ = (tensor: Tensor, value: number): Tensor => tensor.fill_(value);

/** Zeros throughout. */
export const zeros_ = (tensor: Tensor): Tensor => constant_(tensor, 0);

/** Ones throughout. */
export const ones_ = (tensor: Tensor): Tensor => constant_(tensor, 1);

// ## Fans and gains
//
// A weight `[out, in, K, L]` adds up `in·K·L` products for each output (fan in), and each input
// takes part in `out·K·L` outputs (fan out).

/** Throws: ShapeError for fewer than two axes. */
export function calculateFanInAndFanOut(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw new ShapeError(say`fans need a tensor of two axes or more, got ${showShape(shape)}`);
  const [out, input, ...window] = shape;
  const taps = window.reduce((product, d) => product * d, 1);
  return { fanIn: input * taps, fanOut: out * taps };
}

export type Nonlinearity = "linear" | "conv2d" | "sigmoid" | "tanh" | "relu" | "leaky_relu";

/** The factor by which `nonlinearity` shrinks a signal, undone. `slope` is leaky_relu's. */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "conv2d":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.sqrt(2);
    case "leaky_relu":
      return Math.sqrt(2 / (1 + slope * slope));
  }
}

// ## Xavier: as much variance forwards as backwards

const xavierStd = (t: Tensor, gain: number): number => {
  const { fanIn, fanOut } = calculateFanInAndFanOut(t.shape);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
};

/** Uniform with variance `2·gain²/(fanIn + fanOut)`. Source: Glorot and Bengio 2010. */
export function xavierUniform_(t: Tensor, gain = 1, generator: Generator = defaultGenerator) {
  const bound = Math.sqrt(3) * xavierStd(t, gain);
  return uniform_(t, -bound, bound, generator);
}

/** Normal with variance `2·gain²/(fanIn + fanOut)`. Source: Glorot and Bengio 2010. */
export const xavierNormal_ = (t: Tensor, gain = 1, generator: Generator = defaultGenerator) =>
  normal_(t, 0, xavierStd(t, gain), generator);

// ## Kaiming: variance kept through rectifiers

export interface KaimingOptions {
  /** The negative slope of leaky_relu. Default: 0. */
  readonly a?: number;
  /** Which direction keeps its variance. Default: `fan_in`. */
  readonly mode?: "fan_in" | "fan_out";
  /** Default: `leaky_relu`. */
  readonly nonlinearity?: Nonlinearity;
  readonly generator?: Generator;
}

const kaimingStd = (t: Tensor, o: KaimingOptions): number => {
  const { fanIn, fanOut } = calculateFanInAndFanOut(t.shape);
  const gain = calculateGain(o.nonlinearity ?? "leaky_relu", o.a ?? 0);
  return gain / Math.sqrt(o.mode === "fan_out" ? fanOut : fanIn);
};

/** Uniform with variance `gain²/fan`. Source: He et al. 2015. */
export function kaimingUniform_(t: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd(t, options);
  return uniform_(t, -bound, bound, options.generator);
}

/** Normal with variance `gain²/fan`. Source: He et al. 2015. */
export const kaimingNormal_ = (t: Tensor, options: KaimingOptions = {}): Tensor =>
  normal_(t, 0, kaimingStd(t, options), options.generator);

/**
 * What PyTorch's Conv2d and Linear begin with: weight and bias uniform, both within
 * 1/√fanIn (the weight by way of Kaiming's formula with a = √5, which comes to the same).
 */
export function defaultInit_(weight: Tensor, bias: Tensor | null): void {
  kaimingUniform_(weight, { a: Math.sqrt(5) });
  if (bias === null) return;
  const bound = 1 / Math.sqrt(calculateFanInAndFanOut(weight.shape).fanIn);
  uniform_(bias, -bound, bound);
}
