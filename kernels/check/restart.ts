// # One step from the same state, on kernels and on the reference
//
// A network trains as `train` lets it, in programs, and before each step the reference computes the loss from
// the same state.
//
// Each operation of a forward pass leaves in each element of its result an error of at most what its
// law allows, e_i. To first order the loss moves by Σ |∂L/∂y_i| e_i, over all elements of all results;
// a backward pass computes just these ∂L/∂y_i, for which the kernels do the same step once more, operation by
// operation. What is left is of second order, products of errors of about 10⁻⁷ each; twice the sum leaves
// room for it.

import * as convnotes from "convnotes";
import {
  type Graph,
  type Primitive,
  registerBackend,
  type Tensor,
  type TracedStep,
} from "convnotes";
import { type Law, rooms } from "../../spec/laws.js";
import { type Tiles, tileDepth, tilings } from "../../spec/ops/conv2d.law.js";
import { float32, gamma } from "../../spec/rounding.js";
import type { Values } from "../../spec/values.js";
import type { Plan } from "../plan/plan.js";

// ## Networks that the reference can follow
//
// The notes' networks, on the smallest images that fit them. Batch normalisation gets more of them:
// of two numbers that are nearly the same, the difference that it divides by is mostly rounding.

interface Network {
  readonly create: () => convnotes.nn.Module;
  readonly images: number;
  readonly shape: readonly number[];
}

const named = (name: string, images: number, side?: number): Network => {
  const { create, inputShape } = convnotes.modelNamed(name);
  const [C, H, W] = inputShape;
  return { create, images, shape: [C, side ?? H, side ?? W] };
};

const networks: Readonly<Record<string, () => Network>> = {
  notes_example: () => named("notes_example", 2),
  lenet: () => named("lenet", 2),
  lenet_bn: () => named("lenet_bn", 16),
  alexnet: () => named("alexnet", 1, 193),
  vgg: () => ({
    create: () => new convnotes.VGG(convnotes.notesArch, { imageSize: 32 }),
    images: 2,
    shape: [1, 32, 32],
  }),
  nin: () => named("nin", 2, 67),
  googlenet: () => named("googlenet", 2, 32),
  resnet: () => named("resnet", 16, 32),
};

/** The names of all eight networks. */
export const all: readonly string[] = Object.keys(networks);

/** Those of which a few steps take a second. */
export const small: readonly string[] = ["notes_example", "lenet", "lenet_bn"];

// ## Bounds

const laws = new Map(rooms().map((law): [string, Law] => [law.stem, law]));

const valuesOf = (t: Tensor): Values => ({
  shape: t.shape,
  data: Array.from(t.data, Number),
  ...(t.dtype === "int64" && { dtype: "int64" }),
});

const magnitudes = ({ data, shape }: Tensor): Tensor =>
  convnotes.fromData((data as Float32Array).map(Math.abs), shape, "reference");

/** One forward call as it happened. */
interface Happened {
  readonly primitive: Primitive;
  readonly inputs: readonly (Tensor | null)[];
  readonly output: Tensor;
  readonly options: object;
}

/**
 * How far each element of the call's first result may be off. `tiled`: in the program it comes by
 * Winograd's tiles.
 */
function boundsOf(call: Happened, tiled: boolean): ArrayLike<number> {
  const { primitive, inputs, output, options } = call;
  const { name } = primitive;
  // The sums of products are the same operation on absolute values; their laws would take minutes.
  if (name === "conv2d" || name === "linear") {
    const [x, w, b] = inputs.map((t) => t && magnitudes(t));
    if (tiled) return tiledBounds(x!, w!, b, options);
    const sizes =
      name === "conv2d" ? convnotes.conv2d(x!, w!, b, options) : convnotes.linear(x!, w!, b);
    const terms = w!.size / w!.shape[0] + (b ? 1 : 0);
    const factor = gamma(float32.depth(terms), float32) * (1 + 2 ** -20);
    return valuesOf(sizes).data.map((size) => factor * size + terms * float32.tiny);
  }
  const law = laws.get(name);
  // A reshape computes nothing.
  if (law === undefined) throw new RangeError(`${name} has no law`);
  const c = { inputs: inputs.map((t) => t && valuesOf(t)), options, dy: null };
  return law.bound(c, float32)[0] ?? new Float64Array(output.size);
}

/**
 * `M X Mᵀ` of square matrices of `width`: their entries row by row, each for all `lanes` in a row of its own.
 */
function transformed(
  m: Tiles["ofTaps"],
  x: Float64Array,
  width: number,
  lanes: number,
): Float64Array {
  // Along one axis, the other follows: each entry becomes as many as `m` has rows.
  const along = (values: Float64Array, outer: number, inner: number) => {
    const result = new Float64Array(outer * m.length * inner);
    for (let o = 0; o < outer; o++)
      m.forEach((weights, r) => {
        weights.forEach((weight, i) => {
          if (weight === 0) return;
          const [from, to] = [(o * width + i) * inner, (o * m.length + r) * inner];
          for (let k = 0; k < inner; k++) result[to + k] += weight * values[from + k];
        });
      });
    return result;
  };
  return along(along(x, 1, width * lanes), m.length, lanes);
}

/**
 * The law's bound by tiles for magnitudes `x`, `w` and `b`: what the tiles compute, on magnitudes.
 * The law goes from result to result; here a part's results for all channels are one product of a matrix.
 */
export function tiledBounds(
  x: Tensor,
  w: Tensor,
  b: Tensor | null,
  options: { readonly padding?: number | readonly [number, number] },
): Float64Array {
  const [N, C, height, width] = x.shape;
  const [O, , K] = w.shape;
  const { padding = 0 } = options;
  const [above, before] = typeof padding === "number" ? [padding, padding] : padding;
  const [H, W] = [height + 2 * above - K + 1, width + 2 * before - K + 1];
  const tiles = tilings.find(({ taps }) => taps === K)!;
  const side = tiles.ofTaps.length;
  const parts = side ** 2;
  const factor = gamma(tileDepth(tiles, C, b !== null, float32), float32);
  const pixels = Float64Array.from(x.data as Float32Array);

  // Of all pairs of channels at once, input channels first.
  const taps = new Float64Array(K * K * C * O);
  for (let o = 0; o < O; o++)
    for (let q = 0; q < C; q++)
      for (let k = 0; k < K * K; k++)
        taps[(k * C + q) * O + o] = Number(w.data[(o * C + q) * K * K + k]);
  const ofTaps = transformed(tiles.ofTaps, taps, K, C * O);

  // What underflows: no entry of |Aᵀ| or |Bᵀ| is above one, and no row of |Bᵀ| has more than two.
  const largest = pixels.reduce((most, v) => Math.max(most, v), 0);
  const underflow = 2 * parts * C * (12 * largest + 1) * float32.tiny;
  const bounds = new Float64Array(N * O * H * W);
  const patch = new Float64Array(side * side * C);
  const products = new Float64Array(parts * O);
  for (let n = 0; n < N; n++)
    for (let top = 0; top < H; top += 2)
      for (let left = 0; left < W; left += 2) {
        for (let i = 0; i < side; i++)
          for (let j = 0; j < side; j++) {
            const [row, column] = [top + i - above, left + j - before];
            const inside = row >= 0 && row < height && column >= 0 && column < width;
            for (let q = 0; q < C; q++)
              patch[(i * side + j) * C + q] = inside
                ? pixels[((n * C + q) * height + row) * width + column]
                : 0;
          }
        const ofPixels = transformed(tiles.ofPixels, patch, side, C);
        products.fill(0);
        for (let p = 0; p < parts; p++)
          for (let q = 0; q < C; q++) {
            const pixel = ofPixels[p * C + q];
            if (pixel === 0) continue;
            const [from, to] = [(p * C + q) * O, p * O];
            for (let o = 0; o < O; o++) products[to + o] += pixel * ofTaps[from + o];
          }
        const sizes = transformed(tiles.toResults, products, side, O);
        for (let i = top; i < Math.min(top + 2, H); i++)
          for (let j = left; j < Math.min(left + 2, W); j++)
            for (let o = 0; o < O; o++) {
              const size = sizes[(2 * (i - top) + j - left) * O + o];
              const bias = b ? Number(b.data[o]) : 0;
              bounds[((n * O + o) * H + i) * W + j] = factor * (size + bias) + underflow;
            }
      }
  return bounds;
}

// ## Steps

export interface Compared {
  readonly step: number;
  /** Of the program on `cpu`. */
  readonly loss: number;
  /** On the reference, from the same state. */
  readonly expected: number;
  readonly bound: number;
  /** How many convolutions came by Winograd's tiles. */
  readonly tiled: number;
}

/** Lets `body` run on kernels, and tells what it called. */
function recorded<T>(body: () => T): { result: T; happened: readonly Happened[] } {
  const happened: Happened[] = [];
  const kernels = convnotes.backendOf("cpu");
  registerBackend({
    ...kernels,
    run(primitive, inputs, outputs, options) {
      kernels.run(primitive, inputs, outputs, options);
      const output = outputs[0]!;
      output.retainGrad();
      happened.push({ primitive, inputs: [...inputs], output, options });
    },
  });
  try {
    return { result: body(), happened };
  } finally {
    registerBackend(kernels);
  }
}

/** Which of the first `count` operations of a step the program does by tiles. */
function tiledIn(graph: Graph, plan: Plan, happened: readonly Happened[]): Set<Happened> {
  const places = graph.nodes.flatMap(({ primitive }, i) => (primitive === "view" ? [] : [i]));
  const byTiles = new Set(
    plan.calls.flatMap(({ kernel, nodes }) => (kernel === "winograd_conv2d" ? [nodes[0]] : [])),
  );
  return new Set(
    happened.filter(({ primitive }, i) => {
      const { name } = graph.nodes[places[i]];
      if (name !== primitive.name)
        throw new Error(`step ${i} of the program is ${name}, but ${primitive.name} was called`);
      return byTiles.has(places[i]);
    }),
  );
}

/**
 * Trains on `cpu`, and at each step computes the loss on the reference as well.
 *
 * Throws: Error where a step does not become a program.
 */
export function* restarted(name: string, steps: number): Generator<Compared> {
  const { create, images, shape } = networks[name]();
  convnotes.manualSeed(0);
  const [model, plain, twin] = [create(), create(), create().to("reference")];
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const training = new convnotes.TrainingStep(model, optimizer, "cpu");
  const x = convnotes.randn([images, ...shape]);
  const labels = convnotes.tensor(
    Array.from({ length: images }, (_, i) => (3 + 4 * i) % 10),
    { dtype: "int64" },
  );
  const xTwin = x.to("reference");
  const labelsTwin = labels.to("reference");
  const known: { traced: TracedStep | null; plan: Plan | null } = { traced: null, plan: null };
  const kernels = convnotes.backendOf("cpu");
  registerBackend({
    ...kernels,
    compile(traced) {
      const program = kernels.compile!(traced);
      known.traced = traced;
      known.plan = (program as { plan?: Plan }).plan ?? null;
      return program;
    },
  });
  try {
    for (let step = 1; step <= steps; step++) {
      const state = model.stateDict();
      twin.loadStateDict(state);
      plain.loadStateDict(state);
      const dropout = convnotes.dropoutState.getState();
      const expected = convnotes.noGrad(() =>
        convnotes.crossEntropy(twin.call(xTwin), labelsTwin, null).item(),
      );
      convnotes.dropoutState.setState(dropout);
      const { result, happened } = recorded(() =>
        convnotes.crossEntropy(plain.call(x), labels, null),
      );
      result.backward();
      convnotes.dropoutState.setState(dropout);
      const { loss } = training.run(x, labels);
      if (known.traced === null || known.plan === null)
        throw new Error(`${name} does not become a program: ${training.reason}`);

      const tiled = tiledIn(known.traced.graph, known.plan, happened);
      let moved = 0;
      for (const call of happened) {
        const bounds = boundsOf(call, tiled.has(call));
        const { data, grad } = call.output;
        if (grad === null) throw new Error(`${call.primitive.name} took no part in the loss`);
        for (let i = 0; i < data.length; i++) {
          // The reference rounds as well, once.
          const rounded = float32.unit * Math.abs(Number(data[i]));
          moved += Math.abs(Number(grad.data[i])) * (bounds[i] + rounded);
        }
      }
      yield { step, loss, expected, bound: 2 * moved, tiled: tiled.size };
    }
  } finally {
    registerBackend(kernels);
  }
}
