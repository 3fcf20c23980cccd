// # IDX files
//
// The format in which MNIST and its kin are published: a magic number (two zero bytes, the
// element type, the number of axes), each size as a big-endian 32-bit integer, then the elements
// row-major. Only unsigned bytes occur here.
//
// A file may be cut short, padded, swapped with another or made to do harm. Nothing is allocated
// from what a header promises: the pixels stay where they are, and the promise has to equal the
// length of the file.

import { DataError, type ImageDataset } from "./dataset.js";

/** An array of unsigned bytes and its sizes. */
export interface Idx {
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

/** What to call a file in an error, and what to tell the user to do about it. */
export interface IdxFile {
  readonly file: string;
  readonly remedy?: string;
}

const UNSIGNED_BYTE = 0x08;

const WHOLE_COPY = "Replace it with a whole copy.";

const hex = (bytes: Iterable<number>): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");

/**
 * Reads an IDX file of unsigned bytes that has `rank` axes. `data` shares memory with `bytes`.
 *
 * Shape: images have 3 axes `[count, height, width]`, labels 1.
 * Throws: DataError for a wrong magic number, an empty axis, missing or left-over bytes.
 * Source: LeCun, Cortes and Burges, “The MNIST database of handwritten digits”, file formats.
 */
export function parseIdx(
  bytes: Uint8Array,
  rank: number,
  { file, remedy = WHOLE_COPY }: IdxFile,
): Idx {
  const refuse = (offset: number, problem: string): DataError =>
    new DataError(file, problem, offset, remedy);

  const magic = [0, 0, UNSIGNED_BYTE, rank];
  const headerBytes = 4 + 4 * rank;
  const wrong = magic.findIndex((b, i) => i < bytes.length && bytes[i] !== b);
  if (wrong !== -1)
    throw refuse(
      wrong,
      `the file begins with ${hex(bytes.subarray(0, 4))}, expected ${hex(magic)} ` +
        `(an IDX file of unsigned bytes with ${axes(rank)})${guess(bytes)}`,
    );
  if (bytes.length < headerBytes)
    throw refuse(
      bytes.length,
      `the file ends inside its header, expected ${headerBytes} bytes of it`,
    );

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const empty = dims.indexOf(0);
  if (empty !== -1)
    throw refuse(4 + 4 * empty, `the size of axis ${empty} is 0, expected at least 1`);

  // The product may exceed 2⁵³, where it is inexact but still far from any file's length.
  const promised = headerBytes + dims.reduce((product, d) => product * d, 1);
  if (bytes.length < promised)
    throw refuse(
      bytes.length,
      `the file ends here, expected ${promised} bytes: ` +
        `${headerBytes} of header, then ${dims.join(" × ")}`,
    );
  if (bytes.length > promised)
    throw refuse(
      promised,
      `${bytes.length - promised} bytes follow the last element, ` +
        `expected the end of the file after ${dims.join(" × ")}`,
    );
  return { dims, data: bytes.subarray(headerBytes) };
}

const axes = (rank: number): string => (rank === 1 ? "1 axis" : `${rank} axes`);

/** What a wrong beginning probably means. */
function guess(bytes: Uint8Array): string {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b)
    return "; it is compressed with gzip, so its name has to end in .gz";
  if (bytes[0] === 0 && bytes[1] === 0 && bytes[2] === UNSIGNED_BYTE)
    return `; it has ${axes(bytes[3])}: are images and labels swapped?`;
  return "";
}

/**
 * Writes an IDX file of unsigned bytes: the inverse of `parseIdx`.
 *
 * Throws: RangeError when the sizes do not multiply to the number of elements.
 */
export function encodeIdx({ dims, data }: Idx): Uint8Array {
  const size = dims.reduce((product, d) => product * d, 1);
  if (size !== data.length)
    throw new RangeError(
      `encodeIdx: ${dims.join(" × ")} is ${size} elements, but there are ${data.length}`,
    );
  const bytes = new Uint8Array(4 + 4 * dims.length + data.length);
  bytes.set([0, 0, UNSIGNED_BYTE, dims.length]);
  const view = new DataView(bytes.buffer);
  dims.forEach((d, axis) => view.setUint32(4 + 4 * axis, d));
  bytes.set(data, 4 + 4 * dims.length);
  return bytes;
}

// ## A data set from two files

/** An IDX file in memory: its bytes, and what errors say about it. */
export interface IdxSource extends IdxFile {
  readonly bytes: Uint8Array;
}

/**
 * Joins a file of images and the file of their labels.
 *
 * Shape: images `[count, height, width]`, labels `[count]`.
 * Throws: DataError as `parseIdx` does, when the counts differ, and for a label without a class.
 */
export function datasetFromIdx(
  { name, classes }: Pick<ImageDataset, "name" | "classes">,
  images: IdxSource,
  labels: IdxSource,
): ImageDataset {
  const { dims, data: pixels } = parseIdx(images.bytes, 3, images);
  const { data: numbers } = parseIdx(labels.bytes, 1, labels);
  const [count, height, width] = dims;
  const remedy = labels.remedy ?? WHOLE_COPY;
  if (numbers.length !== count)
    throw new DataError(
      labels.file,
      `${numbers.length} labels, expected ${count}, one for each image of ${images.file}`,
      4,
      remedy,
    );
  const bad = numbers.findIndex((label) => label >= classes.length);
  if (bad !== -1)
    throw new DataError(
      labels.file,
      `label ${bad} is ${numbers[bad]}, expected 0 to ${classes.length - 1}, ` +
        `one of the ${classes.length} classes`,
      labels.bytes.length - count + bad,
      remedy,
    );
  return { name, classes, images: pixels, labels: numbers, count, height, width };
}
