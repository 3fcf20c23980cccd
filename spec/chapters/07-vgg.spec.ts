// # VGG: the tests
//
// Blocks of all sizes against their three numbers, and stacks of small windows against one large
// window. The network itself is run narrowed further, on small images.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  conv2d,
  nn,
  noGrad,
  notesArch,
  relu,
  ShapeError,
  summarize,
  VGG,
  vggBlock,
  withDevice,
  zeros,
} from "convnotes";
import { readChapters } from "../statements.js";
import { build, equal, forAll, integers, reader, refute, whole } from "./cases.js";
import { expectRun, expectShown, total } from "./evidence.js";
import { closedModel, expectTraced } from "./networks.js";
import { statement } from "./statement.js";

const blockSizes = fc.record({ m: whole(1, 3), channels: whole(1, 4), out: whole(1, 4) });

const parametersOf = (module: nn.Module): number =>
  total([...module.parameters()].map((p) => p.size));

/** The weights of all convolutions, without their biases. */
const weightsOf = (module: nn.Module): number =>
  total([...module.namedParameters()].map(([name, p]) => (name.endsWith("weight") ? p.size : 0)));

/** What PyTorch prints for a block. */
function printed(m: number, channels: number, out: number): string {
  const convs = Array.from({ length: m }, (_, q) => [
    `Conv2d(${q === 0 ? channels : out}, ${out}, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))`,
    "ReLU()",
  ]);
  const pool = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)";
  const lines = [...convs.flat(), pool].map((layer, i) => `  (${i}): ${layer}\n`);
  return `Sequential(\n${lines.join("")})`;
}

/** A small network: its blocks, and an image that they leave something of. */
const networks = fc
  .record({
    arch: fc.array(fc.tuple(whole(1, 2), whole(1, 3)), { minLength: 1, maxLength: 3 }),
    inChannels: whole(1, 2),
    imageSize: whole(8, 17),
    hidden: whole(1, 4),
  })
  .map(({ arch, ...settings }) => ({ arch, settings }));

/** Two banks of kernels, one behind the other, and an image for them. */
const stacks = fc
  .tuple(whole(1, 2), whole(1, 2), whole(1, 2), whole(5, 7), whole(5, 7))
  .chain(([channels, between, out, height, width]) =>
    fc.record({
      x: integers([1, channels, height, width]),
      w: integers([between, channels, 3, 3]),
      v: integers([out, between, 3, 3]),
    }),
  );

type Stack = typeof stacks extends fc.Arbitrary<infer T> ? T : never;

/** The one bank of 5×5 kernels that the formula gives for both. */
function composed({ w, v }: Stack) {
  const [first, second] = [reader(w), reader(v)];
  return build([v.shape[0], w.shape[1], 5, 5], (k, c, a, b) => {
    let sum = 0;
    for (let q = 0; q < w.shape[0]; q++)
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 3; j++) sum += second(k, q, i, j) * first(q, c, a - i, b - j);
    return sum;
  });
}

describe("07 VGG", () => {
  statement("vgg-block", "prints as PyTorch prints it, in the text as well", () => {
    forAll([blockSizes], ({ m, channels, out }) => {
      assert.equal(String(vggBlock(m, channels, out)), printed(m, channels, out));
    });
    const shown = readChapters().flatMap((c) =>
      c.statements.filter((s) => s.label === "vgg-block").map((s) => s.body),
    );
    for (const body of shown)
      assert.equal(
        /```\n([\s\S]+?)\n```/.exec(body)![1],
        String(withDevice("meta", () => vggBlock(2, 64, 128))),
      );
  });

  statement("vgg-block", "has the sizes and the parameters of the formula", () => {
    forAll([blockSizes, whole(2, 9), whole(2, 9)], ({ m, channels: C, out: O }, height, width) => {
      const block = vggBlock(m, C, O);
      assert.equal(parametersOf(block), O * (9 * C + 1) + (m - 1) * O * (9 * O + 1));
      const y = noGrad(() => block.call(zeros([1, C, height, width])));
      assert.deepEqual(y.shape, [1, O, Math.floor(height / 2), Math.floor(width / 2)]);
    });
  });

  statement("vgg-windows", "see as much as a window of 2m + 1 pixels", () => {
    forAll([whole(1, 4)], (m) => {
      const side = 2 * m + 1;
      const image = [1, 1, 2 * side + 1, 2 * side + 1];
      const windows = () =>
        new nn.Sequential(...Array.from({ length: m }, () => new nn.Conv2d(1, 1, 3)));
      const { rows } = summarize(windows, image);
      assert.deepEqual(rows.at(-1)!.receptiveField, [side, side]);
      const ones = build([1, 1, 3, 3], () => 1);
      let y = build(image, (_, __, i, j) => (i === side && j === side ? 1 : 0));
      for (let q = 0; q < m; q++) y = conv2d(y, ones, null, { padding: 1 });
      const at = reader(y);
      // A bright pixel reaches exactly the results whose window it is in.
      build(image, (_, __, i, j) => {
        const inside = Math.max(Math.abs(i - side), Math.abs(j - side)) <= m;
        assert.equal(at(0, 0, i, j) !== 0, inside, `${m} windows, at ${i}, ${j}`);
        return 0;
      });
    });
  });

  statement("vgg-windows", "have fewer weights than the large one, from two on", () => {
    const pairOf = (m: number, C: number) =>
      withDevice("meta", () => [
        new nn.Sequential(...Array.from({ length: m }, () => new nn.Conv2d(C, C, 3))),
        new nn.Conv2d(C, C, 2 * m + 1),
      ]).map(weightsOf);
    forAll([whole(1, 5), whole(1, 9)], (m, C) => {
      const [small, large] = pairOf(m, C);
      assert.equal(small, 9 * m * C ** 2);
      assert.equal(large, (2 * m + 1) ** 2 * C ** 2);
      assert.equal(small < large, m > 1);
    });
    expectShown("vgg-windows", ...pairOf(2, 64), ...pairOf(2, 1), ...pairOf(3, 1));
    // The network's own blocks are such windows.
    const inBlock = weightsOf(withDevice("meta", () => vggBlock(2, 64, 64)));
    expectShown("vgg-windows", inBlock);
  });

  statement("vgg-composition", "are one convolution when nothing is between them", () => {
    forAll([stacks], (stack) => {
      const { x, w, v } = stack;
      equal(conv2d(conv2d(x, w, null), v, null), conv2d(x, composed(stack), null));
    });
  });

  statement("vgg-composition", "are none with a rectifier between them", () => {
    refute([stacks], (stack) => {
      const { x, w, v } = stack;
      equal(conv2d(relu(conv2d(x, w, null)), v, null), conv2d(x, composed(stack), null));
    });
    // Nor is there another kernel: what is linear sends −x to −y.
    refute([stacks], ({ x, w, v }) => {
      const f = (sign: number) => {
        const at = reader(x);
        const image = build(x.shape, (...index) => sign * at(...index));
        return reader(conv2d(relu(conv2d(image, w, null)), v, null));
      };
      const [plus, minus] = [f(1), f(-1)];
      assert.equal(plus(0, 0, 0, 0) + minus(0, 0, 0, 0), 0);
    });
  });

  statement("vgg-halving", "divides by a power of two and rounds down once", () => {
    forAll([whole(8, 40), whole(8, 40)], (height, width) => {
      let x = zeros([1, 1, height, width]);
      for (let q = 1; q <= 3; q++) {
        x = noGrad(() => vggBlock(1, 1, 1).call(x));
        const sizes = [height, width].map((size) => Math.floor(size / 2 ** q));
        assert.deepEqual(x.shape, [1, 1, ...sizes]);
      }
    });
  });

  statement("vgg-halving", "leaves what the text says of 224, and of 32", () => {
    const sizesOf = (size: number) => {
      const blocks = () => new nn.Sequential(...[...new VGG().net].slice(0, notesArch.length));
      const { rows, error } = summarize(blocks, [1, 1, size, size]);
      const pooled = rows.filter((row) => row.module === "MaxPool2d");
      return { sizes: pooled.map((row) => row.outputShape[2]), error };
    };
    const { sizes } = sizesOf(224);
    assert.equal(sizes.length, 5);
    expectShown("vgg-halving", 224, 32, ...sizes);
    assert.deepEqual(sizesOf(32), { sizes: [16, 8, 4, 2, 1], error: undefined });
    assert.match(
      sizesOf(31).error!,
      /max_pool2d: kernelSize 2 spans 2 pixels, but the height is 1/,
    );
  });

  statement("vgg-layers", "is the same by formula, in a trace and in the text", () => {
    expectTraced("vgg");
    const { layers } = closedModel("vgg");
    const dense = layers.filter((l) => l.module === "Linear");
    const convs = layers.filter((l) => l.module === "Conv2d");
    assert.deepEqual([convs.length, dense.length], [8, 3]);
    const weights = [dense, layers].map((list) => total(list.map((l) => l.parameters)));
    const work = [convs, layers].map((list) => total(list.map((l) => l.multiplyAdds)));
    expectShown("vgg-layers", ...weights, ...work, dense[0].parameters);
    for (const [part, all] of [weights, work])
      expectShown("vgg-layers", Number(((100 * part) / all).toFixed(1)));
    for (const [, channels] of notesArch) expectShown("vgg-layers", channels);
  });

  statement("vgg-layers", "is described by the list and nothing else", () => {
    forAll(
      [networks],
      ({ arch, settings }) => {
        const { inChannels: C, imageSize, hidden } = settings;
        const net = new VGG(arch, settings);
        expectRun(net, [C, imageSize, imageSize]);
        const ends = [C, ...arch.map(([, out]) => out)];
        const blocks = arch.map(([m, O], q) => O * (9 * ends[q] + 1) + (m - 1) * O * (9 * O + 1));
        const features = ends.at(-1)! * Math.floor(imageSize / 2 ** arch.length) ** 2;
        const head = [features, hidden, hidden].map(
          (inputs, q) => (inputs + 1) * (q === 2 ? 10 : hidden),
        );
        assert.equal(parametersOf(net), total([...blocks, ...head]));
      },
      0.3,
    );
  });

  statement("vgg-layers", "refuses an image that its head does not fit", () => {
    const net = new VGG([[1, 2]], { imageSize: 8, hidden: 3 });
    assert.throws(() => net.call(zeros([1, 1, 10, 10])), ShapeError);
  });
});
