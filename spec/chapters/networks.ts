// # Closed formulas of whole networks
//
// Output sizes, parameters, products and receptive fields of a network, computed from nothing but
// its printed form, by the formulas of the chapters. Neither a trace nor an operation takes part:
// those are what the formulas are compared with.

import assert from "node:assert/strict";
import {
  modelNamed,
  type nn,
  noGrad,
  type Shape,
  summarize,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { fieldAlong, type Layer } from "./fields.js";

/** One layer: a module without children, as it was reached. */
export interface ClosedLayer {
  readonly path: string;
  readonly module: string;
  /** Without the batch. */
  readonly input: Shape;
  readonly output: Shape;
  readonly parameters: number;
  /** For one image. */
  readonly multiplyAdds: number;
  /** The window along one axis; null where there is none. */
  readonly window: Layer | null;
}

/** A step of the chain that a network is: a layer, or a block with several paths. */
export interface ClosedStep {
  readonly module: string;
  readonly input: Shape;
  readonly output: Shape;
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** The layer's window; null for a block. */
  readonly window: Layer | null;
  /** Of a result behind this step, along one axis; null once the image has been flattened. */
  readonly field: number | null;
}

export interface ClosedNetwork {
  readonly layers: readonly ClosedLayer[];
  readonly steps: readonly ClosedStep[];
}

// ## One layer
//
// `Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))`: positional numbers first, then
// names. All windows of the networks are square.

function settingsOf(printed: string): { at: (i: number) => number; named: (n: string) => number } {
  const inside = printed.slice(printed.indexOf("(") + 1, -1);
  const positional = /^\d+(, \d+)*/.exec(inside)?.[0].split(", ").map(Number) ?? [];
  return {
    at: (i) => positional[i],
    named: (name) => {
      const match = new RegExp(`${name}=\\(?(\\d+)(?:, (\\d+))?`).exec(inside);
      if (match?.[2] !== undefined) assert.equal(match[1], match[2], `${name} of ${printed}`);
      return match === null ? Number.NaN : Number(match[1]);
    },
  };
}

const defaultTo = (value: number, otherwise: number): number =>
  Number.isNaN(value) ? otherwise : value;

const places = (size: number, { kernel, stride, padding, dilation }: Layer): number =>
  Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;

type Rule = Pick<ClosedLayer, "output" | "parameters" | "multiplyAdds" | "window">;

/** What the formulas say of a layer that is printed so. */
export function closedLayer(printed: string, input: Shape): Rule {
  const name = printed.slice(0, printed.indexOf("("));
  const { at, named } = settingsOf(printed);
  const [channels, height, width] = input;
  const free = { parameters: 0, multiplyAdds: 0, window: null };
  const slide = (kind: Layer["kind"]): { window: Layer; size: readonly [number, number] } => {
    const kernel = named("kernel_size");
    const window = {
      kind,
      kernel,
      stride: defaultTo(named("stride"), kind === "conv" ? 1 : kernel),
      padding: defaultTo(named("padding"), 0),
      dilation: defaultTo(named("dilation"), 1),
    };
    return { window, size: [places(height, window), places(width, window)] };
  };
  switch (name) {
    case "Conv2d": {
      const { window, size } = slide("conv");
      assert.equal(at(0), channels, `${printed} on ${channels} channels`);
      const taps = channels * window.kernel ** 2;
      const bias = printed.includes("bias=False") ? 0 : 1;
      return {
        output: [at(1), ...size],
        parameters: at(1) * (taps + bias),
        multiplyAdds: at(1) * size[0] * size[1] * taps,
        window,
      };
    }
    case "MaxPool2d":
    case "AvgPool2d": {
      const { window, size } = slide(name === "MaxPool2d" ? "max" : "avg");
      return { ...free, output: [channels, ...size], window };
    }
    case "AdaptiveAvgPool2d":
      return { ...free, output: [channels, named("output_size"), named("output_size")] };
    case "Flatten":
      return { ...free, output: [input.reduce((product, d) => product * d, 1)] };
    case "Linear": {
      const [inputs, outputs] = [named("in_features"), named("out_features")];
      assert.equal(inputs, channels, `${printed} on ${channels} features`);
      return {
        output: [outputs],
        parameters: outputs * (inputs + 1),
        multiplyAdds: outputs * inputs,
        window: null,
      };
    }
    case "BatchNorm1d":
    case "BatchNorm2d":
      return { ...free, output: input, parameters: 2 * channels };
    case "ReLU":
    case "Sigmoid":
    case "Dropout":
      return { ...free, output: input };
    default:
      throw new RangeError(`no formula for ${printed}`);
  }
}

// ## A whole network
//
// Modules with children are chains, but for the two blocks of the notes, whose paths are written
// out here.

const paths: Readonly<Record<string, readonly (readonly string[])[]>> = {
  Inception: [["b1_1"], ["b2_1", "b2_2"], ["b3_1", "b3_2"], ["b4_1", "b4_2"]],
  Residual: [["conv1", "bn1", "conv2", "bn2"], ["conv3"]],
};

/** The formulas of a network on images of `[C, H, W]`. */
export function closedNetwork(model: nn.Module, image: Shape): ClosedNetwork {
  const layers: ClosedLayer[] = [];
  const steps: ClosedStep[] = [];
  let windows: Layer[] = [];

  const leaf = (path: string, module: nn.Module, input: Shape): ClosedLayer => {
    const layer = { path, module: module.getName(), input, ...closedLayer(String(module), input) };
    layers.push(layer);
    return layer;
  };
  const total = (list: readonly ClosedLayer[]) => ({
    parameters: list.reduce((n, layer) => n + layer.parameters, 0),
    multiplyAdds: list.reduce((n, layer) => n + layer.multiplyAdds, 0),
  });

  const block = (path: string, module: nn.Module, input: Shape): Shape => {
    const children = new Map(module.namedChildren());
    const branches = paths[module.getName()]
      .map((names) => names.filter((name) => children.has(name)))
      .map((names) => {
        let shape = input;
        return names.map((name) => {
          const layer = leaf(`${path}.${name}`, children.get(name)!, shape);
          shape = layer.output;
          return layer;
        });
      });
    const ends = branches.map((branch) => branch.at(-1)?.output ?? input);
    const channels =
      module.getName() === "Inception" ? ends.reduce((n, [c]) => n + c, 0) : ends[0][0];
    const output = [channels, ends[0][1], ends[0][2]];
    const spans = branches.map((branch) => branch.flatMap((l) => l.window ?? []));
    const widest = spans.reduce((a, b) =>
      fieldAlong([...windows, ...b]).size > fieldAlong([...windows, ...a]).size ? b : a,
    );
    windows = [...windows, ...widest];
    steps.push({
      module: module.getName(),
      input,
      output,
      ...total(branches.flat()),
      window: null,
      field: fieldAlong(windows).size,
    });
    return output;
  };

  const walk = (path: string, module: nn.Module, input: Shape): Shape => {
    if (module.getName() in paths) return block(path, module, input);
    const children = [...module.namedChildren()];
    if (children.length > 0)
      return children.reduce(
        (shape, [name, child]) => walk(path === "" ? name : `${path}.${name}`, child, shape),
        input,
      );
    const layer = leaf(path, module, input);
    if (layer.window) windows = [...windows, layer.window];
    const seesAll = layer.module === "AdaptiveAvgPool2d" || layer.output.length === 1;
    const field = seesAll || steps.at(-1)?.field === null ? null : fieldAlong(windows).size;
    steps.push({ ...layer, field });
    return layer.output;
  };

  walk("", model, image);
  return { layers, steps };
}

/** The formulas of a network of the library's table. */
export function closedModel(name: string): ClosedNetwork {
  const { inputShape } = modelNamed(name);
  return closedNetwork(onMeta(name), inputShape);
}

const onMeta = (name: string): nn.Module => withDevice("meta", () => modelNamed(name).create());

// ## Held against the trace and against a run

/** Fails unless the trace of the network has the formulas' shapes, parameters and products. */
export function expectTraced(name: string): void {
  const { inputShape } = modelNamed(name);
  const { layers } = closedModel(name);
  const { rows } = summarize(() => modelNamed(name).create(), [1, ...inputShape]);
  const closed = new Map(layers.map((layer) => [layer.path, layer]));
  assert.equal(rows.length, layers.length);
  for (const row of rows) {
    const { output, parameters, multiplyAdds } = closed.get(row.path)!;
    assert.deepEqual(row.outputShape, [1, ...output], `${name}, ${row.path}: output`);
    assert.equal(row.parameters, parameters, `${name}, ${row.path}: parameters`);
    assert.equal(row.multiplyAdds, multiplyAdds, `${name}, ${row.path}: multiply-adds`);
  }
}

/** Fails unless the network, run on an image of zeros, has the formulas' shapes and parameters. */
export function expectExecuted(name: string): void {
  const entry = modelNamed(name);
  const closed = new Map(closedModel(name).layers.map((layer) => [layer.path, layer]));
  const model = entry.create().eval();
  const seen = new Map<string, Tensor>();
  for (const [path, module] of model.namedModules())
    if (module.children().next().done)
      module.registerForwardHook((_, __, output) => void seen.set(path, output));
  noGrad(() => model.call(zeros([1, ...entry.inputShape])));
  assert.deepEqual([...seen.keys()].sort(), [...closed.keys()].sort());
  for (const [path, output] of seen)
    assert.deepEqual(output.shape, [1, ...closed.get(path)!.output], `${name}, ${path}`);
  const counted = [...model.parameters()].reduce((n, p) => n + p.data.length, 0);
  assert.equal(
    counted,
    [...closed.values()].reduce((n, layer) => n + layer.parameters, 0),
  );
}
