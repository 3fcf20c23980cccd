// # PyTorch's layers
//
// What each class of `torch.nn` does to a shape, what it learns and how it prints. Where the library
// has the layer, that one answers; the layers beyond it are known to their shapes, parameters and
// cost.

import { ShapeError } from "../errors.js";
import { zeros } from "../create.js";
import * as nn from "../nn/index.js";
import type { Tensor } from "../tensor.js";
import { outputSize, showOutputSize, type Window, windowOf } from "../window.js";
import {
  Dict,
  type Field,
  Float,
  type Instance,
  List,
  show,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { either, Refusal, type Said, say } from "../words.js";

/** What a layer may tell the run that it takes part in. */
export interface Run {
  /** Products that the reference does not count, because it does not compute them. */
  addMultiplyAdds(products: number): void;
  /** Only the shape is known: there is nothing to compute with. */
  shapeOnly(what: string | Said): void;
}

/** One of PyTorch's layers with its settings. */
export interface Layer {
  /** The library's layer, where it has it. */
  readonly real: nn.Module | null;
  /** Between the parentheses of the printed form. */
  readonly extra: string;
  /** Printed below, for layers with layers inside. */
  readonly inner?: readonly string[];
  readonly parameters: ReadonlyMap<string, readonly number[]>;
  /** `6·1·5·5 + 6`. */
  readonly parameterFormula?: string;
  /** For the arithmetic of the output's size. */
  readonly window?: Window;
  forward(inputs: readonly Value[], run: Run): Value;
}

// ## Settings

/** The values of a call's arguments by PyTorch's names, defaults filled in. */
export class Settings {
  constructor(
    readonly name: string,
    readonly values: ReadonlyMap<string, Value>,
  ) {}

  get(name: string): Value {
    return this.values.get(name) ?? null;
  }

  int(name: string): number {
    const value = this.get(name);
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    if (typeof value === "boolean") return Number(value);
    if (value instanceof Unknown) throw new NotKnown(value.reason);
    throw new NotKnown(say`${name} of ${this.name} is ${show(value, true)}, not a whole number`);
  }

  float(name: string): number {
    const value = this.get(name);
    if (value instanceof Float) return value.value;
    return typeof value === "number" ? value : this.int(name);
  }

  bool(name: string): boolean {
    const value = this.get(name);
    if (value instanceof Unknown) throw new NotKnown(value.reason);
    return truth(value);
  }

  /** One number for all axes, or one for each; as given. */
  sizes(name: string): number | number[] {
    const value = this.get(name);
    if (!(value instanceof List)) return this.int(name);
    return value.items.map((item) => new Settings(this.name, new Map([[name, item]])).int(name));
  }

  axes(name: string, count: number): number[] {
    const sizes = this.sizes(name);
    const list = typeof sizes === "number" ? [sizes] : sizes;
    return list.length === 1 ? new Array<number>(count).fill(list[0]) : list.slice(0, count);
  }
}

/** A value that is needed is not known. */
export class NotKnown extends Refusal {}

export const truth = (value: Value): boolean => {
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof List) return value.items.length > 0;
  if (value instanceof Dict) return value.entries.size > 0;
  return Boolean(value);
};

// ## Parameters

const made = new WeakMap<Layer, Map<string, TensorValue>>();

/** The parameters that a module itself has, by name; the same tensors at every call. */
export function ownParameters({ layer, attributes }: Instance): [string, TensorValue][] {
  const result: [string, TensorValue][] = [];
  if (layer !== null && layer.parameters.size > 0) {
    const known = made.get(layer) ?? new Map<string, TensorValue>();
    made.set(layer, known);
    const real = new Map(layer.real?.namedParameters() ?? []);
    for (const [name, shape] of layer.parameters) {
      // What the source has put in its place counts instead.
      if (attributes.has(name)) continue;
      const value =
        known.get(name) ??
        new TensorValue(real.get(name) ?? zeros(shape, { device: "meta" }), null, null, true);
      known.set(name, value);
      result.push([name, value]);
    }
  }
  for (const [name, value] of attributes)
    if (value instanceof TensorValue && value.isParameter) result.push([name, value]);
  return result;
}

// ## Shapes

export const noParameters: ReadonlyMap<string, readonly number[]> = new Map();

export function tensorOf(value: Value | undefined, what: string | Said): TensorValue {
  if (value instanceof TensorValue) return value;
  if (value instanceof Unknown) throw new NotKnown(value.reason);
  throw new NotKnown(say`${what} is no tensor`);
}

/** A tensor of which only the shape is known. */
export function shaped(
  shape: readonly number[],
  field: Field | null,
  run: Run,
  what: string | Said,
): TensorValue {
  run.shapeOnly(what);
  return new TensorValue(zeros(shape, { device: "meta" }), field);
}

export function expectAxes(x: TensorValue, ...allowed: number[]): void {
  if (!allowed.includes(x.shape.length))
    throw new ShapeError(
      say`the input must have ${either(allowed)} axes, but ${x.shape.length} arrive`,
      "input",
      allowed[0],
      x.shape.length,
    );
}

export function expectSize(
  x: TensorValue,
  axis: number,
  expected: number,
  argument: string,
  what: Said,
): void {
  const got = x.shape.at(axis);
  if (got !== expected)
    throw new ShapeError(
      say`${argument}=${expected}, but ${got ?? say`none`} ${what} arrive`,
      argument,
      expected,
      got,
    );
}

export function throughWindow(
  field: Field | null,
  { kernel, stride, dilation }: Window,
): Field | null {
  if (field === null) return null;
  const both = (along: (axis: 0 | 1) => number) => [along(0), along(1)] as const;
  return {
    size: both((a) => field.size[a] + dilation[a] * (kernel[a] - 1) * field.jump[a]),
    jump: both((a) => field.jump[a] * stride[a]),
  };
}

/** Where branches meet the larger field counts, and the finer grid. */
export function joined(fields: readonly (Field | null)[]): Field | null {
  const known = fields.filter((field) => field !== null);
  if (known.length < fields.length || known.length === 0) return null;
  const both = (along: (axis: 0 | 1) => number) => [along(0), along(1)] as const;
  return {
    size: both((a) => Math.max(...known.map(({ size }) => size[a]))),
    jump: both((a) => Math.min(...known.map(({ jump }) => jump[a]))),
  };
}

/** The sizes after a window, over one to three axes. */
export function windowed(
  sizes: readonly number[],
  kernel: readonly number[],
  stride: readonly number[],
  padding: readonly number[],
  dilation: readonly number[],
  ceilMode = false,
): number[] {
  return sizes.map((size, i) => {
    const both = (list: readonly number[]): [number, number] => [list[i], list[i]];
    const window = windowOf({
      kernelSize: both(kernel),
      stride: both(stride),
      padding: both(padding),
      dilation: both(dilation),
      ceilMode,
    });
    return outputSize([size, size], window)[0];
  });
}

/** The arithmetic of both axes, once when they are alike. */
export function arithmeticOf(window: Window, input: readonly number[]): string[] {
  const [height, width] = input.slice(-2);
  const lines = [showOutputSize(height, window, 0), showOutputSize(width, window, 1)];
  return lines[0] === lines[1] ? [lines[0]] : lines;
}

// ## Printing

export const printed = (value: number | readonly number[]): string =>
  typeof value === "number" ? String(value) : show(tuple([...value]));

export const asTuple = (values: readonly number[]): string => show(tuple([...values]));

export const flag = (value: boolean): string => (value ? "True" : "False");

// ## The table

type Make = (s: Settings) => Layer;

export interface Entry {
  readonly signature: string;
  readonly make: Make;
}

/** A layer of the library. */
function real(
  module: nn.Module,
  apply: (x: TensorValue, y: Tensor) => Field | null,
  check: (x: TensorValue) => void = () => {},
  more: Partial<Layer> = {},
): Layer {
  const own = [...module.namedParameters()];
  return {
    real: module,
    extra: module.extraRepr(),
    parameters: new Map(own.map(([name, p]) => [name, p.shape])),
    forward([input]) {
      const x = tensorOf(input, say`the input`);
      check(x);
      const y = module.hasHooks ? module.call(x.tensor) : module.forward(x.tensor);
      return new TensorValue(y, apply(x, y));
    },
    ...more,
  };
}

/** A layer beyond the library. */
export const beyond = (
  extra: string,
  forward: Layer["forward"],
  parameters: ReadonlyMap<string, readonly number[]> = noParameters,
  more: Partial<Layer> = {},
): Layer => ({ real: null, extra, parameters, forward, ...more });

/** Element by element: the shape stays. */
export const pointwise = (name: string, extra: string, parameters = noParameters): Layer =>
  beyond(
    extra,
    ([input], run) => {
      const x = tensorOf(input, say`the input`);
      return shaped(x.shape, x.field, run, name);
    },
    parameters,
  );

const keep = (x: TensorValue): Field | null => x.field;

function conv(axes: 1 | 2 | 3, transposed = false): Entry {
  const name = `Conv${transposed ? "Transpose" : ""}${axes}d`;
  const signature = transposed
    ? "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1, padding_mode='zeros', device=None, dtype=None"
    : "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode='zeros', device=None, dtype=None";
  return {
    signature,
    make(s) {
      const [input, output, groups] = [
        s.int("in_channels"),
        s.int("out_channels"),
        s.int("groups"),
      ];
      const [kernel, stride, dilation] = [
        s.axes("kernel_size", axes),
        s.axes("stride", axes),
        s.axes("dilation", axes),
      ];
      const named = s.get("padding");
      const padding =
        named === "same" || named === "valid"
          ? kernel.map((k, i) => (named === "valid" ? 0 : (dilation[i] * (k - 1)) / 2))
          : s.axes("padding", axes);
      const extraPadding = transposed ? s.axes("output_padding", axes) : [];
      const bias = s.bool("bias");
      const mode = s.get("padding_mode");
      if (groups < 1 || input % groups !== 0 || output % groups !== 0)
        throw new ShapeError(
          say`groups=${groups} must divide both the ${input} input and the ${output} output
            channels`,
          "groups",
          undefined,
          groups,
        );
      const taps = kernel.reduce((product, k) => product * k, 1);
      const shape = transposed
        ? [input, output / groups, ...kernel]
        : [output, input / groups, ...kernel];
      const parameters = new Map([["weight", shape]]);
      if (bias) parameters.set("bias", [output]);
      const parameterFormula = `${shape.join("·")}${bias ? ` + ${output}` : ""}`;
      const parts = [
        `${input}, ${output}`,
        `kernel_size=${asTuple(kernel)}`,
        `stride=${asTuple(stride)}`,
      ];
      if (typeof named === "string") parts.push(`padding=${named}`);
      else if (padding.some((p) => p !== 0)) parts.push(`padding=${asTuple(padding)}`);
      if (dilation.some((d) => d !== 1)) parts.push(`dilation=${asTuple(dilation)}`);
      if (extraPadding.some((p) => p !== 0)) parts.push(`output_padding=${asTuple(extraPadding)}`);
      if (groups !== 1) parts.push(`groups=${groups}`);
      if (!bias) parts.push("bias=False");
      if (mode !== "zeros") parts.push(`padding_mode=${show(mode)}`);
      const extra = parts.join(", ");
      const check = (x: TensorValue) => {
        expectAxes(x, axes + 2, axes + 1);
        expectSize(x, -axes - 1, input, "in_channels", say`channels`);
      };
      const whole = padding.every((p) => Number.isInteger(p));
      const two = (list: readonly number[]): [number, number] => [list[0], list[1]];
      const window =
        axes === 2 && !transposed && whole
          ? windowOf({
              kernelSize: two(kernel),
              stride: two(stride),
              padding: two(padding),
              dilation: two(dilation),
            })
          : undefined;
      if (window !== undefined && mode === "zeros") {
        const { kernel: kernelSize, ...rest } = window;
        const module = new nn.Conv2d(input, output, kernelSize, { ...rest, groups, bias });
        return real(
          module,
          (x) => throughWindow(x.field, window),
          (x) => {
            check(x);
            if (x.shape.length === 3) throw new NotKnown(say`a convolution without a batch`);
          },
          { window, parameterFormula, extra },
        );
      }
      return beyond(
        extra,
        ([value], run) => {
          const x = tensorOf(value, say`the input`);
          check(x);
          const before = x.shape.slice(-axes);
          const after = transposed
            ? before.map(
                (d, i) =>
                  (d - 1) * stride[i] -
                  2 * padding[i] +
                  dilation[i] * (kernel[i] - 1) +
                  extraPadding[i] +
                  1,
              )
            : named === "same"
              ? before
              : windowed(before, kernel, stride, padding, dilation);
          if (after.some((d) => d < 1))
            throw new ShapeError(say`nothing is left of ${printed(before)} pixels`, "padding");
          const batch = x.shape.slice(0, -axes - 1);
          const y = shaped([...batch, output, ...after], null, run, name);
          const places = (transposed ? before : after).reduce((p, d) => p * d, batch[0] ?? 1);
          run.addMultiplyAdds((places * taps * input * output) / groups);
          const field =
            axes === 2 && !transposed && x.field !== null
              ? {
                  size: [0, 1].map(
                    (a) => x.field!.size[a] + dilation[a] * (kernel[a] - 1) * x.field!.jump[a],
                  ),
                  jump: [0, 1].map((a) => x.field!.jump[a] * stride[a]),
                }
              : null;
          return new TensorValue(
            y.tensor,
            field && { size: two(field.size), jump: two(field.jump) },
          );
        },
        parameters,
        { parameterFormula },
      );
    },
  };
}

const batchNorm = (axes: 1 | 2 | 3): Entry => ({
  signature:
    "num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None",
  make(s) {
    const features = s.int("num_features");
    const momentum = s.get("momentum") === null ? null : s.float("momentum");
    const settings = {
      eps: s.float("eps"),
      momentum,
      affine: s.bool("affine"),
      trackRunningStats: s.bool("track_running_stats"),
    };
    const check = (x: TensorValue) => {
      if (axes === 1) expectAxes(x, 2, 3);
      else expectAxes(x, axes + 2);
      expectSize(x, 1, features, "num_features", axes === 1 ? say`features` : say`channels`);
    };
    const module =
      axes === 2 ? new nn.BatchNorm2d(features, settings) : new nn.BatchNorm1d(features, settings);
    const parameterFormula = settings.affine ? `${features} + ${features}` : "0";
    // The momentum is printed as Python would: 0.1, but also 1.0.
    const extra = module
      .extraRepr()
      .replace(/momentum=[^,]+/, `momentum=${show(s.get("momentum"))}`)
      .replace(/eps=[^,]+/, `eps=${show(s.get("eps"))}`);
    if (axes < 3) return real(module, keep, check, { parameterFormula, extra });
    const parameters = new Map([...module.namedParameters()].map(([name, p]) => [name, p.shape]));
    return beyond(
      extra,
      ([value], run) => {
        const x = tensorOf(value, say`the input`);
        check(x);
        return shaped(x.shape, null, run, "BatchNorm3d");
      },
      parameters,
      { parameterFormula },
    );
  },
});

function pool(axes: 1 | 2 | 3, kind: "Max" | "Avg"): Entry {
  return {
    signature:
      kind === "Max"
        ? "kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False"
        : "kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None",
    make(s) {
      const kernel = s.axes("kernel_size", axes);
      const strideGiven = s.get("stride") !== null;
      const stride = strideGiven ? s.axes("stride", axes) : kernel;
      const padding = s.axes("padding", axes);
      const dilation = kind === "Max" ? s.axes("dilation", axes) : kernel.map(() => 1);
      const ceilMode = s.bool("ceil_mode");
      const indices = kind === "Max" && s.bool("return_indices");
      const showSizes = (name: string) =>
        name === "stride" && !strideGiven
          ? printed(s.sizes("kernel_size"))
          : printed(s.sizes(name));
      const sizes = `kernel_size=${showSizes("kernel_size")}, stride=${showSizes("stride")}, padding=${showSizes("padding")}`;
      // AvgPool1d makes tuples of its sizes.
      const tuples = `kernel_size=${asTuple(kernel)}, stride=${asTuple(stride)}, padding=${asTuple(padding)}`;
      const extra =
        kind === "Max"
          ? `${sizes}, dilation=${showSizes("dilation")}, ceil_mode=${flag(ceilMode)}`
          : axes === 1
            ? tuples
            : sizes;
      if (axes === 2) {
        const two = (list: readonly number[]): [number, number] => [list[0], list[1]];
        // As given, one number or two, because the printed form shows it.
        const given = (name: string, values: readonly number[]) =>
          typeof s.get(name) === "number" ? values[0] : two(values);
        const options = {
          kernelSize: given("kernel_size", kernel),
          stride: given(strideGiven ? "stride" : "kernel_size", stride),
          padding: given("padding", padding),
          dilation: given("dilation", dilation),
          ceilMode,
        };
        const window = windowOf(options);
        const module =
          kind === "Max"
            ? new nn.MaxPool2d(options.kernelSize, options)
            : new nn.AvgPool2d(options.kernelSize, {
                ...options,
                countIncludePad: s.bool("count_include_pad"),
              });
        if (!indices)
          return real(
            module,
            (x) => throughWindow(x.field, window),
            (x) => expectAxes(x, 4),
            { window, extra },
          );
      }
      return beyond(extra, ([value], run) => {
        const x = tensorOf(value, say`the input`);
        expectAxes(x, axes + 2, axes + 1);
        const after = windowed(x.shape.slice(-axes), kernel, stride, padding, dilation, ceilMode);
        const shape = [...x.shape.slice(0, -axes), ...after];
        const y = shaped(shape, null, run, `${kind}Pool${axes}d`);
        return indices ? tuple([y, shaped(shape, null, run, "indices")]) : y;
      });
    },
  };
}

function adaptivePool(axes: 1 | 2 | 3, kind: "Max" | "Avg"): Entry {
  return {
    signature: "output_size, return_indices=False",
    make(s) {
      const given = s.get("output_size");
      const items = given instanceof List ? given.items : [given];
      const sizes = Array.from(
        { length: axes },
        (_, i) => items[items.length === 1 ? 0 : i] ?? null,
      );
      const extra = `output_size=${show(given)}`;
      if (kind === "Avg" && axes === 2 && sizes.every((d) => typeof d === "number")) {
        const module = new nn.AdaptiveAvgPool2d([sizes[0], sizes[1]]);
        return real(
          module,
          () => null,
          (x) => expectAxes(x, 4),
          { extra },
        );
      }
      return beyond(extra, ([value], run) => {
        const x = tensorOf(value, say`the input`);
        expectAxes(x, axes + 2, axes + 1);
        const after = sizes.map((d, i) => (typeof d === "number" ? d : x.shape.slice(-axes)[i]));
        return shaped(
          [...x.shape.slice(0, -axes), ...after],
          null,
          run,
          `Adaptive${kind}Pool${axes}d`,
        );
      });
    },
  };
}

const dropout = (name: string): Entry => ({
  signature: "p=0.5, inplace=False",
  make(s) {
    const extra = `p=${show(s.get("p"))}, inplace=${flag(s.bool("inplace"))}`;
    if (name === "Dropout") return real(new nn.Dropout(s.float("p")), keep, undefined, { extra });
    return pointwise(name, extra);
  },
});

/** An activation without a counterpart in the library; `extra` from the settings. */
const activation = (
  name: string,
  signature: string,
  extra: (s: Settings) => string,
): [string, Entry] => [name, { signature, make: (s) => pointwise(name, extra(s)) }];

const inplace = (s: Settings): string => (s.bool("inplace") ? "inplace=True" : "");
export const listed = (...parts: string[]): string => parts.filter((p) => p !== "").join(", ");

const libraryActivation = (name: string, make: () => nn.Module): [string, Entry] => [
  name,
  {
    signature: "inplace=False",
    make: (s) => real(make(), keep, undefined, { extra: inplace(s) }),
  },
];

const recurrent = (kind: "LSTM" | "GRU" | "RNN"): [string, Entry] => [
  kind,
  {
    signature:
      "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False, proj_size=0, nonlinearity='tanh', device=None, dtype=None",
    make(s) {
      const [input, hidden, layers] = [
        s.int("input_size"),
        s.int("hidden_size"),
        s.int("num_layers"),
      ];
      const [bias, batchFirst, both] = [
        s.bool("bias"),
        s.bool("batch_first"),
        s.bool("bidirectional"),
      ];
      if (layers > 1000) throw new NotKnown(say`${layers} layers are more than are followed`);
      const gates = { LSTM: 4, GRU: 3, RNN: 1 }[kind];
      const directions = both ? 2 : 1;
      const parameters = new Map<string, number[]>();
      let products = 0;
      for (let layer = 0; layer < layers; layer++)
        for (let direction = 0; direction < directions; direction++) {
          const size = layer === 0 ? input : hidden * directions;
          const suffix = `l${layer}${direction === 1 ? "_reverse" : ""}`;
          parameters.set(`weight_ih_${suffix}`, [gates * hidden, size]);
          parameters.set(`weight_hh_${suffix}`, [gates * hidden, hidden]);
          products += gates * hidden * (size + hidden);
          if (!bias) continue;
          parameters.set(`bias_ih_${suffix}`, [gates * hidden]);
          parameters.set(`bias_hh_${suffix}`, [gates * hidden]);
        }
      const extra = listed(
        `${input}, ${hidden}`,
        layers === 1 ? "" : `num_layers=${layers}`,
        bias ? "" : "bias=False",
        batchFirst ? "batch_first=True" : "",
        s.float("dropout") === 0 ? "" : `dropout=${show(s.get("dropout"))}`,
        both ? "bidirectional=True" : "",
      );
      return beyond(
        extra,
        ([value], run) => {
          const x = tensorOf(value, say`the input`);
          expectAxes(x, 3, 2);
          expectSize(x, -1, input, "input_size", say`features`);
          const [n, l] = x.shape.length === 2 ? [1, 0] : batchFirst ? [0, 1] : [1, 0];
          const batch = x.shape.length === 2 ? [] : [x.shape[n]];
          run.addMultiplyAdds(products * x.shape[l] * (batch[0] ?? 1));
          const y = shaped([...x.shape.slice(0, -1), hidden * directions], null, run, kind);
          const state = () => shaped([layers * directions, ...batch, hidden], null, run, kind);
          return tuple([y, kind === "LSTM" ? tuple([state(), state()]) : state()]);
        },
        parameters,
      );
    },
  },
];

const upsample = (name: string, mode: string | null): [string, Entry] => [
  name,
  {
    signature:
      "size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None",
    make(s) {
      const [size, factor] = [s.get("size"), s.get("scale_factor")];
      // PyTorch makes a float of the factor.
      const floats = (value: Value): Value =>
        value instanceof List
          ? tuple(value.items.map(floats))
          : typeof value === "number"
            ? new Float(value)
            : value;
      const what = factor === null ? `size=${show(size)}` : `scale_factor=${show(floats(factor))}`;
      const extra = `${what}, mode=${show(mode ?? s.get("mode"), true)}`;
      return beyond(extra, ([value], run) => {
        const x = tensorOf(value, say`the input`);
        return resized(x, size, factor, run, name);
      });
    },
  },
];

/** To a size, or by a factor: nn.Upsample and F.interpolate. */
export function resized(
  x: TensorValue,
  size: Value,
  factor: Value,
  run: Run,
  name: string,
): TensorValue {
  const axes = x.shape.length - 2;
  const settings = new Settings(name, new Map([["size", size]]));
  const factors = factor instanceof List ? factor.items : new Array<Value>(axes).fill(factor);
  const after =
    size !== null
      ? settings.axes("size", axes)
      : x.shape.slice(2).map((d, i) => {
          const scale = new Settings(name, new Map([["scale_factor", factors[i] ?? null]]));
          return Math.floor(d * scale.float("scale_factor"));
        });
  return shaped([...x.shape.slice(0, 2), ...after], null, run, name);
}

const shuffle = (name: string, key: string, up: boolean): [string, Entry] => [
  name,
  {
    signature: key,
    make(s) {
      const r = s.int(key);
      return beyond(`${key}=${r}`, ([value], run) =>
        pixelShuffled(tensorOf(value, say`the input`), r, up, run),
      );
    },
  },
];

export function pixelShuffled(x: TensorValue, r: number, up: boolean, run: Run): TensorValue {
  const [c, h, w] = x.shape.slice(-3);
  const after = up ? [c / (r * r), h * r, w * r] : [c * r * r, h / r, w / r];
  if (after.some((d) => !Number.isInteger(d)))
    throw new ShapeError(say`${c} channels of ${h}×${w} cannot be shuffled by ${r}`, "input");
  return shaped([...x.shape.slice(0, -3), ...after], null, run, "PixelShuffle");
}

const loss = (name: string): [string, Entry] => [
  name,
  {
    signature:
      "weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean', label_smoothing=0.0",
    make: () => beyond("", (_, run) => shaped([], null, run, name)),
  },
];

/** PyTorch's layers by the names of their classes. */
export const layers: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ["Conv1d", conv(1)],
  ["Conv2d", conv(2)],
  ["Conv3d", conv(3)],
  ["ConvTranspose1d", conv(1, true)],
  ["ConvTranspose2d", conv(2, true)],
  ["ConvTranspose3d", conv(3, true)],
  [
    "Linear",
    {
      signature: "in_features, out_features, bias=True, device=None, dtype=None",
      make(s) {
        const [input, output, bias] = [s.int("in_features"), s.int("out_features"), s.bool("bias")];
        return real(
          new nn.Linear(input, output, { bias }),
          () => null,
          (x) => expectSize(x, -1, input, "in_features", say`features`),
          { parameterFormula: `${output}·${input}${bias ? ` + ${output}` : ""}` },
        );
      },
    },
  ],
  ["BatchNorm1d", batchNorm(1)],
  ["BatchNorm2d", batchNorm(2)],
  ["BatchNorm3d", batchNorm(3)],
  [
    "GroupNorm",
    {
      signature: "num_groups, num_channels, eps=1e-05, affine=True, device=None, dtype=None",
      make(s) {
        const [groups, channels] = [s.int("num_groups"), s.int("num_channels")];
        const affine = s.bool("affine");
        if (channels % groups !== 0)
          throw new ShapeError(
            say`num_groups=${groups} must divide num_channels=${channels}`,
            "num_groups",
          );
        return beyond(
          `${groups}, ${channels}, eps=${show(s.get("eps"))}, affine=${flag(affine)}, bias=${flag(affine)}`,
          ([value], run) => {
            const x = tensorOf(value, say`the input`);
            expectSize(x, 1, channels, "num_channels", say`channels`);
            return shaped(x.shape, null, run, "GroupNorm");
          },
          affine
            ? new Map([
                ["weight", [channels]],
                ["bias", [channels]],
              ])
            : noParameters,
        );
      },
    },
  ],
  [
    "LayerNorm",
    {
      signature:
        "normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, device=None, dtype=None",
      make(s) {
        const given = s.sizes("normalized_shape");
        const shape = typeof given === "number" ? [given] : given;
        const affine = s.bool("elementwise_affine");
        const bias = affine && s.bool("bias");
        return beyond(
          `${asTuple(shape)}, eps=${show(s.get("eps"))}, elementwise_affine=${flag(affine)}, bias=${flag(bias)}`,
          ([value], run) => {
            const x = tensorOf(value, say`the input`);
            shape.forEach((d, i) =>
              expectSize(x, i - shape.length, d, "normalized_shape", say`features`),
            );
            return shaped(x.shape, null, run, "LayerNorm");
          },
          new Map([
            ...(affine ? [["weight", shape] as const] : []),
            ...(bias ? [["bias", shape] as const] : []),
          ]),
        );
      },
    },
  ],
  [
    "LocalResponseNorm",
    {
      signature: "size, alpha=0.0001, beta=0.75, k=1.0",
      make: (s) =>
        pointwise(
          "LocalResponseNorm",
          `${s.int("size")}, alpha=${show(s.get("alpha"))}, beta=${show(s.get("beta"))}, k=${show(s.get("k"))}`,
        ),
    },
  ],
  ...([1, 2, 3] as const).flatMap((axes): [string, Entry][] => [
    [`MaxPool${axes}d`, pool(axes, "Max")],
    [`AvgPool${axes}d`, pool(axes, "Avg")],
    [`AdaptiveAvgPool${axes}d`, adaptivePool(axes, "Avg")],
    [`AdaptiveMaxPool${axes}d`, adaptivePool(axes, "Max")],
  ]),
  libraryActivation("ReLU", () => new nn.ReLU()),
  ["Sigmoid", { signature: "", make: () => real(new nn.Sigmoid(), keep) }],
  ["Tanh", { signature: "", make: () => real(new nn.Tanh(), keep) }],
  activation("ReLU6", "inplace=False", inplace),
  activation("LeakyReLU", "negative_slope=0.01, inplace=False", (s) =>
    listed(`negative_slope=${show(s.get("negative_slope"))}`, inplace(s)),
  ),
  activation("ELU", "alpha=1.0, inplace=False", (s) =>
    listed(`alpha=${show(s.get("alpha"))}`, inplace(s)),
  ),
  activation("CELU", "alpha=1.0, inplace=False", (s) =>
    listed(`alpha=${show(s.get("alpha"))}`, inplace(s)),
  ),
  activation("SELU", "inplace=False", inplace),
  activation(
    "GELU",
    "approximate='none'",
    (s) => `approximate=${show(s.get("approximate"), true)}`,
  ),
  activation("SiLU", "inplace=False", inplace),
  activation("Mish", "inplace=False", inplace),
  activation("Hardswish", "inplace=False", () => ""),
  activation("Hardsigmoid", "inplace=False", () => ""),
  activation("Hardtanh", "min_val=-1.0, max_val=1.0, inplace=False", (s) =>
    listed(`min_val=${show(s.get("min_val"))}`, `max_val=${show(s.get("max_val"))}`, inplace(s)),
  ),
  activation(
    "Softplus",
    "beta=1.0, threshold=20.0",
    (s) => `beta=${show(s.get("beta"))}, threshold=${show(s.get("threshold"))}`,
  ),
  activation("LogSigmoid", "", () => ""),
  activation("Softsign", "", () => ""),
  activation("Softmax2d", "", () => ""),
  activation("LogSoftmax", "dim=None", (s) => `dim=${show(s.get("dim"))}`),
  [
    "Softmax",
    {
      signature: "dim=None",
      make(s) {
        if (s.get("dim") === null) return pointwise("Softmax", "dim=None");
        return real(new nn.Softmax(s.int("dim")), keep);
      },
    },
  ],
  [
    "PReLU",
    {
      signature: "num_parameters=1, init=0.25, device=None, dtype=None",
      make: (s) =>
        pointwise(
          "PReLU",
          `num_parameters=${s.int("num_parameters")}`,
          new Map([["weight", [s.int("num_parameters")]]]),
        ),
    },
  ],
  ...["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"].map(
    (name): [string, Entry] => [name, dropout(name)],
  ),
  [
    "Flatten",
    {
      signature: "start_dim=1, end_dim=-1",
      make: (s) => real(new nn.Flatten(s.int("start_dim"), s.int("end_dim")), () => null),
    },
  ],
  [
    "Unflatten",
    {
      signature: "dim, unflattened_size",
      make(s) {
        const dim = s.int("dim");
        const sizes = s.axes("unflattened_size", 8);
        return beyond(`dim=${dim}, unflattened_size=${asTuple(sizes)}`, ([value], run) => {
          const x = tensorOf(value, say`the input`);
          const at = dim < 0 ? dim + x.shape.length : dim;
          const known = sizes.reduce((p, d) => (d === -1 ? p : p * d), 1);
          const filled = sizes.map((d) => (d === -1 ? x.shape[at] / known : d));
          if (filled.reduce((p, d) => p * d, 1) !== x.shape[at])
            throw new ShapeError(
              say`unflattened_size=${asTuple(sizes)}, but ${x.shape[at]} features arrive`,
              "unflattened_size",
            );
          return shaped(
            [...x.shape.slice(0, at), ...filled, ...x.shape.slice(at + 1)],
            null,
            run,
            "Unflatten",
          );
        });
      },
    },
  ],
  ["Identity", { signature: "*args, **kwargs", make: () => real(new nn.Identity(), keep) }],
  upsample("Upsample", null),
  upsample("UpsamplingNearest2d", "nearest"),
  upsample("UpsamplingBilinear2d", "bilinear"),
  shuffle("PixelShuffle", "upscale_factor", true),
  shuffle("PixelUnshuffle", "downscale_factor", false),
  [
    "ChannelShuffle",
    {
      signature: "groups",
      make: (s) => pointwise("ChannelShuffle", `groups=${s.int("groups")}`),
    },
  ],
  [
    "Embedding",
    {
      signature:
        "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False",
      make(s) {
        const [count, size] = [s.int("num_embeddings"), s.int("embedding_dim")];
        const padding = s.get("padding_idx");
        return beyond(
          listed(`${count}, ${size}`, padding === null ? "" : `padding_idx=${show(padding)}`),
          ([value], run) =>
            shaped([...tensorOf(value, say`the input`).shape, size], null, run, "Embedding"),
          new Map([["weight", [count, size]]]),
          { parameterFormula: `${count}·${size}` },
        );
      },
    },
  ],
  recurrent("LSTM"),
  recurrent("GRU"),
  recurrent("RNN"),
  [
    "MultiheadAttention",
    {
      signature:
        "embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False, add_zero_attn=False, kdim=None, vdim=None, batch_first=False, device=None, dtype=None",
      make(s) {
        const [size, heads, bias] = [s.int("embed_dim"), s.int("num_heads"), s.bool("bias")];
        const batchFirst = s.bool("batch_first");
        if (size % heads !== 0)
          throw new ShapeError(say`num_heads=${heads} must divide embed_dim=${size}`, "num_heads");
        const parameters = new Map([["in_proj_weight", [3 * size, size]]]);
        if (bias) parameters.set("in_proj_bias", [3 * size]);
        parameters.set("out_proj.weight", [size, size]);
        if (bias) parameters.set("out_proj.bias", [size]);
        return beyond(
          "",
          ([q, k], run) => {
            const [query, key] = [tensorOf(q, say`the query`), tensorOf(k, say`the key`)];
            expectAxes(query, 3, 2);
            expectSize(query, -1, size, "embed_dim", say`features`);
            expectSize(key, -1, size, "embed_dim", say`features`);
            const axis = batchFirst || query.shape.length === 2 ? query.shape.length - 2 : 0;
            const [l, m] = [query.shape[axis], key.shape[axis]];
            const n = query.shape.length === 2 ? 1 : query.shape[batchFirst ? 0 : 1];
            run.addMultiplyAdds(n * (2 * l * size * size + 2 * m * size * size + 2 * l * m * size));
            const weights = [...(query.shape.length === 2 ? [] : [n]), l, m];
            return tuple([
              shaped(query.shape, null, run, "MultiheadAttention"),
              shaped(weights, null, run, "MultiheadAttention"),
            ]);
          },
          parameters,
          {
            inner: [
              `(out_proj): NonDynamicallyQuantizableLinear(in_features=${size}, out_features=${size}, bias=${flag(bias)})`,
            ],
          },
        );
      },
    },
  ],
  ...["CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "BCELoss", "BCEWithLogitsLoss"].map(loss),
  ...["SmoothL1Loss", "KLDivLoss", "HuberLoss", "CosineEmbeddingLoss", "TripletMarginLoss"].map(
    loss,
  ),
  ...["PoissonNLLLoss", "HingeEmbeddingLoss", "MarginRankingLoss", "MultiLabelMarginLoss"].map(
    loss,
  ),
  ...["MultiLabelSoftMarginLoss", "MultiMarginLoss", "SoftMarginLoss", "CTCLoss"].map(loss),
]);

/** A layer whose settings are not known, or do not exist. */
export const unknownLayer = (reason: Said): Layer =>
  beyond("…", () => new Unknown(reason), noParameters, {});
