// # Concatenations at random
//
// Networks whose layers put together what several others give, and cut it again: with activations behind a part
// or without, parts that others read as well, the same part twice, an image as it was given; and a last cut
// along any axis.

import * as convnotes from "convnotes";
import fc from "fast-check";

type Tensor = convnotes.Tensor;
const { add, avgPool2d, batchNorm, concat, conv2d, flatten, linear, maxPool2d, mul, narrow } =
  convnotes;

const kinds = [
  ...["conv", "relu", "sigmoid", "max", "avg", "norm", "sum", "same", "twice", "cut", "drop"],
] as const;

const part = fc.record({
  kind: fc.constantFrom(...kinds),
  channels: fc.integer({ min: 1, max: 3 }),
});

export const partedNetwork = fc.record({
  images: fc.integer({ min: 1, max: 4 }),
  height: fc.integer({ min: 2, max: 4 }),
  width: fc.integer({ min: 2, max: 4 }),
  channels: fc.integer({ min: 1, max: 3 }),
  /** Whether the first concatenation's parts are of the image itself. */
  atOnce: fc.boolean(),
  blocks: fc.array(fc.array(part, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  lastCut: fc.integer({ min: 0, max: 3 }),
  numbers: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 40, maxLength: 80 }),
});

export type PartedNetwork = typeof partedNetwork extends fc.Arbitrary<infer T> ? T : never;

/** The network's step: scores, and the gradient of each of `leaves`; `inputs` are image and gradient of the scores. */
export function stepOf(net: PartedNetwork, device: string) {
  let drawn = 0;
  const next = () => net.numbers[drawn++ % net.numbers.length];
  const leaves: Tensor[] = [];
  const leaf = (...shape: number[]) => {
    const t = convnotes.zeros(shape, { device, requiresGrad: true });
    for (let i = 0; i < t.size; i++) t.data[i] = next();
    leaves.push(t);
    return t;
  };
  const conv = (inC: number, outC: number, k: number) => {
    const [w, b] = [leaf(outC, inC, k, k), leaf(outC)];
    return (x: Tensor) => conv2d(x, w, b, { padding: k >> 1 });
  };
  const window = { kernelSize: 3, stride: 1, padding: 1 };

  /** Parts of what has C channels, with how many channels each has. */
  const partsOf = (C: number, kind: (typeof kinds)[number], channels: number) => {
    const inner = conv(C, channels, kind === "conv" ? 3 : 1);
    const one = (count: number, f: (t: Tensor) => Tensor) => ({ count, of: (t: Tensor) => [f(t)] });
    if (kind === "relu") return one(channels, (t) => convnotes.relu(inner(t)));
    if (kind === "sigmoid") return one(channels, (t) => convnotes.sigmoid(inner(t)));
    if (kind === "max") return one(C, (t) => maxPool2d(t, window));
    if (kind === "avg") return one(C, (t) => avgPool2d(t, window));
    if (kind === "drop") {
      const mask = { p: 0.5, seed: 3n, step: 1, layer: C };
      return one(channels, (t) => convnotes.dropout(inner(t), mask));
    }
    if (kind === "same") return one(C, (t) => t);
    if (kind === "cut") return one(1, (t) => narrow(t, { dim: 1, start: C - 1, length: 1 }));
    if (kind === "sum") {
      const other = conv(C, channels, 1);
      return one(channels, (t) => add(inner(t), other(t)));
    }
    if (kind === "norm") {
      const [weight, bias] = [leaf(C), leaf(C)];
      return one(C, (t) => batchNorm(t, weight, bias, null, null, { training: true }));
    }
    if (kind === "twice")
      return {
        count: 2 * channels,
        of: (t: Tensor) => {
          const y = inner(t);
          return [y, y];
        },
      };
    return one(channels, inner);
  };

  const x = leaf(net.images, net.channels, net.height, net.width);
  let C = net.channels;
  const steps: ((x: Tensor) => Tensor)[] = [];
  if (!net.atOnce) {
    steps.push(conv(C, 2, 1));
    C = 2;
  }
  for (const block of net.blocks) {
    const inC = C;
    const parts = block.map(({ kind, channels }) => partsOf(inC, kind, channels));
    C = parts.reduce((sum, { count }) => sum + count, 0);
    steps.push((t) =>
      concat(
        parts.flatMap(({ of }) => of(t)),
        { dim: 1 },
      ),
    );
  }
  const shape = [net.images, C, net.height, net.width];
  const dim = net.lastCut;
  const length = Math.max(1, shape[dim] - 1);
  const start = shape[dim] - length;
  shape[dim] = length;
  const scale = leaf(...shape);
  const head = leaf(2, shape[1] * shape[2] * shape[3]);
  const dy = leaf(shape[0], 2).detach();
  const run = (): Tensor[] => {
    const y = steps.reduce((t, f) => f(t), x);
    const kept = mul(narrow(y, { dim, start, length }), scale);
    const scores = linear(flatten(kept, { startDim: 1, endDim: -1 }), head, null);
    scores.backward(dy);
    return [scores, ...leaves.flatMap((t) => (t.grad ? [t.grad] : []))];
  };
  return { run, inputs: [x, dy] };
}
