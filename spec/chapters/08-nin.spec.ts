// # Network in network: the tests
//
// Pixels are laid out as the rows of a matrix, one column a channel, and put through dense layers:
// whole numbers in float64, so that both ways are equal. Means are taken over 1, 2, 4, 8 or 16
// pixels, which divides exactly.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  adaptiveAvgPool2d,
  conv2d,
  linear,
  NiN,
  ninBlock,
  nn,
  noGrad,
  relu,
  reshape,
  type Shape,
  ShapeError,
  summarize,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { build, equal, forAll, integers, reader, same, whole } from "./cases.js";
import { expectRun, expectShown, total } from "./evidence.js";
import { closedModel, closedNetwork, expectTraced } from "./networks.js";
import { statement } from "./statement.js";

// ## Pixels as rows

/** `[N, C, H, W]` → `[N·H·W, C]`: each pixel is an example. */
function pixelRows(x: Tensor): Tensor {
  const [batch, channels, height, width] = x.shape;
  const at = reader(x);
  return build([batch * height * width, channels], (row, c) => {
    const pixel = row % (height * width);
    return at(Math.floor(row / (height * width)), c, Math.floor(pixel / width), pixel % width);
  });
}

/** The other way round: `[N·H·W, O]` → `[N, O, H, W]`. */
function fromPixelRows(rows: Tensor, [batch, , height, width]: Shape): Tensor {
  const at = reader(rows);
  return build([batch, rows.shape[1], height, width], (n, k, i, j) =>
    at((n * height + i) * width + j, k),
  );
}

/** The kernels of a 1×1 convolution as the weights of a dense layer. */
const asDense = (w: Tensor): Tensor => reshape(w, { shape: [w.shape[0], w.shape[1]] });

/** The pixels of every plane in another order. */
function shuffled(x: Tensor, order: readonly number[]): Tensor {
  const [, , , width] = x.shape;
  const at = reader(x);
  return build(x.shape, (n, c, i, j) => {
    const from = order[i * width + j];
    return at(n, c, Math.floor(from / width), from % width);
  });
}

const orders = (count: number) =>
  fc.shuffledSubarray([...Array(count).keys()], { minLength: count });

const layers = fc
  .record({
    batch: whole(1, 2),
    channels: whole(1, 3),
    out: whole(1, 3),
    h: whole(1, 4),
    w: whole(1, 4),
  })
  .chain(({ batch, channels, out, h, w }) =>
    fc.record({
      x: integers([batch, channels, h, w]),
      weight: integers([out, channels, 1, 1]),
      bias: integers([out]),
      order: orders(h * w),
    }),
  );

// ## Blocks

const blockSizes = fc.record({
  channels: whole(1, 3),
  out: whole(1, 3),
  k: whole(1, 3),
  s: whole(1, 2),
  p: whole(0, 1),
});

/** An image and a block whose parameters are whole numbers. */
const blocks = blockSizes.chain(({ channels, out, k, s, p }) => {
  const create = () => ninBlock(channels, out, k, { stride: s, padding: p }).to("float64");
  const state = [...create().stateDict()].map(([name, { shape }]) =>
    integers(shape, -2, 2).map((t) => [name, t] as const),
  );
  return fc.record({
    x: integers([2, channels, 4, 3]),
    settings: fc.constant({ stride: s, padding: p }),
    create: fc.constant(create),
    state: fc.tuple(...state).map((entries) => new Map(entries)),
  });
});

const parametersOf = (module: nn.Module): number =>
  total([...module.parameters()].map((p) => p.size));

const onMeta = <T>(create: () => T): T => withDevice("meta", create);

describe("08 Network in network", () => {
  statement("nin-1x1", "is a dense layer on the channels of every pixel", () => {
    forAll([layers], ({ x, weight, bias }) => {
      const rows = linear(pixelRows(x), asDense(weight), bias);
      equal(conv2d(x, weight, bias), fromPixelRows(rows, x.shape));
    });
  });

  statement("nin-1x1", "does not notice how pixels are arranged", () => {
    forAll([layers], ({ x, weight, bias, order }) => {
      equal(conv2d(shuffled(x, order), weight, bias), shuffled(conv2d(x, weight, bias), order));
    });
  });

  statement("nin-1x1", "is not what a larger window does", () => {
    const bright = build([1, 1, 1, 3], (_, __, ___, j) => (j === 0 ? 1 : 0));
    const sum = build([1, 1, 1, 3], () => 1);
    const blur = (x: Tensor) => conv2d(x, sum, null, { padding: [0, 1] });
    const order = [1, 0, 2];
    assert.ok(!same(blur(shuffled(bright, order)), shuffled(blur(bright), order)));
  });

  statement("nin-block", "is a convolution with two dense layers at every pixel", () => {
    forAll([blocks], ({ x, settings, create, state }) => {
      const block = create();
      block.loadStateDict(new Map(state));
      const get = (name: string) => state.get(name)!;
      const h = relu(conv2d(x, get("0.weight"), get("0.bias"), settings));
      const dense = (rows: Tensor, layer: string) =>
        relu(linear(rows, asDense(get(`${layer}.weight`)), get(`${layer}.bias`)));
      const rows = dense(dense(pixelRows(h), "2"), "4");
      equal(block.call(x), fromPixelRows(rows, h.shape));
    });
  });

  statement("nin-block", "sees no more than its first convolution", () => {
    forAll([blockSizes], ({ channels, out, k, s, p }) => {
      const block = () => ninBlock(channels, out, k, { stride: s, padding: p });
      const { rows } = summarize(block, [1, channels, 9, 8]);
      for (const { receptiveField, outputShape } of rows) {
        assert.deepEqual(receptiveField, [k, k]);
        assert.deepEqual(outputShape, rows[0].outputShape);
      }
    });
  });

  statement("nin-block", "has the parameters of the formula", () => {
    forAll([blockSizes], ({ channels: C, out: O, k, s, p }) => {
      const block = onMeta(() => ninBlock(C, O, k, { stride: s, padding: p }));
      assert.equal(parametersOf(block), O * (k * k * C + 1) + 2 * O * (O + 1));
    });
  });

  // ## Global average pooling

  const planes = fc
    .record({
      batch: whole(1, 2),
      channels: whole(1, 3),
      h: fc.constantFrom(1, 2, 4),
      w: fc.constantFrom(1, 2, 4),
    })
    .chain(({ batch, channels, h, w }) =>
      fc.record({
        x: integers([batch, channels, h, w]),
        dy: integers([batch, channels, 1, 1]),
        order: orders(h * w),
      }),
    );

  const globalMean = (x: Tensor) => adaptiveAvgPool2d(x, { outputSize: 1 });

  statement("nin-global-pooling", "is the mean of each channel", () => {
    forAll([planes], ({ x, order }) => {
      const [batch, channels, h, w] = x.shape;
      const at = reader(x);
      const mean = build([batch, channels, 1, 1], (n, c) => {
        let sum = 0;
        for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) sum += at(n, c, i, j);
        return sum / (h * w);
      });
      equal(globalMean(x), mean);
      equal(globalMean(shuffled(x, order)), mean);
    });
  });

  statement("nin-global-pooling", "tells every pixel of a channel the same", () => {
    forAll([planes], ({ x, dy }) => {
      x.requiresGrad = true;
      globalMean(x).backward(dy);
      const at = reader(dy);
      const [, , h, w] = x.shape;
      equal(
        x.grad!,
        build(x.shape, (n, c) => at(n, c, 0, 0) / (h * w)),
      );
    });
  });

  statement("nin-global-pooling", "learns nothing and accepts any size", () => {
    const layer = new nn.AdaptiveAvgPool2d([1, 1]);
    assert.equal(parametersOf(layer), 0);
    forAll([whole(1, 3), whole(1, 3), whole(1, 9), whole(1, 9)], (batch, channels, h, w) => {
      const y = noGrad(() => layer.call(zeros([batch, channels, h, w])));
      assert.deepEqual(y.shape, [batch, channels, 1, 1]);
    });
  });

  statement("nin-head", "has fewer parameters exactly when the inequality says so", () => {
    const cases = fc.record({
      C: whole(1, 4),
      O: whole(1, 6),
      h: whole(1, 4),
      w: whole(1, 4),
      k: fc.constantFrom(1, 3),
    });
    forAll([cases], ({ C, O, h, w, k }) => {
      const [block, dense] = onMeta(() => [
        ninBlock(C, O, k, { padding: (k - 1) / 2 }),
        new nn.Linear(C * h * w, O),
      ]).map(parametersOf);
      assert.equal(block < dense, 2 * (O + 1) < (h * w - k * k) * C);
    });
  });

  statement("nin-head", "has the numbers of the text", () => {
    const { net } = onMeta(() => new NiN());
    const { rows } = summarize(() => new NiN(), [1, 1, 224, 224]);
    const before = rows.find(({ path }) => path === "net.7.0")!.inputShapes[0].slice(1);
    assert.deepEqual(before, [384, 5, 5]);
    const size = before.reduce((product, d) => product * d, 1);
    const dense = onMeta(() => new nn.Linear(size, 10));
    const alexnets = closedModel("alexnet").layers.filter((l) => l.module === "Linear");
    assert.equal(alexnets.length, 3);
    expectShown(
      "nin-head",
      parametersOf(net[7]),
      parametersOf(dense),
      total(alexnets.map((l) => l.parameters)),
    );
  });

  // ## The network

  /** The least sizes before each window, last to first, for a result of one pixel. */
  function leastSizes(): number[] {
    const windows = closedModel("nin").layers.flatMap(({ window }) => window ?? []);
    let size = 1;
    return windows
      .reverse()
      .map(({ kernel, stride, padding }) => (size = stride * (size - 1) + kernel - 2 * padding));
  }

  statement("nin-layers", "is the same by formula, in a trace and in the text", () => {
    expectTraced("nin");
    const sums = ["nin", "alexnet"].map((name) => {
      const { layers } = closedModel(name);
      return [total(layers.map((l) => l.parameters)), total(layers.map((l) => l.multiplyAdds))];
    });
    const [[parameters, work], [alexnets, alexnetsWork]] = sums;
    expectShown("nin-layers", parameters, work, alexnets, alexnetsWork);
    assert.equal(Math.round(alexnets / parameters), 23);
    assert.equal((work / alexnetsWork).toFixed(1), "0.8");
  });

  statement("nin-layers", "has AlexNet's sizes", () => {
    const sizes = (name: string) => [
      ...new Set(
        closedModel(name).layers.flatMap(({ window, output }) => (window ? output[1] : [])),
      ),
    ];
    assert.deepEqual(sizes("nin"), sizes("alexnet"));
    expectShown("nin-layers", ...sizes("nin"));
  });

  statement("nin-layers", "fits images from the least size on", () => {
    const sizes = leastSizes();
    expectShown("nin-layers", ...sizes);
    const least = sizes.at(-1)!;
    const model = onMeta(() => new NiN());
    forAll(
      [whole(0, 200), whole(0, 200)],
      (h, w) => {
        const { layers } = closedNetwork(model, [1, least + h, least + w]);
        assert.deepEqual(layers.at(-1)!.output, [10]);
        for (const { output } of layers) for (const d of output) assert.ok(d > 0);
      },
      0.2,
    );
    for (const [h, w] of [
      [least - 1, least],
      [least, least - 1],
    ])
      assert.throws(() => onMeta(() => model.call(zeros([1, 1, h, w]))), ShapeError);
  });

  statement("nin-layers", "has these sizes when it runs", () => {
    expectRun(new NiN(), [1, 67, 71]);
  });
});
