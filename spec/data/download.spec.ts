// # Downloads: whole and as published, or not there at all

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { download, DownloadError } from "convnotes/node";
import { serve, type TestServer } from "./server.js";

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >>> 5);
const md5 = createHash("md5").update(content).digest("hex");

describe("download", () => {
  let server: TestServer;
  let folder: string;
  let path: string;
  beforeEach(async () => {
    server = await serve(new Map([["file.gz", content]]));
    folder = await mkdtemp(join(tmpdir(), "convnotes-download-"));
    path = join(folder, "cache", "file.gz");
  });
  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const wanted = (changes: object = {}) => ({
    url: `${server.address}file.gz`,
    path,
    md5,
    sizeBytes: content.length,
    ...changes,
  });
  const listing = () => readdir(join(folder, "cache"));
  const partOf = async (size: number) => {
    await download(wanted());
    await rm(path);
    server.requests.length = 0;
    await writeFile(`${path}.part`, content.subarray(0, size));
  };
  const assertFails = async (changes: object, message: RegExp | string) => {
    await assert.rejects(download(wanted(changes)), (error) => {
      assert.ok(error instanceof DownloadError);
      if (typeof message === "string") assert.equal(error.message, `${wanted().url}: ${message}`);
      else assert.match(error.message, message);
      return true;
    });
  };

  const breakOffEvery = (size: number) => (bytes: number) => {
    if (bytes % size === 0) server.breakOff();
  };

  it("leaves the whole file and nothing else, and tells how it goes", async () => {
    const progress: number[] = [];
    await download(wanted({ onProgress: (bytes: number) => progress.push(bytes) }));
    assert.deepEqual(await listing(), ["file.gz"]);
    assert.deepEqual(new Uint8Array(await readFile(path)), content);
    assert.deepEqual(
      progress,
      [...progress].sort((a, b) => a - b),
    );
    assert.equal(progress.at(-1), content.length);
  });

  it("takes a broken connection up again where it broke", async () => {
    server.behaviour = { pauseAfter: 100_000 };
    await download(wanted({ onProgress: breakOffEvery(100_000) }));
    assert.deepEqual(new Uint8Array(await readFile(path)), content);
    assert.deepEqual(server.requests, ["file.gz", "file.gz from 100000", "file.gz from 200000"]);
  });

  it("goes on from what an earlier run left", async () => {
    await partOf(123_456);
    const progress: number[] = [];
    await download(wanted({ onProgress: (bytes: number) => progress.push(bytes) }));
    assert.deepEqual(server.requests, ["file.gz from 123456"]);
    assert.ok(progress[0] > 123_456);
    assert.deepEqual(new Uint8Array(await readFile(path)), content);
  });

  it("asks for nothing when only the check and the rename were missing", async () => {
    await partOf(content.length);
    await download(wanted());
    assert.deepEqual(server.requests, []);
    assert.deepEqual(await listing(), ["file.gz"]);
  });

  it("starts afresh on a server that knows no ranges", async () => {
    await partOf(123_456);
    server.behaviour = { ranges: false };
    await download(wanted());
    assert.deepEqual(server.requests, ["file.gz from 123456"]);
    assert.deepEqual(new Uint8Array(await readFile(path)), content);
  });

  it("keeps what it has when the connection breaks for good, and says how to go on", async () => {
    server.behaviour = { pauseAfter: 10_000 };
    const onProgress = breakOffEvery(10_000);
    await assertFails(
      { onProgress },
      /; 50000 of 300000 bytes are kept, run again to go on from there$/,
    );
    assert.deepEqual(await listing(), ["file.gz.part"]);
    server.behaviour = {};
    await download(wanted());
    assert.equal(server.requests.at(-1), "file.gz from 50000");
    assert.deepEqual(await listing(), ["file.gz"]);
  });

  it("deletes what does not have the published sum, and says so", async () => {
    const other = "0".repeat(32);
    await assertFails(
      { md5: other },
      `MD5 sum ${md5}, expected ${other}; what was received is deleted`,
    );
    assert.deepEqual(await listing(), []);
  });

  it("refuses another length than was published before it writes anything", async () => {
    await assertFails({ sizeBytes: 299_999 }, "the server has 300000 bytes, expected 299999");
    await assertFails({ sizeBytes: 300_001 }, "the server has 300000 bytes, expected 300001");
    assert.deepEqual(await listing(), []);
  });

  it("never writes more than was published, even if the length is not announced", async () => {
    server.behaviour = { chunked: true };
    await assertFails({ sizeBytes: 1000 }, /the server sent more than it should/);
    const part = await readFile(`${path}.part`).catch(() => new Uint8Array());
    assert.ok(part.length <= 1000);
  });

  it("repeats what the server answered", async () => {
    server.behaviour = { status: 503 };
    await assertFails({}, "the server answered 503 Service Unavailable");
    server.behaviour = {};
    await assertFails(
      { url: `${server.address}other` },
      /other: the server answered 404 Not Found$/,
    );
  });

  it("gives up what the server will not continue", async () => {
    await partOf(1000);
    server.behaviour = { status: 416 };
    for (let run = 0; run < 2; run++) {
      await assertFails({}, "the server answered 416 Range Not Satisfiable");
      assert.deepEqual(await listing(), []);
    }
  });

  it("does not wait for a server that keeps silent", async () => {
    for (const silent of ["at once", "after headers"] as const) {
      server.behaviour = { silent };
      await assertFails({ silenceMs: 100 }, "no answer within 0.1 s");
    }
  });

  it("waits for a server that is slow but not silent", async () => {
    server.behaviour = { pieces: 4 };
    await download(wanted({ silenceMs: 1000 }));
    assert.deepEqual(server.requests, ["file.gz"]);
    assert.deepEqual(new Uint8Array(await readFile(path)), content);
  });

  it("fails at once when nobody listens", async () => {
    await server.close();
    await assertFails({}, /: connect ECONNREFUSED 127\.0\.0\.1:\d+$/);
    const url = wanted().url.replace("127.0.0.1", "localhost");
    await assertFails({ url }, /: connect ECONNREFUSED .*\d$/);
    server = await serve(new Map());
  });

  it("says so when the folder does not take the file", async () => {
    await writeFile(join(folder, "cache"), "a file, not a folder");
    await assertFails({}, /: (EEXIST|ENOTDIR): /);
  });
});
