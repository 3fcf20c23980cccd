// # ONNX
//
// Every network is exported and run in ONNX Runtime, which also hands out every intermediate
// value. Each step is then judged by itself: our operation, in float64, on the values that went
// into theirs. What lies between is their rounding in float32, which is bounded as everywhere
// (`spec/rounding.ts`). A network that is right step by step is right as a whole.

import assert from "node:assert/strict";
import {
  decodeOnnx,
  encodeOnnx,
  fromData,
  type Graph,
  type GraphNode,
  manualSeed,
  modelNamed,
  models,
  nn,
  noGrad,
  type Shape,
  sizeOf,
  Tensor,
  trace,
} from "convnotes";
import * as convnotes from "convnotes";
import * as ort from "onnxruntime-node";
import { float32, gamma, sumBound } from "../rounding.js";

// ## The runtime, with all values as outputs
//
// Messages of the format may be put behind one another and are then one message, so outputs are
// added behind the file.

const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
const field = (number: number, contents: readonly number[]): number[] => [
  8 * number + 2,
  ...varint(contents.length),
  ...contents,
];

function withOutputs(bytes: Uint8Array, names: readonly string[]): Uint8Array {
  const outputs = names.flatMap((name) => field(12, field(1, [...Buffer.from(name)])));
  return Buffer.concat([bytes, Uint8Array.from(field(7, outputs))]);
}

async function run(
  bytes: Uint8Array,
  x: Tensor,
): Promise<Readonly<Record<string, ort.Tensor | undefined>>> {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  try {
    return await session.run({ input: new ort.Tensor("float32", x.data as Float32Array, x.shape) });
  } finally {
    await session.release();
  }
}

const numbersOf = ({ size, data }: Tensor): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => Number(data[i]));

const inFloat64 = (t: Tensor): Tensor => fromData(numbersOf(t), t.shape, "reference");

const absolute = (t: Tensor): Tensor => fromData(numbersOf(t).map(Math.abs), t.shape, "reference");

// ## One step

type Call = (...args: (Tensor | null | object)[]) => Tensor;

const operations = new Map(
  Object.values(convnotes as Readonly<Record<string, unknown>>)
    .filter((v): v is Call & { stem: string } => typeof v === "function" && "stem" in v)
    .map((op) => [op.stem, op]),
);

/** What the step gives in float64 and how far float32 may be from it, elementwise. */
function expected(node: GraphNode, inputs: readonly (Tensor | null)[]) {
  const op = operations.get(node.name)!;
  const call = (list: readonly (Tensor | null)[]): Tensor =>
    node.name === "concat" ? op(list, node.options) : op(...list, node.options);
  const y = call(inputs);
  const [x, weight] = inputs;
  const onAbsolute = () => call(inputs.map((t) => t && absolute(t))).data;
  switch (node.name) {
    case "relu":
    case "max_pool2d":
    case "concat":
      return { y, bound: () => 0 };
    case "conv2d":
    case "linear": {
      const terms = weight!.size / weight!.shape[0] + 1;
      const sizes = onAbsolute();
      return { y, bound: (i: number) => sumBound(terms, Number(sizes[i]), float32) };
    }
    case "avg_pool2d":
    case "adaptive_avg_pool2d": {
      // A sum of at most all pixels of a plane, and a division.
      const terms = sizeOf(x!.shape.slice(2)) + 1;
      const sizes = onAbsolute();
      return { y, bound: (i: number) => sumBound(terms, Number(sizes[i]), float32) };
    }
    case "batch_norm": {
      // x·a + (β − μ·a) with a = γ/√(σ² + ε): no term meets more than eight roundings.
      const [, scale, shift, mean, variance] = inputs.map((t) => t && absolute(t).data);
      const inner = sizeOf(x!.shape.slice(2));
      const { eps = 1e-5 } = node.options as { eps?: number };
      return {
        y,
        bound(i: number) {
          const c = Math.floor(i / inner) % x!.shape[1];
          const a = Number(scale![c]) / Math.sqrt(Number(variance![c]) + eps);
          const size = (Math.abs(Number(x!.data[i])) + Number(mean![c])) * a + Number(shift![c]);
          return sumBound(8, size, float32);
        },
      };
    }
    case "sigmoid":
      // Half, plus a quotient of at most half of polynomials of degree 9 and 10 whose terms all
      // have one sign: each meets a product and a sum a term.
      return { y, bound: () => gamma(2 * (9 + 10) + 2, float32) / 2 + float32.unit };
    case "add":
      return { y, bound: (i: number) => sumBound(1, Math.abs(Number(y.data[i])), float32) };
    default:
      throw new Error(`no bound for ${node.name}`);
  }
}

/** Judges every step on the values that the runtime computed; returns how many there were. */
async function judge(model: nn.Module, bytes: Uint8Array, x: Tensor): Promise<number> {
  const { graph } = trace(() => noGrad(() => model.call(x)));
  const names = valueNames(graph);
  const theirs = await run(withOutputs(bytes, [...names.values()].filter(isInside)), x);
  const read = (id: number): Tensor => {
    const { source } = graph.values[id];
    if (source !== null) return inFloat64(source);
    const { data, dims } = theirs[names.get(id)!]!;
    return fromData(Float64Array.from(data as Float32Array), dims, "reference");
  };
  for (const node of graph.nodes) {
    const [id] = node.outputs;
    const actual = read(id!);
    assert.deepEqual(actual.shape, graph.values[id!].shape, node.path);
    if (node.primitive === "view") {
      assert.deepEqual(actual.data, read(node.inputs[0]!).data, node.path);
      continue;
    }
    const { y, bound } = noGrad(() =>
      expected(
        node,
        node.inputs.map((i) => (i === null ? null : read(i))),
      ),
    );
    for (let i = 0; i < y.size; i++) {
      const error = Math.abs(Number(actual.data[i]) - Number(y.data[i]));
      if (!(error <= bound(i)))
        assert.fail(`${node.path}/${node.name}[${i}]: ${error} > ${bound(i)}`);
    }
  }
  return graph.nodes.length;
}

/** The exporter's names of the values: by place and operation, the last one "output". */
function valueNames(graph: Graph): Map<number, string> {
  const used = new Set<string>();
  const names = new Map<number, string>();
  graph.nodes.forEach((node, i) => {
    const wish = node.path === "" ? node.name : `${node.path}/${node.name}`;
    let name = i === graph.nodes.length - 1 ? "output" : wish;
    for (let k = 1; used.has(name); k++) name = `${wish}_${k}`;
    used.add(name);
    names.set(node.outputs[0]!, name);
  });
  return names;
}

const isInside = (name: string): boolean => name !== "output";

const image = (shape: Shape): Tensor =>
  fromData(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 37) % 255) / 255),
    shape,
    "reference",
  );

/** As small as the networks allow; AlexNet and VGG take no other size than theirs. */
const inputs: Readonly<Record<string, Shape>> = {
  notes_example: [2, 3, 32, 32],
  lenet: [3, 1, 28, 28],
  lenet_bn: [2, 1, 28, 28],
  alexnet: [1, 1, 193, 193],
  vgg: [1, 1, 224, 224],
  nin: [2, 1, 67, 67],
  googlenet: [1, 1, 64, 64],
  resnet: [2, 1, 33, 33],
};

/** A network with running statistics that something has been learned in. */
function trained(name: string): nn.Module {
  manualSeed(0);
  const model = modelNamed(name).create().to("reference").eval();
  for (const [key, buffer] of model.namedBuffers())
    if (key.includes("running"))
      buffer.copy_(
        fromData(Float32Array.from({ length: buffer.size }, (_, i) => 0.25 + (i % 7) / 8)),
      );
  return model;
}

describe("onnx: the exported networks in ONNX Runtime", function () {
  this.timeout(120_000);
  this.slow(60_000);

  for (const { name } of models)
    it(`computes every step of ${name} as we do`, async () => {
      const model = trained(name);
      const x = image(inputs[name]);
      assert.ok((await judge(model, encodeOnnx(model, x.shape.slice(1)), x)) > 5);
    });
});

describe("onnx", () => {
  it("leaves the number of images open", async () => {
    const model = trained("lenet");
    const bytes = encodeOnnx(model, [1, 28, 28]);
    for (const n of [1, 5]) {
      const { output } = await run(bytes, image([n, 1, 28, 28]));
      assert.deepEqual(output?.dims, [n, 10]);
    }
  });

  it("leaves the model as it was: values, place and mode", () => {
    const model = trained("lenet_bn").train();
    const before = [...model.stateDict().values()].map((t) => [t.device, t.data]);
    encodeOnnx(model, [1, 28, 28]);
    assert.deepEqual(
      [...model.stateDict().values()].map((t) => [t.device, t.data]),
      before,
    );
    assert.ok([...model.modules()].every((m) => m.training));
  });

  it("writes the same bytes for the same network", () => {
    const bytes = () => encodeOnnx(trained("googlenet"), [1, 64, 64]);
    assert.deepEqual(bytes(), bytes());
  });

  for (const name of ["notes_example", "lenet", "lenet_bn", "nin", "googlenet", "resnet"])
    it(`reads ${name} back: same names, same bits`, () => {
      const model = trained(name);
      const x = image([1, ...inputs[name].slice(1)]);
      const back = decodeOnnx(encodeOnnx(model, x.shape.slice(1))).to("reference");
      const counts = /num_batches_tracked$/;
      assert.deepEqual(
        [...back.stateDict().keys()],
        [...model.stateDict().keys()].filter((key) => !counts.test(key)),
      );
      assert.deepEqual(noGrad(() => back.call(x)).data, noGrad(() => model.call(x)).data);
    });
});
