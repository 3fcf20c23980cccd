// # safetensors
//
// Named tensors in one file: eight bytes with the length of a header, the header (JSON: type,
// shape and byte range of each tensor, and a record of strings called `__metadata__`), then the
// numbers, little-endian. Weights and checkpoints are such files, so that any tool that knows the
// format can look inside. A reader trusts nothing: every range is checked before it is used.
//
// Source: the format's published description (github.com/huggingface/safetensors).

import { type DType, elementBytes, type Shape, showShape, sizeOf } from "../tensor.js";
import type { TensorData } from "../tensor.js";

/** One tensor of a file. */
export interface StoredTensor {
  readonly shape: Shape;
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Partial<Record<string, string>>>;
}

/** A file that is not what its name promises; says which, where, and what was expected. */
export class FileFormatError extends Error {
  override readonly name = "FileFormatError";
}

const codes: Readonly<Record<string, DType>> = {
  F32: "float32",
  F64: "float64",
  I64: "int64",
  U8: "uint8",
};

const codeOf = (data: TensorData): string =>
  data instanceof Float32Array
    ? "F32"
    : data instanceof Float64Array
      ? "F64"
      : data instanceof BigInt64Array
        ? "I64"
        : "U8";

const arrayOf: Readonly<Record<DType, new (buffer: ArrayBuffer) => TensorData>> = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
};

/** The format's own limit, so that a wrong length cannot ask for all memory. */
const MAX_HEADER_BYTES = 100_000_000;

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * The bytes of a file that holds `tensors` under their names, in order, and `metadata`.
 *
 * The same tensors give the same bytes. Throws: RangeError on a big-endian machine.
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, StoredTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  if (!isLittleEndian) throw new RangeError("safetensors: this machine is big-endian");
  const entries = [...tensors];
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { shape, data }] of entries) {
    header[name] = { dtype: codeOf(data), shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  // Spaces fill the header up, so that the numbers start at a multiple of eight bytes.
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + length + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.fill(0x20, 8, 8 + length);
  bytes.set(text, 8);
  let at = 8 + length;
  for (const [, { data }] of entries) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * The tensors and metadata in the bytes of a safetensors file; `file` names it in errors.
 *
 * Throws: FileFormatError for anything that the format does not allow: a header that is too long
 * or not JSON, an unknown type, ranges that overlap, leave gaps, or do not fit type and shape.
 */
export function decodeSafetensors(bytes: Uint8Array, file: string): SafetensorsFile {
  const refuse = (message: string, offset = 8): never => {
    throw new FileFormatError(`${file}, byte ${offset}: ${message}`);
  };
  if (bytes.length < 8) return refuse(`only ${bytes.length} bytes, expected at least 8`, 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length > bytes.length - 8)
    return refuse(
      `the header is said to have ${length} bytes, but the file has ${bytes.length - 8} left; ` +
        `it is truncated or no safetensors file`,
      0,
    );
  const header = parseHeader(bytes.subarray(8, 8 + length), refuse);
  const start = 8 + length;
  const tensors = new Map<string, StoredTensor>();
  const ranges: [number, number][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (!isRecord(entry) || !Object.values(entry).every((v) => typeof v === "string"))
        return refuse("__metadata__ must be a record of strings");
      metadata = entry as Record<string, string>;
      continue;
    }
    const { dtype, shape, from, to } = readEntry(name, entry, refuse);
    const expected = sizeOf(shape) * elementBytes[dtype];
    if (to - from !== expected || to > bytes.length - start)
      return refuse(
        `"${name}" is ${dtype} ${showShape(shape)} and needs ${expected} bytes, but its range is ` +
          `${from} to ${to} of ${bytes.length - start}`,
      );
    ranges.push([from, to]);
    tensors.set(name, {
      shape,
      data: new arrayOf[dtype](new Uint8Array(bytes.subarray(start + from, start + to)).buffer),
    });
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let covered = 0;
  for (const [from, to] of ranges) {
    if (from !== covered)
      return refuse(`tensors overlap or leave a gap at ${covered}`, start + from);
    covered = to;
  }
  if (covered !== bytes.length - start)
    return refuse(`${bytes.length - start - covered} bytes belong to no tensor`, start + covered);
  return { tensors, metadata };
}

type Refuse = (message: string, offset?: number) => never;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseHeader(text: Uint8Array, refuse: Refuse): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (error) {
    return refuse(`the header is not JSON (${(error as Error).message})`);
  }
  return isRecord(header) ? header : refuse("the header is not a JSON object");
}

function readEntry(name: string, entry: unknown, refuse: Refuse) {
  const { dtype, shape, data_offsets: range } = isRecord(entry) ? entry : refuse(`"${name}"?`);
  const whole = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;
  if (typeof dtype !== "string" || !Object.hasOwn(codes, dtype))
    return refuse(
      `"${name}" has type ${String(dtype)}, readable are ${Object.keys(codes).join(", ")}`,
    );
  if (!Array.isArray(shape) || !shape.every(whole))
    return refuse(`"${name}" has no shape of whole numbers`);
  if (!Array.isArray(range) || range.length !== 2 || !range.every(whole))
    return refuse(`"${name}" has no data_offsets of two whole numbers`);
  return { dtype: codes[dtype], shape, from: range[0] as number, to: range[1] as number };
}
