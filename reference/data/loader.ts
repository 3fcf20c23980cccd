// # Batches
//
// An epoch is an order of the images (shuffled for training, see random.ts) cut into runs; a batch
// is one run, gathered, resized and turned into float32. Which images are in a batch depends on
// nothing but the order and the batch's place in it, so that a run can be taken up at any batch.

import type { ImageDataset } from "./dataset.js";
import { type Normalization, resize, resizedSize, toTensor } from "./transforms.js";

/**
 * What is done to an image before the network sees it: `Resize`, then `ToTensor` (always), then
 * `Normalize`. A plain record, so that recipes and checkpoints can hold it.
 */
export interface Pipeline {
  /** The shorter side, or `[height, width]`, in pixels. Default: as stored. */
  readonly resize?: number | readonly [number, number];
  /** Default: none, values stay in 0..1. */
  readonly normalize?: Normalization;
}

/** Some images and their labels, ready for a network. Shape: `x` is `shape`, `labels` is `[B]`. */
export interface Batch {
  readonly x: Float32Array;
  readonly shape: readonly [batch: number, channels: 1, height: number, width: number];
  readonly labels: BigInt64Array;
}

/**
 * The size of an image after `pipeline`: `[channels, height, width]`.
 *
 * Shape: of `Batch.shape`, without its first entry.
 */
export function imageShape(
  { height, width }: Pick<ImageDataset, "height" | "width">,
  pipeline: Pipeline = {},
): readonly [1, number, number] {
  return [1, ...resizedSize(height, width, pipeline.resize ?? [height, width])];
}

/**
 * The images of `dataset` at `indices`, in that order.
 *
 * Shape: `[B, 1, H, W]` with B indices; H and W as stored, or as `pipeline.resize` says.
 * Throws: RangeError for an index outside the data set, and for settings that make no sense.
 */
export function makeBatch(
  dataset: ImageDataset,
  indices: ArrayLike<number>,
  pipeline: Pipeline = {},
): Batch {
  const { count, height, width } = dataset;
  const pixels = height * width;
  const bytes = new Uint8Array(indices.length * pixels);
  const labels = new BigInt64Array(indices.length);
  for (let b = 0; b < indices.length; b++) {
    const i = indices[b];
    if (!(Number.isInteger(i) && i >= 0 && i < count))
      throw new RangeError(
        `makeBatch: there is no image ${i} in ${dataset.name}, which has 0 to ${count - 1}`,
      );
    bytes.set(dataset.images.subarray(i * pixels, (i + 1) * pixels), b * pixels);
    labels[b] = BigInt(dataset.labels[i]);
  }
  const [, newHeight, newWidth] = imageShape(dataset, pipeline);
  const resized =
    newHeight === height && newWidth === width
      ? bytes
      : resize(bytes, [indices.length, height, width], [newHeight, newWidth]);
  return {
    x: toTensor(resized, pipeline.normalize),
    shape: [indices.length, 1, newHeight, newWidth],
    labels,
  };
}

/**
 * Cuts `count` places into runs of `batchSize`, as `[start, end)`; the last run is shorter when
 * they do not divide, or absent with `dropLast`, as in PyTorch's DataLoader.
 *
 * Throws: RangeError for a batch size that is not a positive whole number.
 */
export function batchRanges(
  count: number,
  batchSize: number,
  dropLast = false,
): (readonly [start: number, end: number])[] {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new RangeError(`batch size is ${batchSize}, expected a whole number of at least 1`);
  const batches = (dropLast ? Math.floor : Math.ceil)(count / batchSize);
  return Array.from({ length: batches }, (_, k) => [
    k * batchSize,
    Math.min((k + 1) * batchSize, count),
  ]);
}
