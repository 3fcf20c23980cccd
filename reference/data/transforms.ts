// # Transforms: from stored bytes to what a network reads
//
// The notes write `transforms.Compose([transforms.Resize(224), transforms.ToTensor()])`. What a
// network then sees depends on every rounding on the way: `Resize` acts on a Pillow image, whose
// pixels are bytes again after each pass, and only then does `ToTensor` divide by 255. Here both
// are done so that the float32 numbers are torchvision's, bit for bit.

// ## Resize
//
// Each output pixel is a weighted mean of input pixels, weights falling linearly from the pixel's
// centre: a triangle. Enlarging, the triangle is one input pixel wide on either side, which is
// bilinear interpolation; shrinking, it widens with the scale, so that no input pixel is skipped
// (`antialias`). Rows and columns are done one after the other.

/** Bits after the binary point of Pillow's weights for images of bytes. */
const WEIGHT_BITS = 22;

/** For each output pixel along one axis: where its window starts, and the weights in it. */
interface Windows {
  readonly first: Int32Array;
  readonly length: Int32Array;
  /** Weights of window `i` begin at `i * stride`. */
  readonly weights: Float64Array;
  readonly stride: number;
}

function triangleWindows(inSize: number, outSize: number, weightBits?: number): Windows {
  const scale = inSize / outSize;
  const radius = Math.max(scale, 1);
  const stride = 2 * Math.ceil(radius) + 1;
  const first = new Int32Array(outSize);
  const length = new Int32Array(outSize);
  const weights = new Float64Array(outSize * stride);
  for (let i = 0; i < outSize; i++) {
    const centre = (i + 0.5) * scale;
    first[i] = Math.max(0, Math.trunc(centre - radius + 0.5));
    length[i] = Math.min(inSize, Math.trunc(centre + radius + 0.5)) - first[i];
    const window = weights.subarray(i * stride, i * stride + length[i]);
    let total = 0;
    for (let j = 0; j < window.length; j++) {
      window[j] = Math.max(0, 1 - Math.abs((first[i] + j - centre + 0.5) * (1 / radius)));
      total += window[j];
    }
    for (let j = 0; j < window.length; j++) window[j] /= total;
    if (weightBits !== undefined)
      for (let j = 0; j < window.length; j++)
        window[j] = Math.floor(window[j] * 2 ** weightBits + 0.5) / 2 ** weightBits;
  }
  return { first, length, weights, stride };
}

type Pixels = Uint8Array | Float32Array;

/**
 * Resizes images one after the other, as torchvision's `Resize` with its bilinear interpolation
 * and antialiasing does.
 *
 * Bytes are resized as a Pillow image is: weights of 22 binary places, each pass rounded to whole
 * bytes; equal to Pillow bit for bit. Floats are resized as a tensor is, with sums in float64.
 *
 * Shape: `[count, height, width]` → `[count, height', width']`.
 * Throws: RangeError for sizes that are not positive integers or do not fit the pixels.
 * Source: Pillow's `Image.resize(…, BILINEAR)`; `interpolate(…, antialias=True)` of PyTorch.
 */
export function resize<T extends Pixels>(
  images: T,
  [count, height, width]: readonly [number, number, number],
  [newHeight, newWidth]: readonly [number, number],
): T;
export function resize(
  images: Pixels,
  [count, height, width]: readonly [number, number, number],
  [newHeight, newWidth]: readonly [number, number],
): Pixels {
  checkSizes({ height, width, newHeight, newWidth });
  if (images.length !== count * height * width)
    throw new RangeError(
      `resize: [${count}, ${height}, ${width}] is ${count * height * width} pixels, ` +
        `but there are ${images.length}`,
    );
  const zeros = (size: number): Pixels =>
    images instanceof Uint8Array ? new Uint8Array(size) : new Float32Array(size);

  // With a half added, storing as a byte (which drops the fraction) rounds to the nearest. The
  // weights of a window sum to 1 within a few units of 2⁻²², so that no byte can overflow; and
  // 8 + 22 bits are exact in float64, so that the order of the sum does not matter.
  const bytes = images instanceof Uint8Array;
  const half = bytes ? 0.5 : 0;
  const bits = bytes ? WEIGHT_BITS : undefined;
  const across = triangleWindows(width, newWidth, bits);
  const down = triangleWindows(height, newHeight, bits);

  const narrow = zeros(height * newWidth);
  const result = zeros(count * newHeight * newWidth);
  for (let n = 0; n < count; n++) {
    resizeRows(images, n * height * width, narrow, { height, width, newWidth }, across, half);
    resizeColumns(narrow, result, n * newHeight * newWidth, { newHeight, newWidth }, down, half);
  }
  return result;
}

function resizeRows(
  from: Pixels,
  fromOffset: number,
  to: Pixels,
  { height, width, newWidth }: { height: number; width: number; newWidth: number },
  { first, length, weights, stride }: Windows,
  half: number,
): void {
  for (let y = 0; y < height; y++)
    for (let x = 0; x < newWidth; x++) {
      const start = fromOffset + y * width + first[x];
      let sum = half;
      for (let j = 0; j < length[x]; j++) sum += weights[x * stride + j] * from[start + j];
      to[y * newWidth + x] = sum;
    }
}

function resizeColumns(
  from: Pixels,
  to: Pixels,
  toOffset: number,
  { newHeight, newWidth }: { newHeight: number; newWidth: number },
  { first, length, weights, stride }: Windows,
  half: number,
): void {
  const sums = new Float64Array(newWidth);
  for (let y = 0; y < newHeight; y++) {
    sums.fill(half);
    for (let j = 0; j < length[y]; j++) {
      const weight = weights[y * stride + j];
      const start = (first[y] + j) * newWidth;
      for (let x = 0; x < newWidth; x++) sums[x] += weight * from[start + x];
    }
    for (let x = 0; x < newWidth; x++) to[toOffset + y * newWidth + x] = sums[x];
  }
}

function checkSizes(sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes))
    if (!Number.isInteger(size) || size < 1)
      throw new RangeError(
        `resize: ${name} is ${size}, expected a whole number of at least 1 pixel`,
      );
}

/**
 * The size that `Resize(size)` gives an image: a pair `[height, width]` as it is; a single number
 * becomes the shorter side, and the longer one keeps the proportion, rounded down.
 *
 * Units: pixels.
 */
export function resizedSize(
  height: number,
  width: number,
  size: number | readonly [number, number],
): readonly [number, number] {
  if (typeof size !== "number") return size;
  return height <= width
    ? [size, Math.trunc((size * width) / height)]
    : [Math.trunc((size * height) / width), size];
}

// ## ToTensor and Normalize

/** `Normalize(mean, std)` of one channel. Units: those of values in 0..1. */
export interface Normalization {
  readonly mean: number;
  readonly std: number;
}

/**
 * Bytes 0..255 as float32 in 0..1 (`ToTensor`), then $(x - \mathrm{mean}) / \mathrm{std}$ if asked
 * for. Every step rounds to float32 as in torchvision.
 *
 * Throws: RangeError for a `std` that is not positive.
 */
export function toTensor(bytes: Uint8Array, normalization?: Normalization): Float32Array {
  // 256 values are worked out once, the rest is looking up.
  const table = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);
  if (normalization !== undefined) normalize_(table, normalization);
  const result = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) result[i] = table[bytes[i]];
  return result;
}

/**
 * $(x - \mathrm{mean}) / \mathrm{std}$ in place, each step rounded to float32.
 *
 * Throws: RangeError for a `std` that is not positive.
 */
export function normalize_(x: Float32Array, { mean, std }: Normalization): Float32Array {
  if (!(std > 0 && std < Infinity) || !Number.isFinite(mean))
    throw new RangeError(`normalize: mean ${mean} and std ${std}, expected finite and std above 0`);
  const [m, s] = [Math.fround(mean), Math.fround(std)];
  for (let i = 0; i < x.length; i++) x[i] = Math.fround(x[i] - m) / s;
  return x;
}
