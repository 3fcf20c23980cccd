// # Layers that few networks use
//
// More of `torch.nn`, known to their shapes, parameters and printed forms.

import { ShapeError } from "../errors.js";
import {
  asTuple,
  beyond,
  type Entry,
  expectAxes,
  expectSize,
  flag,
  listed,
  noParameters,
  pointwise,
  printed,
  type Settings,
  shaped,
  tensorOf,
  windowed,
} from "./layers.js";
import { List, show, tuple } from "./values.js";
import { say } from "../words.js";

const shown = (s: Settings, ...names: string[]): string =>
  names.map((name) => `${name}=${show(s.get(name), true)}`).join(", ");

/** Element by element, printed with its settings. */
const simple = (
  name: string,
  signature: string,
  extra: (s: Settings) => string = () => "",
): [string, Entry] => [name, { signature, make: (s) => pointwise(name, extra(s)) }];

const instanceNorm = (axes: 1 | 2 | 3): [string, Entry] => [
  `InstanceNorm${axes}d`,
  {
    signature:
      "num_features, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False, device=None, dtype=None",
    make(s) {
      const features = s.int("num_features");
      const affine = s.bool("affine");
      return beyond(
        `${features}, eps=${show(s.get("eps"))}, momentum=${show(s.get("momentum"))}, ` +
          `affine=${flag(affine)}, bias=${flag(affine)}, track_running_stats=${flag(s.bool("track_running_stats"))}`,
        ([value], run) => {
          const x = tensorOf(value, say`the input`);
          expectAxes(x, axes + 2, axes + 1);
          return shaped(x.shape, x.field, run, `InstanceNorm${axes}d`);
        },
        affine
          ? new Map([
              ["weight", [features]],
              ["bias", [features]],
            ])
          : noParameters,
      );
    },
  },
];

/** Padding of one to three axes, the last first. */
const padding = (name: string, axes: 1 | 2 | 3): [string, Entry] => [
  `${name}${axes}d`,
  {
    signature: name === "ConstantPad" ? "padding, value" : "padding",
    make(s) {
      const sides = s.axes("padding", 2 * axes);
      const value = name === "ConstantPad" ? `, value=${show(s.get("value"))}` : "";
      return beyond(`${printed(sides)}${value}`, ([input], run) => {
        const x = tensorOf(input, say`the input`);
        const first = x.shape.length - axes;
        const shape = x.shape.map((d, i) => {
          const at = 2 * (x.shape.length - 1 - i);
          return i < first ? d : d + sides[at] + sides[at + 1];
        });
        return shaped(shape, x.field, run, name);
      });
    },
  },
];

const cell = (kind: "LSTMCell" | "GRUCell" | "RNNCell"): [string, Entry] => [
  kind,
  {
    signature: "input_size, hidden_size, bias=True, nonlinearity='tanh', device=None, dtype=None",
    make(s) {
      const [input, hidden, bias] = [s.int("input_size"), s.int("hidden_size"), s.bool("bias")];
      const gates = { LSTMCell: 4, GRUCell: 3, RNNCell: 1 }[kind];
      const parameters = new Map([
        ["weight_ih", [gates * hidden, input]],
        ["weight_hh", [gates * hidden, hidden]],
        ...(bias
          ? ([
              ["bias_ih", [gates * hidden]],
              ["bias_hh", [gates * hidden]],
            ] as [string, number[]][])
          : []),
      ]);
      return beyond(
        listed(`${input}, ${hidden}`, bias ? "" : "bias=False"),
        ([value], run) => {
          const x = tensorOf(value, say`the input`);
          expectSize(x, -1, input, "input_size", say`features`);
          const shape = [...x.shape.slice(0, -1), hidden];
          run.addMultiplyAdds(
            (x.shape.length === 2 ? x.shape[0] : 1) * gates * hidden * (input + hidden),
          );
          const state = () => shaped(shape, null, run, kind);
          return kind === "LSTMCell" ? tuple([state(), state()]) : state();
        },
        parameters,
      );
    },
  },
];

const unpool = (axes: 1 | 2 | 3): [string, Entry] => [
  `MaxUnpool${axes}d`,
  {
    signature: "kernel_size, stride=None, padding=0",
    make(s) {
      const kernel = s.axes("kernel_size", axes);
      const stride = s.get("stride") === null ? kernel : s.axes("stride", axes);
      const sides = s.axes("padding", axes);
      return beyond(
        `kernel_size=${asTuple(kernel)}, stride=${asTuple(stride)}, padding=${asTuple(sides)}`,
        ([value, , size], run) => {
          const x = tensorOf(value, say`the input`);
          const wanted =
            size instanceof List ? size.items.slice(-axes).map((d) => Number(d)) : undefined;
          const before = x.shape.slice(-axes);
          const after =
            wanted ?? before.map((d, i) => (d - 1) * stride[i] - 2 * sides[i] + kernel[i]);
          return shaped([...x.shape.slice(0, -axes), ...after], null, run, "MaxUnpool");
        },
      );
    },
  },
];

/** The blocks of an image as columns, and back. */
const folds: [string, Entry][] = [
  [
    "Unfold",
    {
      signature: "kernel_size, dilation=1, padding=0, stride=1",
      make: (s) =>
        beyond(shown(s, "kernel_size", "dilation", "padding", "stride"), ([value], run) => {
          const x = tensorOf(value, say`the input`);
          expectAxes(x, 4, 3);
          const sizes = (name: string) => s.axes(name, 2);
          const kernel = sizes("kernel_size");
          const [h, w] = windowed(
            ...[x.shape.slice(-2), kernel, sizes("stride"), sizes("padding")],
            sizes("dilation"),
          );
          const columns = [x.shape.at(-3)! * kernel[0] * kernel[1], h * w];
          return shaped([...x.shape.slice(0, -3), ...columns], null, run, "Unfold");
        }),
    },
  ],
  [
    "Fold",
    {
      signature: "output_size, kernel_size, dilation=1, padding=0, stride=1",
      make: (s) =>
        beyond(
          shown(s, "output_size", "kernel_size", "dilation", "padding", "stride"),
          ([value], run) => {
            const x = tensorOf(value, say`the input`);
            const kernel = s.axes("kernel_size", 2);
            const channels = x.shape.at(-2)! / (kernel[0] * kernel[1]);
            if (!Number.isInteger(channels))
              throw new ShapeError(
                say`${x.shape.at(-2)!} rows are no whole number of ${kernel.join("×")} blocks`,
                "kernel_size",
              );
            const after = [channels, ...s.axes("output_size", 2)];
            return shaped([...x.shape.slice(0, -2), ...after], null, run, "Fold");
          },
        ),
    },
  ],
];

const ofTwo = (
  name: string,
  signature: string,
  extra: (s: Settings) => string,
): [string, Entry] => [
  name,
  {
    signature,
    make: (s) =>
      beyond(extra(s), ([a, b], run) => {
        const [x, y] = [tensorOf(a, say`the first input`), tensorOf(b, say`the second input`)];
        const dim = name === "CosineSimilarity" ? s.int("dim") : -1;
        const at = dim < 0 ? dim + x.shape.length : dim;
        expectSize(y, at, x.shape[at], "dim", say`features`);
        return shaped(x.shape.toSpliced(at, 1), null, run, name);
      }),
  },
];

// ## Lazy layers

/** What they become, and the argument that they take from their input. */
export const lazyLayers: readonly (readonly [name: string, becomes: string, argument: string])[] = [
  ["LazyLinear", "Linear", "in_features"],
  ...[1, 2, 3].flatMap((axes) => [
    [`LazyConv${axes}d`, `Conv${axes}d`, "in_channels"] as const,
    [`LazyConvTranspose${axes}d`, `ConvTranspose${axes}d`, "in_channels"] as const,
    [`LazyBatchNorm${axes}d`, `BatchNorm${axes}d`, "num_features"] as const,
    [`LazyInstanceNorm${axes}d`, `InstanceNorm${axes}d`, "num_features"] as const,
  ]),
];

/** More layers, by the names of their classes. */
export const moreLayers: readonly [string, Entry][] = [
  ...([1, 2, 3] as const).map(instanceNorm),
  ...([1, 2, 3] as const).flatMap((axes) => [unpool(axes)]),
  ...(
    ["ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"] as const
  ).flatMap((name) => ([1, 2, 3] as const).map((axes) => padding(name, axes))),
  ...(["LSTMCell", "GRUCell", "RNNCell"] as const).map(cell),
  ...folds,
  simple("Softmin", "dim=None", (s) => `dim=${show(s.get("dim"))}`),
  simple("Tanhshrink", ""),
  simple("Hardshrink", "lambd=0.5", (s) => show(s.get("lambd"))),
  simple("Softshrink", "lambd=0.5", (s) => show(s.get("lambd"))),
  simple("Threshold", "threshold, value, inplace=False", (s) =>
    listed(shown(s, "threshold", "value"), s.bool("inplace") ? "inplace=True" : ""),
  ),
  simple("RReLU", "lower=0.125, upper=0.3333333333333333, inplace=False", (s) =>
    listed(shown(s, "lower", "upper"), s.bool("inplace") ? "inplace=True" : ""),
  ),
  simple("FeatureAlphaDropout", "p=0.5, inplace=False", (s) => shown(s, "p", "inplace")),
  simple("CrossMapLRN2d", "size, alpha=0.0001, beta=0.75, k=1", (s) => shown(s, "size")),
  [
    "GLU",
    {
      signature: "dim=-1",
      make: (s) =>
        beyond(shown(s, "dim"), ([value], run) => {
          const x = tensorOf(value, say`the input`);
          const at = s.int("dim") < 0 ? s.int("dim") + x.shape.length : s.int("dim");
          if (x.shape[at] % 2 !== 0)
            throw new ShapeError(
              say`${x.shape[at]} cannot be halved`,
              "dim",
              undefined,
              x.shape[at],
            );
          return shaped(x.shape.with(at, x.shape[at] / 2), x.field, run, "GLU");
        }),
    },
  ],
  [
    "RMSNorm",
    {
      signature: "normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None",
      make(s) {
        const given = s.sizes("normalized_shape");
        const shape = typeof given === "number" ? [given] : given;
        const affine = s.bool("elementwise_affine");
        return beyond(
          `${asTuple(shape)}, ${shown(s, "eps", "elementwise_affine")}`,
          ([value], run) => {
            const x = tensorOf(value, say`the input`);
            shape.forEach((d, i) =>
              expectSize(x, i - shape.length, d, "normalized_shape", say`features`),
            );
            return shaped(x.shape, null, run, "RMSNorm");
          },
          affine ? new Map([["weight", shape]]) : noParameters,
        );
      },
    },
  ],
  [
    "Bilinear",
    {
      signature: "in1_features, in2_features, out_features, bias=True, device=None, dtype=None",
      make(s) {
        const [a, b, out] = [s.int("in1_features"), s.int("in2_features"), s.int("out_features")];
        const bias = s.bool("bias");
        return beyond(
          shown(s, "in1_features", "in2_features", "out_features", "bias"),
          ([first, second], run) => {
            const [x, y] = [
              tensorOf(first, say`the first input`),
              tensorOf(second, say`the second input`),
            ];
            expectSize(x, -1, a, "in1_features", say`features`);
            expectSize(y, -1, b, "in2_features", say`features`);
            return shaped([...x.shape.slice(0, -1), out], null, run, "Bilinear");
          },
          new Map([
            ["weight", [out, a, b]],
            ...(bias ? [["bias", [out]] as [string, number[]]] : []),
          ]),
        );
      },
    },
  ],
  [
    "LPPool2d",
    {
      signature: "norm_type, kernel_size, stride=None, ceil_mode=False",
      make: (s) =>
        beyond(shown(s, "norm_type", "kernel_size", "stride", "ceil_mode"), ([value], run) => {
          const x = tensorOf(value, say`the input`);
          const kernel = s.axes("kernel_size", 2);
          const stride = s.get("stride") === null ? kernel : s.axes("stride", 2);
          const after = windowed(
            ...[x.shape.slice(-2), kernel, stride, [0, 0]],
            [1, 1],
            s.bool("ceil_mode"),
          );
          return shaped([...x.shape.slice(0, -2), ...after], null, run, "LPPool2d");
        }),
    },
  ],
  [
    "EmbeddingBag",
    {
      signature:
        "num_embeddings, embedding_dim, max_norm=None, norm_type=2.0, mode='mean', sparse=False",
      make(s) {
        const [count, size] = [s.int("num_embeddings"), s.int("embedding_dim")];
        return beyond(
          `${count}, ${size}, mode=${show(s.get("mode"), true)}`,
          ([value, offsets], run) => {
            const x = tensorOf(value, say`the input`);
            const bags = (offsets ?? null) === null ? x : tensorOf(offsets, "offsets");
            return shaped([bags.shape[0], size], null, run, "EmbeddingBag");
          },
          new Map([["weight", [count, size]]]),
        );
      },
    },
  ],
  ofTwo("CosineSimilarity", "dim=1, eps=1e-08", () => ""),
  ofTwo("PairwiseDistance", "p=2.0, eps=1e-06, keepdim=False", () => ""),
];
