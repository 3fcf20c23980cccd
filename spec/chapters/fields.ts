// # Receptive fields
//
// Windows over windows, along one axis: how large the field of a result is, how far the fields of
// neighbouring results are apart, and where the first one begins. Computed here from the layers'
// settings alone, to be compared with what networks do and with what `summary` says of them.

import fc, { type Arbitrary } from "fast-check";
import {
  avgPool2d,
  conv2d,
  maxPool2d,
  modelNamed,
  noGrad,
  ones,
  type Pair,
  summarize,
  type Tensor,
  trace,
  withDevice,
  zeros,
} from "convnotes";
import { whole } from "./cases.js";

/** One layer along one axis. */
export interface Layer {
  readonly kind: "conv" | "max" | "avg";
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
}

export interface FieldAlong {
  /** Pixels from the first to the last that a result can depend on. */
  readonly size: number;
  /** Pixels from the field of one result to that of the next. */
  readonly stride: number;
  /** The field of result 0 begins this many pixels before the image. */
  readonly offset: number;
}

/** The field of a result behind all `layers`, the first of which sees the image. */
export function fieldAlong(layers: readonly Layer[]): FieldAlong {
  let [size, stride, offset] = [1, 1, 0];
  for (const layer of layers) {
    size += layer.dilation * (layer.kernel - 1) * stride;
    offset += layer.padding * stride;
    stride *= layer.stride;
  }
  return { size, stride, offset };
}

// ## Random stacks

const layerArbitrary: Arbitrary<Layer> = fc
  .record({
    kind: fc.constantFrom("conv" as const, "max" as const, "avg" as const),
    kernel: whole(1, 3),
    stride: whole(1, 2),
    padding: whole(0, 1),
    dilation: whole(1, 2),
  })
  .map((layer) => ({
    ...layer,
    dilation: layer.kind === "conv" ? layer.dilation : 1,
    padding: layer.kernel === 1 && layer.kind !== "conv" ? 0 : layer.padding,
  }));

export const layerStacks = fc.array(layerArbitrary, { minLength: 1, maxLength: 4 });

/** Runs the layers along the rows of `[1, 1, L, 1]`; a convolution adds up its taps. */
export function runStack(layers: readonly Layer[], x: Tensor): Tensor {
  for (const { kind, kernel, stride, padding, dilation } of layers) {
    const along = { stride: [stride, 1], padding: [padding, 0] } as const;
    if (kind === "conv")
      x = conv2d(x, ones([1, 1, kernel, 1], { dtype: "float64" }), null, {
        ...along,
        dilation: [dilation, 1],
      });
    else x = (kind === "max" ? maxPool2d : avgPool2d)(x, { ...along, kernelSize: [kernel, 1] });
  }
  return x;
}

// ## The windows of a network

export interface NetworkWindows {
  /** The layers with a window, in order, up to where the image ends. */
  readonly layers: readonly Layer[];
  /** What `summarize` reports behind each of them. */
  readonly reported: readonly (readonly [number, number] | null)[];
}

const first = (value: Pair): number => (typeof value === "number" ? value : value[0]);

interface Settings {
  readonly kernelSize?: Pair;
  readonly stride?: Pair;
  readonly padding?: Pair;
  readonly dilation?: Pair;
}

/** The windows of a network of the table that is a chain of layers. */
export function windowsOf(name: string): NetworkWindows {
  const model = modelNamed(name);
  const shape = [1, ...model.inputShape];
  const { graph } = withDevice("meta", () => {
    const net = model.create().eval();
    return trace(() => noGrad(() => net.call(zeros(shape))));
  });
  const layers = graph.nodes.flatMap(({ name: step, inputs, options }): Layer[] => {
    const o = options as Settings;
    const common = { padding: first(o.padding ?? 0), dilation: first(o.dilation ?? 1) };
    if (step === "conv2d") {
      const kernel = graph.values[inputs[1]!].shape[2];
      return [{ kind: "conv", kernel, stride: first(o.stride ?? 1), ...common }];
    }
    if (step !== "max_pool2d" && step !== "avg_pool2d") return [];
    const kernel = first(o.kernelSize!);
    const kind = step === "max_pool2d" ? "max" : "avg";
    return [{ kind, kernel, stride: first(o.stride ?? kernel), ...common }];
  });
  const { rows } = summarize(() => model.create(), shape);
  const reported = rows
    .filter((row) => ["Conv2d", "MaxPool2d", "AvgPool2d"].includes(row.module))
    .map((row) => row.receptiveField);
  return { layers, reported };
}
