// # Fashion-MNIST: where it is looked for, and what happens when it is not as it should be
//
// A small stand-in for the published files is served on the loopback interface. The real files are
// checked as well wherever CONVNOTES_DATA says where they are.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { builtInDataset, encodeIdx, fashionClasses } from "convnotes";
import {
  cacheFolder,
  type DownloadProgress,
  fashionMnist,
  type LoadOptions,
  loadFashionMnist,
  type PublishedFile,
} from "convnotes/node";
import { serve, type TestServer } from "./server.js";

// ## The stand-in

const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");
const { train, test } = builtInDataset({ train: 20, test: 10 });
const plain = new Map([
  ["train-images-idx3-ubyte", encodeIdx({ dims: [20, 28, 28], data: train.images })],
  ["train-labels-idx1-ubyte", encodeIdx({ dims: [20], data: train.labels })],
  ["t10k-images-idx3-ubyte", encodeIdx({ dims: [10, 28, 28], data: test.images })],
  ["t10k-labels-idx1-ubyte", encodeIdx({ dims: [10], data: test.labels })],
]);
const packed = new Map([...plain].map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]));
const packedBytes = [...packed.values()].reduce((sum, { length }) => sum + length, 0);

function publishedFile(name: string): PublishedFile {
  const gzip = packed.get(`${name}.gz`)!;
  return { name, gzipBytes: gzip.length, gzipMd5: md5(gzip), md5: md5(plain.get(name)!) };
}

const [trainImages, trainLabels, testImages, testLabels] = [...plain.keys()].map(publishedFile);

const COUNTS = "20 training and 10 test images";

describe("loadFashionMnist", () => {
  let server: TestServer;
  let folder: string;
  let options: LoadOptions;
  beforeEach(async () => {
    server = await serve(packed);
    folder = await mkdtemp(join(tmpdir(), "convnotes-data-"));
    const { address } = server;
    options = {
      env: {},
      cacheDir: join(folder, "cache"),
      published: { name: "Stand-in", address, trainImages, trainLabels, testImages, testLabels },
    };
  });
  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const load = (more: LoadOptions = {}) => loadFashionMnist({ ...options, ...more });

  /** A folder with these files. */
  async function put(name: string, files: Iterable<readonly [string, Uint8Array]>) {
    const path = join(folder, name);
    await mkdir(path, { recursive: true });
    for (const [file, bytes] of files) await writeFile(join(path, file), bytes);
    return path;
  }

  async function assertLoads(data: ReturnType<typeof load>, source: string) {
    const loaded = await data;
    assert.equal(loaded.source, source);
    const name = source.slice(0, source.indexOf(":"));
    assert.deepEqual(loaded.train, { ...train, name });
    assert.deepEqual(loaded.test, { ...test, name });
  }

  const assertRefused = (data: ReturnType<typeof load>, message: string) =>
    assert.rejects(data, { name: "DataError", message });

  // ## Where

  it("reads the folder of --data, packed, unpacked or mixed, before all else", async () => {
    const some = [...plain].slice(0, 2);
    const rest = [...packed].slice(2);
    const env = { CONVNOTES_DATA: "/nowhere" };
    const folders = [
      await put("plain", plain),
      await put("packed", packed),
      await put("mixed", [...some, ...rest]),
    ];
    for (const dataDir of folders)
      await assertLoads(load({ dataDir, env }), `Stand-in: ${COUNTS} from ${dataDir} (--data)`);
    assert.deepEqual(server.requests, []);
  });

  it("reads the folder that CONVNOTES_DATA names before the cache", async () => {
    await put("cache", [["train-images-idx3-ubyte", new Uint8Array()]]);
    const path = await put("own", plain);
    const env = { CONVNOTES_DATA: path };
    await assertLoads(load({ env }), `Stand-in: ${COUNTS} from ${path} (CONVNOTES_DATA)`);
    assert.deepEqual(server.requests, []);
  });

  it("downloads what the cache lacks, and later finds it there", async () => {
    await put("cache", [...packed].slice(0, 1));
    const cache = options.cacheDir!;
    const seen: DownloadProgress[] = [];
    await assertLoads(
      load({ env: { CONVNOTES_DATA: "" }, onProgress: (progress) => seen.push(progress) }),
      `Stand-in: ${COUNTS} from ${cache} (downloaded from ${server.address})`,
    );
    assert.deepEqual(server.requests, [...packed.keys()].slice(1));
    assert.deepEqual((await readdir(cache)).sort(), [...packed.keys()].sort());
    const totalBytes = packedBytes - trainImages.gzipBytes;
    const file = "t10k-labels-idx1-ubyte.gz";
    assert.deepEqual(seen.at(-1), { file, receivedBytes: totalBytes, totalBytes });

    await server.close();
    await assertLoads(load(), `Stand-in: ${COUNTS} from ${cache} (download cache)`);
    server = await serve(packed);
  });

  it("draws its own images when there is no network, and says why", async () => {
    const drawn = "built-in drawings: 6000 training and 1000 test images; no Fashion-MNIST: ";
    const remedy = " (give --data DIR or set CONVNOTES_DATA to train on Fashion-MNIST)";
    const offline = await load({ network: false });
    assert.equal(
      offline.source,
      `${drawn}it is not in ${options.cacheDir} and downloads are switched off${remedy}`,
    );
    assert.equal(offline.train.count, 6000);

    server.behaviour = { silent: "at once" };
    const silent = await load({ silenceMs: 100 });
    const url = `${server.address}train-images-idx3-ubyte.gz`;
    assert.equal(silent.source, `${drawn}${url}: no answer within 0.1 s${remedy}`);
    assert.deepEqual(silent.test, offline.test);
  });

  it("goes on with a download that was interrupted", async () => {
    server.behaviour = { pauseAfter: 1000 };
    const breakOff = ({ receivedBytes }: DownloadProgress) => {
      if (receivedBytes % 1000 === 0) server.breakOff();
    };
    const { source } = await load({ onProgress: breakOff });
    const total = trainImages.gzipBytes;
    assert.match(source, new RegExp(`; 5000 of ${total} bytes are kept, run again to go on`));
    server.behaviour = {};
    server.requests.length = 0;
    assert.match((await load()).source, /^Stand-in: .* \(downloaded from /);
    assert.equal(server.requests[0], "train-images-idx3-ubyte.gz from 5000");
  });

  it("finds the cache where the platform keeps caches", () => {
    assert.equal(cacheFolder({ XDG_CACHE_HOME: "/caches" }), join("/caches", "convnotes"));
    // The specification of XDG_CACHE_HOME has relative paths ignored.
    assert.equal(cacheFolder({ XDG_CACHE_HOME: "caches" }), cacheFolder({}));
    assert.match(cacheFolder({}), /convnotes/);
  });

  // ## What

  it("does not take other images for the published ones", async () => {
    const dataDir = await put("own", plain);
    const labels = plain.get("t10k-labels-idx1-ubyte")!.slice();
    labels[8] = (labels[8] + 1) % 10;
    await writeFile(join(dataDir, "t10k-labels-idx1-ubyte"), labels);
    const { source, train } = await load({ dataDir });
    const name = "images that are not the published Stand-in";
    assert.equal(source, `${name}: ${COUNTS} from ${dataDir} (--data)`);
    assert.equal(train.name, name);
    assert.deepEqual(train.classes, fashionClasses);
  });

  it("never passes over a folder that the user named", async () => {
    const expected =
      "Expected train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, " +
      "t10k-labels-idx1-ubyte, each as it is or with .gz added.";
    const gone = join(folder, "gone");
    await assertRefused(load({ dataDir: gone }), `${gone} (--data): no such folder. ${expected}`);
    await assertRefused(
      load({ env: { CONVNOTES_DATA: gone } }),
      `${gone} (CONVNOTES_DATA): no such folder. ${expected}`,
    );
    const half = await put("half", [...plain].slice(1, 3));
    await assertRefused(
      load({ dataDir: half }),
      `${half} (--data): no train-images-idx3-ubyte, no t10k-labels-idx1-ubyte. ${expected}`,
    );
    assert.deepEqual(server.requests, []);
  });

  it("says where a file is damaged", async () => {
    const name = "train-labels-idx1-ubyte";
    const remedy = "Replace it with a whole copy.";
    const gzip = packed.get(`${name}.gz`)!;
    const changed = (at: number) => gzip.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const summed = "expected them to unpack to what is summed up here";
    const cases: [string, Uint8Array, string][] = [
      [
        name,
        plain.get(name)!.subarray(0, 17),
        ", byte 17: the file ends here, expected 28 bytes: 8 of header, then 20",
      ],
      [`${name}.gz`, gzip.subarray(0, 30), ", byte 30: the gzip data break off, expected more"],
      [`${name}.gz`, new Uint8Array(0), ", byte 0: the gzip data break off, expected more"],
      [
        `${name}.gz`,
        plain.get(name)!,
        ", byte 0: not a gzip file, expected it to begin with 1f 8b",
      ],
      [
        `${name}.gz`,
        changed(gzip.length - 6),
        `, byte ${gzip.length - 8}: the gzip data are damaged (incorrect data check), ${summed}`,
      ],
      [
        `${name}.gz`,
        changed(gzip.length - 3),
        `, byte ${gzip.length - 4}: the gzip data are damaged (incorrect length check), ${summed}`,
      ],
      [`${name}.gz`, changed(2), ": the gzip data are damaged (unknown compression method)"],
      [
        `${name}.gz`,
        gzipSync(plain.get(name)!.subarray(0, 17)),
        " (unpacked), byte 17: the file ends here, expected 28 bytes: 8 of header, then 20",
      ],
    ];
    const others = [...plain].filter(([other]) => other !== name);
    for (const [k, [file, bytes, problem]] of cases.entries()) {
      const dataDir = await put(`case${k}`, [...others, [file, bytes]]);
      await assertRefused(load({ dataDir }), `${join(dataDir, file)}${problem}. ${remedy}`);
    }
  });

  it("refuses to unpack a small file to hundreds of megabytes", async () => {
    // Seventeen times 16 MiB, packed one after the other as the format allows.
    const bomb = Buffer.concat(new Array<Uint8Array>(17).fill(gzipSync(new Uint8Array(2 ** 24))));
    const name = "t10k-images-idx3-ubyte.gz";
    const dataDir = await put("bomb", [...[...packed].filter(([n]) => n !== name), [name, bomb]]);
    await assertRefused(
      load({ dataDir }),
      `${join(dataDir, name)}: unpacks to more than 268435456 bytes, expected at most that. ` +
        "Replace it with a whole copy.",
    );
  });

  it("tells how to mend a damaged cache", async () => {
    await load();
    const file = join(options.cacheDir!, "t10k-labels-idx1-ubyte.gz");
    await writeFile(file, (await readFile(file)).subarray(0, 20));
    await assertRefused(
      load(),
      `${file}, byte 20: the gzip data break off, expected more. ` +
        "Delete it and run again to download it afresh.",
    );
    await rm(file);
    assert.match((await load()).source, /^Stand-in: /);
  });

  it("refuses test images of another size than the training images", async () => {
    const dataDir = await put("own", plain);
    const file = join(dataDir, "t10k-images-idx3-ubyte");
    for (const [height, width] of [
      [28, 14],
      [14, 28],
    ]) {
      const data = test.images.subarray(0, 10 * height * width);
      await writeFile(file, encodeIdx({ dims: [10, height, width], data }));
      await assertRefused(
        load({ dataDir }),
        `${file}, byte 8: images of ${height}×${width} pixels, expected 28×28 as in ` +
          `${join(dataDir, "train-images-idx3-ubyte")}. Replace it with a whole copy.`,
      );
    }
  });
});

// ## The real files

const { CONVNOTES_DATA } = process.env;
if (CONVNOTES_DATA)
  describe("Fashion-MNIST", () => {
    it("is the published one, with the classes equally often", async () => {
      const { train, test } = await loadFashionMnist();
      for (const [set, count] of [[train, 60_000] as const, [test, 10_000] as const]) {
        // The name says that all four MD5 sums were those of the published files.
        assert.equal(set.name, fashionMnist.name);
        assert.deepEqual([set.count, set.height, set.width], [count, 28, 28]);
        const frequency = new Array<number>(10).fill(0);
        for (const label of set.labels) frequency[label]++;
        assert.deepEqual(frequency, new Array(10).fill(count / 10));
      }
    });
  });
