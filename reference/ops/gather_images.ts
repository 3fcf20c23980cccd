// # Gathering images
//
// What stands before a network: some of the stored images, in the order of a list, resized as
// torchvision's `Resize` does and turned into numbers from 0 to 1 as its `ToTensor`. On the host a
// batch is made once and handed in (`makeBatch`); a device with memory of its own holds the whole data
// set and does it itself, so that only the list crosses over. Bytes have no gradient. The note is
// `spec/ops/gather_images.md`.

import { resize, toTensor } from "../data/transforms.js";
import { ShapeError } from "../errors.js";
import { defineOp, expectAxes } from "../op.js";
import { showShape } from "../tensor.js";
import { say } from "../words.js";

export interface GatherImagesOptions {
  /** `[height, width]` of the result, in pixels. Default: as stored. */
  readonly size?: readonly [number, number];
  /** What is subtracted, and what is divided by, once pixels are 0 to 1. Default: neither. */
  readonly mean?: number;
  readonly std?: number;
}

/**
 * The images at `indices`, resized and as float32.
 *
 * Shape: `images` `[count, H, W]`, uint8, and `indices` `[B]`, int64 → `[B, 1, H', W']`, float32.
 * Units: a pixel is 0 to 255 before, 0 to 1 after, less `mean`, in units of `std`.
 * Throws: ShapeError for sizes that make no sense; TypeError for other element types; RangeError for
 * an index that no image has.
 * Source: torchvision's Resize (bilinear, antialiased, on Pillow images), ToTensor, Normalize.
 */
export const gatherImages = defineOp("gather_images", {
  inputs: ["images", "indices"],
  accepts: "any",
  integers: ["indices"],
  dtype: "float32",

  // ## Shape: $[C, H, W], [B] \to [B, 1, H', W']$
  shape({ images, indices }, { size, std = 1 }: GatherImagesOptions) {
    if (images.dtype !== "uint8" || indices.dtype !== "int64")
      throw new TypeError(
        `gather_images: images are uint8 and indices int64, got ${images.dtype} and ${indices.dtype}`,
      );
    expectAxes("images", images.shape, 3);
    expectAxes("indices", indices.shape, 1);
    const [, height, width] = images.shape;
    const after = size ?? [height, width];
    if (!after.every((d) => Number.isInteger(d) && d >= 1) || height * width === 0)
      throw new ShapeError(
        say`size is ${showShape(after)} for images of ${showShape([height, width])}, expected whole
          numbers of at least 1 pixel`,
        "size",
      );
    if (!(std > 0 && std < Infinity))
      throw new ShapeError(say`std is ${std}, expected a finite number above 0`, "std");
    return [indices.shape[0], 1, ...after];
  },

  // ## Forward: $y_{b1hw} = \big(\tfrac1{255}\,\mathrm{resize}(x_{k_b})_{hw} - \mu\big) / \sigma$
  forward({ images, indices }, y, { mean = 0, std = 1 }: GatherImagesOptions) {
    const [count, height, width] = images.shape;
    const [batch, , newHeight, newWidth] = y.shape;
    const pixels = height * width;
    const bytes = new Uint8Array(batch * pixels);
    indices.data.forEach((k, b) => {
      if (!(k >= 0 && k < count))
        throw new RangeError(
          `gather_images: there is no image ${k}; there are ${count}, the first is 0`,
        );
      bytes.set(images.data.subarray(k * pixels, (k + 1) * pixels), b * pixels);
    });
    const resized =
      newHeight === height && newWidth === width
        ? bytes
        : resize(bytes, [batch, height, width], [newHeight, newWidth]);
    y.data.set(toTensor(resized, mean === 0 && std === 1 ? undefined : { mean, std }));
  },
});
