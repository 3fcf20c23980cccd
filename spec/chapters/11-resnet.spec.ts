// # ResNet: the tests

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  argmax,
  batchNorm,
  conv2d,
  crossEntropy,
  init,
  linear,
  manualSeed,
  modelNamed,
  noGrad,
  nn,
  optim,
  relu,
  tensor,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { float64, gamma } from "../rounding.js";
import { combine, equal, forAll, integers, numbers, whole } from "./cases.js";
import { expectShown } from "./evidence.js";
import { closedModel, expectExecuted, expectTraced } from "./networks.js";
import { statement } from "./statement.js";
import { depths, measureStack, norm } from "./vanishing.js";

/**
 * An upper bound of the factor by which a square matrix stretches: the 16th root of the trace of
 * $(w^\top w)^8$, which adds up the 16th powers of all its stretches.
 */
function stretch(w: Tensor): number {
  const size = w.shape[0];
  const times = (a: readonly number[][], b: readonly number[][]): number[][] =>
    a.map((row) => b[0].map((_, j) => row.reduce((total, v, k) => total + v * b[k][j], 0)));
  const rows = w.toArray() as number[][];
  let power = times(
    rows[0].map((_, j) => rows.map((row) => row[j])),
    rows,
  );
  for (let k = 0; k < 3; k++) power = times(power, power);
  const trace = power.reduce((total, row, i) => total + row[i], 0);
  // Each element of the power meets 8·size roundings, of sums of absolute values, whose trace is at
  // most size⁴ times the true one: |B|'s Frobenius norm is at most √size times B's stretch.
  return (trace * (1 + gamma(8 * size ** 5, float64))) ** (1 / 16);
}

/** Weights of which none stretches more than `most`. */
const small = (most: number) => (weight: Tensor) => {
  init.xavierUniform_(weight);
  const factor = most / stretch(weight);
  numbers(weight).forEach((v, i) => (weight.data[i] = v * factor));
};

const blockCases = fc.record({
  x: integers([2, 2, 5, 4], 0, 9),
  seed: whole(0, 1000),
  strides: whole(1, 2),
});

/** What a block computes, from the operations; the running statistics play no part in training. */
function byHand(block: nn.Residual, x: Tensor, strides: number): Tensor {
  const normal = (y: Tensor, bn: nn.BatchNorm2d) =>
    batchNorm(y, bn.weight, bn.bias, null, null, { training: true });
  const conv = (y: Tensor, layer: nn.Conv2d, stride: number, padding: number) =>
    conv2d(y, layer.weight, layer.bias, { stride, padding });
  const inner = relu(normal(conv(x, block.conv1, strides, 1), block.bn1));
  const learned = normal(conv(inner, block.conv2, 1, 1), block.bn2);
  return relu(add(learned, block.conv3 === null ? x : conv(x, block.conv3, strides, 0)));
}

const zeroBlock = (block: nn.Residual): nn.Residual => {
  for (const layer of [block.conv1, block.conv2])
    for (const parameter of layer.parameters()) parameter.fill_(0);
  return block;
};

/** A small residual network, with zero blocks where `inserted` says so. */
function smallNetwork(seed: number, inserted: readonly number[], shortcut = true): nn.Module {
  manualSeed(seed);
  const stem = [new nn.Conv2d(1, 2, 3, { padding: 1 }), new nn.ReLU()];
  const blocks = [new nn.Residual(2, 2), new nn.Residual(2, 2)];
  const head = [new nn.Flatten(), new nn.Linear(32, 3)];
  const all: nn.Module[] = [...blocks];
  for (const place of inserted) {
    const zero = zeroBlock(new nn.Residual(2, 2));
    const plain = new nn.Sequential(zero.conv1, zero.bn1, new nn.ReLU(), zero.conv2, zero.bn2);
    all.splice(place % (all.length + 1), 0, shortcut ? zero : plain);
  }
  return new nn.Sequential(...stem, ...all, ...head).to("float64");
}

describe("11 ResNet", () => {
  statement("vanishing", "leaves at most (¼‖w‖)ᵐ without a way around", () => {
    forAll(
      [whole(0, 10_000), fc.constantFrom(1, 2, 4, 8, 16)],
      (seed, depth) => {
        const { left, weights } = measureStack("plain", depth, seed);
        const bound = weights.reduce((product, w) => (product * stretch(w)) / 4, 1);
        assert.ok(left <= bound * (1 + gamma(100 * depth, float64)), `${left} ≤ ${bound}`);
      },
      0.3,
    );
  });

  statement("vanishing", "leaves at least (1 − ¼‖w‖)ᵐ with shortcuts, a half for ‖w‖ = 2/m", () => {
    forAll(
      [whole(0, 10_000), fc.constantFrom(1, 2, 4, 8, 16)],
      (seed, depth) => {
        // Each layer errs by at most 100 roundings of what is there, and leaves at least half of it.
        const slack = gamma(200 * depth, float64);
        const { left, weights } = measureStack("shortcuts", depth, seed, small(2 / depth));
        const bound = weights.reduce((product, w) => product * (1 - stretch(w) / 4), 1);
        assert.ok(left >= bound * (1 - slack), `${left} ≥ ${bound}`);
        assert.ok(left >= 0.5 * (1 - slack));
        const plain = measureStack("plain", depth, seed, small(2 / depth)).left;
        assert.ok(plain <= (1 / (2 * depth)) ** depth * (1 + slack), `${plain}`);
      },
      0.3,
    );
  });

  statement(
    "vanishing",
    "measured: two plain layers lose nine tenths, the others keep a tenth",
    () => {
      for (const seed of [0, 1, 2, 3])
        for (const depth of depths) {
          const at = (kind: Parameters<typeof measureStack>[0]) =>
            measureStack(kind, depth, seed).left;
          assert.ok(at("plain") <= 10 ** -(depth / 2));
          assert.ok(at("batch normalisation") >= 0.1);
          assert.ok(at("shortcuts") >= 0.1);
        }
    },
  );

  statement("residual-block", "is f(x) + x, rectified, and adapts its input where asked to", () => {
    forAll(
      [blockCases, fc.boolean()],
      ({ x, seed, strides }, adapted) => {
        manualSeed(seed);
        const block = new nn.Residual(2, adapted ? 3 : 2, {
          use1x1Conv: adapted,
          strides: adapted ? strides : 1,
        }).to("float64");
        const y = block.call(x);
        const stride = adapted ? strides : 1;
        equal(y, byHand(block, x, stride));
        assert.deepEqual(y.shape, [
          2,
          adapted ? 3 : 2,
          Math.ceil(5 / stride),
          Math.ceil(4 / stride),
        ]);
      },
      0.5,
    );
  });

  const chains = fc.record({
    x: integers([1, 2, 4, 4]),
    w: integers([2, 2, 3, 3]),
    top: integers([2, 2, 3, 3]),
    dy: integers([1, 2, 4, 4]),
    rectified: fc.boolean(),
  });

  statement("residual", "adds the gradients with and without what is on top, exactly", () => {
    forAll([chains], ({ x, w, top, dy, rectified }) => {
      const f = (weight: Tensor) => conv2d(x, weight, null, { padding: 1 });
      const g = (h: Tensor) => {
        const y = conv2d(h, top, null, { padding: 1 });
        return rectified ? relu(y) : y;
      };
      const gradient = (network: (weight: Tensor) => Tensor) => {
        const leaf = w.clone();
        leaf.requiresGrad = true;
        network(leaf).backward(dy);
        return leaf.grad!;
      };
      const both = gradient((weight) => {
        const h = f(weight);
        return add(h, g(h));
      });
      equal(
        both,
        combine(
          1,
          gradient(f),
          1,
          gradient((weight) => g(f(weight))),
        ),
      );
    });
  });

  statement("residual", "keeps the gradient of f whole when g passes nothing", () => {
    forAll([chains], ({ x, w, dy }) => {
      const nothing = zeros([2, 2, 1, 1], { dtype: "float64" });
      const run = (shortcut: boolean) => {
        const leaf = w.clone();
        leaf.requiresGrad = true;
        const h = conv2d(x, leaf, null, { padding: 1 });
        const top = conv2d(h, nothing, null);
        (shortcut ? add(h, top) : top).backward(dy);
        return leaf.grad!;
      };
      const alone = w.clone();
      alone.requiresGrad = true;
      conv2d(x, alone, null, { padding: 1 }).backward(dy);
      equal(run(true), alone.grad!);
      equal(run(false), zeros(w.shape));
    });
  });

  statement(
    "residual-identity",
    "hands on what is not negative, in training and evaluation",
    () => {
      forAll([blockCases], ({ x, seed }) => {
        manualSeed(seed);
        const block = zeroBlock(new nn.Residual(2, 2)).to("float64");
        equal(block.call(x), x);
        equal(block.eval().call(x), x);
      });
    },
  );

  statement(
    "residual-identity",
    "forgets the input without the shortcut, and negative numbers with it",
    () => {
      forAll([blockCases], ({ x, seed }) => {
        manualSeed(seed);
        const { conv1, bn1, conv2, bn2 } = zeroBlock(new nn.Residual(2, 2));
        const plain = new nn.Sequential(conv1, bn1, new nn.ReLU(), conv2, bn2).to("float64");
        equal(plain.call(x), zeros(x.shape));
      });
      const block = zeroBlock(new nn.Residual(1, 1)).eval();
      assert.equal(block.call(tensor([[[[-3]]]])).item(), 0);
    },
  );

  const places = fc.array(whole(0, 9), { minLength: 1, maxLength: 3 });
  const images = integers([2, 1, 4, 4], 0, 9);

  statement(
    "residual-nested",
    "computes the same with zero blocks anywhere, to the last bit",
    () => {
      forAll(
        [whole(0, 1000), places, images],
        (seed, inserted, x) => {
          const [shallow, deep] = [smallNetwork(seed, []), smallNetwork(seed, inserted)];
          equal(deep.call(x), shallow.call(x));
          equal(deep.eval().call(x), shallow.eval().call(x));
        },
        0.3,
      );
    },
  );

  statement("residual-nested", "loses the image with a zero block that has no shortcut", () => {
    forAll(
      [whole(0, 1000), whole(0, 9), images, images],
      (seed, place, x, x2) => {
        const deep = smallNetwork(seed, [place], false).eval();
        equal(deep.call(x), deep.call(x2));
      },
      0.3,
    );
  });

  statement("residual-gradient", "is the gradient above plus what the block adds, exactly", () => {
    forAll([chains], ({ x, w, dy, rectified }) => {
      const f = (h: Tensor) => {
        const y = conv2d(h, w, null, { padding: 1 });
        return rectified ? relu(y) : y;
      };
      const gradient = (network: (h: Tensor) => Tensor) => {
        const leaf = x.clone();
        leaf.requiresGrad = true;
        network(leaf).backward(dy);
        return leaf.grad!;
      };
      equal(
        gradient((h) => add(h, f(h))),
        combine(1, dy, 1, gradient(f)),
      );
    });
  });

  /** Two dense layers, around which the input goes or not. */
  class Block extends nn.Module {
    readonly first = new nn.Linear(4, 4);
    readonly second = new nn.Linear(4, 4, { bias: false });

    constructor(private readonly shortcut: boolean) {
      super();
      if (shortcut) init.zeros_(this.second.weight);
    }

    override forward(x: Tensor): Tensor {
      const y = linear(relu(this.first.call(x)), this.second.weight, null);
      return this.shortcut ? add(x, y) : y;
    }
  }

  const corners = tensor([
    [1, 1, 0, 0],
    [1, -1, 0, 0],
    [-1, 1, 0, 0],
    [-1, -1, 0, 0],
  ]);
  const classes = [0, 1, 1, 0];

  const thousandLayers = (seed: number, shortcut: boolean): nn.Sequential => {
    manualSeed(seed);
    const blocks = Array.from({ length: 500 }, () => new Block(shortcut));
    return new nn.Sequential(...blocks, new nn.Linear(4, 2));
  };

  statement("deep-stack", "gets all four points right after a dozen steps", () => {
    const net = thousandLayers(0, true);
    const optimizer = new optim.SGD(net.parameters(), { lr: 0.03 });
    const target = tensor(classes, { dtype: "int64" });
    for (let step = 0; step < 12; step++) {
      optimizer.zeroGrad();
      crossEntropy(net.call(corners), target, null).backward();
      optimizer.step();
    }
    assert.deepEqual(
      numbers(
        argmax(
          noGrad(() => net.call(corners)),
          { dim: 1 },
        ),
      ),
      classes,
    );
  });

  statement(
    "deep-stack",
    "without shortcuts makes one of the four points, and passes no gradient",
    () => {
      const net = thousandLayers(0, false);
      const scores = net.call(corners);
      const [first, ...others] = scores.toArray() as number[][];
      for (const other of others) assert.deepEqual(other, first);
      crossEntropy(scores, tensor(classes, { dtype: "int64" }), null).backward();
      const [bottom] = net;
      for (const parameter of bottom.parameters()) assert.equal(norm(parameter.grad!), 0);
    },
  );

  statement("resnet-layers", "has 18 layers that learn beside those that adapt", () => {
    const { layers, steps } = closedModel("resnet");
    const learning = layers.filter(
      ({ module, path }) => module === "Linear" || (module === "Conv2d" && !path.endsWith("conv3")),
    );
    assert.equal(learning.length, 18);
    expectShown("resnet-layers", learning.length);
    assert.equal(layers.filter((layer) => layer.path.endsWith("conv3")).length, 3);
    const blocks = steps.filter((step) => step.module === "Residual");
    const groups = [1, 3, 5, 7].map((i) => blocks[i].output);
    assert.equal(blocks.length, 8);
    assert.deepEqual(groups, [
      [64, 24, 24],
      [128, 12, 12],
      [256, 6, 6],
      [512, 3, 3],
    ]);
    expectShown("resnet-layers", ...groups.flat());
    const model = withDevice("meta", () => modelNamed("resnet").create());
    const counted = [...model.parameters()].reduce((total, p) => total + p.size, 0);
    expectShown("resnet-layers", counted);
  });

  statement("resnet-layers", "has the sizes of the table, by formula and trace", () => {
    expectTraced("resnet");
  });

  statement("resnet-layers", "has the sizes of the table when it runs", () => {
    expectExecuted("resnet");
  });
});
