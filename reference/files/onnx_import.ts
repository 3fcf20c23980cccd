// # ONNX import
//
// A file of the operators that the export writes (onnx.ts) becomes a module again: its parameters
// under their names, and a `forward` that walks the graph with this library's operations, so that
// it runs on every backend and can be trained on. What the file asks for beyond that is refused by
// name.

import { Module, Parameter } from "../nn/module.js";
import * as ops from "../ops/index.js";
import { isFloat, sizeOf, type Tensor, type TensorData } from "../tensor.js";
import { Fields } from "./protobuf.js";
import type { FileFormatError } from "./source.js";
import { RawTensor, storedTypes, typeBy } from "./stored.js";

/** Versions of ONNX's operator set in which these operators mean what they mean here. */
const OLDEST_OPSET = 13;
const NEWEST_OPSET = 23;

/**
 * The network in an ONNX file, in evaluation.
 *
 * Throws: FileFormatError for what is no ONNX file, for operators and attributes outside of what
 * `encodeOnnx` writes (and Flatten, Identity, Dropout, Constant), and for graphs that have other
 * than one input and one output.
 */
export function decodeOnnx(bytes: Uint8Array, file = "this file"): Module {
  const model = new Fields(bytes, file);
  const [graph] = model.messages(7);
  if ((graph as Fields | undefined) === undefined) throw model.damaged("it has no graph");
  const opset = model.messages(8).find((m) => ["", "ai.onnx"].includes(m.text(1)));
  const version = opset?.int(2) ?? 0;
  if (version < OLDEST_OPSET || version > NEWEST_OPSET)
    throw model.damaged(
      `its operator set is ${version}, readable are ${OLDEST_OPSET} to ${NEWEST_OPSET}`,
    );
  return new OnnxModule(readGraph(graph));
}

/** The tensors stored in an ONNX file, by name. Throws: FileFormatError for what is no such file. */
export function readOnnxTensors(bytes: Uint8Array, file: string): Map<string, RawTensor> {
  const [graph] = new Fields(bytes, file).messages(7);
  if ((graph as Fields | undefined) === undefined)
    throw new Fields(new Uint8Array(), file).damaged("it has no graph");
  return new Map(graph.messages(5).map((m) => [m.text(8), readTensor(m)]));
}

// ## Reading the graph

interface Step {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly run: Run;
}

type Run = (inputs: readonly (Tensor | null)[]) => Tensor;

interface Network {
  readonly steps: readonly Step[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly input: string;
  readonly output: string;
}

function readGraph(graph: Fields): Network {
  const tensors = new Map<string, Tensor>();
  for (const message of graph.messages(5))
    tensors.set(message.text(8), readTensor(message).toTensor());
  const steps: Step[] = [];
  const inputs = graph.messages(11).map((m) => m.text(1));
  const free = inputs.filter((name) => !tensors.has(name));
  const outputs = graph.messages(12).map((m) => m.text(1));
  if (free.length !== 1 || outputs.length !== 1)
    throw graph.damaged(
      `it has ${free.length} inputs and ${outputs.length} outputs, readable is one of each`,
    );
  const known = new Set([...tensors.keys(), ...free, ""]);
  for (const message of graph.messages(1)) {
    const node = new Node(message, tensors);
    if (node.type === "Constant") {
      tensors.set(node.output, readTensor(node.attributeTensor("value")).toTensor());
    } else {
      for (const name of node.inputs)
        if (!known.has(name)) throw node.refuse(`nothing computes its input "${name}"`);
      steps.push({ ...node.names, run: convert(node) });
    }
    node.expectAllUsed();
    known.add(node.output);
  }
  if (!known.has(outputs[0])) throw graph.damaged(`nothing computes its output "${outputs[0]}"`);
  return { steps, tensors, input: free[0], output: outputs[0] };
}

function readTensor(message: Fields): RawTensor {
  const name = message.text(8);
  const refuse = (why: string) => message.damaged(`the tensor "${name}" ${why}`);
  const type = typeBy("onnx", message.int(2));
  if (type === undefined) throw refuse(`has type ${message.int(2)}, which is not read here`);
  if (message.has(13) || message.int(14) !== 0)
    throw refuse("keeps its numbers in another file; save the model as one file");
  const shape = message.ints(1).map((d) => message.small(d));
  if (shape.length > 64 || shape.some((d) => d < 0)) throw refuse("has no shape");
  const expected = sizeOf(shape) * storedTypes[type].bytes;
  const raw = message.bytesOf(9).at(-1) ?? listed(message, type);
  if (raw === undefined || raw.length !== expected)
    throw refuse(`should have ${expected} bytes, but has ${raw?.length ?? 0}`);
  return new RawTensor(type, shape, raw);
}

/** The numbers of a tensor that are listed one by one instead of as bytes. */
function listed(message: Fields, type: keyof typeof storedTypes): Uint8Array | undefined {
  switch (type) {
    case "float32":
      return bytes(Float32Array.from(message.floats(4)));
    case "float64":
      return joinedBytes(message.bytesOf(10));
    case "int64":
      return bytes(BigInt64Array.from(message.ints(7)));
    case "int32":
      return bytes(Int32Array.from(message.ints(5), Number));
    default:
      return undefined;
  }
}

const bytes = (data: TensorData | Int32Array): Uint8Array => new Uint8Array(data.buffer);

const joinedBytes = (parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** One operator of the file, whose attributes are taken one after the other. */
class Node {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly #attributes: Map<string, Fields>;
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #where: Fields;

  constructor(message: Fields, tensors: ReadonlyMap<string, Tensor>) {
    this.type = message.text(4);
    this.inputs = message.texts(1);
    this.#where = message;
    this.#tensors = tensors;
    this.#attributes = new Map(message.messages(5).map((m) => [m.text(1), m]));
    const outputs = message.texts(2).filter((name) => name !== "");
    if (!["", "ai.onnx"].includes(message.text(7)))
      throw this.refuse(`belongs to the domain "${message.text(7)}"`);
    if (outputs.length !== 1) throw this.refuse(`has ${outputs.length} results`);
    this.output = outputs[0];
  }

  get names(): Pick<Step, "type" | "inputs" | "output"> {
    return { type: this.type, inputs: this.inputs, output: this.output };
  }

  refuse(why: string): FileFormatError {
    return this.#where.damaged(`the operator ${this.type} ("${this.#where.text(3)}") ${why}`);
  }

  #take(name: string): Fields | undefined {
    const found = this.#attributes.get(name);
    this.#attributes.delete(name);
    return found;
  }

  int(name: string, otherwise: number): number {
    return this.#take(name)?.int(3) ?? otherwise;
  }

  float(name: string, otherwise: number): number {
    return this.#take(name)?.floats(2).at(-1) ?? otherwise;
  }

  ints(name: string): number[] | undefined {
    const found = this.#take(name);
    return found?.ints(8).map((v) => found.small(v));
  }

  attributeTensor(name: string): Fields {
    const found = this.#take(name)?.messages(5).at(0);
    if (found === undefined) throw this.refuse(`has no ${name}`);
    return found;
  }

  /** Two numbers, for rows and columns. */
  pair(name: string, otherwise: number): readonly [number, number] {
    const found = this.ints(name) ?? [otherwise, otherwise];
    if (found.length !== 2) throw this.refuse(`has ${found.length} ${name}, readable are 2`);
    return [found[0], found[1]];
  }

  /** Padding, which must be equal on both sides, as rows and columns. */
  padding(): readonly [number, number] {
    const auto = this.#take("auto_pad")?.text(4) ?? "NOTSET";
    const pads = this.ints("pads") ?? [0, 0, 0, 0];
    if (!["NOTSET", "VALID"].includes(auto) || (auto === "VALID" && pads.some((p) => p !== 0)))
      throw this.refuse(`has auto_pad ${auto}; give pads in numbers`);
    if (pads.length !== 4 || pads[0] !== pads[2] || pads[1] !== pads[3])
      throw this.refuse(`has pads [${pads.join(", ")}], readable are equal ones on both sides`);
    return [pads[0], pads[1]];
  }

  /** An input that must be known without computing: sizes, axes, bounds. */
  constant(i: number): number[] | undefined {
    const name = this.inputs[i] ?? "";
    if (name === "") return undefined;
    const t = this.#tensors.get(name);
    if (t === undefined) throw this.refuse(`computes its input "${name}", which must be constant`);
    return Array.from(t.data, Number);
  }

  /** The names of the inputs must be among so many. */
  expectInputs(least: number, most: number): void {
    if (this.inputs.length < least || this.inputs.length > most)
      throw this.refuse(`has ${this.inputs.length} inputs, expected ${least} to ${most}`);
  }

  expectAllUsed(): void {
    const [left] = this.#attributes.keys();
    if ((left as string | undefined) !== undefined)
      throw this.refuse(`has an attribute "${left}" that is not read here`);
  }
}

// ## From operators to operations

/** Reads the options of an operator at once, and returns what runs it. */
function convert(node: Node): Run {
  const elementwise = (op: (x: Tensor) => Tensor): Run => {
    node.expectInputs(1, 1);
    return ([x]) => op(x!);
  };
  const both = (op: (x: Tensor, y: Tensor) => Tensor): Run => {
    node.expectInputs(2, 2);
    return ([x, y]) => op(x!, y!);
  };
  switch (node.type) {
    case "Relu":
      return elementwise(ops.relu);
    case "Sigmoid":
      return elementwise(ops.sigmoid);
    case "Tanh":
      return elementwise(ops.tanh);
    case "Identity":
      return elementwise((x) => x);
    case "Dropout":
      node.expectInputs(1, 3);
      node.int("seed", 0);
      return ([x]) => x!;
    case "Add":
      return both(ops.add);
    case "Mul":
      return both(ops.mul);
    case "MatMul":
      // A matrix on the right is a linear layer for inputs of any number of axes.
      return both((x, y) =>
        y.ndim === 2 ? ops.linear(x, ops.permute(y, { dims: [1, 0] }), null) : ops.matmul(x, y),
      );
    case "Conv": {
      node.expectInputs(2, 3);
      node.ints("kernel_shape");
      const options = {
        stride: node.pair("strides", 1),
        padding: node.padding(),
        dilation: node.pair("dilations", 1),
        groups: node.int("group", 1),
      };
      return ([x, weight, bias = null]) => ops.conv2d(x!, weight!, bias, options);
    }
    case "MaxPool":
    case "AveragePool": {
      node.expectInputs(1, 1);
      const dilation = node.pair("dilations", 1);
      const options = {
        kernelSize: node.pair("kernel_shape", 0),
        stride: node.pair("strides", 1),
        padding: node.padding(),
        ceilMode: node.int("ceil_mode", 0) === 1,
      };
      if (node.type === "MaxPool") {
        if (node.int("storage_order", 0) !== 0) throw node.refuse("counts by columns");
        return ([x]) => ops.maxPool2d(x!, { ...options, dilation });
      }
      if (dilation.some((d) => d !== 1)) throw node.refuse("has dilations");
      const countIncludePad = node.int("count_include_pad", 0) === 1;
      return ([x]) => ops.avgPool2d(x!, { ...options, countIncludePad });
    }
    case "GlobalAveragePool":
      return elementwise((x) => ops.adaptiveAvgPool2d(x, { outputSize: 1 }));
    case "Gemm": {
      node.expectInputs(2, 3);
      const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
      const [transA, transB] = [node.int("transA", 0), node.int("transB", 0)];
      if (alpha !== 1 || beta !== 1 || transA !== 0)
        throw node.refuse("scales or transposes its input");
      return ([x, weight, bias = null]) =>
        ops.linear(x!, transB ? weight! : ops.permute(weight!, { dims: [1, 0] }), bias);
    }
    case "BatchNormalization": {
      node.expectInputs(5, 5);
      const eps = node.float("epsilon", 1e-5);
      node.float("momentum", 0.9);
      if (node.int("training_mode", 0) !== 0) throw node.refuse("is in training");
      return ([x, weight, bias, mean, variance]) =>
        ops.batchNorm(x!, weight, bias, mean, variance, { training: false, eps });
    }
    case "Softmax":
    case "LogSoftmax": {
      const dim = node.int("axis", -1);
      const op = node.type === "Softmax" ? ops.softmax : ops.logSoftmax;
      return elementwise((x) => op(x, { dim }));
    }
    case "Concat": {
      const dim = node.int("axis", 0);
      return (tensors) => ops.concat(tensors as readonly Tensor[], { dim });
    }
    case "Flatten": {
      const axis = node.int("axis", 1);
      return elementwise((x) => {
        const first = sizeOf(x.shape.slice(0, axis < 0 ? x.ndim + axis : axis));
        return ops.reshape(x, { shape: [first, x.size / Math.max(first, 1)] });
      });
    }
    case "Reshape": {
      node.expectInputs(2, 2);
      const sizes = node.constant(1) ?? [];
      const kept = node.int("allowzero", 0) === 0;
      return ([x]) =>
        ops.reshape(x!, { shape: sizes.map((d, i) => (kept && d === 0 ? x!.shape[i] : d)) });
    }
    case "Transpose": {
      const perm = node.ints("perm");
      return elementwise((x) =>
        ops.permute(x, { dims: perm ?? x.shape.map((_, i) => x.ndim - 1 - i) }),
      );
    }
    case "Slice": {
      node.expectInputs(3, 5);
      const starts = node.constant(1) ?? [];
      const ends = node.constant(2) ?? [];
      const axes = node.constant(3) ?? starts.map((_, i) => i);
      if ((node.constant(4) ?? []).some((s) => s !== 1))
        throw node.refuse("takes steps other than 1");
      return ([x]) =>
        axes.reduce((y, dim, i) => {
          const size = y.shape.at(dim) ?? 0;
          const inside = (v: number) => Math.min(Math.max(v < 0 ? v + size : v, 0), size);
          const start = inside(starts[i]);
          return ops.narrow(y, { dim, start, length: Math.max(inside(ends[i]) - start, 0) });
        }, x!);
    }
    case "Pad": {
      node.expectInputs(2, 3);
      const pads = node.constant(1) ?? [];
      const [value] = node.constant(2) ?? [0];
      const axes = pads.length / 2;
      const padding = Array.from({ length: axes }, (_, i) => [
        pads[axes - 1 - i],
        pads[2 * axes - 1 - i],
      ]).flat();
      return ([x]) => ops.pad(x!, { padding, value });
    }
    case "ReduceSum":
    case "ReduceMean":
    case "ReduceMax": {
      node.expectInputs(1, 2);
      const keepdim = node.int("keepdims", 1) === 1;
      const axes = node.ints("axes") ?? node.constant(1);
      const noAxes = axes === undefined || axes.length === 0;
      if (node.int("noop_with_empty_axes", 0) !== 0 && noAxes)
        throw node.refuse("reduces no axes, by noop_with_empty_axes");
      const op = { ReduceSum: ops.sum, ReduceMean: ops.mean, ReduceMax: ops.max }[node.type];
      return ([x]) => op(x!, { dim: noAxes ? undefined : axes, keepdim });
    }
    case "ArgMax": {
      const [dim, keepdim] = [node.int("axis", 0), node.int("keepdims", 1) === 1];
      if (node.int("select_last_index", 0) !== 0) throw node.refuse("takes the last maximum");
      return elementwise((x) => ops.argmax(x, { dim, keepdim }));
    }
    default:
      throw node.refuse("is not among the operators that are read here");
  }
}

// ## The module

/** Inputs whose numbers are learned, by operator. */
const learned: Readonly<Record<string, readonly number[] | undefined>> = {
  Conv: [1, 2],
  Gemm: [1, 2],
  BatchNormalization: [1, 2],
  MatMul: [0, 1],
  Add: [0, 1],
  Mul: [0, 1],
};

/** Holds tensors, and parts of its own, under their names. */
class Part extends Module {
  override forward(x: Tensor): Tensor;
  override forward(): Tensor {
    throw new TypeError("a part of an ONNX file cannot run by itself; call the whole module");
  }

  /** Puts `value` where its dotted name leads, or beside it where that is taken. */
  put(name: string, value: Tensor): void {
    const [head, ...rest] = name.split(".");
    const inner: unknown = Object.hasOwn(this, head) ? Reflect.get(this, head) : undefined;
    const free = head !== "" && !(head in this);
    if (rest.length > 0 && (free || inner instanceof Part)) {
      const part = inner instanceof Part ? inner : new Part();
      if (free) Object.assign(this, { [head]: part });
      part.put(rest.join("."), value);
      return;
    }
    let own = rest.length === 0 ? head : name.replaceAll(".", "_");
    while (own === "" || own in this) own += "_";
    if (value instanceof Parameter) Object.assign(this, { [own]: value });
    else this.buffer(own, value);
  }
}

class OnnxModule extends Part {
  readonly #network: Network;
  readonly #tensors: ReadonlyMap<string, Tensor>;

  constructor(network: Network) {
    super();
    const parameters = new Set<string>();
    const buffers = new Set<string>();
    for (const { type, inputs } of network.steps)
      inputs.forEach((name, i) => {
        if (learned[type]?.includes(i)) parameters.add(name);
        else if (type === "BatchNormalization") buffers.add(name);
      });
    const tensors = new Map<string, Tensor>();
    for (const [name, t] of network.tensors) {
      const isLearned = parameters.has(name) && t.ndim > 0 && isFloat(t.dtype);
      const value = isLearned ? new Parameter(t) : t;
      tensors.set(name, value);
      if (parameters.has(name) || buffers.has(name)) this.put(name, value);
    }
    this.#network = network;
    this.#tensors = tensors;
    this.eval();
  }

  override getName(): string {
    return "OnnxModule";
  }

  override forward(x: Tensor): Tensor {
    const { steps, input, output } = this.#network;
    const values = new Map<string, Tensor | null>([["", null], ...this.#tensors, [input, x]]);
    for (const step of steps)
      values.set(step.output, step.run(step.inputs.map((name) => values.get(name)!)));
    return values.get(output)!;
  }
}
