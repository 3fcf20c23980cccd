// # Where bytes come from
//
// A reader of files asks for ranges and never for the whole, so that numbers go from the disk into
// the tensor they belong to and nowhere else. In a browser the bytes are in memory; Node adds files
// (disk.ts).

/** A file that is not what its name promises; says which, where, and what was expected. */
export class FileFormatError extends Error {
  override readonly name = "FileFormatError";
}

/** A run of bytes that can be read anywhere. */
export interface ByteSource {
  /** What errors call it: the file's path, or what it is. */
  readonly name: string;
  readonly size: number;
  /** Fills `target` with the bytes from `offset` on. Callers stay inside; see `readBytes`. */
  read(offset: number, target: Uint8Array): void;
  /** Unpacks one deflated run of known size, where the platform can. */
  readonly inflate?: (packed: Uint8Array, size: number) => Uint8Array;
}

/** Bytes in memory as a source. */
export const bytesSource = (bytes: Uint8Array, name = "these bytes"): ByteSource => ({
  name,
  size: bytes.length,
  read: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
});

/**
 * The `length` bytes from `offset` on.
 *
 * Throws: FileFormatError when the source ends before; nothing is allocated then.
 */
export function readBytes(source: ByteSource, offset: number, length: number): Uint8Array {
  expectInside(source, offset, length);
  const target = new Uint8Array(length);
  source.read(offset, target);
  return target;
}

/** Throws: FileFormatError unless the source has all of the range. */
export function expectInside(source: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size))
    throw new FileFormatError(
      `${source.name}, byte ${offset}: ${length} bytes should stand here, but the file ends at ` +
        `${source.size}; it is truncated or damaged`,
    );
}
