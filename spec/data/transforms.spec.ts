// # Transforms: bit for bit what torchvision hands to a network
//
// The fixture holds what real torchvision and Pillow made of random images. On further random
// images the result is held against the definition of the triangle filter, written out densely:
// every input pixel gets its weight, also the many that are zero.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { normalize_, resize, resizedSize, toTensor } from "convnotes";
import { float32, gamma, within } from "../rounding.js";

type Size = number | [number, number];
type Recorded = { hex: string } | { sha256: string };
interface Case {
  height: number;
  width: number;
  size: Size;
  pixels: string;
  newHeight: number;
  newWidth: number;
}
interface Fixture {
  normalization: { mean: number; std: number };
  allBytes: { tensor: string; normalized: string };
  pillow: (Case & { resized: Recorded; tensor: Recorded; normalized: Recorded })[];
  tensor: (Case & { resized: string })[];
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/resize.json", import.meta.url), "utf8"),
) as Fixture;

const fromHex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const floats = (text: string) => new Float32Array(fromHex(text).buffer);
const bytesOf = (x: Uint8Array | Float32Array) => Buffer.from(x.buffer, x.byteOffset, x.byteLength);

function assertRecorded(actual: Uint8Array | Float32Array, recorded: Recorded): void {
  if ("hex" in recorded) assert.equal(bytesOf(actual).toString("hex"), recorded.hex);
  else assert.equal(createHash("sha256").update(bytesOf(actual)).digest("hex"), recorded.sha256);
}

const describeCase = ({ height, width, size }: Case) =>
  `${height}×${width} to ${Array.isArray(size) ? size.join("×") : size}`;

// ## The definition
//
// Along one axis, output pixel i looks at input pixel j with weight max(0, 1 − |j + ½ − c| / r),
// c = (i + ½) · scale, r = max(scale, 1), divided by the sum of all weights.
function dense(line: readonly number[], outSize: number): number[] {
  const scale = line.length / outSize;
  const r = Math.max(scale, 1);
  return Array.from({ length: outSize }, (_, i) => {
    const w = line.map((_, j) => Math.max(0, 1 - Math.abs(j + 0.5 - (i + 0.5) * scale) / r));
    const total = w.reduce((a, b) => a + b);
    return line.reduce((sum, x, j) => sum + (w[j] / total) * x, 0);
  });
}

const transpose = (rows: number[][]) => rows[0].map((_, x) => rows.map((row) => row[x]));

function denseImage(
  pixels: ArrayLike<number>,
  [height, width]: readonly [number, number],
  [newHeight, newWidth]: readonly [number, number],
): number[] {
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => pixels[y * width + x]),
  );
  const wide = rows.map((row) => dense(row, newWidth));
  return transpose(transpose(wide).map((column) => dense(column, newHeight))).flat();
}

function assertWithin(actual: ArrayLike<number>, expected: number[], bound: number): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((e, i) => {
    assert.ok(within(actual[i], e, bound), `element ${i}: ${actual[i]}, expected ${e} ± ${bound}`);
  });
}

const side = fc.integer({ min: 1, max: 20 });
const images = fc
  .tuple(fc.integer({ min: 1, max: 3 }), side, side, side, side)
  .chain(([count, h, w, newH, newW]) =>
    fc.record({
      from: fc.constant([count, h, w] as const),
      to: fc.constant([newH, newW] as const),
      pixels: fc.uint8Array({ minLength: count * h * w, maxLength: count * h * w }),
    }),
  );

describe("resize", () => {
  for (const c of fixture.pillow)
    it(`makes of bytes what Pillow makes, bit for bit: ${describeCase(c)}`, () => {
      const to = resizedSize(c.height, c.width, c.size);
      assert.deepEqual(to, [c.newHeight, c.newWidth]);
      const resized = resize(fromHex(c.pixels), [1, c.height, c.width], to);
      assertRecorded(resized, c.resized);
      assertRecorded(toTensor(resized), c.tensor);
      assertRecorded(toTensor(resized, fixture.normalization), c.normalized);
    });

  // PyTorch works the weights out in float32. With u = 2⁻²⁴: the centre carries two roundings
  // and is subtracted with two more, each of at most (in + 1) u; dividing by r and taking it
  // from 1 add at most 7 u, the argument being at most 2. So a weight is off by at most
  // δ = (4 (in + 1) / r + 7) u. A window has at most 2r + 1 ≤ 3r pixels and its weights sum to at
  // least r / 2, so that all normalised weights together are off by at most 2 · 3r · δ / (r / 2)
  // = 12 δ. The sum itself adds γ(3r + 3), and our own rounding one u. Values lie in 0..1, and
  // the two axes add up.
  const passBound = (inSize: number, outSize: number) => {
    const r = Math.max(inSize / outSize, 1);
    return 12 * ((4 * (inSize + 1)) / r + 7) * float32.unit + gamma(Math.ceil(3 * r) + 4, float32);
  };
  for (const c of fixture.tensor)
    it(`makes of floats what PyTorch's interpolate makes: ${describeCase(c)}`, () => {
      const to = resizedSize(c.height, c.width, c.size);
      assert.deepEqual(to, [c.newHeight, c.newWidth]);
      const actual = resize(toTensor(fromHex(c.pixels)), [1, c.height, c.width], to);
      const bound = passBound(c.height, to[0]) + passBound(c.width, to[1]);
      assertWithin(actual, Array.from(floats(c.resized)), bound);
    });

  it("is the triangle filter, on floats up to two roundings", () => {
    fc.assert(
      fc.property(images, ({ from, to, pixels }) => {
        const x = Float32Array.from(pixels, (p) => p / 3 - 40);
        const actual = resize(x, from, to);
        const [count, h, w] = from;
        const largest = Math.max(...x.map(Math.abs));
        // Stored as float32 after each pass; the third covers all of float64's roundings.
        const bound = gamma(3, float32) * largest;
        for (let n = 0; n < count; n++)
          assertWithin(
            actual.subarray(n * to[0] * to[1], (n + 1) * to[0] * to[1]),
            denseImage(x.subarray(n * h * w, (n + 1) * h * w), [h, w], to),
            bound,
          );
      }),
    );
  });

  it("is the triangle filter, on bytes up to a half per pass", () => {
    fc.assert(
      fc.property(images, ({ from, to, pixels }) => {
        const actual = resize(pixels, from, to);
        const [count, h, w] = from;
        // Two roundings to whole bytes, and per pass at most 2r + 1 ≤ 41 weights, each off by
        // half a unit of 2⁻²², on pixels of at most 255.
        const bound = 2 * (0.5 + 41 * 255 * 2 ** -23);
        for (let n = 0; n < count; n++)
          assertWithin(
            actual.subarray(n * to[0] * to[1], (n + 1) * to[0] * to[1]),
            denseImage(pixels.subarray(n * h * w, (n + 1) * h * w), [h, w], to),
            bound,
          );
      }),
    );
  });

  it("leaves a picture of its own size, and one of a single shade, as they are", () => {
    fc.assert(
      fc.property(images, fc.integer({ min: 0, max: 255 }), ({ from, to, pixels }, shade) => {
        assert.deepEqual(resize(pixels, from, [from[1], from[2]]), pixels);
        const plain = resize(
          pixels.map(() => shade),
          from,
          to,
        );
        assert.ok(plain.every((p) => p === shade));
      }),
    );
  });

  it("refuses sizes that make no picture", () => {
    const sixPixels = new Uint8Array(6);
    assert.throws(() => resize(sixPixels, [1, 2, 3], [0, 4]), {
      name: "RangeError",
      message: "resize: newHeight is 0, expected a whole number of at least 1 pixel",
    });
    assert.throws(() => resize(sixPixels, [1, 2, 3], [4, 2.5]), {
      message: "resize: newWidth is 2.5, expected a whole number of at least 1 pixel",
    });
    assert.throws(() => resize(sixPixels, [2, 2, 3], [4, 4]), {
      message: "resize: [2, 2, 3] is 12 pixels, but there are 6",
    });
  });
});

describe("toTensor", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);

  it("divides every byte by 255 as torchvision's ToTensor, bit for bit", () => {
    assertRecorded(toTensor(all), { hex: fixture.allBytes.tensor });
  });

  it("normalises as torchvision's Normalize, bit for bit", () => {
    assertRecorded(toTensor(all, fixture.normalization), { hex: fixture.allBytes.normalized });
    assertRecorded(normalize_(toTensor(all), fixture.normalization), {
      hex: fixture.allBytes.normalized,
    });
  });

  it("refuses a standard deviation that cannot divide", () => {
    for (const std of [0, -1, NaN, Infinity])
      assert.throws(() => toTensor(all, { mean: 0, std }), {
        name: "RangeError",
        message: `normalize: mean 0 and std ${std}, expected finite and std above 0`,
      });
  });
});
