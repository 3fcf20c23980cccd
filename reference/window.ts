// # Windows over an image
//
// Convolution and pooling look at an image through a window that moves in steps. This file holds
// what they share: the options, the size of the output, and the walk over the windows.
//
// Along one axis of length $H$, padded by $p$ on both sides, a window of $k$ taps that are $d$
// apart spans $d(k-1)+1$ pixels, and moving it in steps of $s$ gives
//
// $$H' = \left\lfloor \frac{H + 2p - d(k-1) - 1}{s} \right\rfloor + 1$$
//
// places. With `ceilMode` the division rounds up, except that the last window must start inside
// the image or its left padding.

import { ShapeError } from "./errors.js";
import type { Shape } from "./tensor.js";
import { say } from "./words.js";

/** One number for both axes, or `[rows, columns]`. */
export type Pair = number | readonly [number, number];

/** `[rows, columns]` for an option given as one number or two. */
export const pair = (value: Pair): readonly [number, number] =>
  typeof value === "number" ? [value, value] : value;

export interface WindowOptions {
  /** Taps of the window, in pixels. */
  readonly kernelSize: Pair;
  /** Pixels from one window to the next. Default: `kernelSize` for pooling, 1 for convolution. */
  readonly stride?: Pair;
  /** Zero pixels (for max pooling: nothing) added on each side. Default: 0. */
  readonly padding?: Pair;
  /** Pixels from one tap to the next. Default: 1. */
  readonly dilation?: Pair;
  /** Whether a last window that overhangs the padded image counts. Default: false. */
  readonly ceilMode?: boolean;
}

/** The options with every default filled in, each as `[rows, columns]`. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly ceilMode: boolean;
}

const axisNames = [say`height`, say`width`] as const;

/**
 * Fills in the defaults and refuses what cannot be a window.
 *
 * Throws: ShapeError naming the option for a size, stride or dilation below 1, a negative
 * padding, or a number that is not whole.
 */
export function windowOf(options: WindowOptions): Window {
  const read = (
    name: "kernelSize" | "stride" | "padding" | "dilation",
    value: Pair,
    least: number,
  ) => {
    for (const v of pair(value))
      if (!Number.isInteger(v) || v < least)
        throw new ShapeError(
          say`${name} must be a whole number of at least ${least}, got ${v}`,
          name,
        );
    return pair(value);
  };
  const kernel = read("kernelSize", options.kernelSize, 1);
  return {
    kernel,
    stride: read("stride", options.stride ?? kernel, 1),
    padding: read("padding", options.padding ?? 0, 0),
    dilation: read("dilation", options.dilation ?? 1, 1),
    ceilMode: options.ceilMode ?? false,
  };
}

/**
 * The output's `[H', W']` for an input of `[H, W]`.
 *
 * Throws: ShapeError when the window is larger than the padded image, with the formula.
 */
export function outputSize(input: readonly [number, number], w: Window): [number, number] {
  const along = (axis: 0 | 1): number => {
    const [size, k, s, p, d] = [
      input[axis],
      w.kernel[axis],
      w.stride[axis],
      w.padding[axis],
      w.dilation[axis],
    ];
    const room = size + 2 * p - d * (k - 1) - 1;
    if (room < 0)
      throw new ShapeError(
        say`kernelSize ${k}${d > 1 ? say` with dilation ${d}` : ""} spans ${d * (k - 1) + 1} pixels,
          but the ${axisNames[axis]} is ${size}${p > 0 ? say` + 2·${p} of padding` : ""}; use a smaller
          kernel, more padding or a larger image`,
        "kernelSize",
      );
    if (!w.ceilMode) return Math.floor(room / s) + 1;
    const places = Math.ceil(room / s) + 1;
    return (places - 1) * s >= size + p ? places - 1 : places;
  };
  return [along(0), along(1)];
}

/** `(28 + 2·2 − 5)/1 + 1 = 28`: the arithmetic of one axis, written out. */
export function showOutputSize(size: number, w: Window, axis: 0 | 1): string {
  const [k, s, p, d] = [w.kernel[axis], w.stride[axis], w.padding[axis], w.dilation[axis]];
  const span = d === 1 ? `${k}` : `${d}·(${k} − 1) − 1`;
  const room = size + 2 * p - d * (k - 1) - 1;
  const places = outputSize([size, size], { ...w, ...onlyAxis(w, axis) })[0];
  const [open, close] = room % s === 0 ? ["", ""] : w.ceilMode ? ["⌈", "⌉"] : ["⌊", "⌋"];
  return `${open}(${size} + 2·${p} − ${span})/${s}${close} + 1 = ${places}`;
}

const onlyAxis = (w: Window, axis: 0 | 1) => ({
  kernel: [w.kernel[axis], w.kernel[axis]] as const,
  stride: [w.stride[axis], w.stride[axis]] as const,
  padding: [w.padding[axis], w.padding[axis]] as const,
  dilation: [w.dilation[axis], w.dilation[axis]] as const,
});

// ## The walk
//
// Every plane of a batch is walked by the same windows, so they are listed once and used for all.

/** The pixels of one plane that one output pixel sees. */
export interface WindowPixels {
  /** Offsets `h·W + w` into the plane, row by row; padding has no offset and is left out. */
  readonly pixels: Int32Array;
  /** How many taps lie inside the padded image: a window of `ceilMode` may overhang it. */
  readonly inside: number;
}

/** The windows of an `[H, W]` plane in the order of the output's pixels. */
export function windows([height, width]: readonly [number, number], w: Window): WindowPixels[] {
  const [rows, columns] = outputSize([height, width], w);
  const list: WindowPixels[] = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const pixels: number[] = [];
      let inside = 0;
      for (let a = 0; a < w.kernel[0]; a++)
        for (let b = 0; b < w.kernel[1]; b++) {
          const h = i * w.stride[0] - w.padding[0] + a * w.dilation[0];
          const v = j * w.stride[1] - w.padding[1] + b * w.dilation[1];
          if (h < height + w.padding[0] && v < width + w.padding[1]) inside++;
          if (h >= 0 && h < height && v >= 0 && v < width) pixels.push(h * width + v);
        }
      list.push({ pixels: Int32Array.from(pixels), inside });
    }
  return list;
}

/** The planes `[H, W]` of a batch of images, one after the other. */
export function* planes<A extends Float32Array | Float64Array | Uint8Array>(
  shape: Shape,
  data: A,
): Generator<A> {
  const size = shape[2] * shape[3];
  for (let start = 0; start < data.length; start += size)
    yield data.subarray(start, start + size) as A;
}
