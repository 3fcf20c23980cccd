// # One step from the same state, on kernels and on the reference
//
// Each operation of a forward pass leaves in each element of its result an error of at most what its
// law allows, e_i. To first order the loss moves by Σ |∂L/∂y_i| e_i, over all elements of all results;
// the backward pass computes just these ∂L/∂y_i. What is left is of second order, products of errors
// of about 10⁻⁷ each; twice the sum leaves room for it.

import * as convnotes from "convnotes";
import { type Primitive, registerBackend, type Tensor } from "convnotes";
import { type Law, rooms } from "../../spec/laws.js";
import { float32, gamma } from "../../spec/rounding.js";
import type { Values } from "../../spec/values.js";

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

const magnitudes = (t: Tensor): Tensor => {
  const copy = t.to("reference").detach().clone();
  for (let i = 0; i < copy.size; i++) copy.data[i] = Math.abs(Number(copy.data[i]));
  return copy;
};

/** One forward call as it happened. */
interface Happened {
  readonly primitive: Primitive;
  readonly inputs: readonly (Tensor | null)[];
  readonly output: Tensor;
  readonly options: object;
}

/** How far each element of the call's first result may be off. */
function boundsOf({ primitive: { name }, inputs, output, options }: Happened): ArrayLike<number> {
  // The sums of products are the same operation on absolute values; their laws would take minutes.
  if (name === "conv2d" || name === "linear") {
    const [x, w, b] = inputs.map((t) => t && magnitudes(t));
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

// ## Steps

export interface Compared {
  readonly step: number;
  /** On `cpu`. */
  readonly loss: number;
  /** On the reference, from the same state. */
  readonly expected: number;
  readonly bound: number;
}

/** Trains on `cpu`, and at each step computes the loss on the reference as well. */
export function* restarted(name: string, steps: number): Generator<Compared> {
  const { create, images, shape } = networks[name]();
  convnotes.manualSeed(0);
  const [model, twin] = [create(), create().to("reference")];
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 });
  const x = convnotes.randn([images, ...shape]);
  const labels = convnotes.tensor(
    Array.from({ length: images }, (_, i) => (3 + 4 * i) % 10),
    { dtype: "int64" },
  );
  const xTwin = x.to("reference");
  const labelsTwin = labels.to("reference");
  for (let step = 1; step <= steps; step++) {
    twin.loadStateDict(model.stateDict());
    const dropout = convnotes.dropoutState.getState();
    const expected = convnotes.noGrad(() =>
      convnotes.crossEntropy(twin.call(xTwin), labelsTwin, null).item(),
    );
    convnotes.dropoutState.setState(dropout);

    const happened: Happened[] = [];
    const kernels = convnotes.backendOf("cpu");
    registerBackend({
      ...kernels,
      run(primitive, inputs, outputs, options) {
        kernels.run(primitive, inputs, outputs, options);
        const output = outputs[0]!;
        output.retainGrad();
        const before = inputs.map((t) => t && t.detach().clone());
        happened.push({ primitive, inputs: before, output, options });
      },
    });
    let loss: Tensor;
    try {
      optimizer.zeroGrad();
      loss = convnotes.crossEntropy(model.call(x), labels, null);
    } finally {
      registerBackend(kernels);
    }
    loss.backward();
    optimizer.step();

    let moved = 0;
    for (const call of happened) {
      const bounds = boundsOf(call);
      const { data, grad } = call.output;
      if (grad === null) throw new Error(`${call.primitive.name} took no part in the loss`);
      for (let i = 0; i < data.length; i++) {
        // The reference rounds as well, once.
        const rounded = float32.unit * Math.abs(Number(data[i]));
        moved += Math.abs(Number(grad.data[i])) * (bounds[i] + rounded);
      }
    }
    yield { step, loss: loss.item(), expected, bound: 2 * moved };
  }
}
