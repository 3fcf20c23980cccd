// # Batch normalisation: the tests
//
// A root is rarely exact, but it can be made so: with whole numbers, a power of two of them in each
// channel, mean and variance are exact, and ε is then chosen as 4ᵏ less the variance. All channels
// of a case are mirrored, turned and shifted versions of one, so that one ε suits them all.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  batchNorm,
  conv2d,
  full,
  LeNet,
  LeNetBN,
  linear,
  mul,
  narrow,
  nn,
  ones,
  permute,
  reshape,
  type Shape,
  ShapeError,
  tensor,
  type Tensor,
  zeros,
} from "convnotes";
import { build, combine, equal, equalNumber, forAll, integers, numbers, reader } from "./cases.js";
import { refute, whole } from "./cases.js";
import { expectShown } from "./evidence.js";
import { closedModel, expectExecuted, expectTraced } from "./networks.js";
import { statement } from "./statement.js";

interface Normal {
  readonly x: Tensor;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly dy: Tensor;
  /** Chosen so that `√(σ² + ε)` is `root`. */
  readonly eps: number;
  readonly root: number;
  /** Of every channel, by their index. */
  readonly means: readonly number[];
  readonly variance: number;
  /** How many values a channel has. */
  readonly n: number;
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((total, v) => total + v, 0) / values.length;

const varianceOf = (values: readonly number[]): number => {
  const mean = meanOf(values);
  return meanOf(values.map((v) => (v - mean) ** 2));
};

/** The values of channel `c`, in the order of images and pixels. */
function channelOf(t: Tensor, c: number): number[] {
  const [batch, channels, ...pixels] = t.shape;
  const inside = pixels.reduce((product, d) => product * d, 1);
  const data = numbers(t);
  return Array.from({ length: batch }, (_, n) =>
    data.slice((n * channels + c) * inside, (n * channels + c + 1) * inside),
  ).flat();
}

/** A tensor whose channel `c` has the values `channels[c]`. */
function fromChannels(shape: Shape, channels: readonly (readonly number[])[]): Tensor {
  const inside = shape.slice(2).reduce((product, d) => product * d, 1);
  const places = channels.map(() => 0);
  let i = 0;
  return build(shape, () => {
    const c = Math.floor(i++ / inside) % channels.length;
    return channels[c][places[c]++];
  });
}

const normals: fc.Arbitrary<Normal> = fc
  .record({ channels: whole(1, 3), form: whole(0, 3) })
  .chain(({ channels, form }) => {
    const shape = [
      [4, channels],
      [8, channels],
      [2, channels, 2, 1],
      [1, channels, 2, 4],
    ][form];
    const n = shape.reduce((product, d) => product * d, 1) / channels;
    return fc.record({
      shape: fc.constant(shape),
      base: fc.array(whole(-8, 8), { minLength: n, maxLength: n }),
      changes: fc.array(
        fc.record({ sign: fc.constantFrom(1, -1), shift: whole(-9, 9), turn: whole(0, n - 1) }),
        { minLength: channels, maxLength: channels },
      ),
      gamma: integers([channels]),
      beta: integers([channels]),
      dy: integers(shape),
      root: fc.constantFrom(16, 32),
    });
  })
  .map(({ shape, base, changes, gamma, beta, dy, root }) => {
    const channels = changes.map(({ sign, shift, turn }) =>
      base.map((_, i) => sign * base[(i + turn) % base.length] + shift),
    );
    const variance = varianceOf(base);
    return {
      x: fromChannels(shape, channels),
      gamma,
      beta,
      dy,
      root,
      eps: root ** 2 - variance,
      means: channels.map(meanOf),
      variance,
      n: base.length,
    };
  });

const training = (x: Tensor, weight: Tensor | null, bias: Tensor | null, eps: number): Tensor =>
  batchNorm(x, weight, bias, null, null, { training: true, eps });

/** A tensor of `shape` from what each value becomes in its channel. */
const perChannel = (x: Tensor, change: (value: number, channel: number) => number): Tensor =>
  fromChannels(
    x.shape,
    Array.from({ length: x.shape[1] }, (_, c) => channelOf(x, c).map((v) => change(v, c))),
  );

/** Some values that are not all equal, so that there is something to normalise. */
const lively = normals.filter(({ variance }) => variance > 0);

describe("10 Batch normalisation", () => {
  statement("batchnorm", "is the formula, exactly", () => {
    forAll([normals], ({ x, gamma, beta, eps, root, means }) => {
      const [g, b] = [numbers(gamma), numbers(beta)];
      equal(
        training(x, gamma, beta, eps),
        perChannel(x, (v, c) => (g[c] * (v - means[c])) / root + b[c]),
      );
    });
  });

  statement("batchnorm", "begins with scale 1 and shift 0", () => {
    forAll([whole(1, 9)], (channels) => {
      for (const layer of [new nn.BatchNorm1d(channels), new nn.BatchNorm2d(channels)]) {
        equal(layer.weight!, ones([channels]));
        equal(layer.bias!, zeros([channels]));
      }
    });
  });

  statement("batchnorm-moments", "has mean β and variance γ²σ²/(σ² + ε)", () => {
    forAll([normals], ({ x, gamma, beta, eps, root, variance }) => {
      const y = training(x, gamma, beta, eps);
      for (let c = 0; c < gamma.size; c++) {
        const [g, b] = [Number(gamma.data[c]), Number(beta.data[c])];
        const values = channelOf(y, c);
        equalNumber(meanOf(values), b);
        equalNumber(varianceOf(values), (g ** 2 * variance) / root ** 2);
      }
    });
  });

  statement("batchnorm-moments", "makes β of a constant channel", () => {
    forAll([whole(-9, 9), whole(-9, 9)], (value, shift) => {
      const x = full([4, 1], value, { dtype: "float64" });
      const bias = full([1], shift, { dtype: "float64" });
      equal(training(x, null, bias, 1e-5), full([4, 1], shift, { dtype: "float64" }));
    });
  });

  const factors = fc
    .tuple(whole(-3, 3), fc.boolean())
    .map(([k, minus]) => (minus ? -1 : 1) * 2 ** k);
  const shifts = whole(-20, 20);

  statement("batchnorm-affine", "forgets scale and shift, but not the sign", () => {
    forAll([normals, factors, shifts], ({ x }, lambda, shift) => {
      const eps = 0.25;
      const changed = perChannel(x, (v) => lambda * v + shift);
      equal(
        training(changed, null, null, lambda ** 2 * eps),
        mul(training(x, null, null, eps), Math.sign(lambda)),
      );
    });
  });

  statement("batchnorm-affine", "holds with the same ε for shifts only", () => {
    forAll([normals, shifts], ({ x }, shift) => {
      equal(
        training(
          perChannel(x, (v) => v + shift),
          null,
          null,
          0.25,
        ),
        training(x, null, null, 0.25),
      );
    });
    refute([lively], ({ x }) => {
      equal(training(mul(x, 2), null, null, 0.25), training(x, null, null, 0.25));
    });
  });

  statement("batchnorm-affine", "makes the gradient smaller by the factor", () => {
    forAll([normals, factors], ({ x, dy }, lambda) => {
      const gradient = (input: Tensor, eps: number) => {
        const leaf = input.clone();
        leaf.requiresGrad = true;
        training(leaf, null, null, eps).backward(dy);
        return leaf.grad!;
      };
      equal(
        gradient(mul(x, lambda), lambda ** 2 * 0.25),
        mul(gradient(x, 0.25), 1 / Math.abs(lambda)),
      );
    });
  });

  const convolutions = fc.record({
    x: integers([1, 2, 4, 4]),
    w: integers([2, 2, 3, 3], -2, 2),
    b: integers([2], -9, 9),
    dy: integers([1, 2, 4, 4]),
  });

  statement("batchnorm-bias", "takes away what a bias before it adds", () => {
    forAll([convolutions], ({ x, w, b }) => {
      const normal = (bias: Tensor | null) =>
        training(conv2d(x, w, bias, { padding: 1 }), null, null, 1e-5);
      equal(normal(b), normal(null));
    });
    forAll([integers([4, 3]), integers([2, 3]), integers([2])], (x, w, b) => {
      equal(
        training(linear(x, w, b), null, null, 1e-5),
        training(linear(x, w, null), null, null, 1e-5),
      );
    });
  });

  statement("batchnorm-bias", "leaves no gradient for it", () => {
    forAll([normals], ({ x, gamma, eps, dy }) => {
      // The bias is added to a whole channel, as behind a convolution.
      const channels = x.shape[1];
      const b = zeros([1, channels, ...x.shape.slice(2).map(() => 1)], {
        dtype: "float64",
        requiresGrad: true,
      });
      training(add(x, b), gamma, null, eps).backward(dy);
      equal(b.grad!, zeros(b.shape));
    });
  });

  statement("batchnorm-axes", "treats pixels as further rows of a unit", () => {
    forAll([integers([2, 3, 2, 4]), integers([3]), integers([3])], (x, gamma, beta) => {
      const rows = reshape(permute(x, { dims: [0, 2, 3, 1] }), { shape: [16, 3] });
      const y = training(x, gamma, beta, 1e-5);
      equal(
        reshape(permute(y, { dims: [0, 2, 3, 1] }), { shape: [16, 3] }),
        training(rows, gamma, beta, 1e-5),
      );
    });
  });

  statement("batchnorm-axes", "keeps channels apart, and statistics for each", () => {
    forAll([integers([2, 3, 2, 2]), whole(0, 2)], (x, c) => {
      const only = (t: Tensor) => narrow(t, { dim: 1, start: c, length: 1 });
      equal(only(training(x, null, null, 1e-5)), training(only(x), null, null, 1e-5));
      const layer = new nn.BatchNorm2d(3).to("float64");
      layer.call(x);
      assert.deepEqual(layer.running_mean!.shape, [3]);
    });
  });

  statement("batchnorm-gradient", "adds up to zero, and is nearly orthogonal to x̂", () => {
    forAll([normals], ({ x, gamma, eps, dy, root, means }) => {
      x.requiresGrad = true;
      training(x, gamma, null, eps).backward(dy);
      const sumOf = (values: readonly number[]) => values.reduce((total, v) => total + v, 0);
      for (let c = 0; c < gamma.size; c++) {
        const [dx, out] = [channelOf(x.grad!, c), channelOf(dy, c)];
        const normal = channelOf(x, c).map((v) => (v - means[c]) / root);
        const along = (values: readonly number[]) => sumOf(values.map((v, i) => v * normal[i]));
        equalNumber(sumOf(dx), 0);
        equalNumber(along(dx), ((Number(gamma.data[c]) * eps) / root ** 3) * along(out));
      }
    });
  });

  const batches = fc.record({ x: integers([4, 2]), other: integers([4, 2], 20, 30) });

  /** The first image of `x` among the other images. */
  const mixed = (x: Tensor, other: Tensor): Tensor => {
    const [a, b] = [reader(x), reader(other)];
    return build(x.shape, (n, c) => (n === 0 ? a : b)(n, c));
  };
  const first = (t: Tensor): Tensor => narrow(t, { dim: 0, start: 0, length: 1 });

  statement("batchnorm-batch", "looks at the other images in training only", () => {
    const layer = new nn.BatchNorm1d(2).to("float64");
    layer.running_mean!.fill_(3);
    layer.running_var!.fill_(7);
    layer.eval();
    forAll([batches], ({ x, other }) => {
      equal(first(layer.call(x)), first(layer.call(mixed(x, other))));
    });
    refute([batches], ({ x, other }) => {
      const learner = new nn.BatchNorm1d(2).to("float64");
      equal(first(learner.call(x)), first(learner.call(mixed(x, other))));
    });
  });

  statement("batchnorm-batch", "refuses a single value in training, not in evaluation", () => {
    const layer = new nn.BatchNorm1d(2);
    assert.throws(
      () => layer.call(zeros([1, 2])),
      (error) =>
        error instanceof ShapeError && /needs more than one value.*batch/.test(error.message),
    );
    assert.deepEqual(layer.eval().call(zeros([1, 2])).shape, [1, 2]);
  });

  /** Whole numbers, multiplied so that dividing their squares by n − 1 leaves whole numbers too. */
  const repeated = fc
    .constantFrom(2, 4, 8)
    .chain((n) => fc.record({ n: fc.constant(n), x: integers([n, 2]).map((x) => mul(x, n - 1)) }));

  statement(
    "batchnorm-running",
    "halves its distance to the batch with every batch, for α = ½",
    () => {
      forAll([repeated, whole(1, 8)], ({ n, x }, times) => {
        const layer = new nn.BatchNorm1d(2, { momentum: 0.5 }).to("float64");
        for (let t = 1; t <= times; t++) {
          layer.call(x);
          const left = 0.5 ** t;
          for (let c = 0; c < 2; c++) {
            const values = channelOf(x, c);
            const mean = meanOf(values);
            const unbiased = (varianceOf(values) * n) / (n - 1);
            assert.equal(Number(layer.running_mean!.data[c]) - mean, left * (0 - mean));
            assert.equal(Number(layer.running_var!.data[c]) - unbiased, left * (1 - unbiased));
          }
        }
        assert.equal(layer.num_batches_tracked!.item(), times);
      });
    },
  );

  statement("batchnorm-running", "stands still in evaluation", () => {
    forAll([repeated], ({ x }) => {
      const layer = new nn.BatchNorm1d(2).to("float64").eval();
      layer.call(x);
      equal(layer.running_mean!, zeros([2]));
      equal(layer.running_var!, ones([2]));
    });
  });

  statement("batchnorm-running", "moves by a tenth unless something else is said", () => {
    const layer = new nn.BatchNorm1d(1).to("float64");
    layer.call(full([2, 1], 10, { dtype: "float64" }));
    assert.equal(layer.running_mean!.item(), 0.1 * 10);
  });

  /** Running statistics whose root is a power of two, one for each channel. */
  const fixed = fc.record({
    mean: integers([2]),
    roots: fc.tuple(fc.constantFrom(1, 2, 4), fc.constantFrom(1, 2, 4)),
    gamma: integers([2]),
    beta: integers([2]),
  });
  const eps = 2 ** -10;

  const evaluation = (x: Tensor, { mean, roots, gamma, beta }: FixedCase): Tensor => {
    const variance = tensor(
      roots.map((root) => root ** 2 - eps),
      { dtype: "float64" },
    );
    return batchNorm(x, gamma, beta, mean, variance, { training: false, eps });
  };

  statement("batchnorm-eval", "is affine in its input, the batch does not matter", () => {
    forAll([integers([3, 2, 2, 1]), integers([3, 2, 2, 1]), fixed], (x, x2, c) => {
      const f = (input: Tensor) => evaluation(input, c);
      const origin = f(zeros(x.shape, { dtype: "float64" }));
      const sum = combine(1, f(x), 1, f(x2));
      equal(f(combine(1, x, 1, x2)), combine(1, sum, -1, origin));
      const [g, b, mu] = [c.gamma, c.beta, c.mean].map(numbers);
      equal(
        f(x),
        perChannel(x, (v, ch) => {
          const factor = g[ch] / c.roots[ch];
          return factor * v + (b[ch] - factor * mu[ch]);
        }),
      );
    });
  });

  statement("batchnorm-eval", "disappears into the convolution before it", () => {
    forAll([convolutions, fixed], ({ x, w, b }, c) => {
      const [g, beta, mu] = [c.gamma, c.beta, c.mean].map(numbers);
      const factor = c.roots.map((root, ch) => g[ch] / root);
      const at = reader(w);
      const folded = build(w.shape, (o, ...rest) => factor[o] * at(o, ...rest));
      const bias = build([2], (o) => factor[o] * Number(b.data[o]) + beta[o] - factor[o] * mu[o]);
      equal(
        evaluation(conv2d(x, w, b, { padding: 1 }), c),
        conv2d(x, folded, bias, { padding: 1 }),
      );
    });
  });

  statement("batchnorm-eval", "is not affine in training", () => {
    refute([lively], ({ x, eps: own }) => {
      const f = (input: Tensor) => training(input, null, null, own);
      equal(f(mul(x, 2)), mul(f(x), 2));
    });
  });

  statement("lenet-bn", "has two numbers more for each channel", () => {
    const count = (name: string) =>
      closedModel(name).layers.reduce((total, layer) => total + layer.parameters, 0);
    const more = [...new LeNetBN().parameters()].reduce((total, p) => total + p.size, 0);
    const plain = [...new LeNet().parameters()].reduce((total, p) => total + p.size, 0);
    assert.equal(more - plain, count("lenet_bn") - count("lenet"));
    expectShown("lenet-bn", more - plain);
    const channels = closedModel("lenet_bn")
      .layers.filter((layer) => layer.module.startsWith("BatchNorm"))
      .map((layer) => layer.output[0]);
    expectShown("lenet-bn", ...channels);
    assert.equal(2 * channels.reduce((a, b) => a + b, 0), more - plain);
    const saved = [...new LeNetBN().namedBuffers()].filter(([, t]) => t.ndim > 0);
    assert.equal(
      saved.reduce((total, [, t]) => total + t.size, 0),
      more - plain,
    );
  });

  statement("lenet-bn", "has the sizes of the table, by formula, trace and run", () => {
    expectTraced("lenet_bn");
    expectExecuted("lenet_bn");
  });
});

interface FixedCase {
  readonly mean: Tensor;
  readonly roots: readonly number[];
  readonly gamma: Tensor;
  readonly beta: Tensor;
}
