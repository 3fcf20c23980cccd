// # Numbers as a picture
//
// The maps of a layer side by side, as a PNG in a data URI: what a hover, a panel and a preview can all
// show. Where all numbers are of one sign they run from dark to light; else zero is white, and the
// two signs are two colours.

import { zlibSync } from "fflate";

/** The most maps that one picture shows. */
const MOST_MAPS = 32;

/** A map beyond this many pixels a side is shown smaller, each pixel the mean of those it covers. */
const MOST_PIXELS = 40;

/** A vector is broken into rows of so many numbers. */
const ROW = 32;

export interface Picture {
  readonly uri: string;
  readonly width: number;
  readonly height: number;
  /** How many of the layer's maps it shows. */
  readonly maps: number;
}

/**
 * The first image's maps, or its vector in rows.
 *
 * Shape: `[N, C, H, W]` or `[N, …]`, of which the first of N is shown.
 */
export function pictureOf(shape: readonly number[], data: ArrayLike<number>): Picture {
  const [channels, height, width] = gridOf(shape);
  const maps = Math.min(channels, MOST_MAPS);
  const scale = Math.max(1, Math.ceil(Math.max(height, width) / MOST_PIXELS));
  const [h, w] = [Math.ceil(height / scale), Math.ceil(width / scale)];
  const length = shape.length === 4 ? height * width : sizeOf(shape.slice(1));

  // About twice as wide as high, a pixel between two maps.
  const wide = Math.round(Math.sqrt((2 * maps * (h + 1)) / (w + 1)));
  const columns = Math.min(maps, Math.max(1, wide));
  const rows = Math.ceil(maps / columns);
  const [pictureWidth, pictureHeight] = [columns * (w + 1) - 1, rows * (h + 1) - 1];
  const pixels = new Uint8Array(pictureWidth * pictureHeight).fill(EMPTY);

  const values = new Float64Array(maps * h * w).fill(NaN);
  for (let m = 0; m < maps; m++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++)
        values[(m * h + y) * w + x] = mean(data, m * height * width, length, {
          ...{ height, width, scale },
          ...{ top: y * scale, left: x * scale },
        });

  const shade = shadesOf(values);
  for (let m = 0; m < maps; m++) {
    const at = Math.floor(m / columns) * (h + 1) * pictureWidth + (m % columns) * (w + 1);
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++)
        pixels[at + y * pictureWidth + x] = shade.of(values[(m * h + y) * w + x]);
  }
  const png = encodePng(pixels, pictureWidth, pictureHeight, shade.palette);
  return {
    uri: `data:image/png;base64,${base64(png)}`,
    ...{ width: pictureWidth, height: pictureHeight, maps },
  };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, d) => product * d, 1);

/** Maps, and the height and width of each. */
function gridOf(shape: readonly number[]): [maps: number, height: number, width: number] {
  if (shape.length === 4) return [shape[1], shape[2], shape[3]];
  const length = sizeOf(shape.slice(1));
  const width = Math.min(length, ROW);
  return [1, Math.ceil(length / width), width];
}

/** Of the pixels of a map that one pixel of the picture covers; NaN where there are none. */
function mean(
  data: ArrayLike<number>,
  start: number,
  length: number,
  at: { height: number; width: number; scale: number; top: number; left: number },
): number {
  let [sum, count] = [0, 0];
  for (let y = at.top; y < Math.min(at.height, at.top + at.scale); y++)
    for (let x = at.left; x < Math.min(at.width, at.left + at.scale); x++) {
      const i = y * at.width + x;
      if (i >= length) continue;
      sum += data[start + i];
      count++;
    }
  return sum / count;
}

// ## Colours
//
// The first of the palette is nothing, the second what is no number; the others are shades.

const [EMPTY, NO_NUMBER, FIRST] = [0, 1, 2];
const SHADES = 254;

type Colour = readonly [red: number, green: number, blue: number];

const dark: readonly Colour[] = [
  [24, 16, 60],
  [94, 38, 120],
  [186, 54, 104],
  [244, 122, 72],
  [252, 236, 176],
];
const twoSigns: readonly Colour[] = [
  [20, 60, 140],
  [110, 165, 215],
  [247, 247, 247],
  [240, 160, 110],
  [165, 25, 35],
];

function paletteOf(stops: readonly Colour[]): Uint8Array {
  const palette = new Uint8Array(3 * (FIRST + SHADES));
  palette.set([255, 0, 255], 3 * NO_NUMBER);
  for (let i = 0; i < SHADES; i++) {
    const at = (i / (SHADES - 1)) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(at));
    for (let k = 0; k < 3; k++)
      palette[3 * (FIRST + i) + k] = Math.round(
        stops[below][k] + (at - below) * (stops[below + 1][k] - stops[below][k]),
      );
  }
  return palette;
}

function shadesOf(values: Float64Array): { palette: Uint8Array; of: (x: number) => number } {
  const finite = values.filter(Number.isFinite);
  let [low, high] = [Infinity, -Infinity];
  for (const x of finite) [low, high] = [Math.min(low, x), Math.max(high, x)];
  const signed = low < 0 && high > 0;
  if (signed) [low, high] = [Math.min(low, -high), Math.max(high, -low)];
  const span = high - low || 1;
  return {
    palette: paletteOf(signed ? twoSigns : dark),
    of: (x) =>
      Number.isFinite(x)
        ? FIRST + Math.round(((x - low) / span) * (SHADES - 1))
        : Number.isNaN(x)
          ? NO_NUMBER
          : FIRST + (x > 0 ? SHADES - 1 : 0),
  };
}

// ## PNG
//
// One byte a pixel, a number of the palette. Source: Portable Network Graphics, W3C, chapters 5 and 11.

function encodePng(
  pixels: Uint8Array,
  width: number,
  height: number,
  palette: Uint8Array,
): Uint8Array {
  const [BITS, INDEXED, NO_FILTER] = [8, 3, 0];
  const lines = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    lines[y * (width + 1)] = NO_FILTER;
    lines.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([BITS, INDEXED], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("PLTE", palette),
    // What is empty is transparent.
    chunk("tRNS", Uint8Array.of(0)),
    chunk("IDAT", zlibSync(lines, { level: 6 })),
    chunk("IEND", new Uint8Array(0)),
  ];
  const png = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    png.set(part, at);
    at += part.length;
  }
  return png;
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

function crc(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return ~rest >>> 0;
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3072)
    text += String.fromCharCode(...bytes.subarray(i, i + 3072));
  return btoa(text);
}
