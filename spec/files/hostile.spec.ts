// # Files from strangers
//
// Damaged files, and files that were made to do harm: whatever the bytes, reading ends soon, in a
// value or in a FileFormatError, with memory in proportion to the file. Mutations of good files
// find what nobody thought of; what somebody did think of stands below by name.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bytesSource,
  decodeNpy,
  decodeNpz,
  decodeOnnx,
  decodeSafetensors,
  decodeTorch,
  encodeNpy,
  encodeNpz,
  encodeOnnx,
  encodeSafetensors,
  encodeTorch,
  FileFormatError,
  LeNet,
  listTensors,
  manualSeed,
  tensor,
  tuple,
} from "convnotes";
import fixture from "../fixtures/torch_files.json" with { type: "json" };

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

const small = tensor([[1, 2, 3]]);

manualSeed(0);

/** A good file of each kind, and what reads it. */
const kinds: Readonly<Record<string, readonly [Uint8Array, (bytes: Uint8Array) => unknown]>> = {
  "PyTorch, zip": [bytesOf(fixture.checkpoint), decodeTorch],
  "PyTorch, ours": [encodeTorch({ a: small, b: tuple(1, [small]) }), decodeTorch],
  "PyTorch, legacy": [bytesOf(fixture.legacy), decodeTorch],
  safetensors: [
    encodeSafetensors([["a", small]], { model: "x" }),
    (bytes) => decodeSafetensors(bytes, "these bytes"),
  ],
  npy: [encodeNpy(small), decodeNpy],
  "npy by columns": [bytesOf(fixture.npy_columns), decodeNpy],
  npz: [encodeNpz([["a", small]]), decodeNpz],
  ONNX: [encodeOnnx(new LeNet(), [1, 28, 28]).slice(0), decodeOnnx],
};

/** Neither slow nor anything but a value or an error that names the file. */
function harmless(read: () => unknown): void {
  const started = performance.now();
  try {
    read();
  } catch (error) {
    if (!(error instanceof FileFormatError)) throw error;
    assert.match(error.message, /these bytes|this file/);
  }
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds < 5, `took ${seconds} s`);
}

const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** Changes that a damaged disk, or an enemy, might make. */
const mutation = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    at: fc.nat(),
    to: fc.integer({ max: 255, min: 0 }),
  }),
  fc.record({
    kind: fc.constant("flip" as const),
    at: fc.nat(),
    to: fc.integer({ max: 7, min: 0 }),
  }),
  fc.record({ kind: fc.constant("huge" as const), at: fc.nat(), to: fc.constantFrom(1, 2, 4, 8) }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), to: fc.nat(64) }),
  fc.record({ kind: fc.constant("double" as const), at: fc.nat(), to: fc.nat(64) }),
);

function mutated(bytes: Uint8Array, { kind, at, to }: { kind: string; at: number; to: number }) {
  const i = at % bytes.length;
  const result = bytes.slice();
  if (kind === "set") result[i] = to;
  if (kind === "flip") result[i] ^= 1 << to;
  if (kind === "huge") result.fill(0xff, i, i + to);
  if (kind === "cut") return joined(bytes.subarray(0, i), bytes.subarray(i + to));
  if (kind === "double") return joined(bytes.subarray(0, i + to), bytes.subarray(i));
  return result;
}

describe("hostile files: mutations end in a value or a clear error", function () {
  this.timeout(60_000);

  for (const [name, [good, read]] of Object.entries(kinds)) {
    // Where the numbers are, anything goes; what is interesting stands in the first and last bytes.
    const ends = fc.oneof(
      fc.nat(good.length - 1),
      fc.nat(Math.min(good.length, 400) - 1),
      fc.nat(Math.min(good.length, 2000) - 1).map((i) => good.length - 1 - i),
    );
    it(name, () => {
      assert.doesNotThrow(() => read(good));
      fc.assert(
        fc.property(
          fc.array(fc.tuple(mutation, ends), { minLength: 1, maxLength: 4 }),
          (changes) => {
            const bytes = changes.reduce<Uint8Array>(
              (b, [change, at]) => (b.length === 0 ? b : mutated(b, { ...change, at })),
              good,
            );
            harmless(() => read(bytes));
            harmless(() => listTensors(bytesSource(bytes)).tensors.map((t) => t.numbers().length));
          },
        ),
      );
    });

    it(`${name}, cut off anywhere`, () => {
      for (let i = 0; i < Math.min(good.length, 3000); i += 7)
        harmless(() => read(good.subarray(0, i)));
    });
  }
});

// ## Pickles with intentions

/** The archive that a pickle would stand in, made from a good one of the same length or less. */
function withPickle(program: readonly (number | string)[]): Uint8Array {
  const pickle = Buffer.concat(
    program.map((part) =>
      typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.of(part),
    ),
  );
  // The older form holds pickles one after another; its storages come last and may be none.
  const legacy = Buffer.from(bytesOf(fixture.legacy));
  const head = legacy.subarray(
    0,
    legacy.indexOf("\x80\x02}q\x00(X\x07\x00\x00\x00float64", 0, "latin1"),
  );
  assert.ok(head.length > 50);
  return Buffer.concat([head, pickle, Buffer.from("\x80\x02].", "latin1")]);
}

const refused = (program: readonly (number | string)[], message: RegExp): void =>
  assert.throws(
    () => decodeTorch(withPickle(program)),
    (error) => {
      assert.ok(error instanceof FileFormatError, String(error));
      assert.match(error.message, message);
      return true;
    },
  );

describe("hostile files: pickles", () => {
  const text = (s: string): string => `X${String.fromCharCode(s.length)}\0\0\0${s}`;

  it("call nothing, whatever they name", () => {
    for (const name of ["os system", "posix system", "builtins eval", "builtins getattr"])
      refused(
        ["\x80\x02c", name.replace(" ", "\n"), "\n", text("echo harm"), "\x85R."],
        new RegExp(`refuses the name "${name.replace(" ", "\\.")}"`),
      );
    refused(["\x80\x02ctorch\nload\n", text("x"), "\x85R."], /refuses the name "torch\.load"/);
    refused(["\x80\x02ctorch.__init__\nSize\n)R."], /refuses the name/);
    refused(["\x80\x02ccollections\nOrderedDict\n."], /stands where a value should/);
    refused(["\x80\x02ctorch\nFloatStorage\n)R."], /"torch\.FloatStorage" cannot be called/);
  });

  it("use no opcode beyond what torch.save writes", () => {
    refused(["\x80\x04."], /protocol 4, readable is 2/);
    refused(["\x80\x02i", "os\nsystem\n."], /opcode 0x69/);
    refused(["\x80\x02\x93."], /opcode 0x93/);
    refused(["\x80\x02\x82\x01."], /opcode 0x82/);
  });

  it("contain no value in itself", () => {
    refused(["\x80\x02]q\0h\0a."], /contains itself/);
    refused(["\x80\x02}q\0", text("a"), "h\0s."], /contains itself/);
  });

  it("nest values no deeper than anyone could follow", () => {
    refused(["\x80\x02)", "\x85".repeat(1e5), "."], /nested deeper than 500/);
    refused(["\x80\x02", "]".repeat(1e5), "a".repeat(1e5 - 1), "."], /nested deeper than 500/);
  });

  it("do not multiply by repetition: shared values stay shared", () => {
    // Each list holds the one before ten times; written out it would fill all memory.
    const levels = Array.from({ length: 60 }, (_, i) => [
      "](",
      `h${String.fromCharCode(i)}`.repeat(10),
      `eq${String.fromCharCode(i + 1)}0`,
    ]);
    harmless(() => decodeTorch(withPickle(["\x80\x02]q\x000", ...levels.flat(), "h\x3c."])));
  });

  it("take no memory for what they only promise", () => {
    refused(["\x80\x02X\xff\xff\xff\xff."], /ends in the middle of a value/);
    refused(["\x80\x02T\xff\xff\xff\x7f."], /ends in the middle of a value/);
    refused(["\x80\x02\x8a\xff."], /ends in the middle of a value/);
    harmless(() => decodeTorch(withPickle(["\x80\x02Nr\xff\xff\xff\xff."])));
    refused(["\x80\x02j\xff\xff\xff\xff."], /nothing was remembered/);
    refused(["\x80\x02"], /./);
    refused(["\x80\x020."], /empty stack/);
    refused(["\x80\x02e."], /no mark/);
    refused(["\x80\x02(u."], /empty stack/);
  });

  it("describe no tensor that its storage cannot hold", () => {
    const storage = (count: string) =>
      `(${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}${count}tQ`;
    const rebuilt = (count: string, offset: string, size: string, stride: string) => [
      `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${storage(count)}${offset}(${size}t(${stride}t`,
      "\x89Ntccollections\nOrderedDict\n)R0R.",
    ];
    const four = "J\0\0\0\x7f";
    refused(rebuilt("K\x04", "K\0", "K\x05", "K\x01"), /does not fit its storage of 4 elements/);
    refused(rebuilt("K\x04", "K\x04", "K\x01", "K\x01"), /does not fit/);
    refused(rebuilt("K\x04", "J\xff\xff\xff\xff", "K\x01", "K\x01"), /does not fit/);
    refused(rebuilt("K\x04", "K\0", four, "J\xff\xff\xff\xff"), /not a tuple of whole numbers/);
    refused(rebuilt("K\x01", "K\0", four + four, "K\0K\0"), /out of all proportion/);
    refused(rebuilt("K\x01", "K\0", four.repeat(40), "K\0".repeat(40)), /out of all|does not fit/);
  });
});

// ## Archives with intentions

describe("hostile files: zip archives", () => {
  const good = encodeTorch({ a: small });
  const view = (b: Uint8Array) => new DataView(b.buffer, b.byteOffset);
  const end = good.length - 22;
  const directory = view(good).getUint32(end + 16, true);
  const changed = (change: (bytes: Uint8Array, v: DataView) => void): (() => unknown) => {
    const bytes = good.slice();
    change(bytes, view(bytes));
    return () => decodeTorch(bytes);
  };

  it("with overlapping entries are refused", () => {
    const second = directory + 46 + "archive/data.pkl".length;
    assert.throws(
      changed((_, v) => v.setUint32(directory + 42, v.getUint32(second + 42, true), true)),
      /here "archive\/data\.pkl" should begin/,
    );
    assert.throws(
      changed((_, v) => {
        v.setUint32(directory + 20, 200, true);
        v.setUint32(directory + 24, 200, true);
      }),
      /"archive\/\.format_version" overlaps "archive\/data\.pkl"/,
    );
  });

  it("that promise more than they have are refused", () => {
    assert.throws(
      changed((_, v) => {
        v.setUint16(directory + 10, 8, true);
        v.setUint32(directory + 24, 0x7fffffff, true);
      }),
      /a zip bomb/,
    );
    assert.throws(
      changed((_, v) => v.setUint16(end + 10, 60000, true)),
      /too small for 60000 entries/,
    );
    assert.throws(
      changed((_, v) => v.setUint32(end + 12, 0x7fffffff, true)),
      /does not fit before its end/,
    );
  });

  it("with a damaged number are noticed by their checksum", () => {
    const bytes = Buffer.from(good);
    bytes[bytes.indexOf(Buffer.from(new Float32Array([1, 2, 3]).buffer)) + 2] ^= 1;
    assert.throws(() => decodeTorch(bytes), /"archive\/data\/0" is damaged: its checksum is/);
  });

  it("that are deflated are refused, or unpacked where npz may be", () => {
    assert.throws(() => decodeNpz(bytesOf(fixture.npz_packed)), /is deflated, which only Node/);
  });
});

describe("hostile files: NumPy's objects", () => {
  it("are refused: they are pickles", () => {
    assert.throws(() => decodeNpy(bytesOf(fixture.npy_object)), /its type is "\|O", readable are/);
  });
});
