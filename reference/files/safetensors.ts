// # safetensors
//
// Named tensors in one file: eight bytes with the length of a header, the header (JSON: type,
// shape and byte range of each tensor, and a record of strings called `__metadata__`), then the
// numbers, little-endian. Weights and checkpoints are such files, so that any tool that knows the
// format can look inside. A reader trusts nothing: every range is checked before it is used.
//
// Source: the format's published description (github.com/huggingface/safetensors).

import { type Shape, showShape, sizeOf, type TensorData } from "../tensor.js";
import { type ByteSource, bytesSource, FileFormatError, readBytes } from "./source.js";
import { bytesOf, expectLittleEndian, RawTensor, storedTypes } from "./stored.js";
import { type StoredType, typeBy } from "./stored.js";
import { TensorInFile } from "./tensor_in_file.js";
import { joined } from "./zip.js";

/** One tensor of a file. */
export interface StoredTensor {
  readonly shape: Shape;
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Partial<Record<string, string>>>;
}

/** The format's own limit, so that a wrong length cannot ask for all memory. */
const MAX_HEADER_BYTES = 100_000_000;

/**
 * The bytes of a file that holds `tensors` under their names, in order, and `metadata`.
 *
 * The same tensors give the same bytes. Throws: RangeError on a big-endian machine.
 */
export const encodeSafetensors = (
  tensors: Iterable<readonly [string, StoredTensor | RawTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array => joined(safetensorsPieces(tensors, metadata));

/** The same bytes in pieces, in which the tensors' own numbers are not copied. */
export function safetensorsPieces(
  tensors: Iterable<readonly [string, StoredTensor | RawTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  expectLittleEndian();
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set("__metadata__", metadata);
  const numbers: Uint8Array[] = [];
  let offset = 0;
  for (const [name, tensor] of tensors) {
    if (header.has(name)) throw new RangeError(`safetensors: there are two tensors "${name}"`);
    const bytes = tensor instanceof RawTensor ? tensor.bytes : bytesOf(tensor.data);
    const dtype =
      tensor instanceof RawTensor ? storedTypes[tensor.dtype].code : codeOf(tensor.data);
    header.set(name, {
      dtype,
      shape: tensor.shape,
      data_offsets: [offset, offset + bytes.length],
    });
    numbers.push(bytes);
    offset += bytes.length;
  }
  // Spaces fill the header up, so that the numbers start at a multiple of eight bytes. Names that
  // are whole numbers must keep their place, so the object is put together from its entries.
  const entries = [...header].map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`);
  const text = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  return [head, ...numbers];
}

const codeOf = (data: TensorData): string =>
  data instanceof Float32Array
    ? "F32"
    : data instanceof Float64Array
      ? "F64"
      : data instanceof BigInt64Array
        ? "I64"
        : "U8";

/** What a safetensors file holds, still in the file. */
export interface SafetensorsDirectory {
  readonly tensors: ReadonlyMap<string, TensorInFile>;
  readonly metadata: Readonly<Partial<Record<string, string>>>;
}

/**
 * The tensors and metadata in the bytes of a safetensors file; `file` names it in errors.
 * Half-precision floats become float32, and all integers but bytes int64.
 *
 * Throws: FileFormatError for anything that the format does not allow: a header that is too long
 * or not JSON, an unknown type, ranges that overlap, leave gaps, or do not fit type and shape.
 */
export function decodeSafetensors(bytes: Uint8Array, file: string): SafetensorsFile {
  const { tensors, metadata } = readSafetensors(bytesSource(bytes, file));
  const read = ([name, t]: readonly [string, TensorInFile]) =>
    [name, { shape: t.shape, data: t.read() }] as const;
  return { tensors: new Map([...tensors].map(read)), metadata };
}
/** What a safetensors file holds, without the numbers. Throws: as `decodeSafetensors`. */
export function readSafetensors(source: ByteSource): SafetensorsDirectory {
  expectLittleEndian();
  const refuse = (message: string, offset = 8): never => {
    throw new FileFormatError(`${source.name}, byte ${offset}: ${message}`);
  };
  if (source.size < 8) return refuse(`only ${source.size} bytes, expected at least 8`, 0);
  const length = Number(new DataView(readBytes(source, 0, 8).buffer).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length > source.size - 8)
    return refuse(
      `the header is said to have ${length} bytes, but the file has ${source.size - 8} left; ` +
        `it is truncated or no safetensors file`,
      0,
    );
  const header = parseHeader(readBytes(source, 8, length), refuse);
  const start = 8 + length;
  const tensors = new Map<string, TensorInFile>();
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
    const expected = sizeOf(shape) * storedTypes[dtype].bytes;
    if (to - from !== expected || to > source.size - start)
      return refuse(
        `"${name}" is ${dtype} ${showShape(shape)} and needs ${expected} bytes, but its range is ` +
          `${from} to ${to} of ${source.size - start}`,
      );
    ranges.push([from, to]);
    tensors.set(name, TensorInFile.dense(source, start + from, dtype, shape));
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let covered = 0;
  for (const [from, to] of ranges) {
    if (from !== covered)
      return refuse(`tensors overlap or leave a gap at ${covered}`, start + from);
    covered = to;
  }
  if (covered !== source.size - start)
    return refuse(`${source.size - start - covered} bytes belong to no tensor`, start + covered);
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
  const type: StoredType | undefined =
    typeof dtype === "string" ? typeBy("code", dtype) : undefined;
  if (type === undefined) {
    const readable = Object.values(storedTypes).map(({ code }) => code);
    return refuse(`"${name}" has type ${String(dtype)}, readable are ${readable.join(", ")}`);
  }
  if (!Array.isArray(shape) || !shape.every(whole))
    return refuse(`"${name}" has no shape of whole numbers`);
  if (!Array.isArray(range) || range.length !== 2 || !range.every(whole))
    return refuse(`"${name}" has no data_offsets of two whole numbers`);
  return { dtype: type, shape, from: range[0], to: range[1] };
}
