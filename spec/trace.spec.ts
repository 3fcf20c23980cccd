// # What a trace promises
//
// A graph is only worth planning, drawing or exporting when it is complete. The strongest way to
// say so is to run it: `replay` below knows nothing of modules, tapes or operations, only the
// list of steps, and must arrive at the very bits that the computation itself arrived at.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  allocate,
  avgPool2d,
  conv2d,
  crossEntropy,
  type Device,
  flatten,
  fromData,
  type Graph,
  type GraphNode,
  type GraphValue,
  logSoftmax,
  mean,
  mul,
  multiplyAdds,
  narrow,
  pad,
  permute,
  relu,
  reshape,
  runReference,
  sgd,
  type Shape,
  sigmoid,
  sizeOf,
  softmax,
  type Storage,
  sum,
  tanh,
  Tensor,
  type TensorData,
  tensor,
  trace,
  zeros,
} from "convnotes";
import "./seed.js";

// ## Running a graph

/** The numbers that a graph ends with, by storage; `before` holds those that it overwrites. */
function replay(graph: Graph, before: ReadonlyMap<Storage, TensorData>): Map<number, TensorData> {
  const memory = new Map<number, TensorData>();
  for (const { source, storage } of graph.values)
    if (source !== null && !memory.has(storage))
      memory.set(storage, (before.get(source.storage) ?? source.data).slice());
  const tensors = (ids: readonly (number | null)[]) =>
    ids.map((id) => {
      if (id === null) return null;
      const { shape, dtype, storage } = graph.values[id];
      const data = memory.get(storage) ?? allocate(dtype, sizeOf(shape));
      memory.set(storage, data);
      return new Tensor(shape, dtype, "reference", { data, version: 0 });
    });
  for (const { primitive, inputs, outputs, options } of graph.nodes)
    if (primitive !== "view") runReference(primitive, tensors(inputs), tensors(outputs), options);
  return memory;
}

// ## Random computations
//
// A list of draws becomes a chain of operations on an image; whatever does not fit is bent until
// it does, so that every list is a computation.

type Draw = readonly [kind: number, p: number, q: number];

const links: readonly ((x: Tensor, p: number, q: number, make: Make) => Tensor)[] = [
  (x) => relu(x),
  (x) => mul(sigmoid(x), tanh(x)),
  (x, p) => softmax(x, { dim: (p % 8) - 4 }),
  (x, p) => add(x, mean(x, { dim: [p % 4], keepdim: true })),
  (x, p) => mul(x, p - 3),
  (x, p) => permute(x, { dims: [0, 1, 2, 3].map((i) => (i + p) % 4) }),
  (x, p, q) => pad(x, { padding: [p % 2, q % 2, 1, 0] }),
  (x, p) => narrow(x, { dim: p % 4, start: 0, length: Math.ceil(x.shape[p % 4] / 2) }),
  (x) => avgPool2d(x, { kernelSize: [Math.min(2, x.shape[2]), 1] }),
  (x) => reshape(x, { shape: [x.shape[1], x.shape[0], x.shape[3], x.shape[2]] }),
  (x, p, q, make) =>
    conv2d(x, make([1 + (p % 2), x.shape[1], 1, 1]), q % 2 ? make([1 + (p % 2)]) : null),
];

type Make = (shape: Shape) => Tensor;

/** Runs the chain on `device`, sums up and walks back. Its leaves are made in the same order. */
function compute(shape: Shape, draws: readonly Draw[], device: Device): Tensor[] {
  const leaves: Tensor[] = [];
  const make: Make = (s) => {
    const leaf = zeros(s, { device, requiresGrad: true });
    if (device !== "meta") leaf.copy_(fromData(Float32Array.from({ length: sizeOf(s) }, wave), s));
    leaves.push(leaf);
    return leaf;
  };
  let x = make(shape);
  for (const [kind, p, q] of draws) x = links[kind % links.length](x, p, q, make);
  sum(mul(x, x)).backward();
  return leaves;
}

/** Numbers without a pattern that a slip could hide in. */
const wave = (_: unknown, i: number): number => Math.sin(3 * i + 1);

const shapes = fc.tuple(...[2, 3, 4, 5].map((most) => fc.integer({ min: 1, max: most })));
const draws: fc.Arbitrary<Draw[]> = fc.array(fc.tuple(fc.nat(10), fc.nat(7), fc.nat(7)), {
  maxLength: 6,
});

const withoutSource = ({ id, shape, dtype, storage, source }: GraphValue) => ({
  id,
  shape,
  dtype,
  storage,
  isSource: source !== null,
});

// ## One training step, small enough to list

function step(device: Device) {
  const image = zeros([2, 1, 6, 6], { device });
  const weight = zeros([3, 1, 3, 3], { device, requiresGrad: true });
  const bias = zeros([3], { device, requiresGrad: true });
  const momentum = zeros([3, 1, 3, 3], { device });
  const labels = zeros([2], { dtype: "int64", device });
  if (device !== "meta") {
    image.copy_(fromData(Float32Array.from({ length: 72 }, wave), [2, 1, 6, 6]));
    weight.copy_(fromData(Float32Array.from({ length: 27 }, wave), [3, 1, 3, 3]));
    labels.copy_(tensor([11, 4], { dtype: "int64" }));
  }
  const before = new Map<Storage, TensorData>();
  for (const { storage } of [weight, bias, momentum])
    if (storage.data !== null) before.set(storage, storage.data.slice());
  const { graph, result: loss } = trace(() => {
    const y = avgPool2d(relu(conv2d(image, weight, bias)), { kernelSize: 2 });
    const error = crossEntropy(flatten(y), labels, null);
    error.backward();
    sgd(weight, weight.grad!, momentum, { lr: 0.5, momentum: 0.9, first: true });
    sgd(bias, bias.grad!, null, { lr: 0.5 });
    return error;
  });
  return { graph, before, image, labels, weight, bias, momentum, loss };
}

const named = (graph: Graph, name: string): GraphNode =>
  graph.nodes.find((node) => node.name === name)!;

describe("trace", () => {
  it("records on meta the very graph that a computation with numbers has", () => {
    fc.assert(
      fc.property(shapes, draws, (shape, list) => {
        const [real, meta] = (["reference", "meta"] as const).map(
          (device) => trace(() => compute(shape, list, device)).graph,
        );
        assert.deepEqual(meta.values.map(withoutSource), real.values.map(withoutSource));
        assert.deepEqual(meta.nodes, real.nodes);
        assert.ok(meta.nodes.length >= 4);
      }),
    );
  });

  it("misses nothing: replaying a random computation gives the bits of all its gradients", () => {
    fc.assert(
      fc.property(shapes, draws, (shape, list) => {
        const { graph, result: leaves } = trace(() => compute(shape, list, "reference"));
        const memory = replay(graph, new Map());
        for (const { grad } of leaves)
          assert.deepEqual(memory.get(graph.valueOf(grad!).storage), grad!.data);
      }),
    );
  });

  it("lists every primitive of a training step, in the order in which they ran", () => {
    const { graph } = step("meta");
    assert.deepEqual(
      graph.nodes.map((node) => node.name),
      [
        "conv2d",
        "relu",
        "avg_pool2d",
        "view",
        "cross_entropy",
        "cross_entropy_backward_input",
        "view",
        "avg_pool2d_backward_input",
        "relu_backward_input",
        "conv2d_backward_weight",
        "conv2d_backward_bias",
        "sgd",
        "sgd",
      ],
    );
  });

  it("replays a training step, with what it overwrites, to the same bits", () => {
    const { graph, before, ...tensors } = step("reference");
    const memory = replay(graph, before);
    for (const [name, t] of Object.entries(tensors))
      assert.deepEqual(memory.get(graph.valueOf(t).storage), t.data, name);
    assert.notDeepEqual(tensors.weight.data, before.get(tensors.weight.storage));
  });

  it("lists a value before it is read, and each value as the result of one step at most", () => {
    const { graph } = step("meta");
    const known = new Set(graph.values.filter((v) => v.source !== null).map((v) => v.id));
    for (const { inputs, outputs } of graph.nodes) {
      for (const id of inputs) assert.ok(id === null || known.has(id));
      for (const id of outputs)
        if (id !== null) {
          assert.ok(!known.has(id));
          known.add(id);
        }
    }
    assert.equal(known.size, graph.values.length);
  });

  it("names the tensor for what was there before: the inputs, and the 1 that backward begins with", () => {
    const { graph, image, weight, bias, labels, momentum } = step("reference");
    const sources = graph.values.flatMap((v) => (v.source === null ? [] : [v.source]));
    const [one] = sources.splice(4, 1);
    assert.deepEqual(sources, [image, weight, bias, labels, momentum]);
    assert.deepEqual(one.toArray(), 1);
  });

  it("gives a view the storage of what it views, and all else storage of its own", () => {
    const { graph } = step("meta");
    const storageOf = (id: number | null) => graph.values[id!].storage;
    for (const node of graph.nodes.filter(({ name }) => name !== "sgd"))
      for (const input of node.inputs.filter((id) => id !== null))
        assert.equal(storageOf(node.outputs[0]) === storageOf(input), node.name === "view");
  });

  it("gives what is updated in place a new value in the old storage", () => {
    const { graph, weight, bias, momentum } = step("meta");
    const { inputs, outputs } = named(graph, "sgd");
    const [parameter, , buffer] = inputs.map((id) => graph.values[id!]);
    const after = outputs.map((id) => graph.values[id!]);
    assert.deepEqual(
      after.map((v) => v.storage),
      [parameter.storage, buffer.storage],
    );
    assert.deepEqual([parameter.source, buffer.source], [weight, momentum]);
    assert.deepEqual(
      after.map((v) => v.source),
      [null, null],
    );
    assert.equal(graph.valueOf(weight), after[0]);
    assert.equal(graph.valueOf(momentum), after[1]);
    assert.notEqual(graph.valueOf(bias).storage, after[0].storage);
  });

  it("counts the products of each step, none for a view", () => {
    const { graph } = step("meta");
    const products = 2 * 3 * 4 * 4 * (1 * 3 * 3); // images · channels · pixels · taps
    assert.deepEqual(
      ["conv2d", "conv2d_backward_weight", "view", "relu"].map((name) =>
        multiplyAdds(graph, named(graph, name)),
      ),
      [products, products, 0, 0],
    );
  });

  it("stops at the end, even of a computation that fails", () => {
    const x = tensor([1, 2]);
    const { graph } = trace(() => {
      assert.throws(() => trace(() => reshape(x, { shape: [3] })), /reshape: /);
      return relu(x);
    });
    relu(x);
    assert.deepEqual(
      graph.nodes.map((node) => node.name),
      ["relu"],
    );
  });

  it("knows no value of a tensor that took no part", () => {
    const { graph } = trace(() => logSoftmax(tensor([1, 2]), { dim: 0 }));
    assert.throws(() => graph.valueOf(tensor(1)), {
      name: "RangeError",
      message: "valueOf: Tensor([], float32, cpu) was not traced",
    });
  });
});
