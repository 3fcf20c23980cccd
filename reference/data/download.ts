// # Downloading one published file
//
// A download either leaves the whole file under its name, with the published checksum, or it
// leaves no file of that name. Until then the bytes gather in `NAME.part`; whatever interrupts a
// download (a lost connection, Ctrl-C, a power cut) costs only what was not yet written, because
// the next attempt asks the server for the rest.

import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

export interface Download {
  readonly url: string;
  /** Where the file goes; its folder is made. */
  readonly path: string;
  /** The published MD5 sum, 32 hexadecimal digits, and size: neither more nor less is accepted. */
  readonly md5: string;
  readonly sizeBytes: number;
  /** Called with the bytes that are there, counting those of an earlier attempt. */
  readonly onProgress?: (receivedBytes: number) => void;
  /** How long the server may keep silent, in milliseconds. Default: 5000. */
  readonly silenceMs?: number;
}

/** A file that could not be had. The message says from where, why, and what was kept. */
export class DownloadError extends Error {
  override readonly name = "DownloadError";
}

/** A lost connection is taken up again this often, as long as each attempt brings something. */
const ATTEMPTS = 5;

/**
 * Downloads `url` to `path`, going on from `path + ".part"` if that is there.
 *
 * Throws: DownloadError when the server cannot be reached, keeps silent, refuses, sends something
 * else than was published, or when the disk does not take it.
 */
export async function download(wanted: Download): Promise<void> {
  const part = `${wanted.path}.part`;
  const fail = (why: string): never => {
    throw new DownloadError(`${wanted.url}: ${why}`);
  };
  try {
    await mkdir(dirname(part), { recursive: true });
    await receiveAll(wanted, part);
    const md5 = createHash("md5")
      .update(await readFile(part))
      .digest("hex");
    if (md5 === wanted.md5) return await rename(part, wanted.path);
    await rm(part);
    return fail(`MD5 sum ${md5}, expected ${wanted.md5}; what was received is deleted`);
  } catch (error) {
    if (error instanceof DownloadError) throw error;
    const kept = await sizeOf(part);
    return fail(
      reason(error) +
        (kept > 0
          ? `; ${kept} of ${wanted.sizeBytes} bytes are kept, run again to go on from there`
          : ""),
    );
  }
}

async function receiveAll(wanted: Download, part: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const before = await sizeOf(part);
    if (before === wanted.sizeBytes) return;
    try {
      return await receive(wanted, part, before);
    } catch (error) {
      if (attempt === ATTEMPTS || (await sizeOf(part)) <= before) throw error;
    }
  }
}

/** One request: the file from byte `start` on, or all of it when the server insists. */
async function receive(
  { url, sizeBytes, onProgress, silenceMs = 5000 }: Download,
  part: string,
  start: number,
): Promise<void> {
  const silence = new AbortController();
  const timer = setTimeout(
    () => silence.abort(new Error(`no answer within ${silenceMs / 1000} s`)),
    silenceMs,
  );
  try {
    const response = await fetch(url, {
      headers: { "accept-encoding": "identity", ...(start > 0 && { range: `bytes=${start}-` }) },
      signal: silence.signal,
    });
    const resumed =
      response.status === 206 &&
      (response.headers.get("content-range") ?? "").startsWith(`bytes ${start}-`);
    if (response.status === 416) await rm(part, { force: true });
    if (!resumed && response.status !== 200)
      throw new Error(`the server answered ${response.status} ${response.statusText}`.trim());
    let received = resumed ? start : 0;
    const offered = response.headers.get("content-length");
    if (offered !== null && received + Number(offered) !== sizeBytes)
      throw new Error(`the server has ${received + Number(offered)} bytes, expected ${sizeBytes}`);

    const file = await open(part, resumed ? "a" : "w");
    try {
      const body: AsyncIterable<Uint8Array> | [] = response.body ?? [];
      for await (const chunk of body) {
        timer.refresh();
        received += chunk.length;
        if (received > sizeBytes) break;
        await file.appendFile(chunk);
        onProgress?.(received);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (received !== sizeBytes)
      throw new Error(`the server sent ${received < sizeBytes ? "less" : "more"} than it should`);
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** The innermost cause: `fetch` itself only says that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  // A host with several addresses fails with one error for each and no message of its own.
  return error instanceof AggregateError ? error.errors.map(reason).join(", ") : error.message;
}
