// # Where a step's images come from
//
// On the host a batch is made once, resized and scaled, and its numbers are handed to the step. A device
// with memory of its own takes the whole data set once, as the bytes that it is; after that a batch is a
// list of places, eight bytes an image, and the step begins with gathering them there. Both give the same
// numbers, bit for bit.

import { backendOf } from "../backend.js";
import { fromData } from "../create.js";
import type { ImageDataset } from "../data/dataset.js";
import { imageShape, makeBatch, type Pipeline } from "../data/loader.js";
import { gatherImages, type GatherImagesOptions } from "../ops/index.js";
import { type Device, Tensor } from "../tensor.js";

/** Images that a step gathers from a data set on its device. */
export interface Gathering {
  /** Shape: `[count, H, W]`, uint8. */
  readonly images: Tensor;
  /** Shape: `[B]`, int64. */
  readonly indices: Tensor;
  readonly options: GatherImagesOptions;
}

/** What a step is given to look at: a batch, or where to find it. */
export type StepImages = Tensor | Gathering;

/** The batch itself. Shape: `[B, C, H, W]`. */
export const gathered = (x: StepImages): Tensor =>
  x instanceof Tensor ? x : gatherImages(x.images, x.indices, x.options);

/** The tensor that is another at each step. */
export const handedIn = (x: StepImages): Tensor => (x instanceof Tensor ? x : x.indices);

export interface StepBatch {
  readonly x: StepImages;
  /** On the device; and as the data set has them. Shape: `[B]`. */
  readonly labels: Tensor;
  readonly classes: BigInt64Array;
}

/** A data set from which a device takes its batches. */
export class Batches {
  readonly #dataset: ImageDataset;
  readonly #pipeline: Pipeline;
  readonly #device: Device;
  /** The data set on the device, where it has memory of its own. */
  readonly #images: Tensor | null;
  readonly #options: GatherImagesOptions;

  constructor(dataset: ImageDataset, pipeline: Pipeline, device: Device) {
    this.#dataset = dataset;
    this.#pipeline = pipeline;
    this.#device = device;
    const { images, count, height, width } = dataset;
    const isApart = backendOf(device).storage !== undefined;
    this.#images = isApart ? fromData(images, [count, height, width], device) : null;
    const [, newHeight, newWidth] = imageShape(dataset, pipeline);
    this.#options = { size: [newHeight, newWidth], ...pipeline.normalize };
  }

  /** What the data set takes of the memory of a device that has its own. */
  get bytes(): number {
    return this.#images?.size ?? 0;
  }

  /**
   * The images at `indices`, in that order, as a step takes them.
   *
   * Throws: RangeError for an index outside the data set.
   */
  at(indices: Int32Array): StepBatch {
    const [dataset, device] = [this.#dataset, this.#device];
    if (this.#images === null) {
      const { x, shape, labels } = makeBatch(dataset, indices, this.#pipeline);
      return {
        x: fromData(x, shape, "cpu").to(device),
        labels: fromData(labels, [labels.length], "cpu").to(device),
        classes: labels,
      };
    }
    const places = BigInt64Array.from(indices, BigInt);
    const classes = BigInt64Array.from(indices, (i) => {
      if (!(i >= 0 && i < dataset.count))
        throw new RangeError(
          `there is no image ${i} in ${dataset.name}, which has 0 to ${dataset.count - 1}`,
        );
      return BigInt(dataset.labels[i]);
    });
    return {
      x: {
        images: this.#images,
        indices: fromData(places, [places.length], device),
        options: this.#options,
      },
      labels: fromData(classes, [classes.length], device),
      classes,
    };
  }
}
