// # Fashion-MNIST
//
// 60,000 training and 10,000 test images of 28×28 pixels, in ten classes: the data set of all the
// notes' training runs. Four files, looked for where the user says, then in the download cache,
// then on the server that published them; without a network a small built-in set takes their
// place, and the first line of a run says so. A place that the user named is never passed over:
// if something is wrong with it, that is an error.

import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { homedir, platform } from "node:os";
import { isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { builtInDataset } from "./built_in.js";
import { DataError, fashionClasses, type TrainingData } from "./dataset.js";
import { download, DownloadError } from "./download.js";
import { datasetFromIdx, type IdxSource } from "./idx.js";

/** One file of a published data set. It is offered with `.gz` added to its name. */
export interface PublishedFile {
  readonly name: string;
  /** Of the file as offered, compressed. */
  readonly gzipBytes: number;
  readonly gzipMd5: string;
  /** Of the unpacked file. */
  readonly md5: string;
}

/** Where a data set of this form is published, and what its files must be. */
export interface PublishedDataset {
  readonly name: string;
  readonly address: string;
  readonly trainImages: PublishedFile;
  readonly trainLabels: PublishedFile;
  readonly testImages: PublishedFile;
  readonly testLabels: PublishedFile;
}

/**
 * The published files of Fashion-MNIST.
 *
 * Source: Xiao, Rasul and Vollgraf 2017; address and sums of the compressed files as in the data
 * set's README.
 */
export const fashionMnist: PublishedDataset = {
  name: "Fashion-MNIST",
  address: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
  trainImages: {
    name: "train-images-idx3-ubyte",
    gzipBytes: 26_421_880,
    gzipMd5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    md5: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
  },
  trainLabels: {
    name: "train-labels-idx1-ubyte",
    gzipBytes: 29_515,
    gzipMd5: "25c81989df183df01b3e8a0aad5dffbe",
    md5: "9018921c3c673c538a1fc5bad174d6f9",
  },
  testImages: {
    name: "t10k-images-idx3-ubyte",
    gzipBytes: 4_422_102,
    gzipMd5: "bef4ecab320f06d8554ea6380940ec79",
    md5: "8181f5470baa50b63fa0f6fddb340f0a",
  },
  testLabels: {
    name: "t10k-labels-idx1-ubyte",
    gzipBytes: 5_148,
    gzipMd5: "bb300cfdad3c16e7a12a480ee83cd310",
    md5: "15d484375f8d13e6eb1aabb0c3f46965",
  },
};

export interface LoadOptions {
  /** `--data DIR`: a folder with the four files, compressed or not. */
  readonly dataDir?: string;
  /** Where `CONVNOTES_DATA` and the place of the cache are read from. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where downloads go. Default: `cacheFolder(env)`. */
  readonly cacheDir?: string;
  /** Whether to try a download at all. Default: true. */
  readonly network?: boolean;
  /** Called while a download goes on, with the bytes of all files together. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** How long the server may keep silent, in milliseconds. Default: 5000. */
  readonly silenceMs?: number;
  /** Default: `fashionMnist`. */
  readonly published?: PublishedDataset;
}

/** How far a download has come. Units: bytes. */
export interface DownloadProgress {
  readonly file: string;
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

/** This program's cache folder, where the platform wants caches to be. */
export function cacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const xdg = env.XDG_CACHE_HOME;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "convnotes");
  if (platform() === "darwin") return join(homedir(), "Library", "Caches", "convnotes");
  if (platform() === "win32" && env.LOCALAPPDATA)
    return join(env.LOCALAPPDATA, "convnotes", "Cache");
  return join(homedir(), ".cache", "convnotes");
}

/**
 * Loads Fashion-MNIST from the first of: `dataDir`, the folder that the environment variable
 * `CONVNOTES_DATA` names, the download cache, the published address, the built-in drawings.
 * `source` is one line that says which it was, and why when it was the last.
 *
 * Throws: DataError when a folder that was named lacks a file, or a file is damaged.
 */
export async function loadFashionMnist(options: LoadOptions = {}): Promise<TrainingData> {
  const { dataDir, env = process.env, network = true, published = fashionMnist } = options;
  if (dataDir !== undefined) return loadFolder(published, dataDir, "--data", REPLACE);
  if (env.CONVNOTES_DATA)
    return loadFolder(published, env.CONVNOTES_DATA, "CONVNOTES_DATA", REPLACE);

  const cache = options.cacheDir ?? join(cacheFolder(env), "fashion-mnist");
  const missing = (await locate(published, cache)).filter(({ path }) => path === undefined);
  if (missing.length === 0) return loadFolder(published, cache, "download cache", DOWNLOAD_AGAIN);
  if (!network) return drawn(`it is not in ${cache} and downloads are switched off`);
  try {
    await downloadFiles(missing, cache, published.address, options);
  } catch (error) {
    if (error instanceof DownloadError) return drawn(error.message);
    throw error;
  }
  const how = `downloaded from ${published.address}`;
  return loadFolder(published, cache, how, DOWNLOAD_AGAIN);
}

function drawn(why: string): TrainingData {
  const data = builtInDataset();
  const remedy = "give --data DIR or set CONVNOTES_DATA to train on Fashion-MNIST";
  return { ...data, source: `${data.source}; no Fashion-MNIST: ${why} (${remedy})` };
}

// ## Downloading

async function downloadFiles(
  files: readonly PublishedFile[],
  folder: string,
  address: string,
  { onProgress, silenceMs }: LoadOptions,
): Promise<void> {
  const totalBytes = files.reduce((sum, { gzipBytes }) => sum + gzipBytes, 0);
  let doneBytes = 0;
  for (const { name, gzipBytes, gzipMd5 } of files) {
    const file = `${name}.gz`;
    await download({
      url: new URL(file, address).href,
      path: join(folder, file),
      md5: gzipMd5,
      sizeBytes: gzipBytes,
      silenceMs,
      onProgress: (bytes) => onProgress?.({ file, receivedBytes: doneBytes + bytes, totalBytes }),
    });
    doneBytes += gzipBytes;
  }
}

// ## Reading a folder

const REPLACE = "Replace it with a whole copy.";
const DOWNLOAD_AGAIN = "Delete it and run again to download it afresh.";

/** The four files in their order, each with the path where it was found, packed or not. */
function locate(
  { trainImages, trainLabels, testImages, testLabels }: PublishedDataset,
  folder: string,
): Promise<(PublishedFile & { path?: string })[]> {
  return Promise.all(
    [trainImages, trainLabels, testImages, testLabels].map(async (file) => {
      for (const path of [join(folder, file.name), join(folder, `${file.name}.gz`)])
        if ((await kind(path)) === "file") return { ...file, path };
      return file;
    }),
  );
}

const kind = (path: string): Promise<"file" | "folder" | undefined> =>
  stat(path).then(
    (found) => (found.isFile() ? "file" : found.isDirectory() ? "folder" : undefined),
    () => undefined,
  );

async function loadFolder(
  published: PublishedDataset,
  folder: string,
  how: string,
  remedy: string,
): Promise<TrainingData> {
  const files = await locate(published, folder);
  const lacking = files.filter(({ path }) => path === undefined).map(({ name }) => name);
  if (lacking.length > 0)
    throw new DataError(
      `${folder} (${how})`,
      (await kind(folder)) === "folder" ? `no ${lacking.join(", no ")}` : "no such folder",
      undefined,
      `Expected ${files.map(({ name }) => name).join(", ")}, each as it is or with .gz added.`,
    );
  const sources = await Promise.all(files.map(({ path }) => readIdxFile(path!, remedy)));
  const genuine = sources.every(
    ({ bytes }, k) => createHash("md5").update(bytes).digest("hex") === files[k].md5,
  );

  const name = genuine ? published.name : `images that are not the published ${published.name}`;
  const named = { name, classes: fashionClasses };
  const train = datasetFromIdx(named, sources[0], sources[1]);
  const test = datasetFromIdx(named, sources[2], sources[3]);
  if (test.height !== train.height || test.width !== train.width)
    throw new DataError(
      sources[2].file,
      `images of ${test.height}×${test.width} pixels, ` +
        `expected ${train.height}×${train.width} as in ${sources[0].file}`,
      8,
      remedy,
    );
  const counts = `${train.count} training and ${test.count} test images`;
  return { train, test, source: `${name}: ${counts} from ${folder} (${how})` };
}

// ## Reading a file
//
// What a compressed file unpacks to is bounded: a few kilobytes can be made to unpack to
// gigabytes. The bound is five times the whole of Fashion-MNIST.

const MAX_BYTES = 2 ** 28;

async function readIdxFile(path: string, remedy: string): Promise<IdxSource> {
  const { size } = await stat(path);
  if (size > MAX_BYTES)
    throw new DataError(path, `${size} bytes, expected at most ${MAX_BYTES}`, undefined, remedy);
  const stored = await readFile(path);
  const packed = path.endsWith(".gz");
  const { buffer, byteOffset, byteLength } = packed ? await unpack(path, stored, remedy) : stored;
  const file = packed ? `${path} (unpacked)` : path;
  return { file, bytes: new Uint8Array(buffer, byteOffset, byteLength), remedy };
}

async function unpack(path: string, packed: Uint8Array, remedy: string): Promise<Uint8Array> {
  try {
    return await promisify(gunzip)(packed, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const refuse = (offset: number | undefined, problem: string): DataError =>
      new DataError(path, problem, offset, remedy);
    if (code === "ERR_BUFFER_TOO_LARGE")
      throw refuse(undefined, `unpacks to more than ${MAX_BYTES} bytes, expected at most that`);
    if (code === "Z_BUF_ERROR")
      throw refuse(packed.length, "the gzip data break off, expected more");
    if (packed[0] !== 0x1f || packed[1] !== 0x8b)
      throw refuse(0, "not a gzip file, expected it to begin with 1f 8b");
    // Most damage still unpacks, to something else. Only the two sums at the end give it away.
    const sums = new Map([
      ["incorrect data check", 8],
      ["incorrect length check", 4],
    ]);
    const fromEnd = sums.get(message);
    if (fromEnd === undefined) throw refuse(undefined, `the gzip data are damaged (${message})`);
    throw refuse(
      packed.length - fromEnd,
      `the gzip data are damaged (${message}), expected them to unpack to what is summed up here`,
    );
  }
}
