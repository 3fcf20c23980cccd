// # Making tensors
//
// From numbers at hand, from a constant, or from the random generator. New tensors go to the
// default device (see `withDevice`) unless told otherwise.

import { backendOf, defaultDevice } from "./backend.js";
import { ShapeError } from "./errors.js";
import { defaultGenerator, type Generator } from "./random.js";
import {
  type Device,
  type DType,
  emptyTensor,
  isFloat,
  type NestedNumbers,
  type Shape,
  showShape,
  sizeOf,
  Tensor,
  type TensorData,
} from "./tensor.js";
import { say } from "./words.js";

export interface TensorOptions {
  /** Default: `float32`. */
  readonly dtype?: DType;
  /** Default: the default device, `cpu` unless `withDevice` says otherwise. */
  readonly device?: Device;
  /** Whether gradients are to be kept. Default: false. */
  readonly requiresGrad?: boolean;
}

/** A tensor of zeros. Shape: `shape`. */
export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  for (const d of shape)
    if (!Number.isInteger(d) || d < 0)
      throw new ShapeError(say`sizes must be whole numbers of at least 0, got ${showShape(shape)}`);
  const { dtype = "float32", device = defaultDevice(), requiresGrad = false } = options;
  const result = emptyTensor(shape, dtype, device);
  result.requiresGrad = requiresGrad;
  return result;
}

/** A tensor of one value throughout. Shape: `shape`. */
export const full = (shape: Shape, value: number, options: TensorOptions = {}): Tensor =>
  zeros(shape, options).fill_(value);

/** A tensor of ones. Shape: `shape`. */
export const ones = (shape: Shape, options: TensorOptions = {}): Tensor => full(shape, 1, options);

/**
 * A tensor over an array that is already there: the numbers are not copied, unless the device has
 * memory of its own.
 *
 * Shape: `shape`; the element type is the array's.
 * Throws: ShapeError when the array has another number of elements.
 */
export function fromData(data: TensorData, shape: Shape = [data.length], device?: Device): Tensor {
  if (sizeOf(shape) !== data.length)
    throw new ShapeError(say`${data.length} numbers do not fill a tensor of ${showShape(shape)}`);
  const dtype: DType =
    data instanceof Float32Array
      ? "float32"
      : data instanceof Float64Array
        ? "float64"
        : data instanceof BigInt64Array
          ? "int64"
          : "uint8";
  const place = device ?? defaultDevice();
  if (backendOf(place).storage === undefined)
    return new Tensor(shape, dtype, place, { data, version: 0 });
  const copy = emptyTensor(shape, dtype, place);
  copy.data.set(data as never);
  return copy;
}

/**
 * A tensor from nested arrays: `tensor([[1, 2], [3, 4]])`.
 *
 * Throws: ShapeError when rows differ in length.
 */
export function tensor(numbers: NestedNumbers, options: TensorOptions = {}): Tensor {
  const shape: number[] = [];
  for (let level = numbers; typeof level !== "number"; level = level[0] ?? 0)
    shape.push(level.length);
  const flat: number[] = [];
  const read = (level: NestedNumbers, axis: number): void => {
    const size = typeof level === "number" ? undefined : level.length;
    if (size !== shape[axis])
      throw new ShapeError(
        say`tensor: along axis ${axis} expected ${shape[axis] ?? say`a number`}, got
          ${size === undefined ? say`a number` : say`a row of ${size}`}`,
      );
    if (typeof level === "number") flat.push(level);
    else for (const inner of level) read(inner, axis + 1);
  };
  read(numbers, 0);
  const result = zeros(shape, options);
  const { data } = result.storage;
  if (data instanceof BigInt64Array) data.set(flat.map(BigInt));
  else data?.set(flat);
  return result;
}

export interface RandomOptions extends TensorOptions {
  /** Default: the one that `manualSeed` seeds. */
  readonly generator?: Generator;
}

/** Uniform on [0, 1). Shape: `shape`. Differs from PyTorch: nowhere, bit for bit. */
export const rand = (shape: Shape, options: RandomOptions = {}): Tensor =>
  drawn(shape, options, (generator, data) => generator.fillUniform(data));

/** Normal with mean 0 and variance 1. Shape: `shape`. As PyTorch's CPU generator draws it. */
export const randn = (shape: Shape, options: RandomOptions = {}): Tensor =>
  drawn(shape, options, (generator, data) => generator.fillNormal(data));

function drawn(
  shape: Shape,
  options: RandomOptions,
  fill: (generator: Generator, data: Float32Array | Float64Array) => void,
): Tensor {
  const result = zeros(shape, options);
  if (!isFloat(result.dtype))
    throw new TypeError(`random numbers are float32 or float64, not ${result.dtype}`);
  const { data } = result.storage;
  if (data instanceof Float32Array || data instanceof Float64Array)
    fill(options.generator ?? defaultGenerator, data);
  return result;
}
