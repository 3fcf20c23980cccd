// # Our side of the comparison with PyTorch
//
// Reads what theirs.py wrote, holds it against what it must be, and writes what check.py reads.
// Run by run.mjs: `ours.ts FOLDER`.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  decodeNpy,
  decodeOnnx,
  decodeSafetensors,
  encodeNpy,
  encodeNpz,
  encodeOnnx,
  encodeSafetensors,
  fromData,
  LeNet,
  LeNetBN,
  listTensors,
  manualSeed,
  modelNamed,
  nn,
  noGrad,
  ones,
  optim,
  RawTensor,
  sum,
  tensor,
  Tensor,
  tuple,
  zeros,
} from "convnotes";
import { load, save, withFile } from "convnotes/node";

interface Theirs {
  readonly seeds: Readonly<Record<string, readonly string[]>>;
  readonly adam: unknown;
  /** Networks as files of PyTorch's exporters. */
  readonly onnx: readonly { readonly network: string; readonly file: string }[];
}

const at = (name: string): string => join(process.argv[2], name);
const theirs = JSON.parse(readFileSync(at("theirs.json"), "utf8")) as Theirs;

// ## Initial weights

let networks = 0;
for (const [name, digests] of Object.entries(theirs.seeds))
  digests.forEach((expected, seed) => {
    manualSeed(seed);
    const sha = createHash("sha256");
    for (const { data } of modelNamed(name).create().stateDict().values())
      sha.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    assert.equal(sha.digest("hex").slice(0, 16), expected, `${name}, seed ${seed}`);
    networks++;
  });

// ## Their files

const array = (value: unknown): unknown => (value as Tensor).toArray();
assert.deepEqual(array(load(at("x.pth"))), [0, 1, 2, 3]);
assert.deepEqual((load(at("list.pth")) as Tensor[]).map(array), [
  [0, 1, 2, 3],
  [0, 0, 0, 0],
]);
const dict = load(at("dict.pth")) as Record<string, Tensor>;
assert.deepEqual(
  Object.entries(dict).map(([k, t]) => [k, array(t)]),
  [
    ["x", [0, 1, 2, 3]],
    ["y", [0, 0, 0, 0]],
  ],
);
manualSeed(0);
const expected = new LeNet().stateDict();
for (const file of ["state.pth", "state_legacy.pth"]) {
  const state = load(at(file)) as Map<string, Tensor>;
  assert.deepEqual(
    [...state].map(([k, t]) => [k, t.data]),
    [...expected].map(([k, t]) => [k, t.data]),
  );
}
const net = new LeNet();
const checkpoint = load(at("checkpoint.pth")) as {
  model: Map<string, Tensor>;
  optimizer: optim.SavedOptimizerState;
};
net.loadStateDict(checkpoint.model);
const adam = new optim.Adam(net.parameters());
adam.loadStateDict(checkpoint.optimizer);
assert.deepEqual(array(adam.stateDict().state[0].exp_avg), theirs.adam);
assert.deepEqual(array(decodeNpy(readFileSync(at("a.npy")))), [
  [0, 1, 2],
  [3, 4, 5],
]);
for (const [file, shapes] of [
  ["a.npz", [[2, 3], []]],
  ["packed.npz", [[1000]]],
] as const)
  withFile(at(file), (source) => {
    const { tensors } = listTensors(source);
    assert.deepEqual(
      tensors.map((t) => t.shape),
      shapes,
    );
    assert.deepEqual(Number(tensors[0].numbers()[5]), 5);
  });
manualSeed(1);
const { tensors: stored } = decodeSafetensors(readFileSync(at("state.safetensors")), "theirs");
for (const [name, t] of new LeNetBN().stateDict()) {
  const { shape, data } = stored.get(name)!;
  assert.deepEqual([shape, data], [t.shape, t.data], name);
}

// ## Their networks
//
// An answer must be as near to that of float64 as PyTorch's own in float32 is, or as near as a
// float32 can be.

for (const { network, file } of theirs.onnx) {
  const [batch, theirAnswer, exact] = ["x", "y32", "y64"].map((name) =>
    decodeNpy(readFileSync(at(`${network}.${name}.npy`))),
  );
  const distance = (answer: Tensor): number => {
    const [numbers, truth] = [answer, exact].map((t) => Array.from(t.data, Number));
    return Math.hypot(...numbers.map((y, i) => y - truth[i])) / Math.hypot(...truth);
  };
  const ourAnswer = noGrad(() => decodeOnnx(readFileSync(at(file)), file).call(batch));
  const [here, there] = [distance(ourAnswer), distance(theirAnswer)];
  assert.ok(here <= Math.max(there, 2 ** -24), `${file}: off by ${here}, PyTorch by ${there}`);
}

// ## Our files

const numbers = [[1, 2, 3]];
const whole = new Float32Array([0, 1, 2, 3]);
save(
  {
    list: [null, true, false, 1, -1, 2 ** 40, 2n ** 80n, 0.5, "é"],
    tuple: tuple(1, tuple(2), tuple()),
    dict: { 0: "zero", 7: "seven", key: {} },
    ordered: new Map([
      ["b", 1],
      ["a", 2],
    ]),
    tensors: {
      float32: tensor(numbers),
      float64: tensor(numbers, { dtype: "float64" }),
      int64: tensor(numbers, { dtype: "int64" }),
      uint8: tensor(numbers, { dtype: "uint8" }),
      scalar: tensor(2.5),
      empty: zeros([0, 3]),
      parameter: new nn.Parameter(ones([2])),
      whole: fromData(whole),
      part: fromData(whole.subarray(1, 3)),
    },
  },
  at("ours.pth"),
);
save(
  { half: new RawTensor("bfloat16", [2], new Uint8Array([0x80, 0x3f, 0, 0x3f])) },
  at("kept.pth"),
);
sum(net.call(ones([2, 1, 28, 28]))).backward();
const sgd = new optim.SGD(net.parameters(), { lr: 0.25, momentum: 0.5 });
sgd.step();
save({ model: net.stateDict(), optimizer: sgd.stateDict() }, at("ours_checkpoint.pth"));
save(adam.stateDict(), at("ours_adam.pth"));
writeFileSync(at("ours.npy"), encodeNpy(tensor(numbers)));
const arrays = [
  ["a", tensor(numbers)],
  ["b", tensor([1], { dtype: "int64" })],
] as const;
writeFileSync(at("ours.npz"), encodeNpz(arrays));
writeFileSync(at("ours.safetensors"), encodeSafetensors(new LeNetBN().stateDict()));
for (const { network } of theirs.onnx) {
  const { create, inputShape } = modelNamed(network);
  writeFileSync(at(`ours.${network}.onnx`), encodeOnnx(create(), inputShape));
}
writeFileSync(at("ours.json"), JSON.stringify({ networks, files: 8 }));
