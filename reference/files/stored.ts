// # Numbers as files store them
//
// Files know more element types than tensors do. What a tensor can hold is read straight into it;
// half-precision floats become `float32`, truth values `uint8`, and the other integers `int64`, all
// without loss. Whoever wants the type kept gets a `RawTensor`, which is written back as it was.

import { fromData } from "../create.js";
import { allocate, type DType, type Shape, sizeOf, type Tensor } from "../tensor.js";
import type { TensorData } from "../tensor.js";
import { type ByteSource, bytesSource, expectInside, FileFormatError } from "./source.js";

interface TypeInFiles {
  readonly bytes: number;
  /** What a tensor of it becomes. */
  readonly dtype: DType;
  /** safetensors' name. */
  readonly code: string;
  /** NumPy's name, little-endian; null where NumPy has none. */
  readonly descr: string | null;
  /** The class of PyTorch's storage; null where only untyped storages hold it. */
  readonly storage: string | null;
  /** ONNX's number. */
  readonly onnx: number;
}

/** Every element type of the files read here. */
export const storedTypes = {
  float32: type(4, "float32", "F32", "<f4", "FloatStorage", 1),
  float64: type(8, "float64", "F64", "<f8", "DoubleStorage", 11),
  int64: type(8, "int64", "I64", "<i8", "LongStorage", 7),
  uint8: type(1, "uint8", "U8", "|u1", "ByteStorage", 2),
  float16: type(2, "float32", "F16", "<f2", "HalfStorage", 10),
  bfloat16: type(2, "float32", "BF16", null, "BFloat16Storage", 16),
  int32: type(4, "int64", "I32", "<i4", "IntStorage", 6),
  int16: type(2, "int64", "I16", "<i2", "ShortStorage", 5),
  int8: type(1, "int64", "I8", "|i1", "CharStorage", 3),
  bool: type(1, "uint8", "BOOL", "|b1", "BoolStorage", 9),
  uint16: type(2, "int64", "U16", "<u2", null, 4),
  uint32: type(4, "int64", "U32", "<u4", null, 12),
  uint64: type(8, "int64", "U64", "<u8", null, 13),
} as const satisfies Record<string, TypeInFiles>;

export type StoredType = keyof typeof storedTypes;

function type(
  bytes: number,
  dtype: DType,
  code: string,
  descr: string | null,
  storage: string | null,
  onnx: number,
): TypeInFiles {
  return { bytes, dtype, code, descr, storage, onnx };
}

/** The type whose `column` is `value`, if there is one. */
export function typeBy(
  column: "code" | "descr" | "storage" | "onnx",
  value: string | number,
): StoredType | undefined {
  const names = Object.keys(storedTypes) as StoredType[];
  return names.find((name) => storedTypes[name][column] === value);
}

/** A tensor as a file holds it: dense, row-major, little-endian, in the file's own type. */
export class RawTensor {
  constructor(
    readonly dtype: StoredType,
    readonly shape: Shape,
    readonly bytes: Uint8Array,
  ) {
    const expected = sizeOf(shape) * storedTypes[dtype].bytes;
    if (bytes.length !== expected)
      throw new RangeError(
        `RawTensor: ${dtype} [${shape.join(", ")}] has ${expected} bytes, got ${bytes.length}`,
      );
  }

  /** The same values as a tensor, in the type that holds them without loss. */
  toTensor(): Tensor {
    const data = readNumbers(bytesSource(this.bytes), 0, this.dtype, sizeOf(this.shape));
    return fromData(data, this.shape, "cpu");
  }
}

/** The bytes of an array, not copied. */
export const bytesOf = (data: TensorData): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Throws: RangeError on a big-endian machine, whose arrays are not the files'. */
export function expectLittleEndian(): void {
  if (!isLittleEndian)
    throw new RangeError("files: this machine is big-endian, the files are little-endian");
}

/**
 * `count` numbers of `type` from `offset` on, as the array of the tensor that holds them. `seen`
 * is told of the bytes as they stood in the file, piece by piece.
 *
 * Throws: FileFormatError when the source ends before, or an unsigned number exceeds int64.
 */
export function readNumbers(
  source: ByteSource,
  offset: number,
  type: StoredType,
  count: number,
  seen?: (part: Uint8Array) => void,
): TensorData {
  expectLittleEndian();
  const { bytes, dtype } = storedTypes[type];
  expectInside(source, offset, count * bytes);
  const data = allocate(dtype, count);
  if (data.byteLength === count * bytes && type !== "uint64") {
    source.read(offset, bytesOf(data));
    seen?.(bytesOf(data));
    return data;
  }
  // What is widened passes through a piece of bounded size.
  const PIECE = 1 << 16;
  for (let from = 0; from < count; from += PIECE) {
    const part = new Uint8Array(Math.min(PIECE, count - from) * bytes);
    source.read(offset + from * bytes, part);
    seen?.(part);
    widen(type, part, data, from, source.name);
  }
  return data;
}

function widen(type: StoredType, part: Uint8Array, to: TensorData, at: number, name: string): void {
  const view = new DataView(part.buffer);
  const count = part.length / storedTypes[type].bytes;
  if (to instanceof BigInt64Array)
    for (let i = 0; i < count; i++) to[at + i] = integerAt(type, view, i, name);
  else
    for (let i = 0; i < count; i++) {
      const bits = view.getUint16(2 * i, true);
      to[at + i] = type === "float16" ? float16(bits) : bfloat16(bits);
    }
}

function integerAt(type: StoredType, view: DataView, i: number, name: string): bigint {
  switch (type) {
    case "int8":
      return BigInt(view.getInt8(i));
    case "int16":
      return BigInt(view.getInt16(2 * i, true));
    case "int32":
      return BigInt(view.getInt32(4 * i, true));
    case "uint16":
      return BigInt(view.getUint16(2 * i, true));
    case "uint32":
      return BigInt(view.getUint32(4 * i, true));
    default: {
      const value = view.getBigUint64(8 * i, true);
      if (value >= 1n << 63n)
        throw new FileFormatError(`${name}: ${value} is beyond int64, the widest integer here`);
      return value;
    }
  }
}

/** One sign bit, five of exponent (biased by 15), ten of fraction. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const word = new DataView(new ArrayBuffer(4));

/** The upper half of a float32. */
function bfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}
