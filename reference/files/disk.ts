// # Files on disk
//
// What the readers and writers need of Node: ranges of a file, unpacking, and files that are
// written completely or not at all.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { writeAtomically } from "./atomic.js";
import { type ByteSource, FileFormatError } from "./source.js";
import { decodeTorch, type TorchOptions, torchPieces } from "./torch_file.js";

/**
 * Runs `body` on the file at `path`, of which only what is asked for is read.
 *
 * Throws: the system's error when there is no such file; whatever `body` throws.
 */
export function withFile<T>(path: string, body: (source: ByteSource) => T): T {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    return body({
      name: path,
      size,
      read(offset, target) {
        for (let done = 0; done < target.length;) {
          const length = readSync(file, target, done, target.length - done, offset + done);
          if (length === 0)
            throw new FileFormatError(`${path}: ends at byte ${offset + done} while it is read`);
          done += length;
        }
      },
      inflate(packed, unpackedSize) {
        try {
          return inflateRawSync(packed, { maxOutputLength: Math.max(unpackedSize, 1) });
        } catch (error) {
          throw new FileFormatError(
            `${path}: what is deflated in it is damaged (${(error as Error).message})`,
          );
        }
      },
    });
  } finally {
    closeSync(file);
  }
}

/**
 * Writes `value` as PyTorch's `torch.save` does; `torch.load(path, weights_only=True)` reads it.
 * See `encodeTorch` for what can be saved.
 *
 * Throws: TypeError for what cannot; WriteError, after which the old file is still there.
 */
export function save(value: unknown, path: string): void {
  writeAtomically(path, torchPieces(value));
}

/**
 * The value that `torch.save` or `save` wrote to `path`. See `decodeTorch` for what becomes of it.
 *
 * Throws: FileFormatError when it is no such file, is damaged, or holds what is no plain data.
 */
export const load = (path: string, options?: TorchOptions): unknown =>
  withFile(path, (source) => decodeTorch(source, options));
