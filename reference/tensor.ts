// # Tensors
//
// A tensor is a shape and a run of numbers: dense, contiguous, row-major. The last index moves
// fastest, so element $(n, c, h, w)$ of a batch of images `[N, C, H, W]` stands at offset
// $((n C + c) H + h) W + w$. There are no strides: whatever would need them (a permutation, a
// slice) copies, and only `reshape` shares numbers with its input.
//
// This file knows nothing of operations or gradients. The tape hangs its node on a tensor, and
// backends run on what a tensor stores.

import { backendOf, CannotCompile, isComputing } from "./backend.js";

// ## Element types
//
// Weights and images are `float32`; checks run in `float64`; class labels are `int64`, as in
// PyTorch; raw images are `uint8`.

export type DType = "float32" | "float64" | "int64" | "uint8";

export type TensorData = Float32Array | Float64Array | BigInt64Array | Uint8Array;

/** Bytes of one element. */
export const elementBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  int64: 8,
  uint8: 1,
};

/** A zero-filled array of `size` elements of `dtype`. */
export function allocate(dtype: DType, size: number): TensorData {
  switch (dtype) {
    case "float32":
      return new Float32Array(size);
    case "float64":
      return new Float64Array(size);
    case "int64":
      return new BigInt64Array(size);
    case "uint8":
      return new Uint8Array(size);
  }
}

/** Whether gradients exist for this element type. */
export const isFloat = (dtype: DType): boolean => dtype === "float32" || dtype === "float64";

// ## Shapes

export type Shape = readonly number[];

/** The number of elements: the product of the sizes, 1 for a scalar's `[]`. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, d) => product * d, 1);

/** Whether two shapes have the same sizes in the same order. */
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** `[2, 3, 28, 28]`, as error messages and summaries write it. */
export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

/** How many elements lie between neighbours along each axis. */
export function strides(shape: Shape): number[] {
  const result = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    result[i] = step;
    step *= shape[i];
  }
  return result;
}

// ## Devices
//
// `cpu` runs host kernels where they are built and the reference where not; `reference` always
// runs the reference; `meta` computes nothing and only knows shapes. Further names (`cuda:0`,
// `emulated`) exist when a backend registers them (see backend.ts).

export type Device = string;

/**
 * What tensors that share numbers have in common: the numbers and how often they were
 * overwritten. The tape compares versions to notice that a value it saved has been lost.
 */
export interface Storage {
  /** Absent on devices whose numbers JavaScript cannot see, such as `meta`. */
  readonly data: TensorData | null;
  version: number;
  /**
   * The numbers, to be overwritten as a whole, even while nothing is computed. Absent where that is no
   * different from `data`.
   */
  make?(): TensorData;
}

/** What the tape hangs on the result of a recorded operation. */
export interface GradientNode {
  /** Runs the tape backwards from `root`, whose own gradient is `gradient`. */
  backward(root: Tensor, gradient: Tensor | undefined, retainGraph: boolean): void;
}

// ## The tensor

/**
 * A shape, an element type, a device, and the numbers.
 *
 * Made by `tensor`, `zeros`, `fromData` and their kin (create.ts) and by operations. `grad`
 * holds the gradient after `backward()`; reading, replacing and clearing it is allowed.
 */
export class Tensor {
  /** The gradient of whatever `backward()` was last called on, or null. Same shape. */
  grad: Tensor | null = null;
  /** The operation that made this tensor, when gradients are to flow through it. */
  node: GradientNode | null = null;
  /** Whether a tensor in the middle of a computation keeps its gradient; leaves always do. */
  retainsGrad = false;
  #requiresGrad = false;

  constructor(
    readonly shape: Shape,
    readonly dtype: DType,
    readonly device: Device,
    readonly storage: Storage,
  ) {}

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Number of axes. */
  get ndim(): number {
    return this.shape.length;
  }

  /**
   * The numbers themselves, row-major. Writing to them is possible but unseen by the tape: use
   * `copy_` or `fill_`.
   *
   * Throws: TypeError on a device that keeps no numbers here (`meta`).
   */
  get data(): TensorData {
    if (this.storage.data === null)
      throw new TypeError(
        `a tensor on "${this.device}" has a shape ${showShape(this.shape)} but no numbers; ` +
          `compute on "cpu" or "reference" to read values`,
      );
    return this.storage.data;
  }

  /** Whether this tensor was made by the user rather than by a recorded operation. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  /** Whether gradients flow to or through this tensor. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  /** Throws: TypeError for integers, and for switching off a tensor in mid-computation. */
  set requiresGrad(value: boolean) {
    if (value && !isFloat(this.dtype))
      throw new TypeError(`only floating-point tensors have gradients, this one is ${this.dtype}`);
    if (!value && !this.isLeaf)
      throw new TypeError("requiresGrad of a computed tensor cannot be changed; use detach()");
    this.#requiresGrad = value;
  }

  /**
   * Adds the gradient of this tensor with respect to every leaf that it depends on to the leaf's
   * `grad`.
   *
   * `gradient` is the gradient of some further quantity with respect to this tensor, of its
   * shape; a tensor of one element may leave it out and gets 1. `retainGraph` keeps what was
   * recorded, so that `backward` can be called again.
   *
   * Throws: TypeError when nothing was recorded; ShapeError when `gradient` does not fit.
   */
  backward(gradient?: Tensor, { retainGraph = false } = {}): void {
    if (this.node === null)
      throw new TypeError(
        "backward: nothing was recorded for this tensor; it depends on no tensor with " +
          "requiresGrad, or it was computed inside noGrad",
      );
    this.node.backward(this, gradient, retainGraph);
  }

  /** Keeps the gradient of a computed tensor in its `grad` as well. */
  retainGrad(): this {
    this.retainsGrad = true;
    return this;
  }

  /** The same numbers (shared), cut off from the tape. */
  detach(): Tensor {
    return new Tensor(this.shape, this.dtype, this.device, this.storage);
  }

  /** A copy of the numbers, cut off from the tape. */
  clone(): Tensor {
    const data = this.storage.data === null ? null : this.storage.data.slice();
    return new Tensor(this.shape, this.dtype, this.device, { data, version: 0 });
  }

  /** The only element. Throws: RangeError unless there is exactly one. */
  item(): number {
    if (this.size !== 1)
      throw new RangeError(`item: a tensor of shape ${showShape(this.shape)} has no single value`);
    return Number(this.data[0]);
  }

  /** The numbers as nested arrays; a plain number for a scalar. */
  toArray(): NestedNumbers {
    const read = (axis: number, offset: number, size: number): NestedNumbers => {
      if (axis === this.ndim) return Number(this.data[offset]);
      const step = size / this.shape[axis];
      return Array.from({ length: this.shape[axis] }, (_, i) =>
        read(axis + 1, offset + i * step, step),
      );
    };
    return read(0, 0, this.size);
  }

  /**
   * Overwrites the numbers with those of `source`, converting the element type.
   *
   * Throws: RangeError when the shapes differ.
   */
  copy_(source: Tensor): this {
    if (!sameShape(this.shape, source.shape))
      throw new RangeError(
        `copy_: source has shape ${showShape(source.shape)}, target ${showShape(this.shape)}`,
      );
    this.storage.version++;
    if (this.storage.data !== null) convert(source.data, this.data);
    return this;
  }

  /** Overwrites every element with `value`. */
  fill_(value: number): this {
    this.storage.version++;
    const data = this.storage.make?.() ?? this.storage.data;
    if (data instanceof BigInt64Array) data.fill(BigInt(value));
    else data?.fill(value);
    return this;
  }

  /**
   * The same values on the device or of the element type `target`; this very tensor when nothing
   * changes. The result is a new leaf.
   *
   * Throws: TypeError when gradients would have to flow through the move.
   */
  to(target: Device): Tensor {
    const isType = target in elementBytes;
    const dtype = isType ? (target as DType) : this.dtype;
    const device = isType ? this.device : target;
    if (dtype === this.dtype && device === this.device) return this;
    if (!this.isLeaf)
      throw new TypeError(
        `to("${target}"): gradients do not flow through a change of device or type; ` +
          `move the inputs instead, or use detach() first`,
      );
    const moved = emptyTensor(this.shape, dtype, device);
    if (moved.storage.data !== null) convert(this.data, moved.storage.data);
    if (isFloat(dtype)) moved.requiresGrad = this.requiresGrad;
    return moved;
  }

  /** Moves this very tensor, as `to` would move a copy: whoever holds it sees it moved. */
  move_(target: Device): this {
    const { dtype, device, storage } = this.to(target);
    Object.assign(this, { dtype, device, storage });
    this.grad = this.grad?.to(target) ?? null;
    return this;
  }

  /** `Tensor([64, 10], float32, cpu)` */
  toString(): string {
    return `Tensor(${showShape(this.shape)}, ${this.dtype}, ${this.device})`;
  }
}

/** A new tensor of zeros on `device`. Throws: RangeError for a device that is not there. */
export function emptyTensor(shape: Shape, dtype: DType, device: Device): Tensor {
  const backend = backendOf(device);
  const { host } = backend;
  if (backend.storage)
    return new Tensor(shape, dtype, device, backend.storage(dtype, sizeOf(shape)));
  if (host && !isComputing())
    return new Tensor(shape, dtype, device, new LateStorage(dtype, shape));
  const data = host ? allocate(dtype, sizeOf(shape)) : null;
  return new Tensor(shape, dtype, device, { data, version: 0 });
}

/** Storage whose numbers are made when someone looks: in a trace, few are ever looked at. */
class LateStorage implements Storage {
  version = 0;
  #data: TensorData | null = null;

  constructor(
    private readonly dtype: DType,
    private readonly shape: Shape,
  ) {}

  /** Throws: CannotCompile while nothing is computed: the numbers asked for are not there yet. */
  get data(): TensorData {
    if (this.#data === null && !isComputing())
      throw new CannotCompile(
        `the step looks at the numbers of a tensor ${showShape(this.shape)} that it computes`,
      );
    return this.make();
  }

  make(): TensorData {
    return (this.#data ??= allocate(this.dtype, sizeOf(this.shape)));
  }
}

export type NestedNumbers = number | readonly NestedNumbers[];

/** Copies with conversion; numbers become integers by truncation, as in PyTorch. */
function convert(from: TensorData, to: TensorData): void {
  if (from instanceof BigInt64Array === to instanceof BigInt64Array) {
    to.set(from as never);
  } else if (to instanceof BigInt64Array) {
    for (let i = 0; i < to.length; i++) to[i] = BigInt(Math.trunc(Number(from[i])));
  } else {
    for (let i = 0; i < to.length; i++) to[i] = Number(from[i]);
  }
}
