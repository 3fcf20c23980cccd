// # convnotes inspect and convert
//
// The command is started as a process of its own, on files in every format that it reads.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  decodeOnnx,
  encodeNpy,
  encodeNpz,
  encodeOnnx,
  encodeSafetensors,
  fromData,
  LeNetBN,
  manualSeed,
  noGrad,
  RawTensor,
  randn,
  type Tensor,
  tensor,
} from "convnotes";
import { load, save } from "convnotes/node";

const folder = mkdtempSync(join(tmpdir(), "convnotes-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const place = (name: string) => join(folder, name);

function convnotes(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import=tsx", "reference/cli/main.ts", ...args],
    { encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

interface Listed {
  readonly format: string;
  readonly tensors: readonly Readonly<Record<string, unknown>>[];
}

const inspected = (path: string): Listed =>
  JSON.parse(convnotes("inspect", path, "--json").stdout) as Listed;

/** Fails unless the command ends with 1 and a message that matches, and writes nothing. */
function refuses(message: RegExp, ...args: string[]): void {
  const before = readdirSync(folder);
  const { status, stderr } = convnotes(...args);
  assert.match(stderr, message);
  assert.doesNotMatch(stderr, /\n\s+at /);
  assert.equal(status, 1);
  assert.deepEqual(readdirSync(folder), before);
}

describe("convnotes inspect", function () {
  this.timeout(60_000);
  this.slow(10_000);

  const state = new Map<string, Tensor>([
    ["counts", tensor([3, 0, 0, 5], { dtype: "int64" })],
    ["odd", fromData(Float32Array.of(1, NaN, -Infinity, 0, 7, 8), [2, 3])],
  ]);
  const write: Readonly<Record<string, () => void>> = {
    "a.pth": () => save(state, place("a.pth")),
    "a.safetensors": () => writeFileSync(place("a.safetensors"), encodeSafetensors(state)),
    "a.npz": () => writeFileSync(place("a.npz"), encodeNpz([...state])),
  };

  for (const [name, make] of Object.entries(write))
    it(`lists names, shapes, types and statistics of ${name}`, () => {
      make();
      const [counts, odd] = inspected(place(name)).tensors;
      // 3, 0, 0, 5 are 1, −2, −2, 3 away from their mean 2.
      const [about, spread] = [{ min: 0, max: 5, mean: 2 }, { std: Math.sqrt(18 / 4) }];
      assert.deepEqual(counts, {
        ...{ name: "counts", shape: [4], dtype: "int64", zeros: 2, nan: 0 },
        ...{ ...about, ...spread },
      });
      assert.deepEqual(odd, {
        ...{ name: "odd", shape: [2, 3], dtype: "float32", zeros: 1, nan: 1 },
        ...{ min: "-Infinity", max: 8, mean: "-Infinity", std: "NaN" },
      });
    });

  it("prints a table for people, with the format and the totals", () => {
    writeFileSync(place("one.npy"), encodeNpy(tensor([[1, 2, 3]])));
    const { stdout, status } = convnotes("inspect", place("one.npy"));
    assert.equal(status, 0);
    assert.match(stdout, /^npy: 1 tensor, 3 numbers, \d+ bytes\n/);
    assert.match(stdout, /\[1, 3\] +float32 +1 +3 +2 +0\.8165$/m);
  });

  it("lists the parameters of an ONNX file by PyTorch's names", () => {
    const model = new LeNetBN();
    writeFileSync(place("net.onnx"), encodeOnnx(model, [1, 28, 28]));
    const { format, tensors } = inspected(place("net.onnx"));
    assert.equal(format, "ONNX");
    const names = tensors.map((t) => t.name);
    for (const [name] of model.namedParameters()) assert.ok(names.includes(name), name);
  });

  it("refuses what it cannot read, by name", () => {
    writeFileSync(place("text.pth"), "no tensors here, only words");
    refuses(/text\.pth/, "inspect", place("text.pth"));
    refuses(/there is no file .*missing\.npy/, "inspect", place("missing.npy"));
    refuses(/a folder was given/, "inspect", folder);
  });
});

describe("convnotes convert", function () {
  this.timeout(60_000);
  this.slow(10_000);

  it("carries every bit around through all formats", () => {
    manualSeed(5);
    const state = new LeNetBN().stateDict();
    save(state, place("start.pth"));
    let from = "start.pth";
    for (const to of ["b.safetensors", "c.npz", "d.pt", "e.safetensors", "end.pth"]) {
      const { status, stderr } = convnotes("convert", place(from), place(to));
      assert.equal(status, 0, stderr);
      from = to;
    }
    const back = load(place(from)) as ReadonlyMap<string, Tensor>;
    assert.deepEqual(
      [...back].map(([name, t]) => [name, t.shape, t.dtype, t.data]),
      [...state].map(([name, t]) => [name, t.shape, t.dtype, t.data]),
    );
  });

  it("keeps half-precision numbers where the format has them, and widens them where not", () => {
    const bytes = Uint8Array.of(0x80, 0x3f, 0x00, 0xbf); // 1 and −0.5
    save({ half: new RawTensor("bfloat16", [2], bytes) }, place("half.pth"));
    convnotes("convert", place("half.pth"), place("half.safetensors"));
    convnotes("convert", place("half.pth"), place("half.npz"));
    const [kept] = inspected(place("half.safetensors")).tensors;
    const [wide] = inspected(place("half.npz")).tensors;
    assert.deepEqual([kept.dtype, kept.min, kept.max], ["bfloat16", -0.5, 1]);
    assert.deepEqual([wide.dtype, wide.min, wide.max], ["float32", -0.5, 1]);
  });

  it("makes an ONNX file of a network's weights, which computes the same", () => {
    manualSeed(6);
    const model = new LeNetBN();
    save(model.stateDict(), place("weights.pth"));
    const args = ["convert", place("weights.pth"), place("weights.onnx")];
    refuses(/weights\.onnx: say whose weights these are: --model NAME/, ...args);
    assert.equal(convnotes(...args, "--model", "lenet_bn").status, 0);
    const x = randn([3, 1, 28, 28]);
    const twin = decodeOnnx(readFileSync(place("weights.onnx")));
    assert.deepEqual(noGrad(() => twin.call(x)).data, noGrad(() => model.eval().call(x)).data);
  });

  it("says what the target cannot hold, and leaves nothing behind", () => {
    save([tensor([1]), tensor([2])], place("two.pth"));
    refuses(/one array, not 2; use \.npz/, "convert", place("two.pth"), place("two.npy"));
    refuses(/its ending says no format/, "convert", place("two.pth"), place("two.txt"));
  });
});
