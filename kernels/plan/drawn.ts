// # Networks at random
//
// Small networks of all that fusions, layouts and shared memory can go wrong with, and what each computes:
// operation by operation, or as a program. Numbers are so small that nothing rounds.

import * as convnotes from "convnotes";
import fc from "fast-check";

type Tensor = convnotes.Tensor;
const { add, concat, conv2d, dropout, flatten, linear, maxPool2d, noGrad, relu, sgd } = convnotes;

const layers = [
  "conv",
  "strided",
  "relu",
  "pool",
  "dilated",
  "residual",
  "both",
  "branches",
  "share",
  "dropout",
  "dropped",
] as const;

export const network = fc.record({
  images: fc.integer({ min: 1, max: 36 }),
  size: fc.integer({ min: 3, max: 6 }),
  channels: fc.integer({ min: 1, max: 3 }),
  layers: fc.array(fc.constantFrom(...layers), { minLength: 1, maxLength: 5 }),
  /** Whether there is a linear layer before the last, and an activation behind it. */
  hidden: fc.constantFrom(null, "linear", "relu"),
  update: fc.boolean(),
  /** Whether dropout drops. */
  training: fc.boolean(),
  /** Those at which what is kept is multiplied by a power of two, or nothing is kept. */
  p: fc.constantFrom(0, 0.5, 0.75, 1),
  seed: fc.nat(),
  numbers: fc.array(fc.integer({ min: -1, max: 1 }), { minLength: 40, maxLength: 80 }),
});

type Network = typeof network extends fc.Arbitrary<infer T> ? T : never;

/**
 * The results: scores, the gradient of the images, and that of each weight; or, with an update, each
 * weight after a step.
 */
export function compute(net: Network, device: string, asProgram: boolean): number[][] {
  let drawn = 0;
  const next = () => net.numbers[drawn++ % net.numbers.length];
  const leaf = (shape: number[]) => {
    const t = convnotes.zeros(shape, { device, requiresGrad: true });
    for (let i = 0; i < t.size; i++) t.data[i] = next();
    return t;
  };
  // Weights are drawn while the layers are made, once for both ways of running them.
  const leaves: Tensor[] = [];
  const weight = (...shape: number[]) => {
    leaves.push(leaf(shape));
    return leaves[leaves.length - 1];
  };
  let shape = [net.channels, net.size, net.size];
  const steps: ((x: Tensor) => Tensor)[] = [];
  const conv = (inC: number, outC: number, k: number, stride: number) => {
    const [w, b] = [weight(outC, inC, k, k), next() > 0 ? weight(outC) : null];
    return (x: Tensor) => conv2d(x, w, b, { stride, padding: k >> 1 });
  };
  let dropouts = 0;
  const drop = () => {
    const options = { p: net.p, seed: net.seed, step: net.images, layer: dropouts++ };
    return (x: Tensor) => (net.training ? dropout(x, options) : x);
  };
  for (const layer of net.layers) {
    const [C, H, W] = shape;
    if (layer === "conv") {
      steps.push(conv(C, 2, 3, 1));
      shape = [2, H, W];
    } else if (layer === "strided") {
      steps.push(conv(C, 3, 3, 2));
      shape = [3, (H + 1) >> 1, (W + 1) >> 1];
    } else if (layer === "relu") steps.push((x) => relu(x));
    else if (layer === "pool" && H >= 2) {
      steps.push((x) => maxPool2d(x, { kernelSize: 2, stride: 1 }));
      shape = [C, H - 1, W - 1];
    } else if (layer === "dilated" && H >= 3) {
      // Windows do not begin in the order of the pixels that they see, and an activation waits for them.
      const options = { kernelSize: 4, stride: 1, padding: 2, dilation: 2 };
      steps.push((x) => maxPool2d(relu(x), options));
      shape = [C, H - 2, W - 2];
    } else if (layer === "residual") {
      const inner = conv(C, C, 3, 1);
      steps.push((x) => relu(add(inner(x), x)));
    } else if (layer === "both") {
      // What an activation reads is read by another as well.
      const inner = conv(C, C, 3, 1);
      steps.push((x) => {
        const y = inner(x);
        return add(relu(y), y);
      });
    } else if (layer === "branches") {
      const [a, b] = [conv(C, 1, 1, 1), conv(C, 2, 3, 1)];
      steps.push((x) => concat([relu(a(x)), b(x), x], { dim: 1 }));
      shape = [C + 3, H, W];
    } else if (layer === "share") {
      // The same weight twice: its gradients are added up.
      const same = conv(C, C, 1, 1);
      steps.push((x) => same(relu(same(x))));
    } else if (layer === "dropout") steps.push(drop());
    else if (layer === "dropped") {
      const [inner, dropped] = [conv(C, C, 3, 1), drop()];
      steps.push((x) => dropped(relu(inner(x))));
    }
  }
  const layersOf = (features: number): ((x: Tensor) => Tensor)[] => {
    if (net.hidden === null) return [];
    const [w, b, dropped] = [weight(3, features), next() > 0 ? weight(3) : null, drop()];
    return [
      (x) => linear(x, w, b),
      ...(net.hidden === "relu" ? [(x: Tensor) => relu(x)] : []),
      dropped,
    ];
  };
  const features = shape[0] * shape[1] * shape[2];
  steps.push((x) => flatten(x, { startDim: 1, endDim: -1 }), ...layersOf(features));
  const head = weight(2, net.hidden === null ? features : 3);
  const x = leaf([net.images, net.channels, net.size, net.size]);
  const dy = leaf([net.images, 2]).detach();
  const step = () => {
    const scores = linear(
      steps.reduce((t, f) => f(t), x),
      head,
      null,
    );
    scores.backward(dy);
    const gradients = leaves.flatMap((t) => (t.grad ? [t.grad] : []));
    if (!net.update) return [scores, x.grad!, ...gradients];
    noGrad(() => {
      leaves.forEach((t, i) => {
        const momentum = i % 2 === 0 ? 0.5 : 0;
        const buffer = momentum > 0 ? convnotes.zeros(t.shape, { device }) : null;
        if (t.grad) sgd(t, t.grad, buffer, { lr: 0.5, momentum, first: true });
      });
    });
    return [scores, x.grad!];
  };
  const numbers = (results: readonly Tensor[]) =>
    [...results, ...(net.update ? leaves : [])].map((t) => Array.from(t.data, Number));
  if (!asProgram) return numbers(step());
  const { graph, result } = convnotes.trace(() => convnotes.uncomputed(step));
  const program = convnotes.backendOf(device).compile!({ graph, inputs: [x, dy], outputs: result });
  program.run([x, dy], result, new Map());
  return numbers(result);
}
