// # IDX files: read whole, or refused with the place and the reason

import assert from "node:assert/strict";
import fc from "fast-check";
import { DataError, datasetFromIdx, encodeIdx, parseIdx } from "convnotes";

const small = fc
  .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 })
  .chain((dims) => {
    const size = dims.reduce((a, b) => a * b);
    return fc.record({
      dims: fc.constant(dims),
      data: fc.uint8Array({ minLength: size, maxLength: size }),
    });
  });

function assertRefused(bytes: Uint8Array, rank: number, offset: number, message: string): void {
  assert.throws(() => parseIdx(bytes, rank, { file: "f" }), {
    name: "DataError",
    file: "f",
    offset,
    message: `f, byte ${offset}: ${message}. Replace it with a whole copy.`,
  });
}

describe("parseIdx", () => {
  it("reads the header that the format's definition shows", () => {
    const bytes = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4);
    const { dims, data } = parseIdx(bytes, 3, { file: "f" });
    assert.deepEqual(dims, [2, 1, 3]);
    assert.deepEqual(data, Uint8Array.of(9, 8, 7, 6, 5, 4));
  });

  it("reads what encodeIdx wrote, wherever it lies in memory", () => {
    fc.assert(
      fc.property(small, fc.nat(9), ({ dims, data }, before) => {
        const bytes = encodeIdx({ dims, data });
        const elsewhere = new Uint8Array(before + bytes.length + 5);
        elsewhere.set(bytes, before);
        const moved = elsewhere.subarray(before, before + bytes.length);
        const read = parseIdx(moved, dims.length, { file: "f" });
        assert.deepEqual(read, { dims, data });
      }),
    );
  });

  it("refuses every file that is cut short, and every file with something added", () => {
    fc.assert(
      fc.property(
        small,
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 9 }),
        (idx, n, more) => {
          const bytes = encodeIdx(idx);
          const rank = idx.dims.length;
          const cut = n % bytes.length;
          const where = (offset: number) => (error: unknown) =>
            error instanceof DataError && error.offset === offset;
          assert.throws(() => parseIdx(bytes.subarray(0, cut), rank, { file: "f" }), where(cut));
          const longer = Uint8Array.of(...bytes, ...more);
          assert.throws(() => parseIdx(longer, rank, { file: "f" }), where(bytes.length));
        },
      ),
    );
  });

  it("returns or throws a DataError, whatever the bytes", () => {
    const almost = fc
      .tuple(fc.constantFrom([0, 0, 8, 3], [0, 0, 8, 1], [0, 0, 13, 3]), fc.uint8Array())
      .map(([magic, rest]) => Uint8Array.of(...magic, ...rest));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), almost), fc.constantFrom(1, 3), (bytes, rank) => {
        try {
          const { dims, data } = parseIdx(bytes, rank, { file: "f" });
          assert.equal(
            data.length,
            dims.reduce((a, b) => a * b),
          );
        } catch (error) {
          assert.ok(error instanceof DataError);
        }
      }),
    );
  });

  it("says what is wrong with the beginning", () => {
    const images = encodeIdx({ dims: [1, 1, 1], data: Uint8Array.of(7) });
    const labels = encodeIdx({ dims: [1], data: Uint8Array.of(7) });
    assertRefused(
      labels,
      3,
      3,
      "the file begins with 00 00 08 01, expected 00 00 08 03 " +
        "(an IDX file of unsigned bytes with 3 axes); it has 1 axis: are images and labels swapped?",
    );
    assertRefused(
      images,
      1,
      3,
      "the file begins with 00 00 08 03, expected 00 00 08 01 " +
        "(an IDX file of unsigned bytes with 1 axis); it has 3 axes: are images and labels swapped?",
    );
    assertRefused(
      Uint8Array.of(0x1f, 0x8b, 8, 0, 0),
      1,
      0,
      "the file begins with 1f 8b 08 00, expected 00 00 08 01 (an IDX file of unsigned bytes " +
        "with 1 axis); it is compressed with gzip, so its name has to end in .gz",
    );
    assertRefused(
      Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 1, 5),
      1,
      2,
      "the file begins with 00 00 0d 01, expected 00 00 08 01 " +
        "(an IDX file of unsigned bytes with 1 axis)",
    );
    assertRefused(
      new Uint8Array(0),
      1,
      0,
      "the file ends inside its header, expected 8 bytes of it",
    );
  });

  it("allocates nothing for sizes that the file cannot hold", () => {
    const huge = Uint8Array.of(0, 0, 8, 3, ...new Uint8Array(12).fill(255), 1, 2, 3);
    assertRefused(
      huge,
      3,
      19,
      "the file ends here, expected 7.9228162458924105e+28 bytes: 16 of header, " +
        "then 4294967295 × 4294967295 × 4294967295",
    );
  });

  it("refuses an empty axis, and bytes after the last element", () => {
    const noRows = encodeIdx({ dims: [2, 0, 3], data: new Uint8Array(0) });
    assertRefused(noRows, 3, 8, "the size of axis 1 is 0, expected at least 1");
    const longer = Uint8Array.of(...encodeIdx({ dims: [2], data: Uint8Array.of(1, 2) }), 3);
    assertRefused(
      longer,
      1,
      10,
      "1 bytes follow the last element, expected the end of the file after 2",
    );
  });
});

describe("encodeIdx", () => {
  it("refuses sizes that do not multiply to the number of elements", () => {
    assert.throws(() => encodeIdx({ dims: [2, 3], data: new Uint8Array(5) }), {
      name: "RangeError",
      message: "encodeIdx: 2 × 3 is 6 elements, but there are 5",
    });
  });
});

describe("datasetFromIdx", () => {
  const named = { name: "three", classes: ["a", "b"] };
  const images = {
    file: "images",
    bytes: encodeIdx({ dims: [3, 1, 2], data: Uint8Array.of(1, 2, 3, 4, 5, 6) }),
  };
  const labels = (...data: number[]) => ({
    file: "labels",
    bytes: encodeIdx({ dims: [data.length], data: Uint8Array.from(data) }),
    remedy: "Mend it.",
  });

  it("joins the images with their labels", () => {
    assert.deepEqual(datasetFromIdx(named, images, labels(0, 1, 1)), {
      ...named,
      images: Uint8Array.of(1, 2, 3, 4, 5, 6),
      labels: Uint8Array.of(0, 1, 1),
      count: 3,
      height: 1,
      width: 2,
    });
  });

  it("refuses a label without a class, and a label too few", () => {
    assert.throws(() => datasetFromIdx(named, images, labels(0, 1, 2)), {
      name: "DataError",
      message: "labels, byte 10: label 2 is 2, expected 0 to 1, one of the 2 classes. Mend it.",
    });
    assert.throws(() => datasetFromIdx(named, images, labels(0, 1)), {
      name: "DataError",
      message: "labels, byte 4: 2 labels, expected 3, one for each image of images. Mend it.",
    });
  });
});
