// # NumPy's files
//
// An .npy file is one array: ten bytes of magic and lengths, a Python literal that says type, order
// and shape, then the numbers. An .npz file is a zip archive of them.
//
// Source: NumPy's format description (numpy.lib.format).

import { type Shape, sizeOf, strides, type Tensor } from "../tensor.js";
import { type ByteSource, bytesSource, FileFormatError, readBytes } from "./source.js";
import { bytesOf, expectLittleEndian, RawTensor, storedTypes, typeBy } from "./stored.js";
import { TensorInFile } from "./tensor_in_file.js";
import { joined, readDirectory, readEntry, zipPieces } from "./zip.js";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

/** NumPy's own limit on the header is 10000 characters. */
const MAX_HEADER_BYTES = 1 << 16;

/** Whether the source begins like an .npy file. */
export const isNpy = (source: ByteSource): boolean =>
  source.size >= 6 && readBytes(source, 0, 6).every((byte, i) => byte === MAGIC[i]);

/**
 * The array in an .npy file, still in the file.
 *
 * Throws: FileFormatError for a header that is not NumPy's, for types without numbers (objects,
 * text, records), big-endian ones, and sizes that do not fit the file.
 */
export function readNpy(source: ByteSource): TensorInFile {
  expectLittleEndian();
  const refuse = (why: string): never => {
    throw new FileFormatError(`${source.name}: ${why}`);
  };
  if (!isNpy(source)) return refuse("is no .npy file: it does not begin with NUMPY");
  const [major] = readBytes(source, 6, 2);
  if (major < 1 || major > 3) return refuse(`is of .npy version ${major}, readable are 1 to 3`);
  const wide = major > 1;
  const lengthField = new DataView(readBytes(source, 8, wide ? 4 : 2).buffer);
  const length = wide ? lengthField.getUint32(0, true) : lengthField.getUint16(0, true);
  if (length > MAX_HEADER_BYTES) return refuse(`its header is said to have ${length} bytes`);
  const start = (wide ? 12 : 10) + length;
  const header = new TextDecoder().decode(readBytes(source, start - length, length));
  const descr = /'descr': *'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order': *(True|False)/.exec(header)?.[1];
  const sizes = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined)
    return refuse(`its header is not that of an array of numbers: ${header.trim().slice(0, 100)}`);
  const dtype = typeBy("descr", descr);
  if (dtype === undefined) {
    const readable = Object.values(storedTypes).flatMap((t) => t.descr ?? []);
    return refuse(`its type is "${descr}", readable are ${readable.join(", ")}`);
  }
  const shape = sizes.split(",").flatMap((d) => (d.trim() === "" ? [] : [Number(d)]));
  const count = sizeOf(shape);
  if (!(count * storedTypes[dtype].bytes === source.size - start))
    return refuse(
      `${dtype} [${shape.join(", ")}] needs ${count * storedTypes[dtype].bytes} bytes, ` +
        `but ${source.size - start} follow the header`,
    );
  if (order === "False") return TensorInFile.dense(source, start, dtype, shape);
  const columns = strides([...shape].reverse()).reverse();
  return new TensorInFile(source, { count, offset: start }, dtype, shape, columns, 0);
}

/** The array in the bytes of an .npy file. Throws: as `readNpy`. */
export const decodeNpy = (bytes: Uint8Array): Tensor =>
  readNpy(bytesSource(bytes)).readRaw().toTensor();

/** The arrays in an .npz file by name. Throws: as `readNpy`, and for a damaged archive. */
export const decodeNpz = (bytes: Uint8Array): Map<string, Tensor> =>
  new Map(
    [...readNpz(bytesSource(bytes))].map(([name, read]) => [name, read().readRaw().toTensor()]),
  );

/**
 * The arrays in an .npz file by name; each is unpacked when it is asked for.
 *
 * Throws: FileFormatError for a damaged archive, or one with anything else in it.
 */
export function readNpz(source: ByteSource): Map<string, () => TensorInFile> {
  const arrays = new Map<string, () => TensorInFile>();
  for (const [name, entry] of readDirectory(source)) {
    if (!name.endsWith(".npy"))
      throw new FileFormatError(`${source.name}: "${name}" is no .npy file, so this is no .npz`);
    arrays.set(name.slice(0, -".npy".length), () =>
      readNpy(bytesSource(readEntry(source, entry), `${source.name}, "${name}"`)),
    );
  }
  return arrays;
}

/**
 * The bytes of an .npy file. The same tensor gives the same bytes.
 *
 * Throws: TypeError for bfloat16, which NumPy does not have.
 */
export const encodeNpy = (tensor: Tensor | RawTensor): Uint8Array => joined(npyPieces(tensor));

/** The same bytes in pieces, in which the tensor's own numbers are not copied. */
export function npyPieces(tensor: Tensor | RawTensor): Uint8Array[] {
  expectLittleEndian();
  const { descr } = storedTypes[tensor.dtype];
  if (descr === null)
    throw new TypeError(`npy: NumPy has no ${tensor.dtype}; widen it with toTensor()`);
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${literal(tensor.shape)}, }`;
  // Spaces and a line end fill the header up to a multiple of 64 bytes.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const head = new TextEncoder().encode(`${"\0".repeat(10)}${text.padEnd(length - 1)}\n`);
  head.set([...MAGIC, 1, 0, length & 255, length >> 8]);
  const numbers =
    tensor instanceof RawTensor ? tensor.bytes : bytesOf(tensor.detach().to("cpu").data);
  return [head, numbers];
}

const literal = (shape: Shape): string =>
  shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;

/** The bytes of an .npz file, not deflated, with the arrays under their names. */
export const encodeNpz = (tensors: Iterable<readonly [string, Tensor | RawTensor]>): Uint8Array =>
  joined(npzPieces(tensors));

/** The same bytes in pieces. */
export const npzPieces = (tensors: Iterable<readonly [string, Tensor | RawTensor]>): Uint8Array[] =>
  zipPieces(
    Array.from(tensors, ([name, tensor]) => [`${name}.npy`, encodeNpy(tensor)] as const),
    64,
  );
