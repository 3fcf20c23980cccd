// # ONNX export
//
// A network as a graph that other runtimes execute. The graph is a trace: the network runs once on
// the `meta` device, which computes nothing, and every step becomes ONNX's operator of the same
// meaning. It runs for two batch sizes; sizes that differ between the two are the batch's, and stay
// open in the file. Parameters keep their names.
//
// Source: the ONNX operator specification, opset 19, and its onnx.proto.

import { zeros } from "../create.js";
import type { Module } from "../nn/module.js";
import { axesOf, axisOf } from "../reduce.js";
import { noGrad } from "../tape.js";
import { type DType, isFloat, type Shape, showShape, sizeOf, type Tensor } from "../tensor.js";
import { type Graph, type GraphNode, type GraphValue, trace } from "../trace.js";
import { version } from "../version.js";
import { type Pair, pair, windowOf, type WindowOptions } from "../window.js";
import { Message } from "./protobuf.js";
import { bytesOf, expectLittleEndian, storedTypes } from "./stored.js";
import { joined } from "./zip.js";

/** Operators as of this version of ONNX's set. */
export const OPSET = 19;

export interface OnnxOptions {
  /** Of the input. Default: the first parameter's. */
  readonly dtype?: DType;
}

/**
 * The bytes of an ONNX file with the network in evaluation, for any number of images of
 * `imageShape`. The same network gives the same bytes.
 *
 * Shape: input `[N, ...imageShape]`, called `input`; output called `output`.
 * Throws: TypeError for an operation that has no counterpart, by name and place.
 */
export const encodeOnnx = (
  model: Module,
  imageShape: Shape,
  options: OnnxOptions = {},
): Uint8Array => joined(onnxPieces(model, imageShape, options));

/** The same bytes in pieces, in which the parameters' own numbers are not copied. */
export function onnxPieces(
  model: Module,
  imageShape: Shape,
  options: OnnxOptions = {},
): readonly Uint8Array[] {
  expectLittleEndian();
  const [first] = [...model.parameters()];
  const dtype = options.dtype ?? (first as Tensor | undefined)?.dtype ?? "float32";
  if (!isFloat(dtype)) throw new TypeError(`onnx: the input must be float32 or float64`);
  const [small, large] = tracedOnMeta(model, () =>
    BATCHES.map((batch) => {
      const input = zeros([batch, ...imageShape], { dtype, device: "meta" });
      const { graph, result } = trace(() => noGrad(() => model.call(input)));
      if (graph.nodes.length === 0) throw new TypeError("onnx: the network computes nothing");
      return { graph, input: graph.valueOf(input), output: graph.valueOf(result) };
    }),
  );
  const names = new Map<Tensor, string>();
  for (const [name, t] of [...model.namedParameters(), ...model.namedBuffers()]) names.set(t, name);
  const writer = new GraphWriter(small.graph, large.graph, names, [...model.stateDict().keys()]);
  return writer.model(model.getName(), small.input, small.output);
}

/** Any two numbers that no layer has as a size; equal positions in both traces are no batch's. */
const BATCHES = [7919, 7927] as const;

/** Runs `body` with the model in evaluation on `meta`; its numbers are put back afterwards. */
function tracedOnMeta<T>(model: Module, body: () => T): T {
  const training = [...model.modules()].map((m) => [m, m.training] as const);
  const tensors = [...model.namedParameters(), ...model.namedBuffers()].map(([, t]) => t);
  const places = tensors.map(({ device, storage }) => ({ device, storage }));
  try {
    for (const t of tensors) Object.assign(t, { device: "meta", storage: { data: null } });
    model.eval();
    return body();
  } finally {
    tensors.forEach((t, i) => Object.assign(t, places[i]));
    for (const [m, mode] of training) m.training = mode;
  }
}

// ## Field numbers of onnx.proto

type Attribute = number | string | readonly number[] | { readonly float: number };

function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name);
  if (typeof value === "number") return message.int(3, value).int(20, 2);
  if (typeof value === "string") return message.text(4, value).int(20, 3);
  if ("float" in value) return message.float(2, value.float).int(20, 1);
  for (const v of value) message.int(8, v);
  return message.int(20, 7);
}

function tensorMessage(name: string, dtype: DType, shape: Shape, bytes: Uint8Array): Message {
  const message = new Message();
  for (const d of shape) message.int(1, d);
  return message.int(2, storedTypes[dtype].onnx).text(8, name).bytes(9, bytes);
}

function valueInfo(name: string, dtype: DType, sizes: readonly (number | string)[]): Message {
  const shape = new Message();
  for (const d of sizes)
    shape.message(1, typeof d === "number" ? new Message().int(1, d) : new Message().text(2, d));
  const tensor = new Message().int(1, storedTypes[dtype].onnx).message(2, shape);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}

// ## The graph

class GraphWriter {
  readonly #nodes: Message[] = [];
  readonly #initializers = new Map<string, Message>();
  readonly #valueNames = new Map<number, string>();
  readonly #used = new Set<string>(["input", "output"]);

  constructor(
    readonly graph: Graph,
    /** The same computation for another batch. */
    readonly other: Graph,
    readonly parameters: ReadonlyMap<Tensor, string>,
    /** In the order in which they are to be written. */
    readonly stateNames: readonly string[],
  ) {
    for (const name of parameters.values()) this.#used.add(name);
  }

  model(name: string, input: GraphValue, output: GraphValue): readonly Uint8Array[] {
    this.#valueNames.set(input.id, "input");
    this.#valueNames.set(output.id, "output");
    this.graph.nodes.forEach((node) => this.#convert(node));
    const graph = new Message();
    for (const node of this.#nodes) graph.message(1, node);
    graph.text(2, name);
    for (const name of [...this.stateNames, ...this.#initializers.keys()]) {
      const tensor = this.#initializers.get(name);
      if (tensor !== undefined) graph.message(5, tensor);
      this.#initializers.delete(name);
    }
    graph.message(11, valueInfo("input", input.dtype, this.sizes(input)));
    graph.message(12, valueInfo("output", output.dtype, this.sizes(output)));
    return new Message()
      .int(1, 9)
      .text(2, "convnotes")
      .text(3, version)
      .message(7, graph)
      .message(8, new Message().text(1, "").int(2, OPSET)).pieces;
  }

  /** Sizes of a value, `"N"` where the batch stands. */
  sizes(value: GraphValue): (number | string)[] {
    const other = this.other.values[value.id].shape;
    return value.shape.map((d, i) => {
      if (d === other[i]) return d;
      if (d === BATCHES[0] && other[i] === BATCHES[1]) return "N";
      return `${d / BATCHES[0]} N`;
    });
  }

  #unique(wish: string): string {
    let name = wish;
    for (let i = 1; this.#used.has(name); i++) name = `${wish}_${i}`;
    this.#used.add(name);
    return name;
  }

  /** The name of a value, which becomes part of the file if it was there before the trace. */
  #name(id: number): string {
    const value = this.graph.values[id];
    const known = this.#valueNames.get(id);
    if (known !== undefined) return known;
    const { source } = value;
    if (source === null) throw new TypeError(`onnx: value ${id} comes out of nowhere`);
    const name = this.parameters.get(source) ?? this.#unique("constant");
    this.#valueNames.set(id, name);
    const bytes = bytesOf(source.storage.data ?? source.detach().to("cpu").data);
    this.#initializers.set(name, tensorMessage(name, value.dtype, value.shape, bytes));
    return name;
  }

  /** Numbers that are no parameter stand in the graph, as a node without inputs. */
  #constant(wish: string, dtype: DType, shape: Shape, bytes: Uint8Array): string {
    const name = this.#unique(wish);
    const value = new Message().text(1, "value").message(5, tensorMessage("", dtype, shape, bytes));
    this.#nodes.push(
      new Message().text(2, name).text(3, name).text(4, "Constant").message(5, value.int(20, 4)),
    );
    return name;
  }

  #integers(wish: string, numbers: readonly number[]): string {
    const bytes = bytesOf(BigInt64Array.from(numbers, BigInt));
    return this.#constant(wish, "int64", [numbers.length], bytes);
  }

  #filled(wish: string, dtype: DType, shape: Shape, value: number): string {
    const count = sizeOf(shape);
    const numbers = dtype === "float64" ? new Float64Array(count) : new Float32Array(count);
    return this.#constant(wish, dtype, shape, bytesOf(numbers.fill(value)));
  }

  #node(
    type: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): void {
    const message = new Message();
    for (const name of inputs) message.text(1, name);
    message.text(2, output).text(3, output).text(4, type);
    for (const [name, value] of Object.entries(attributes))
      message.message(5, attribute(name, value));
    this.#nodes.push(message);
  }

  #convert(node: GraphNode): void {
    const place = node.path === "" ? node.name : `${node.path}/${node.name}`;
    const shapes = node.inputs.map((id) => (id === null ? [] : this.graph.values[id].shape));
    const inputs = node.inputs.map((id) => (id === null ? "" : this.#name(id)));
    const [x, second, third] = inputs;
    const [y] = node.outputs;
    const value = this.graph.values[y!];
    const output = this.#valueNames.get(value.id) ?? this.#unique(place);
    this.#valueNames.set(value.id, output);
    const put = (
      type: string,
      from: readonly string[] = [x],
      attributes: Readonly<Record<string, Attribute>> = {},
    ): void => this.#node(type, from, output, attributes);
    const refuse = (why: string): never => {
      throw new TypeError(`onnx: ${place}: ${why}`);
    };

    switch (node.name) {
      case "conv2d": {
        const o = node.options as Partial<WindowOptions> & { groups?: number };
        const kernel = [shapes[1][2], shapes[1][3]] as const;
        const w = windowOf({ stride: 1, ...o, kernelSize: kernel });
        return put("Conv", third === "" ? [x, second] : inputs, {
          kernel_shape: w.kernel,
          strides: w.stride,
          pads: [...w.padding, ...w.padding],
          dilations: w.dilation,
          group: o.groups ?? 1,
        });
      }
      case "max_pool2d":
      case "avg_pool2d": {
        const o = node.options as WindowOptions & { countIncludePad?: boolean };
        const w = windowOf(o);
        const own: Record<string, Attribute> =
          node.name === "max_pool2d"
            ? { dilations: w.dilation }
            : { count_include_pad: Number(o.countIncludePad ?? true) };
        return put(node.name === "max_pool2d" ? "MaxPool" : "AveragePool", [x], {
          kernel_shape: w.kernel,
          strides: w.stride,
          pads: [...w.padding, ...w.padding],
          ceil_mode: Number(w.ceilMode),
          ...own,
        });
      }
      case "adaptive_avg_pool2d": {
        const { outputSize } = node.options as { outputSize: Pair };
        const [from, to] = [shapes[0].slice(2), pair(outputSize)];
        if (to[0] === 1 && to[1] === 1) return put("GlobalAveragePool");
        if (from.some((d, i) => d % to[i] !== 0))
          return refuse(
            `${showShape(from)} pixels do not divide into ${showShape(to)} equal windows, ` +
              `and ONNX has no others`,
          );
        const kernel = from.map((d, i) => d / to[i]);
        return put("AveragePool", [x], { kernel_shape: kernel, strides: kernel });
      }
      case "linear": {
        if (shapes[0].length === 2)
          return put("Gemm", third === "" ? [x, second] : inputs, { transB: 1 });
        const transposed = this.#unique(`${place}/weight`);
        this.#node("Transpose", [second], transposed, { perm: [1, 0] });
        if (third === "") return put("MatMul", [x, transposed]);
        const product = this.#unique(`${place}/product`);
        this.#node("MatMul", [x, transposed], product);
        return put("Add", [product, third]);
      }
      case "batch_norm": {
        const { eps = 1e-5, training = false } = node.options as {
          eps?: number;
          training?: boolean;
        };
        if (training) return refuse("is in training; ONNX files hold the evaluation");
        const channels = shapes[0][1];
        // Without weight and bias, the scale (input 1) is 1 and the shift (input 2) 0.
        const from = inputs.map((name, i) =>
          name === "" ? this.#filled(`${place}/unscaled`, value.dtype, [channels], 2 - i) : name,
        );
        return put("BatchNormalization", from, { epsilon: { float: eps } });
      }
      case "softmax":
      case "log_softmax": {
        const axis = axisOf(shapes[0], (node.options as { dim: number }).dim);
        return put(node.name === "softmax" ? "Softmax" : "LogSoftmax", [x], { axis });
      }
      case "concat":
        return put("Concat", inputs, {
          axis: axisOf(shapes[0], (node.options as { dim?: number }).dim ?? 0),
        });
      case "view": {
        const sizes = this.sizes(value);
        const open = sizes.filter((d) => typeof d === "string").length;
        if (open > 1) return refuse(`the batch stands in two axes of ${showShape(value.shape)}`);
        const numbers = sizes.map((d) => (typeof d === "string" ? -1 : d));
        return put("Reshape", [x, this.#integers(`${place}/shape`, numbers)]);
      }
      case "permute": {
        const { dims } = node.options as { dims: readonly number[] };
        return put("Transpose", [x], { perm: dims.map((d) => axisOf(shapes[0], d)) });
      }
      case "narrow": {
        const o = node.options as { dim: number; start: number; length: number };
        const bounds = [[o.start], [o.start + o.length], [axisOf(shapes[0], o.dim)]];
        return put("Slice", [x, ...bounds.map((b) => this.#integers(`${place}/bound`, b))]);
      }
      case "pad": {
        const o = node.options as { padding: readonly number[]; value?: number };
        const around = (side: 0 | 1) =>
          shapes[0].map((_, i) => o.padding[2 * (shapes[0].length - 1 - i) + side] ?? 0);
        const pads = this.#integers(`${place}/pads`, [...around(0), ...around(1)]);
        return put("Pad", [x, pads, this.#filled(`${place}/value`, value.dtype, [], o.value ?? 0)]);
      }
      case "sum":
      case "mean":
      case "max": {
        const o = node.options as { dim?: number | readonly number[]; keepdim?: boolean };
        const type = { sum: "ReduceSum", mean: "ReduceMean", max: "ReduceMax" }[node.name];
        const axes = this.#integers(`${place}/axes`, axesOf(shapes[0], o));
        return put(type, [x, axes], { keepdims: Number(o.keepdim ?? false) });
      }
      case "argmax": {
        const o = node.options as { dim?: number; keepdim?: boolean };
        if (o.dim === undefined) return refuse("needs a dim; the batch would be lost");
        const axis = axisOf(shapes[0], o.dim);
        return put("ArgMax", [x], { axis, keepdims: Number(o.keepdim ?? false) });
      }
      default: {
        const type = (sameMeaning as Readonly<Record<string, string | undefined>>)[node.name];
        if (type === undefined) return refuse("has no counterpart in ONNX");
        return put(type, inputs);
      }
    }
  }
}

/** Operations without options whose operator takes the same inputs. */
const sameMeaning = {
  relu: "Relu",
  sigmoid: "Sigmoid",
  tanh: "Tanh",
  add: "Add",
  mul: "Mul",
  matmul: "MatMul",
} as const;
