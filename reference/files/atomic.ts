// # Writing files so that nothing is lost
//
// A file is written beside its place, flushed to the disk, and renamed: whoever reads sees the old
// file or the new one, never half of one, whenever the machine stops.

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** A file that could not be written. The message says which, why, and what to do. */
export class WriteError extends Error {
  override readonly name = "WriteError";
}

const advice: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free some space and go on from the last checkpoint",
  EDQUOT: "the disk quota is used up; free some space and go on from the last checkpoint",
  EACCES: "this user may not write there; choose another folder with --run DIR",
  EPERM: "this user may not write there; choose another folder with --run DIR",
  EROFS: "that file system is read-only; choose another folder with --run DIR",
  ENOENT: "its folder does not exist",
  ENOTDIR: "a part of its path is a file, not a folder; choose another with --run DIR",
};

/** Runs `body`, which writes `path`, and says of a failure what it means. */
export function writing<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    throw new WriteError(
      `cannot write ${path}: ${advice[code] ?? (error as Error).message}${code && ` (${code})`}`,
      { cause: error },
    );
  }
}

/**
 * Replaces the contents of `path` by `bytes` (or by pieces of them, in order), all or nothing.
 *
 * Throws: WriteError; the old contents are then still there.
 */
export function writeAtomically(
  path: string,
  bytes: Uint8Array | string | readonly Uint8Array[],
): void {
  const whole = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  const pieces = whole instanceof Uint8Array ? [whole] : whole;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  writing(path, () => {
    try {
      const file = openSync(temporary, "w");
      try {
        for (const piece of pieces)
          for (let at = 0; at < piece.length;) at += writeSync(file, piece, at);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}
