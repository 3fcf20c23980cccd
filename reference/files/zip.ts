// # Zip archives
//
// PyTorch's files and NumPy's .npz are zip archives of entries that are stored as they are; NumPy
// may deflate them as well. An archive says everything twice, in its directory at the end and
// before each entry, and a hostile one lies: the reader takes sizes and places from the directory,
// holds both against the file and against each other, and reads an entry only when asked to.
//
// Source: PKWARE's APPNOTE 6.3.9.

import { type ByteSource, expectInside, FileFormatError, readBytes } from "./source.js";

/** One entry of an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes of the contents. */
  readonly size: number;
  /** Where the contents stand in the archive, if they are not deflated. */
  readonly offset: number;
  readonly deflated: boolean;
  readonly packedSize: number;
  readonly crc: number;
}

const DIRECTORY_END = 0x06054b50;
const DIRECTORY_END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;

/** Bytes of directory that are looked at, at most; a million of entries of PyTorch's. */
const MAX_DIRECTORY_BYTES = 1 << 27;

/** Deflate packs at most 1032 to 1; more is a lie, and this much in one entry is a bomb. */
const MAX_INFLATED_BYTES = 2 ** 31;

/** Whether the source begins like a zip archive. */
export const isZip = (source: ByteSource): boolean =>
  source.size >= 4 && [...readBytes(source, 0, 4)].join() === "80,75,3,4";

/**
 * The entries of an archive by name, in the order of its directory.
 *
 * Throws: FileFormatError for anything that does not fit together: no directory, entries that
 * overlap each other or the directory, two of one name, encrypted ones, lies about sizes.
 */
export function readDirectory(source: ByteSource): Map<string, ZipEntry> {
  const refuse = (why: string): never => {
    throw new FileFormatError(`${source.name}: ${why}`);
  };
  const { count, offset, size } = findDirectory(source);
  if (size > MAX_DIRECTORY_BYTES) refuse(`the zip directory has ${size} bytes, more than sensible`);
  const bytes = readBytes(source, offset, size);
  const view = new DataView(bytes.buffer);
  const entries = new Map<string, ZipEntry>();
  const ranges: (readonly [from: number, to: number, name: string])[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== DIRECTORY_ENTRY)
      return refuse(`entry ${i} of the zip directory is damaged`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) =>
      view.getUint16(at + o, true),
    );
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > size) return refuse(`entry ${i} of the zip directory is truncated`);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const method = view.getUint16(at + 10, true);
    if (view.getUint16(at + 8, true) & 0x2041) refuse(`"${name}" is encrypted`);
    if (method !== 0 && method !== 8) refuse(`"${name}" is packed by method ${method}`);
    const sizes = wideSizes(view, at, at + 46 + nameLength, extraLength);
    if (sizes === undefined) return refuse(`the sizes of "${name}" are damaged`);
    const [unpacked, packed, header] = sizes;
    if (method === 0 && packed !== unpacked)
      refuse(`"${name}" is stored, but is said to take ${packed} bytes for ${unpacked}`);
    if (method === 8 && (unpacked > 1032 * packed + 64 || unpacked > MAX_INFLATED_BYTES))
      refuse(`"${name}" is said to unpack ${packed} bytes to ${unpacked}: a zip bomb`);
    if (entries.has(name)) refuse(`there are two entries "${name}"`);
    const start = contentsOf(source, header, name);
    ranges.push([header, start + packed, name]);
    entries.set(name, {
      name,
      size: unpacked,
      offset: start,
      deflated: method === 8,
      packedSize: packed,
      crc: view.getUint32(at + 16, true),
    });
    at = next;
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let [end, before] = [0, "the beginning"];
  for (const [from, to, name] of ranges) {
    if (from < end) refuse(`"${name}" overlaps "${before}"`);
    [end, before] = [to, name];
  }
  if (end > offset) refuse(`"${before}" overlaps the zip directory`);
  return entries;
}

/** Where the directory is, by the record at the end of the file. */
function findDirectory(source: ByteSource): { count: number; offset: number; size: number } {
  const refuse = (why: string): never => {
    throw new FileFormatError(`${source.name}: ${why}`);
  };
  // The record has 22 bytes and a comment of up to 65535 behind it.
  const tailLength = Math.min(source.size, 22 + 65535);
  const tailStart = source.size - tailLength;
  const tail = readBytes(source, tailStart, tailLength);
  const view = new DataView(tail.buffer);
  let at = tailLength - 22;
  while (
    at >= 0 &&
    !(
      view.getUint32(at, true) === DIRECTORY_END &&
      at + 22 + view.getUint16(at + 20, true) === tailLength
    )
  )
    at--;
  if (at < 0) return refuse("is no zip archive, or its end is missing; it may be truncated");
  let count = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  let behind = tailStart + at;
  if (at >= 20 && view.getUint32(at - 20, true) === LOCATOR_64) {
    const place = Number(view.getBigUint64(at - 12, true));
    const record = new DataView(readBytes(source, place, 56).buffer);
    if (record.getUint32(0, true) !== DIRECTORY_END_64) refuse("its zip64 record is damaged");
    [count, size, offset] = [32, 40, 48].map((o) => Number(record.getBigUint64(o, true)));
    behind = place;
  }
  if (offset + size > behind) refuse("its zip directory does not fit before its end");
  if (count * 46 > size) refuse(`its zip directory is too small for ${count} entries`);
  return { count, offset, size };
}

/** Sizes and place of an entry, from its zip64 field where they are too large for 32 bits. */
function wideSizes(
  view: DataView,
  entry: number,
  extra: number,
  extraLength: number,
): [unpacked: number, packed: number, header: number] | undefined {
  const values = [24, 20, 42].map((o) => view.getUint32(entry + o, true));
  let missing = values.filter((v) => v === 0xffffffff).length;
  for (let at = extra; at + 4 <= extra + extraLength && missing > 0;) {
    const [id, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (at + 4 + length > extra + extraLength) return undefined;
    if (id === 1) {
      if (length < 8 * missing) return undefined;
      let field = at + 4;
      values.forEach((v, i) => {
        if (v !== 0xffffffff) return;
        values[i] = Number(view.getBigUint64(field, true));
        field += 8;
      });
      missing = 0;
    }
    at += 4 + length;
  }
  return missing > 0 ? undefined : [values[0], values[1], values[2]];
}

/** Where the contents begin behind their header, which must bear the same name. */
function contentsOf(source: ByteSource, header: number, name: string): number {
  const view = new DataView(readBytes(source, header, 30).buffer);
  const [nameLength, extraLength] = [view.getUint16(26, true), view.getUint16(28, true)];
  const own = readBytes(source, header + 30, Math.min(nameLength, 65535));
  if (view.getUint32(0, true) !== LOCAL_ENTRY || new TextDecoder().decode(own) !== name)
    throw new FileFormatError(`${source.name}, byte ${header}: here "${name}" should begin`);
  return header + 30 + nameLength + extraLength;
}

/**
 * The contents of an entry.
 *
 * Throws: FileFormatError when its checksum is another, it is truncated, or it is deflated and the
 * platform cannot unpack it.
 */
export function readEntry(source: ByteSource, entry: ZipEntry): Uint8Array {
  const packed = readBytes(source, entry.offset, entry.packedSize);
  if (!entry.deflated) return checked(source, entry, packed);
  if (source.inflate === undefined)
    throw new FileFormatError(
      `${source.name}: "${entry.name}" is deflated, which only Node can read here; ` +
        `use numpy.savez instead of savez_compressed`,
    );
  return checked(source, entry, source.inflate(packed, entry.size));
}

function checked(source: ByteSource, entry: ZipEntry, bytes: Uint8Array): Uint8Array {
  if (bytes.length !== entry.size)
    throw new FileFormatError(
      `${source.name}: "${entry.name}" has ${bytes.length} bytes instead of ${entry.size}`,
    );
  expectChecksum(source, entry, crc32(bytes));
  return bytes;
}

/** Throws: FileFormatError unless `crc` is what the archive says of `entry`. */
export function expectChecksum(source: ByteSource, entry: ZipEntry, crc: number): void {
  if (crc !== entry.crc)
    throw new FileFormatError(
      `${source.name}: "${entry.name}" is damaged: its checksum is ${hex(crc)}, ` +
        `expected ${hex(entry.crc)}`,
    );
}

const hex = (n: number): string => n.toString(16).padStart(8, "0");

/** The place of a stored entry. Throws: FileFormatError for a deflated or truncated one. */
export function expectStored(source: ByteSource, entry: ZipEntry): number {
  if (entry.deflated)
    throw new FileFormatError(
      `${source.name}: "${entry.name}" is deflated; PyTorch stores entries as they are, ` +
        `so this archive was packed by something else. Unpack it and save it with torch.save`,
    );
  expectInside(source, entry.offset, entry.size);
  return entry.offset;
}

// ## Checksums
//
// CRC-32 eight bytes at a time: table k holds the remainder of a byte that k more bytes follow.

const tables = Array.from({ length: 8 }, () => new Int32Array(256));
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  tables[0][n] = c;
}
for (let n = 0; n < 256; n++)
  for (let k = 1; k < 8; k++) {
    const c = tables[k - 1][n];
    tables[k][n] = (c >>> 8) ^ tables[0][c & 255];
  }

/** The CRC-32 of `bytes`, or of what gave `before` followed by `bytes`. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let c = ~before;
  let i = 0;
  for (; i + 8 <= bytes.length; i += 8) {
    c ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    c =
      t7[c & 255] ^
      t6[(c >>> 8) & 255] ^
      t5[(c >>> 16) & 255] ^
      t4[c >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) c = (c >>> 8) ^ t0[(c ^ bytes[i]) & 255];
  return ~c >>> 0;
}

// ## Writing

/**
 * An archive of `entries`, stored as they are, as pieces to be written one after the other. The
 * contents of each begin at a multiple of `alignment` bytes, so that a reader can map them; the
 * pieces are the very arrays that were given. Times are zero: the same entries give the same bytes.
 *
 * Throws: RangeError beyond 4 GiB.
 */
export function zipPieces(
  entries: Iterable<readonly [name: string, contents: Uint8Array]>,
  alignment: number,
): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  const push = (piece: Uint8Array) => {
    pieces.push(piece);
    offset += piece.length;
  };
  for (const [name, contents] of entries) {
    const encoded = new TextEncoder().encode(name);
    // PyTorch's filling: an extra field "FB" of as many bytes as are missing.
    const unfilled = offset + 30 + encoded.length + 4;
    const extra = 4 + ((alignment - (unfilled % alignment)) % alignment);
    const fixed = [[20], [0x0800], [0], [0], [0x21]] as const;
    const common = new DataView(new ArrayBuffer(26));
    fixed.forEach(([v], i) => common.setUint16(2 * i, v, true));
    common.setUint32(10, crc32(contents), true);
    common.setUint32(14, contents.length, true);
    common.setUint32(18, contents.length, true);
    common.setUint16(22, encoded.length, true);

    const entry = new Uint8Array(46 + encoded.length);
    const entryView = new DataView(entry.buffer);
    entryView.setUint32(0, DIRECTORY_ENTRY, true);
    entryView.setUint16(4, 20, true);
    entry.set(new Uint8Array(common.buffer), 6);
    entryView.setUint32(42, offset, true);
    entry.set(encoded, 46);
    directory.push(entry);

    const local = new Uint8Array(30 + encoded.length + extra).fill(0x5a);
    const localView = new DataView(local.buffer);
    localView.setUint32(0, LOCAL_ENTRY, true);
    local.set(new Uint8Array(common.buffer), 4);
    localView.setUint16(28, extra, true);
    local.set(encoded, 30);
    local.set([0x46, 0x42, (extra - 4) & 255, (extra - 4) >> 8], 30 + encoded.length);
    push(local);
    push(contents);
    if (offset > 0xffffffff) throw new RangeError("zip: archives beyond 4 GiB cannot be written");
  }
  const start = offset;
  directory.forEach(push);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, DIRECTORY_END, true);
  end.setUint16(8, directory.length, true);
  end.setUint16(10, directory.length, true);
  end.setUint32(12, offset - start, true);
  end.setUint32(16, start, true);
  push(new Uint8Array(end.buffer));
  if (directory.length > 65535) throw new RangeError("zip: more than 65535 entries");
  return pieces;
}

/** All pieces in one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
