// # A tensor that is still in its file
//
// Readers of every format first find out what a file holds, and say so in these. The numbers are
// read when they are asked for: all of them to load, one tensor after the other to look inside.

import { allocate, type Shape, sizeOf, strides as denseStrides } from "../tensor.js";
import type { TensorData } from "../tensor.js";
import { type ByteSource, FileFormatError, readBytes } from "./source.js";
import { bytesOf, RawTensor, readNumbers, storedTypes, type StoredType } from "./stored.js";
import type { ZipEntry } from "./zip.js";

/** More than any other library has. */
const MAX_AXES = 64;

/** A run of numbers that tensors look at. */
export interface StorageInFile {
  readonly count: number;
  /** Where the numbers stand in the file. */
  readonly offset: number;
  /** What the archive says of them, if the file is one. */
  readonly entry?: ZipEntry;
}

/** A tensor of a file, known by all but its numbers. */
export class TensorInFile {
  constructor(
    readonly source: ByteSource,
    readonly storage: StorageInFile,
    readonly dtype: StoredType,
    readonly shape: Shape,
    /** Elements between neighbours along each axis. */
    readonly strides: readonly number[],
    /** Of the first element in the storage, in elements. */
    readonly offset: number,
    readonly requiresGrad = false,
    readonly isParameter = false,
  ) {
    if (shape.length > MAX_AXES)
      throw new FileFormatError(
        `${source.name}: a tensor has ${shape.length} axes, readable are ${MAX_AXES}`,
      );
  }

  /** A tensor whose numbers stand in the file one after the other, from byte `at` on. */
  static dense(source: ByteSource, at: number, dtype: StoredType, shape: Shape): TensorInFile {
    const storage = { count: sizeOf(shape), offset: at };
    return new TensorInFile(source, storage, dtype, shape, denseStrides(shape), 0);
  }

  /** Whether the elements stand one after the other, as in every tensor of this library. */
  get contiguous(): boolean {
    const dense = denseStrides(this.shape);
    return this.shape.every((d, i) => d === 1 || this.strides[i] === dense[i]) || this.span === 0;
  }

  /** The elements of the storage from this tensor's first to its last. */
  get span(): number {
    if (sizeOf(this.shape) === 0) return 0;
    return 1 + this.shape.reduce((sum, d, i) => sum + (d - 1) * this.strides[i], 0);
  }

  /** Where its first element stands in the file. */
  get #at(): number {
    return this.storage.offset + this.offset * storedTypes[this.dtype].bytes;
  }

  /** The elements in row-major order, in the type that a tensor would have. */
  read(): TensorData {
    const numbers = readNumbers(this.source, this.#at, this.dtype, this.span);
    return this.contiguous ? numbers : this.gather(numbers);
  }

  /** The elements in row-major order, in the file's own type. */
  readRaw(): RawTensor {
    const width = storedTypes[this.dtype].bytes;
    const bytes = readBytes(this.source, this.#at, this.span * width);
    const dense = this.contiguous ? bytes : this.#gather(bytes, width);
    return new RawTensor(this.dtype, this.shape, dense);
  }

  /** The elements in row-major order, out of the `span` numbers that hold them. */
  gather(numbers: TensorData): TensorData {
    const result = allocate(storedTypes[this.dtype].dtype, sizeOf(this.shape));
    bytesOf(result).set(this.#gather(bytesOf(numbers), result.BYTES_PER_ELEMENT));
    return result;
  }

  #gather(from: Uint8Array, width: number): Uint8Array {
    const to = new Uint8Array(sizeOf(this.shape) * width);
    let next = 0;
    const walk = (axis: number, at: number): void => {
      if (axis < this.shape.length) {
        for (let i = 0; i < this.shape[axis]; i++) walk(axis + 1, at + i * this.strides[axis]);
        return;
      }
      for (let b = 0; b < width; b++) to[next++] = from[at * width + b];
    };
    walk(0, 0);
    return to;
  }
}
