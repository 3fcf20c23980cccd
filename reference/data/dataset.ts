// # Data sets of images
//
// A data set is one run of pixels and one of labels, as the IDX files hold them: no image is an
// object of its own, so that 60,000 of them load in a moment and travel to a worker whole.
// Whatever comes from outside is checked here once; what trains on it need not look again.

/**
 * Grey images of one size, each with the number of its class.
 *
 * Shape: `images` is `[count, height, width]`, row-major, `labels` is `[count]`.
 * Units: a pixel is 0 (background) to 255; a label is an index into `classes`.
 */
export interface ImageDataset {
  readonly name: string;
  readonly classes: readonly string[];
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

/** A data set to learn from and one to be judged on; `source` is one line on where they are from. */
export interface TrainingData {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  readonly source: string;
}

/**
 * The ten classes of Fashion-MNIST, in the order of its labels.
 *
 * Source: Xiao, Rasul and Vollgraf 2017, the labels of the published data set.
 */
export const fashionClasses: readonly string[] = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

/**
 * A data file that is not what it should be.
 *
 * The message is `FILE, byte OFFSET: what was found, what was expected. How to mend it.`
 */
export class DataError extends Error {
  override readonly name = "DataError";

  constructor(
    /** The file or folder, as the user knows it. */
    readonly file: string,
    problem: string,
    /** Where in the file, counted from 0 in bytes; absent when it is about the file as a whole. */
    readonly offset: number | undefined,
    remedy: string,
  ) {
    super(`${file}${offset === undefined ? "" : `, byte ${offset}`}: ${problem}. ${remedy}`);
  }
}
