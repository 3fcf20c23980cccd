// # Functions of tensors
//
// One table serves `torch.relu(x)`, `F.relu(x)` and `x.relu()`. What the library computes, it
// computes here too; of the rest the shapes are known.

import { broadcastShape } from "../broadcast.js";
import { zeros } from "../create.js";
import { ShapeError } from "../errors.js";
import { Dropout } from "../nn/activation.js";
import * as ops from "../ops/index.js";
import { sizeOf, type Tensor } from "../tensor.js";
import { windowOf } from "../window.js";
import { binary, iterate, product } from "./arithmetic.js";
import { builtins } from "./builtins.js";
import type { Interpreter } from "./interpreter.js";
import { moreLayers } from "./layers_beyond.js";
import { formatted } from "./objects.js";
import {
  joined,
  layers,
  NotKnown,
  pixelShuffled,
  resized,
  Settings,
  shaped,
  tensorOf,
  throughWindow,
  truth,
} from "./layers.js";
import {
  type Args,
  Bound,
  Dict,
  type Field,
  Float,
  keyOf,
  List,
  Native,
  plainArgs,
  Raised,
  show,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { say } from "../words.js";

/** Binds a call's arguments to the names of a signature such as `input, dim=None, *rest`. */
export function bind(name: string, signature: string, args: Args): Settings {
  const values = new Map<string, Value>();
  let i = 0;
  for (const { name: parameter, standard } of parsed(signature)) {
    if (parameter.startsWith("**")) continue;
    if (parameter.startsWith("*")) {
      // torch.rand(2, 3), torch.rand((2, 3)) and torch.rand(size=(2, 3)) are the same.
      const rest = tuple(args.positional.slice(i));
      values.set(parameter.slice(1), args.named.get(parameter.slice(1)) ?? rest);
      i = args.positional.length;
    } else if (i < args.positional.length) values.set(parameter, args.positional[i++]);
    else {
      const given = args.named.get(parameter) ?? standard;
      if (given === undefined) throw new NotKnown(say`${name} was not given its ${parameter}`);
      values.set(parameter, given);
    }
  }
  return new Settings(name, values);
}

interface Parameter {
  readonly name: string;
  readonly standard: Value | undefined;
}

const signatures = new Map<string, readonly Parameter[]>();

export function parsed(signature: string): readonly Parameter[] {
  const known = signatures.get(signature);
  if (known !== undefined) return known;
  const result = signature.split(", ").flatMap((text): Parameter[] => {
    if (text === "") return [];
    const at = text.indexOf("=");
    if (at === -1) return [{ name: text, standard: undefined }];
    return [{ name: text.slice(0, at), standard: literal(text.slice(at + 1)) }];
  });
  signatures.set(signature, result);
  return result;
}

function literal(text: string): Value {
  if (text === "None") return null;
  if (text === "True" || text === "False") return text === "True";
  if (text.startsWith("'")) return text.slice(1, -1);
  return /[.e]/.test(text) ? new Float(Number(text)) : Number(text);
}

type Body = (s: Settings, run: Interpreter) => Value;

const input = (s: Settings): TensorValue => tensorOf(s.get("input"), say`the input`);

const axisIn = (x: TensorValue, dim: number, more = 0): number => {
  const axes = x.shape.length + more;
  if (dim < -axes || dim >= axes)
    throw new ShapeError(say`axis ${dim} does not exist among ${axes}`, "dim", axes, dim);
  return dim < 0 ? dim + axes : dim;
};

const same =
  (name: string): Body =>
  (s, run) => {
    const x = input(s);
    return shaped(x.shape, x.field, run, name);
  };

const through =
  (op: (x: Tensor) => Tensor): Body =>
  (s) => {
    const x = input(s);
    return new TensorValue(op(x.tensor), x.field);
  };

/** A softmax, whose place is kept: it may be one too many. */
const noted =
  (op: typeof ops.softmax): Body =>
  (s, run) => {
    const x = input(s);
    const of = new TensorValue(op(x.tensor, { dim: s.int("dim") }), x.field);
    run.softmax = { of, range: run.site };
    return of;
  };

/** The sizes of `view(2, -1)` as of `view((2, -1))`. */
export function sizesOf(value: Value): number[] {
  const items = value instanceof List ? value.items : [value];
  const inner = items.length === 1 && items[0] instanceof List ? items[0].items : items;
  return inner.map((item) => new Settings("view", new Map([["size", item]])).int("size"));
}

function reduced(name: string, real: ((x: Tensor, o: ops.ReduceOptions) => Tensor) | null): Body {
  return (s, run) => {
    const x = input(s);
    const given = s.get("dim");
    const keepdim = truth(s.get("keepdim"));
    const dims =
      given === null ? x.shape.map((_, i) => i) : sizesOf(given).map((dim) => axisIn(x, dim));
    if (real !== null && x.tensor.dtype === "float32")
      return new TensorValue(real(x.tensor, { dim: dims, keepdim }));
    const shape = x.shape.flatMap((d, i) => (dims.includes(i) ? (keepdim ? [1] : []) : [d]));
    return shaped(shape, null, run, name);
  };
}

/** `max` of all is a tensor, of an axis a pair. */
const extreme =
  (name: string): Body =>
  (s, run) => {
    const dim = s.get("dim");
    if (dim instanceof TensorValue) return binary(run, "-", s.get("input"), dim);
    const result = reduced(name, null)(s, run);
    return dim === null ? result : tuple([result, result]);
  };

function listOf(value: Value, run: Interpreter): TensorValue[] {
  const items = iterate(run, value);
  if (items instanceof Unknown) throw new NotKnown(items.reason);
  return items.map((item) => tensorOf(item, say`an item`));
}

const fieldsOf = (list: readonly TensorValue[]): Field | null =>
  joined(list.filter((t) => !t.isParameter).map((t) => t.field));

/** `F.max_pool2d` is what `nn.MaxPool2d` does. */
const layer = (name: string, signature: string): [string, Body] => {
  const entry = layers.get(name)!;
  return [
    signature,
    (s, run) => {
      const own = parsed(entry.signature).map(({ name: key, standard }) => {
        const value = s.values.has(key) ? s.get(key) : (standard ?? null);
        return [key, value] as const;
      });
      return entry.make(new Settings(name, new Map(own))).forward([s.get("input")], run);
    },
  ];
};

const permuted = (x: TensorValue, dims: readonly number[]): TensorValue =>
  new TensorValue(ops.permute(x.tensor, { dims }));

const reshaped = (x: TensorValue, shape: readonly number[]): TensorValue =>
  new TensorValue(ops.reshape(x.tensor, { shape }));

const parts = (x: TensorValue, lengths: readonly number[], dim: number): Value => {
  let start = 0;
  return tuple(
    lengths.map((length) => {
      const y = ops.narrow(x.tensor, { dim, start, length });
      start += length;
      return new TensorValue(y, dim === 1 ? x.field : null);
    }),
  );
};

const created: [string, Body] = ["*size", (s) => fresh(sizesOf(s.get("size")))];

export const fresh = (shape: readonly number[], int = false): TensorValue => {
  if (shape.length > 16 || sizeOf(shape) > Number.MAX_SAFE_INTEGER)
    throw new NotKnown(say`the tensor is too large`);
  const dtype = int ? "int64" : "float32";
  const field: Field | null = shape.length === 4 ? { size: [1, 1], jump: [1, 1] } : null;
  return new TensorValue(zeros(shape, { dtype, device: "meta" }), field);
};

const withNumbers = (x: TensorValue, numbers: readonly number[]): TensorValue =>
  new TensorValue(x.tensor, null, null, false, false, numbers);

const operator = (op: string): [string, Body] => [
  "input, other",
  (s, run) => binary(run, op, s.get("input"), s.get("other")),
];

const more = new Map(moreLayers);

const table: Record<string, [signature: string, body: Body]> = {
  relu: ["input, inplace=False", through(ops.relu)],
  relu_: ["input", through(ops.relu)],
  sigmoid: ["input", through(ops.sigmoid)],
  tanh: ["input", through(ops.tanh)],
  softmax: ["input, dim=None", noted(ops.softmax)],
  log_softmax: ["input, dim=None", noted(ops.logSoftmax)],
  // Networks are looked at as they evaluate, where dropout hands through.
  dropout: [
    "input, p=0.5, training=True, inplace=False",
    (s) => {
      const x = input(s);
      if (x.tensor.device === "meta" || !s.bool("training")) return x;
      return new TensorValue(new Dropout(s.float("p")).forward(x.tensor), x.field);
    },
  ],
  dropout2d: ["input, p=0.5, training=True, inplace=False", (s) => input(s)],
  flatten: [
    "input, start_dim=0, end_dim=-1",
    (s) =>
      new TensorValue(
        ops.flatten(input(s).tensor, { startDim: s.int("start_dim"), endDim: s.int("end_dim") }),
      ),
  ],
  view: ["input, *size", (s) => reshaped(input(s), sizesOf(s.get("size")))],
  reshape: ["input, *size", (s) => reshaped(input(s), sizesOf(s.get("size")))],
  view_as: ["input, other", (s) => reshaped(input(s), tensorOf(s.get("other"), "other").shape)],
  unflatten: [
    "input, dim, sizes",
    (s) => {
      const x = input(s);
      const dim = axisIn(x, s.int("dim"));
      return reshaped(x, [
        ...x.shape.slice(0, dim),
        ...sizesOf(s.get("sizes")),
        ...x.shape.slice(dim + 1),
      ]);
    },
  ],
  permute: [
    "input, *dims",
    (s) => {
      const x = input(s);
      return permuted(
        x,
        sizesOf(s.get("dims")).map((dim) => axisIn(x, dim)),
      );
    },
  ],
  transpose: [
    "input, dim0, dim1, *more",
    (s) => {
      const x = input(s);
      // Numpy's takes all axes.
      const more = sizesOf(s.get("more"));
      if (more.length > 0) return permuted(x, [s.int("dim0"), s.int("dim1"), ...more]);
      const [a, b] = [axisIn(x, s.int("dim0")), axisIn(x, s.int("dim1"))];
      return permuted(
        x,
        x.shape.map((_, i) => (i === a ? b : i === b ? a : i)),
      );
    },
  ],
  t: [
    "input",
    (s) =>
      permuted(
        input(s),
        input(s)
          .shape.map((_, i) => i)
          .reverse(),
      ),
  ],
  unsqueeze: [
    "input, dim",
    (s) => {
      const x = input(s);
      return reshaped(x, x.shape.toSpliced(axisIn(x, s.int("dim"), 1), 0, 1));
    },
  ],
  squeeze: [
    "input, dim=None",
    (s) => {
      const x = input(s);
      const dims = s.get("dim") === null ? null : sizesOf(s.get("dim")).map((d) => axisIn(x, d));
      return reshaped(
        x,
        x.shape.filter((d, i) => d !== 1 || (dims !== null && !dims.includes(i))),
      );
    },
  ],
  expand: [
    "input, *size",
    (s, run) => {
      const x = input(s);
      const sizes = sizesOf(s.get("size"));
      const offset = sizes.length - x.shape.length;
      const shape = sizes.map((d, i) => (d === -1 ? x.shape[i - offset] : d));
      x.shape.forEach((d, i) => {
        if (d !== 1 && d !== shape[i + offset])
          throw new ShapeError(say`a size of ${d} cannot become ${shape[i + offset]}`, "size", d);
      });
      return shaped(shape, null, run, "expand");
    },
  ],
  expand_as: [
    "input, other",
    (s, run) =>
      shaped(
        broadcastShape(input(s).shape, tensorOf(s.get("other"), "other").shape),
        null,
        run,
        "expand_as",
      ),
  ],
  repeat: [
    "input, *sizes",
    (s, run) => {
      const [x, times] = [input(s), sizesOf(s.get("sizes"))];
      const offset = times.length - x.shape.length;
      return shaped(
        times.map((k, i) => k * (x.shape[i - offset] ?? 1)),
        null,
        run,
        "repeat",
      );
    },
  ],
  size: [
    "input, dim=None",
    (s) => {
      const x = input(s);
      return s.get("dim") === null ? tuple([...x.shape]) : x.shape[axisIn(x, s.int("dim"))];
    },
  ],
  dim: ["input", (s) => input(s).shape.length],
  numel: ["input", (s) => sizeOf(input(s).shape)],
  mean: ["input, dim=None, keepdim=False", reduced("mean", ops.mean)],
  sum: ["input, dim=None, keepdim=False", reduced("sum", ops.sum)],
  amax: ["input, dim=None, keepdim=False", reduced("amax", null)],
  amin: ["input, dim=None, keepdim=False", reduced("amin", null)],
  var: ["input, dim=None, keepdim=False", reduced("var", null)],
  std: ["input, dim=None, keepdim=False", reduced("std", null)],
  argmax: ["input, dim=None, keepdim=False", reduced("argmax", null)],
  norm: ["input, p=None, dim=None, keepdim=False", reduced("norm", null)],
  max: ["input, dim=None, keepdim=False", extreme("max")],
  min: ["input, dim=None, keepdim=False", extreme("min")],
  cat: [
    "tensors, dim=0",
    (s, run) => {
      const list = listOf(s.get("tensors"), run);
      if (list.length === 0) throw new NotKnown(say`nothing is put together`);
      return new TensorValue(
        ops.concat(
          list.map((t) => t.tensor),
          { dim: axisIn(list[0], s.int("dim")) },
        ),
        fieldsOf(list),
      );
    },
  ],
  stack: [
    "tensors, dim=0",
    (s, run) => {
      const list = listOf(s.get("tensors"), run);
      if (list.length === 0) throw new NotKnown(say`nothing is put together`);
      const dim = axisIn(list[0], s.int("dim"), 1);
      const raised = list.map((t) => reshaped(t, t.shape.toSpliced(dim, 0, 1)).tensor);
      return new TensorValue(ops.concat(raised, { dim }), fieldsOf(list));
    },
  ],
  chunk: [
    "input, chunks, dim=0",
    (s) => {
      const x = input(s);
      const dim = axisIn(x, s.int("dim"));
      const length = Math.max(1, Math.ceil(x.shape[dim] / Math.max(1, s.int("chunks"))));
      return parts(x, pieces(x.shape[dim], length), dim);
    },
  ],
  split: [
    "input, size, dim=0",
    (s) => {
      const x = input(s);
      const dim = axisIn(x, s.int("dim"));
      const size = s.get("size");
      const lengths = size instanceof List ? sizesOf(size) : pieces(x.shape[dim], s.int("size"));
      return parts(x, lengths, dim);
    },
  ],
  unbind: [
    "input, dim=0",
    (s, run) => {
      const x = input(s);
      const dim = axisIn(x, s.int("dim"));
      run.bound(x.shape[dim]);
      return tuple(
        Array.from({ length: x.shape[dim] }, (_, start) =>
          reshaped(
            new TensorValue(ops.narrow(x.tensor, { dim, start, length: 1 })),
            x.shape.toSpliced(dim, 1),
          ),
        ),
      );
    },
  ],
  narrow: [
    "input, dim, start, length",
    (s) => {
      const [dim, start, length] = [s.int("dim"), s.int("start"), s.int("length")];
      return new TensorValue(ops.narrow(input(s).tensor, { dim, start, length }), input(s).field);
    },
  ],
  select: [
    "input, dim, index",
    (s, run) => {
      const x = input(s);
      const shape = x.shape.toSpliced(axisIn(x, s.int("dim")), 1);
      return shaped(shape, null, run, "select");
    },
  ],
  pad: [
    "input, pad, mode='constant', value=None",
    (s, run) => {
      const x = input(s);
      const padding = sizesOf(s.get("pad"));
      if (s.get("mode") === "constant" && s.get("value") === null)
        return new TensorValue(ops.pad(x.tensor, { padding }), x.field);
      const shape = x.shape.map((d, i) => {
        const at = 2 * (x.shape.length - 1 - i);
        return d + (padding[at] ?? 0) + (padding[at + 1] ?? 0);
      });
      return shaped(shape, x.field, run, "pad");
    },
  ],
  linear: [
    "input, weight, bias=None",
    (s) => {
      const bias = s.get("bias");
      const weight = tensorOf(s.get("weight"), say`the weight`);
      return new TensorValue(
        ops.linear(
          input(s).tensor,
          weight.tensor,
          bias instanceof TensorValue ? bias.tensor : null,
        ),
      );
    },
  ],
  conv2d: [
    "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    (s) => {
      const [x, weight] = [input(s), tensorOf(s.get("weight"), say`the weight`)];
      const bias = s.get("bias");
      const two = (name: string) => s.axes(name, 2) as [number, number];
      const options = { stride: two("stride"), padding: two("padding"), dilation: two("dilation") };
      const y = ops.conv2d(
        x.tensor,
        weight.tensor,
        bias instanceof TensorValue ? bias.tensor : null,
        {
          ...options,
          groups: s.int("groups"),
        },
      );
      const [, , k, l] = weight.shape;
      return new TensorValue(
        y,
        throughWindow(x.field, windowOf({ kernelSize: [k, l], ...options })),
      );
    },
  ],
  interpolate: [
    "input, size=None, scale_factor=None, mode='nearest', align_corners=None",
    (s, run) => resized(input(s), s.get("size"), s.get("scale_factor"), run, "interpolate"),
  ],
  pixel_shuffle: [
    "input, upscale_factor",
    (s, run) => pixelShuffled(input(s), s.int("upscale_factor"), true, run),
  ],
  max_pool2d: layer(
    "MaxPool2d",
    "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False",
  ),
  max_unpool2d: [
    "input, indices, kernel_size, stride=None, padding=0, output_size=None",
    (s, run) => {
      const entry = more.get("MaxUnpool2d")!;
      return entry.make(s).forward([s.get("input"), null, s.get("output_size")], run);
    },
  ],
  avg_pool2d: layer(
    "AvgPool2d",
    "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True",
  ),
  max_pool1d: layer("MaxPool1d", "input, kernel_size, stride=None, padding=0"),
  avg_pool1d: layer("AvgPool1d", "input, kernel_size, stride=None, padding=0"),
  adaptive_avg_pool2d: layer("AdaptiveAvgPool2d", "input, output_size"),
  adaptive_max_pool2d: layer("AdaptiveMaxPool2d", "input, output_size"),
  adaptive_avg_pool1d: layer("AdaptiveAvgPool1d", "input, output_size"),
  glu: [
    "input, dim=-1",
    (s, run) => {
      const x = input(s);
      const dim = axisIn(x, s.int("dim"));
      return shaped(x.shape.with(dim, x.shape[dim] / 2), x.field, run, "glu");
    },
  ],
  matmul: ["input, other", (s, run) => product(run, s.get("input"), s.get("other"))],
  bmm: ["input, other", (s, run) => product(run, s.get("input"), s.get("other"))],
  mm: ["input, other", (s, run) => product(run, s.get("input"), s.get("other"))],
  add: operator("+"),
  add_: operator("+"),
  sub: operator("-"),
  mul: operator("*"),
  mul_: operator("*"),
  multiply: operator("*"),
  subtract: operator("-"),
  true_divide: operator("/"),
  divide: operator("/"),
  floor_divide: operator("//"),
  remainder: operator("%"),
  sub_: operator("-"),
  ...Object.fromEntries(
    ["eq", "ne", "gt", "lt", "ge", "le", "logical_and", "logical_or", "atan2", "dist"].map(
      (name) => [name, operator("-")],
    ),
  ),
  baddbmm: ["input, batch1, batch2", (s, run) => product(run, s.get("batch1"), s.get("batch2"))],
  addmm: ["input, mat1, mat2", (s, run) => product(run, s.get("mat1"), s.get("mat2"))],
  where: [
    "condition, input=None, other=None",
    (s, run) => {
      const [a, b] = [s.get("input"), s.get("other")];
      const condition = tensorOf(s.get("condition"), say`the condition`);
      return [a, b].reduce<Value>(
        (x, y) => (y instanceof TensorValue ? binary(run, "-", x, y) : x),
        condition,
      );
    },
  ],
  meshgrid: [
    "*tensors, indexing=None",
    (s, run) => {
      const given = s.get("tensors");
      const first = given instanceof List && given.items.length === 1 ? given.items[0] : given;
      const list = listOf(first instanceof TensorValue ? given : first, run);
      const shape = list.map((t) => sizeOf(t.shape));
      const grid = () => withType(shaped(shape, null, run, "meshgrid"), list[0]);
      return tuple(list.map(grid));
    },
  ],
  topk: [
    "input, k, dim=-1",
    (s, run) => {
      const x = input(s);
      const shape = x.shape.with(axisIn(x, s.int("dim")), s.int("k"));
      return tuple([shaped(shape, null, run, "topk"), fresh(shape, true)]);
    },
  ],
  index_select: [
    "input, dim, index",
    (s, run) => {
      const [x, at] = [input(s), tensorOf(s.get("index"), say`the index`)];
      return shaped(x.shape.with(axisIn(x, s.int("dim")), sizeOf(at.shape)), null, run, "select");
    },
  ],
  gather: [
    "input, dim, index",
    (s, run) => shaped(tensorOf(s.get("index"), say`the index`).shape, null, run, "gather"),
  ],
  movedim: ["input, source, destination", moved],
  moveaxis: ["input, source, destination", moved],
  broadcast_to: [
    "input, *size",
    (s, run) => shaped(sizesOf(s.get("size")), null, run, "broadcast_to"),
  ],
  repeat_interleave: [
    "input, repeats, dim=None",
    (s, run) => {
      const [x, times] = [input(s), s.int("repeats")];
      if (s.get("dim") === null) return shaped([sizeOf(x.shape) * times], null, run, "repeat");
      const dim = axisIn(x, s.int("dim"));
      return shaped(x.shape.with(dim, x.shape[dim] * times), null, run, "repeat");
    },
  ],
  one_hot: [
    "input, num_classes=-1",
    (s, run) => shaped([...input(s).shape, s.int("num_classes")], null, run, "one_hot"),
  ],
  embedding: [
    "input, weight",
    (s, run) => {
      const size = tensorOf(s.get("weight"), say`the weight`).shape[1];
      return shaped([...input(s).shape, size], null, run, "embedding");
    },
  ],
  eye: ["n, m=None", (s) => fresh([s.int("n"), s.get("m") === null ? s.int("n") : s.int("m")])],
  unfold: [
    "input, *rest, kernel_size=None, dilation=None, padding=None, stride=None",
    (s, run) => unfolded(input(s), s, run),
  ],
  cosine_similarity: [
    "x1, x2, dim=1",
    (s, run) =>
      reduced("cosine_similarity", null)(
        new Settings(
          "cosine_similarity",
          new Map([
            ["input", binary(run, "*", s.get("x1"), s.get("x2"))],
            ["dim", s.get("dim")],
            ["keepdim", false],
          ]),
        ),
        run,
      ),
  ],
  grid_sample: [
    "input, grid, *rest",
    (s, run) => {
      const [x, grid] = [input(s), tensorOf(s.get("grid"), say`the grid`)];
      return shaped([...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)], null, run, "grid_sample");
    },
  ],
  affine_grid: [
    "theta, size, align_corners=None",
    (s, run) => {
      const [n, , ...rest] = sizesOf(s.get("size"));
      return shaped([n, ...rest, rest.length], null, run, "affine_grid");
    },
  ],
  pixel_unshuffle: [
    "input, downscale_factor",
    (s, run) => pixelShuffled(input(s), s.int("downscale_factor"), false, run),
  ],
  upsample: [
    "input, size=None, scale_factor=None, mode='nearest', align_corners=None",
    (s, run) => resized(input(s), s.get("size"), s.get("scale_factor"), run, "upsample"),
  ],
  new_zeros: ["input, *size", (s) => fresh(sizesOf(s.get("size")))],
  new_ones: ["input, *size", (s) => fresh(sizesOf(s.get("size")))],
  new_empty: ["input, *size", (s) => fresh(sizesOf(s.get("size")))],
  full_like: ["input, fill_value", (s) => fresh(input(s).shape)],
  empty_like: ["input", (s) => fresh(input(s).shape)],
  is_contiguous: ["input", () => true],
  ndimension: ["input", (s) => input(s).shape.length],
  nelement: ["input", (s) => sizeOf(input(s).shape)],
  prod: ["input, dim=None, keepdim=False", reduced("prod", null)],
  logsumexp: ["input, dim=None, keepdim=False", reduced("logsumexp", null)],
  median: ["input, dim=None, keepdim=False", extreme("median")],
  any: ["input, dim=None, keepdim=False", reduced("any", null)],
  all: ["input, dim=None, keepdim=False", reduced("all", null)],
  ...Object.fromEntries(
    ["cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "kl_div"].map((name) => [
      name,
      ["input, target, *rest", (_: Settings, run: Interpreter) => shaped([], null, run, name)] as [
        string,
        Body,
      ],
    ]),
  ),
  binary_cross_entropy: ["input, *rest", (_, run) => shaped([], null, run, say`a loss`)],
  binary_cross_entropy_with_logits: [
    "input, *rest",
    (_, run) => shaped([], null, run, say`a loss`),
  ],
  div: operator("/"),
  div_: operator("/"),
  pow: operator("**"),
  maximum: operator("-"),
  minimum: operator("-"),
  masked_fill: ["input, mask, value", same("masked_fill")],
  roll: ["input, shifts, dims=None", same("roll")],
  flip: ["input, dims", same("flip")],
  normalize: ["input, p=2.0, dim=1", same("normalize")],
  layer_norm: ["input, normalized_shape, weight=None, bias=None", same("layer_norm")],
  scaled_dot_product_attention: [
    "query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None",
    (s, run) => {
      const [q, k, v] = ["query", "key", "value"].map((name) => tensorOf(s.get(name), name));
      const [l, e] = q.shape.slice(-2);
      const batch = q.shape.slice(0, -2).reduce((p, d) => p * d, 1);
      run.addMultiplyAdds(batch * l * k.shape.at(-2)! * (e + v.shape.at(-1)!));
      return shaped([...q.shape.slice(0, -1), v.shape.at(-1)!], null, run, "attention");
    },
  ],
  einsum: ["equation, *operands", (s, run) => einsum(s, run)],
  // ## Tensors from nothing
  rand: created,
  randn: created,
  zeros: created,
  ones: created,
  empty: created,
  full: ["size, fill_value", (s) => fresh(sizesOf(s.get("size")))],
  randint: [
    "low, high=None, size=None",
    (s) => fresh(sizesOf(s.get("size") ?? s.get("high")), true),
  ],
  normal: ["mean, std=None, size=None", (s) => fresh(sizesOf(s.get("size")))],
  arange: [
    "start, end=None, step=1",
    (s) => {
      const [from, to] =
        s.get("end") === null ? [0, s.float("start")] : [s.float("start"), s.float("end")];
      const length = Math.max(0, Math.ceil((to - from) / s.float("step")));
      const x = fresh([length], true);
      if (length > 1000) return x;
      return withNumbers(
        x,
        Array.from({ length }, (_, i) => from + i * s.float("step")),
      );
    },
  ],
  linspace: [
    "start, end, steps=100",
    (s) => {
      const [from, to, steps] = [s.float("start"), s.float("end"), s.int("steps")];
      const x = fresh([steps]);
      if (steps > 1000) return x;
      const at = (i: number) =>
        Math.fround(steps === 1 ? from : from + ((to - from) / (steps - 1)) * i);
      return withNumbers(
        x,
        Array.from({ length: steps }, (_, i) => at(i)),
      );
    },
  ],
  tensor: ["data", (s) => fresh(nested(s.get("data")))],
  as_tensor: ["data", (s) => fresh(nested(s.get("data")))],
  from_numpy: ["data", (s) => fresh(nested(s.get("data")))],
  zeros_like: ["input", (s) => fresh(input(s).shape)],
  ones_like: ["input", (s) => fresh(input(s).shape)],
  rand_like: ["input", (s) => fresh(input(s).shape)],
  randn_like: ["input", (s) => fresh(input(s).shape)],
  item: ["input", () => new Unknown(say`it depends on a tensor's numbers`)],
  long: ["input", (s) => fresh(input(s).shape, true)],
  int: ["input", (s) => fresh(input(s).shape, true)],
};

// What only changes the numbers, where they are or how they are kept.
for (const name of [
  ...["contiguous", "clone", "detach", "to", "cuda", "cpu", "float", "half", "double", "type"],
  ...["requires_grad_", "type_as", "data", "bfloat16", "astype", "copy"],
])
  table[name] = ["input, *rest", (s) => s.get("input")];
for (const name of [
  ...["gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "relu6", "leaky_relu", "elu"],
  ...["selu", "prelu", "softplus", "logsigmoid", "clamp", "clip", "abs", "exp", "log", "sqrt"],
  ...["rsqrt", "sin", "cos", "neg", "square", "cumsum", "local_response_norm", "clamp_", "exp_"],
  ...["alpha_dropout", "dropout1d", "dropout3d", "batch_norm", "group_norm", "instance_norm"],
  ...["bernoulli", "bernoulli_", "floor", "floor_", "sigmoid_", "tanh_", "sort", "tril", "triu"],
  ...["log2", "log10", "tan", "reciprocal", "threshold", "celu", "rrelu", "softsign", "tanhshrink"],
  ...["hardshrink", "softshrink", "glu_", "leaky_relu_", "elu_", "hardtanh_", "sqrt_", "abs_"],
  ...[
    "instance_norm",
    "rms_norm",
    "cumprod",
    "logical_not",
    "nan_to_num",
    "ceil",
    "trunc",
    "zero_",
  ],
  ...[
    "copy_",
    "clamp_min",
    "clamp_max",
    "softmax_",
    "gumbel_softmax",
    "argsort",
    "feature_dropout",
  ],
  ...["log1p", "expm1", "erf", "sign", "round", "uniform_", "normal_", "fill_", "softmin"],
])
  table[name] ??= ["input, *rest", same(name)];
table.concat = table.concatenate = table.cat;
table.dropout_ = table.dropout;
table.swapaxes = table.transpose;

function moved(s: Settings): Value {
  const x = input(s);
  const from = sizesOf(s.get("source")).map((dim) => axisIn(x, dim));
  const to = sizesOf(s.get("destination")).map((dim) => axisIn(x, dim));
  const rest = x.shape.map((_, i) => i).filter((i) => !from.includes(i));
  return permuted(
    x,
    x.shape.map((_, i) => (to.includes(i) ? from[to.indexOf(i)] : rest.shift()!)),
  );
}

/** `F.unfold(x, kernel_size, …)`: the windows of images, side by side. */
function unfolded(x: TensorValue, s: Settings, run: Interpreter): Value {
  const given = s.get("rest");
  const rest = given instanceof List ? given.items : [];
  const names = ["kernel_size", "dilation", "padding", "stride"];
  const settings = names.map((name, i): [string, Value] => [
    name,
    rest.at(i) ?? s.get(name) ?? (name === "padding" ? 0 : 1),
  ]);
  return more
    .get("Unfold")!
    .make(new Settings("Unfold", new Map(settings)))
    .forward([x], run);
}

/** `x.unfold(dimension, size, step)`: windows along one axis, as a new last one. */
const unfoldAxis = (x: TensorValue, run: Interpreter): Native =>
  new Native("unfold", ({ positional, named }) => {
    const [dim, size, step] = ["dimension", "size", "step"].map((name, i) =>
      new Settings("unfold", new Map([[name, positional.at(i) ?? named.get(name) ?? null]])).int(
        name,
      ),
    );
    const at = axisIn(x, dim);
    if (size > x.shape[at])
      throw new ShapeError(say`windows of ${size} do not fit an axis of ${x.shape[at]}`, "size");
    const count = Math.floor((x.shape[at] - size) / step) + 1;
    return shaped([...x.shape.with(at, count), size], null, run, "unfold");
  });

const withType = (x: TensorValue, like: TensorValue): TensorValue =>
  like.tensor.dtype === "int64" ? fresh(x.shape, true) : x;

const pieces = (size: number, length: number): number[] => {
  if (length < 1) throw new NotKnown(say`pieces of no length`);
  return Array.from({ length: Math.ceil(size / length) }, (_, i) =>
    Math.min(length, size - i * length),
  );
};

/** The shape of lists within lists. */
export function nested(value: Value): number[] {
  if (value instanceof TensorValue) return [...value.shape];
  if (value instanceof List)
    return [value.items.length, ...(value.items.length > 0 ? nested(value.items[0]) : [])];
  if (value instanceof Unknown) throw new NotKnown(value.reason);
  return [];
}

function einsum(s: Settings, run: Interpreter): Value {
  const equation = show(s.get("equation")).replaceAll(" ", "");
  const match = /^([a-zA-Z,]+)->([a-zA-Z]*)$/.exec(equation);
  if (match === null) throw new NotKnown(say`this einsum is not followed`);
  const given = s.get("operands");
  const operands = listOf(given, run);
  const sizes = new Map<string, number>();
  for (const [i, letters] of match[1].split(",").entries())
    Array.from(letters).forEach((letter, axis) => {
      const size = operands.at(i)?.shape.at(axis);
      if (size === undefined) throw new NotKnown(say`this einsum is not followed`);
      const before = sizes.get(letter) ?? size;
      if (before !== size)
        throw new ShapeError(
          say`einsum: ${letter} is ${before} and ${size}`,
          "operands",
          before,
          size,
        );
      sizes.set(letter, size);
    });
  run.addMultiplyAdds([...sizes.values()].reduce((p, d) => p * d, 1));
  return shaped(
    Array.from(match[2]).map((letter) => sizes.get(letter) ?? 1),
    null,
    run,
    "einsum",
  );
}

/** A function of `torch` or `torch.nn.functional`. */
export function tensorFunction(run: Interpreter, name: string): Native | undefined {
  if (!Object.hasOwn(table, name)) return undefined;
  const [signature, body] = table[name];
  return new Native(name, (args) => {
    const [first] = args.positional;
    // What a type or device is need not be known.
    const loose = /^(to|type|type_as|astype)$/.test(name) && !(first instanceof Unknown);
    const unknown = args.positional.find((value) => value instanceof Unknown);
    if (unknown instanceof Unknown && !loose) return unknown;
    return body(bind(name, signature, args), run);
  });
}

/** What stands behind a dot: a tensor's method, and those of Python's own types. */
export function tensorMethod(run: Interpreter, object: Value, name: string): Value {
  const method = (body: (args: readonly Value[]) => Value) =>
    new Native(name, ({ positional }) => body(positional));
  // Numbers taken out of a vector are numbers already.
  if (name === "item" && (object instanceof Float || typeof object === "number"))
    return method(() => object);
  if (object instanceof TensorValue) {
    if ((name === "tolist" || name === "numpy") && object.numbers !== null)
      return method(() => new List(object.numbers!.map((n) => new Float(n))));
    if (name === "requires_grad") return object.requiresGrad;
    if (name === "is_cuda") return false;
    if (name === "grad") return null;
    if (name === "H" || name === "mT")
      return permuted(object, [
        ...object.shape.slice(0, -2).map((_, i) => i),
        object.shape.length - 1,
        object.shape.length - 2,
      ]);
    if (name === "shape") return tuple([...object.shape]);
    if (name === "ndim") return object.shape.length;
    if (name === "T") return permuted(object, object.shape.map((_, i) => i).reverse());
    if (name === "data") return object;
    if (name === "device" || name === "dtype") return new Unknown(say`the ${name} is not followed`);
    if (name === "unfold") return unfoldAxis(object, run);
    const native = tensorFunction(run, name);
    return native === undefined
      ? new Unknown(say`the method ${name} of a tensor is not followed`)
      : new Bound(object, native);
  }
  if (object instanceof Native && object.name === "chain" && name === "from_iterable")
    return method(([lists]) => {
      const all = iterate(run, lists);
      return all instanceof Unknown ? all : object.call(plainArgs(all));
    });
  if (object instanceof List) return listMethod(run, object, name, method);
  if (object instanceof Dict) return dictMethod(object, name, method);
  if (typeof object === "string") return stringMethod(run, object, name, method);
  if (typeof object === "number" && name === "bit_length")
    return method(() => Math.floor(Math.log2(Math.max(1, Math.abs(object)))) + 1);
  return new Unknown(say`${name} is not followed here`);
}

type Method = (body: (args: readonly Value[]) => Value) => Native;

function listMethod(run: Interpreter, list: List, name: string, method: Method): Value {
  const { items, kind } = list;
  if (kind === "array") {
    if (name === "size") return sizeOf(nested(list));
    if (/^(shape|ndim|reshape|astype|transpose|T)$/.test(name))
      return tensorMethod(run, fresh(nested(list)), name);
  }
  switch (name) {
    case "append":
    case "add":
      return method(([value]) => {
        run.bound(items.length);
        items.push(value);
        return null;
      });
    case "extend":
      return method(([value]) => {
        const more = iterate(run, value);
        if (more instanceof Unknown) return more;
        run.bound(items.length + more.length);
        items.push(...more);
        return null;
      });
    case "insert":
      return method(([at, value]) => {
        run.bound(items.length);
        if (typeof at === "number") items.splice(at, 0, value);
        return null;
      });
    case "pop":
      return method(([at = -1]) => {
        const i = typeof at === "number" ? at : -1;
        const [value] = items.splice(i < 0 ? i + items.length : i, 1);
        if (items.length === 0 && (value as Value | undefined) === undefined)
          throw new Raised(say`pop from an empty list`);
        return value;
      });
    case "reverse":
      return method(() => {
        items.reverse();
        return null;
      });
    case "copy":
      return method(() => new List([...items], kind));
    case "tolist":
      return method(() => asList(list));
    case "clear":
      return method(() => {
        items.length = 0;
        return null;
      });
    case "remove":
    case "discard":
      return method(([value]) => {
        const at = items.findIndex((item) => keyOf(item) === keyOf(value));
        if (at >= 0) items.splice(at, 1);
        return null;
      });
    case "update":
    case "union":
      return method((lists) => {
        const more = lists.flatMap((list) => {
          const some = iterate(run, list);
          return some instanceof Unknown ? [] : some;
        });
        const all = [...new Map([...items, ...more].map((v) => [keyOf(v), v])).values()];
        if (name === "union") return new List(all, "set");
        items.splice(0, items.length, ...all);
        return null;
      });
    case "sort":
      return new Native(name, ({ named }) => {
        const all = new List([...items]);
        const sorted = builtins(run).get("sorted");
        const after = sorted instanceof Native ? sorted.call({ ...plainArgs([all]), named }) : null;
        if (after instanceof List) items.splice(0, items.length, ...after.items);
        return null;
      });
    // What `max` and `topk` give of an axis.
    case "values":
      return items.at(0) ?? null;
    case "indices":
      return items.at(1) ?? null;
    case "index":
      return method(([value]) => items.findIndex((item) => keyOf(item) === keyOf(value)));
    case "count":
      return method(([value]) => items.filter((item) => keyOf(item) === keyOf(value)).length);
    case "numel":
      return method(() => items.reduce<number>((p, d) => p * Number(d), 1));
    default:
      return new Unknown(say`the method ${name} of a list is not followed`);
  }
}

const asList = (value: Value): Value =>
  value instanceof List ? new List(value.items.map(asList)) : value;

function dictMethod(dict: Dict, name: string, method: Method): Value {
  const { entries } = dict;
  switch (name) {
    case "items":
      return method(() => new List([...entries.values()].map(([k, v]) => tuple([k, v]))));
    case "keys":
      return method(() => new List([...entries.values()].map(([k]) => k)));
    case "values":
      return method(() => new List([...entries.values()].map(([, v]) => v)));
    case "get":
      return method(([key, other = null]) => dict.get(key) ?? other);
    case "setdefault":
      return method(([key, other = null]) => {
        if (dict.get(key) === undefined) dict.set(key, other);
        return dict.get(key) ?? null;
      });
    case "pop":
      return method(([key, other = null]) => {
        const value = dict.get(key) ?? other;
        entries.delete(keyOf(key));
        return value;
      });
    case "update":
      return new Native(name, ({ positional, named }) => {
        for (const more of positional)
          if (more instanceof Dict) for (const pair of more.entries.values()) dict.set(...pair);
        for (const [key, value] of named) dict.set(key, value);
        return null;
      });
    case "clear":
      return method(() => {
        entries.clear();
        return null;
      });
    case "fromkeys":
      return method(([keys, value = null]) => {
        const made = new Dict();
        if (keys instanceof List) for (const key of keys.items) made.set(key, value);
        return made;
      });
    case "copy":
      return method(() => {
        const copy = new Dict();
        for (const pair of entries.values()) copy.set(...pair);
        return copy;
      });
    default:
      return new Unknown(say`the method ${name} of a dictionary is not followed`);
  }
}

function stringMethod(run: Interpreter, text: string, name: string, method: Method): Value {
  const string = (value: Value | undefined) => (typeof value === "string" ? value : null);
  switch (name) {
    case "format":
      return new Native(name, ({ positional, named }) => {
        let i = 0;
        const result = text.replace(/\{(\w*)(?::([^{}]*))?\}/g, (_, key: string, spec?: string) => {
          const value =
            key === ""
              ? positional.at(i++)
              : /^\d+$/.test(key)
                ? positional.at(Number(key))
                : named.get(key);
          return spec === undefined ? show(value ?? null) : formatted(value ?? null, spec);
        });
        run.bound(result.length);
        return result;
      });
    case "join":
      return method(([list]) => {
        const items = iterate(run, list);
        if (items instanceof Unknown) return items;
        const result = items.map((item) => show(item)).join(text);
        run.bound(result.length);
        return result;
      });
    case "split":
      return method(
        ([by]) =>
          new List(string(by) === null ? text.trim().split(/\s+/) : text.split(string(by)!)),
      );
    case "upper":
      return method(() => text.toUpperCase());
    case "lower":
      return method(() => text.toLowerCase());
    case "strip":
    case "lstrip":
    case "rstrip":
      return method(([characters]) => {
        const ends = string(characters) ?? " \t\r\n\f\v";
        let [from, to] = [0, text.length];
        if (name !== "rstrip") while (from < to && ends.includes(text[from])) from++;
        if (name !== "lstrip") while (to > from && ends.includes(text[to - 1])) to--;
        return text.slice(from, to);
      });
    case "title":
    case "capitalize":
      return method(() => text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase());
    case "isalpha":
      return method(() => /^[a-zA-Z]+$/.test(text));
    case "find":
      return method(([s]) => text.indexOf(string(s) ?? "\0"));
    case "count":
      return method(([s]) => text.split(string(s) ?? "\0").length - 1);
    case "zfill":
      return method(([n]) => text.padStart(Math.min(Number(n), 1000), "0"));
    case "rsplit":
      return method(([by = " ", most = -1]) => {
        const parts = text.split(string(by) ?? " ");
        if (typeof most !== "number" || most < 0 || parts.length <= most + 1)
          return new List(parts);
        const head = parts.slice(0, parts.length - most).join(string(by) ?? " ");
        return new List([head, ...parts.slice(parts.length - most)]);
      });
    case "startswith":
    case "endswith": {
      const begins = (s: Value) =>
        typeof s === "string" && (name === "startswith" ? text.startsWith(s) : text.endsWith(s));
      return method(([s]) => (s instanceof List ? s.items.some(begins) : begins(s)));
    }
    case "isdigit":
      return method(() => /^\d+$/.test(text));
    case "replace":
      return method(([from, to]) => {
        const result = text.replaceAll(string(from) ?? "\0", string(to) ?? "");
        run.bound(result.length);
        return result;
      });
    default:
      return new Unknown(say`the method ${name} of a string is not followed`);
  }
}
