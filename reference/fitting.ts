// # Sizes that fit
//
// A head of linear layers fits only images of some sizes, which nobody writes down. They are found by
// trying: the customary ones first, then outwards from one that fits.

/** Heights and widths that networks are shown, the commonest first. Units: pixels. */
export const customarySizes: readonly number[] = [
  ...[224, 32, 28, 96, 64, 227, 299, 128, 256, 112, 48, 512, 384, 160, 16, 8],
];

/** Sizes that fit, both ends included. Units: pixels. */
export interface FittingSizes {
  readonly from: number;
  readonly to: number;
  /** From one that fits to the next, where it is more than 1. */
  readonly step?: number;
}

const largest = 1024;

/**
 * The sizes that fit around one that does. Where its neighbours do not, those in steps of a power of two
 * may: a network that halves its image and doubles it again asks for multiples.
 */
export function fittingSizes(size: number, fits: (size: number) => boolean): FittingSizes {
  for (const step of [1, 2, 4, 8, 16, 32, 64]) {
    const [from, to] = [edge(size, -step, fits), edge(size, step, fits)];
    if (from < to) return { from, to, ...(step > 1 && { step }) };
  }
  return { from: size, to: size };
}

/** How far it fits in one direction without a gap; the strides double, then halve. */
function edge(size: number, unit: number, fits: (size: number) => boolean): number {
  let inside = size;
  const admits = (next: number) => next >= 1 && next <= largest && fits(next);
  let stride = 1;
  for (; admits(inside + stride * unit); stride *= 2) inside += stride * unit;
  for (; stride >= 1; stride = Math.floor(stride / 2))
    if (admits(inside + stride * unit)) inside += stride * unit;
  return inside;
}
