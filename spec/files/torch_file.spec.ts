// # PyTorch's files
//
// What is written comes back, and is the same bytes when it is written again; what PyTorch wrote
// (`fixtures/torch_files.py`) comes back as PyTorch means it. Whether PyTorch reads what we write
// is asked of PyTorch itself, by `npm run test:torch`.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeTorch,
  Dict,
  encodeTorch,
  FileFormatError,
  fromData,
  models,
  nn,
  optim,
  RawTensor,
  tensor,
  Tensor,
  tuple,
  Tuple,
} from "convnotes";
import fixture from "../fixtures/torch_files.json" with { type: "json" };

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

const record = (value: unknown): Record<string, unknown> => value as Record<string, unknown>;

/** A tensor as PyTorch described it. */
const described = ({ size, data }: Tensor): string[] =>
  Array.from({ length: size }, (_, i) => showNumber(Number(data[i])));

/** As Python prints a float. */
function showNumber(v: number): string {
  if (Number.isNaN(v)) return "nan";
  if (!Number.isFinite(v)) return v > 0 ? "inf" : "-inf";
  if (Object.is(v, -0)) return "-0.0";
  return Number.isInteger(v) ? `${v}.0` : String(v).replace(/e-(\d)$/, "e-0$1");
}

describe("torch files: what PyTorch wrote", () => {
  for (const form of ["zip", "legacy"] as const)
    it(`are read in every type and layout (${form})`, () => {
      const value = record(decodeTorch(bytesOf(fixture[form])));
      for (const [name, t] of Object.entries(value)) {
        assert.ok(t instanceof Tensor, name);
        const [, shape, numbers] = fixture.values[name as keyof typeof fixture.values];
        assert.deepEqual(t.shape, shape, name);
        assert.deepEqual(described(t), numbers, name);
      }
      assert.equal(Object.keys(value).length, form === "zip" ? 19 : 16);
    });

  it("keep their types on request, and are written back in them", () => {
    const kept = decodeTorch(bytesOf(fixture.zip), { keepTypes: true });
    const half = record(kept).half_ends;
    assert.ok(half instanceof RawTensor);
    assert.equal(half.dtype, "float16");
    const again = decodeTorch(encodeTorch({ half }), { keepTypes: true });
    assert.deepEqual(record(again).half, half);
  });

  it("share numbers where PyTorch's tensors did", () => {
    const { part, column } = record(decodeTorch(bytesOf(fixture.zip)));
    assert.ok(part instanceof Tensor && column instanceof Tensor);
    assert.equal(part.data.byteOffset, 16);
    assert.notEqual(part.data.buffer, column.data.buffer);
  });

  it("become arrays, tuples, maps and objects that keep keys and order", () => {
    const value = record(decodeTorch(bytesOf(fixture.checkpoint)));
    assert.equal(value.epoch, 3);
    assert.equal(value.big, 2n ** 80n);
    assert.deepEqual(value.sizes, tuple(2, 3));
    assert.deepEqual(
      [...(value.ordered as Map<string, number>)],
      [
        ["b", 1],
        ["a", 2],
      ],
    );
    assert.deepEqual(value.plain, [
      null,
      true,
      -1,
      1.5,
      "é",
      tuple(),
      tuple(1),
      new Dict([
        [1, "one"],
        ["1", "text"],
      ]),
    ]);
    assert.ok(value.parameter instanceof nn.Parameter && value.parameter.requiresGrad);
  });

  it("hold states that models and optimisers go on from", () => {
    const value = record(decodeTorch(bytesOf(fixture.checkpoint)));
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.BatchNorm1d(2));
    model.loadStateDict(value.model as Map<string, Tensor>);
    const adam = new optim.Adam(model.parameters());
    adam.loadStateDict(value.optimizer as optim.OptimizerState);
    assert.equal(adam.stateDict().param_groups[0].lr, 0.25);
    assert.equal(adam.stateDict().state[0].step, 1);
  });

  it("are refused when they hold programs", () => {
    assert.throws(() => decodeTorch(bytesOf(fixture.module)), {
      name: "FileFormatError",
      message:
        'these bytes: holds a whole module ("torch.nn.modules.linear.Linear"), which only its own ' +
        "Python code can open. Load it in PyTorch and save what it learned: " +
        "torch.save(model.state_dict(), path)",
    });
    assert.throws(() => decodeTorch(bytesOf(fixture.script)), /TorchScript/);
  });
});

// ## Round trips

const key = fc.oneof(fc.string(), fc.integer({ min: 0, max: 2 ** 31 }));

const numbers = fc.oneof(fc.integer(), fc.double(), fc.maxSafeInteger());

const tensors = fc
  .tuple(fc.array(fc.nat(3), { maxLength: 3 }), fc.constantFrom("float32", "float64"))
  .chain(([shape, dtype]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return fc
      .array(fc.float({ noNaN: true }), { minLength: size, maxLength: size })
      .map((list) =>
        fromData(dtype === "float32" ? new Float32Array(list) : new Float64Array(list), shape),
      );
  });

const { value: values } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    numbers.map((n) => (Object.is(n, -0) ? 0 : n)),
    fc.string(),
    fc.bigInt().filter((n) => !Number.isSafeInteger(Number(n))),
    tensors,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(tie("value"), { maxLength: 4 }).map((list) => tuple(...list)),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 4 }).map((list) => new Map(list)),
    fc.dictionary(
      fc.string().filter((k) => !/^\d+$/.test(k) && k !== "__proto__"),
      tie("value"),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
}));

describe("torch files: what we write", () => {
  it("comes back, and is the same bytes when it is written again", () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeTorch(value);
        const back = decodeTorch(bytes);
        assert.deepEqual(back, value);
        assert.deepEqual(encodeTorch(back), bytes);
      }),
    );
  });

  it("holds thousands of values", () => {
    const many = Array.from({ length: 5000 }, (_, i) => [`name ${i}`, i * 1000, i / 7, -i]);
    assert.deepEqual(decodeTorch(encodeTorch(many)), many);
  });

  it("begins the numbers of every storage at a multiple of 64 bytes", () => {
    const bytes = Buffer.from(encodeTorch([tensor([1, 2]), tensor([3])]));
    assert.equal(bytes.indexOf(Buffer.from(new Float32Array([1, 2]).buffer)) % 64, 0);
    assert.equal(bytes.indexOf(Buffer.from(new Float32Array([3]).buffer)) % 64, 0);
  });

  it("writes numbers that tensors share once, and shares them again", () => {
    const whole = new Float32Array(1000);
    const value = { whole: fromData(whole), part: fromData(whole.subarray(10, 20)) };
    const bytes = encodeTorch(value);
    assert.ok(bytes.length < 8000);
    const { whole: w, part: p } = record(decodeTorch(bytes));
    assert.ok(w instanceof Tensor && p instanceof Tensor);
    (w.data as Float32Array)[12] = 7;
    assert.equal(p.data[2], 7);
  });

  it("writes nothing of a memory but what tensors hold", () => {
    const memory = new Uint8Array(1000).fill(0x41);
    memory.fill(1, 0, 4);
    const bytes = encodeTorch(fromData(memory.subarray(0, 4)));
    assert.ok(!Buffer.from(bytes).includes("AAAAAAAA"));
  });

  it("keeps one tensor one tensor, and a tuple a tuple", () => {
    const t = tensor([1]);
    const [a, b] = decodeTorch(encodeTorch(tuple(t, t))) as Tuple;
    assert.equal(a, b);
  });

  it("refuses what is no plain data, with its place", () => {
    const refused = (value: unknown, message: RegExp) =>
      assert.throws(() => encodeTorch(value), message);
    refused({ a: [undefined] }, /^TypeError: save: cannot write undefined \(at "a\.0"\) into a Py/);
    refused({ f: () => 0 }, /cannot write a function \(at "f"\)/);
    refused(new Date(0), /cannot write a Date into/);
    refused(models[1].create(), /whole module \(LeNet\).*save\(model\.stateDict\(\), path\)/);
    const cycle: unknown[] = [];
    cycle.push({ cycle });
    refused(cycle, /^RangeError: save: the value at "0\.cycle" contains itself/);
    let deep: unknown = 0;
    for (let i = 0; i < 1e5; i++) deep = [deep];
    refused(deep, /nested deeper than 500/);
  });
});

it("torch files: an error is one of ours", () => {
  assert.throws(() => decodeTorch(new Uint8Array(100)), FileFormatError);
});
