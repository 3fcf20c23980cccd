// # Many channels: the tests
//
// A convolution of many channels is put together from convolutions of one channel, in whole numbers.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  concat,
  conv2d,
  models,
  narrow,
  nn,
  ones,
  reshape,
  summarize,
  sum,
  type Tensor,
  zeros,
} from "convnotes";
import {
  build,
  type ConvCase,
  convCases,
  equal,
  forAll,
  integers,
  reader,
  whole,
} from "./cases.js";
import { statement } from "./statement.js";

const sizes = fc
  .record({
    batch: whole(1, 2),
    channels: whole(1, 4),
    kernels: whole(1, 4),
    taps: fc.tuple(whole(1, 3), whole(1, 3)),
  })
  .map(({ batch, channels, kernels, taps }) => ({
    input: [batch, channels, 5, 4],
    weight: [kernels, channels, ...taps],
  }));

/** An image, a bank of kernels, and a permutation of each kind of channel. */
const banks = sizes.chain(({ input, weight }) =>
  fc.record({
    x: integers(input),
    w: integers(weight),
    b: integers([weight[0]]),
    inOrder: permutations(input[1]),
    outOrder: permutations(weight[0]),
  }),
);

const permutations = (count: number) =>
  fc.shuffledSubarray([...Array(count).keys()], { minLength: count });

/** The parts of a tensor along an axis, each of one element. */
const slices = (t: Tensor, dim: number): Tensor[] =>
  Array.from({ length: t.shape[dim] }, (_, start) => narrow(t, { dim, start, length: 1 }));

const reordered = (t: Tensor, dim: number, order: readonly number[]): Tensor => {
  const parts = slices(t, dim);
  return concat(
    order.map((i) => parts[i]),
    { dim },
  );
};

describe("03 Many channels", () => {
  statement("channels", "adds up one flat convolution for each input channel", () => {
    forAll([banks], ({ x, w }) => {
      const flat = slices(x, 1).map((channel, c) => conv2d(channel, slices(w, 1)[c], null));
      equal(
        conv2d(x, w, null),
        flat.reduce((total, y) => add(total, y)),
      );
    });
  });

  statement("channels", "sees one channel only where the others' weights are zero", () => {
    forAll([banks, whole(0, 3)], ({ x, w }, pick) => {
      const only = pick % x.shape[1];
      const at = reader(w);
      const thin = build(w.shape, (k, c, a, b) => (c === only ? at(k, c, a, b) : 0));
      equal(conv2d(x, thin, null), conv2d(slices(x, 1)[only], slices(w, 1)[only], null));
    });
  });

  statement("kernels", "makes channel k by kernel k alone", () => {
    forAll([banks], ({ x, w, b }) => {
      const apart = slices(w, 0).map((kernel, k) => conv2d(x, kernel, slices(b, 0)[k]));
      equal(conv2d(x, w, b), concat(apart, { dim: 1 }));
    });
  });

  statement("kernels", "is a layer with a bank of kernels and their biases", () => {
    forAll([whole(1, 4), whole(1, 4), whole(1, 3), whole(1, 3)], (channels, out, rows, columns) => {
      const layer = new nn.Conv2d(channels, out, [rows, columns]);
      assert.deepEqual(layer.weight.shape, [out, channels, rows, columns]);
      assert.deepEqual(layer.bias!.shape, [out]);
      assert.equal(layer.call(zeros([2, channels, 3, 3])).shape[1], out);
    });
  });

  statement("channel-order", "permutes the output with the kernels", () => {
    forAll([banks], ({ x, w, b, outOrder }) => {
      equal(
        conv2d(x, reordered(w, 0, outOrder), reordered(b, 0, outOrder)),
        reordered(conv2d(x, w, b), 1, outOrder),
      );
    });
  });

  statement("channel-order", "does not notice a permutation of input and depths", () => {
    forAll([banks], ({ x, w, inOrder }) => {
      equal(conv2d(reordered(x, 1, inOrder), reordered(w, 1, inOrder), null), conv2d(x, w, null));
    });
  });

  statement("bias", "is added to every pixel of its channel", () => {
    forAll([banks], ({ x, w, b }) => {
      const spread = reshape(b, { shape: [1, b.size, 1, 1] });
      equal(conv2d(x, w, b), add(conv2d(x, w, null), spread));
    });
  });

  statement("bias", "has the sum over images and pixels as its gradient", () => {
    forAll([banks, integers([2, 4, 5, 4])], ({ x, w, b }, numbers) => {
      b.requiresGrad = true;
      const y = conv2d(x, w, b);
      const at = reader(numbers);
      const dy = build(y.shape, (n, k, i, j) => at(n, k, i, j));
      y.backward(dy);
      equal(b.grad!, sum(dy, { dim: [0, 2, 3] }));
    });
  });

  const grouped = convCases.chain(({ input, weight, options }) =>
    fc.record({
      x: integers(input),
      w: integers(weight),
      options: fc.constant(options),
    }),
  );

  const part = (t: Tensor, dim: number, q: number, groups: number): Tensor => {
    const length = t.shape[dim] / groups;
    return narrow(t, { dim, start: q * length, length });
  };

  statement("groups", "are convolutions of the parts, one behind the other", () => {
    forAll([grouped], ({ x, w, options }) => {
      const { groups, ...rest } = options;
      const apart = Array.from({ length: groups }, (_, q) =>
        conv2d(part(x, 1, q, groups), part(w, 0, q, groups), null, rest),
      );
      equal(conv2d(x, w, null, options), concat(apart, { dim: 1 }));
    });
  });

  statement("groups", "are one convolution with zeros between the groups", () => {
    forAll([grouped], ({ x, w, options }) => {
      const { groups, ...rest } = options;
      const [outPerGroup, perGroup] = [w.shape[0] / groups, w.shape[1]];
      const at = reader(w);
      const full = build([w.shape[0], x.shape[1], w.shape[2], w.shape[3]], (k, c, a, b) =>
        Math.floor(k / outPerGroup) === Math.floor(c / perGroup) ? at(k, c % perGroup, a, b) : 0,
      );
      equal(conv2d(x, w, null, options), conv2d(x, full, null, rest));
    });
  });

  /** The layer of a case, with a bias or without. */
  const layerOf = ({ input, weight, options }: ConvCase, bias: boolean): nn.Conv2d =>
    new nn.Conv2d(input[1], weight[0], [weight[2], weight[3]], { ...options, bias });

  statement("conv-counts", "counts the parameters that the layer has", () => {
    forAll([convCases, fc.boolean()], (c, bias) => {
      const [out, perGroup, rows, columns] = c.weight;
      const formula = out * (perGroup * rows * columns + (bias ? 1 : 0));
      const counted = [...layerOf(c, bias).parameters()].reduce((total, p) => total + p.size, 0);
      assert.equal(counted, formula);
      assert.equal(summarize(() => layerOf(c, bias), c.input).parameters, formula);
    });
  });

  statement("conv-counts", "counts the products, which ones under ones add up", () => {
    forAll([convCases], (c) => {
      const options = { ...c.options, padding: [0, 0] as const };
      const span = (axis: 0 | 1) => options.dilation[axis] * (c.weight[2 + axis] - 1) + 1;
      const input = [c.input[0], c.input[1], c.input[2] + span(0), c.input[3] + span(1)];
      const y = conv2d(ones(input), ones(c.weight), null, options);
      const executed = sum(y).item();
      const [, perGroup, rows, columns] = c.weight;
      assert.equal(executed, y.size * perGroup * rows * columns);
      const traced = summarize(() => layerOf({ ...c, input, options }, false), input);
      assert.equal(traced.multiplyAdds, executed);
    });
  });

  for (const model of models)
    statement("conv-counts", `holds for every convolution of ${model.name}`, () => {
      const { rows } = summarize(() => model.create(), [3, ...model.inputShape]);
      const layers = rows.filter((row) => row.module === "Conv2d");
      assert.ok(layers.length > 0);
      for (const { path, inputShapes, outputShape, parameters, multiplyAdds } of layers) {
        const [[, channels]] = inputShapes;
        const [, out] = outputShape;
        // The kernel's area follows from the parameters, and must explain the work as well.
        const area = (parameters / out - 1) / channels;
        assert.ok(Number.isInteger(Math.sqrt(area)), `${path}: ${area} taps`);
        const pixels = outputShape.reduce((product, d) => product * d, 1);
        assert.equal(multiplyAdds, pixels * channels * area, path);
      }
    });
});
