// # Modules, parameters, files, devices: the tests

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  add,
  crossEntropy,
  decodeSafetensors,
  decodeTorch,
  type DType,
  encodeSafetensors,
  encodeTorch,
  fromData,
  init,
  LeNet,
  LeNetBN,
  linear,
  manualSeed,
  mean,
  modelNamed,
  mul,
  nn,
  noGrad,
  NotesExample,
  optim,
  randn,
  relu,
  reshape,
  type Shape,
  sum,
  summarize,
  tensor,
  type Tensor,
  VGG,
  withDevice,
  zeros,
} from "convnotes";
import { load, save } from "convnotes/node";
import { float64, gamma } from "../rounding.js";
import { seed } from "../seed.js";
import { build, combine, equal, forAll, inner, integers, numbers, refute } from "./cases.js";
import { same, whole, within } from "./cases.js";
import { expectShown } from "./evidence.js";
import { closedModel, expectExecuted, expectTraced } from "./networks.js";
import { statement } from "./statement.js";
import { meanBound, meanSquare, squaresBand } from "./statistics.js";
import { norm } from "./vanishing.js";

/** A dense layer of whole numbers. */
function wholeLinear(inputs: number, outputs: number, numbersOf: (i: number) => number): nn.Linear {
  const layer = new nn.Linear(inputs, outputs).to("float64");
  for (const parameter of layer.parameters())
    for (let i = 0; i < parameter.size; i++) parameter.data[i] = numbersOf(i);
  return layer;
}

const scrambled = (start: number) => (i: number) => (((i + start) * 7) % 9) - 4;

// ## Random trees of modules

interface Tree {
  readonly children: readonly Tree[];
}

/** Trees of up to so many levels. */
const treesOf = (levels: number): fc.Arbitrary<Tree> =>
  levels === 0
    ? fc.constant({ children: [] })
    : fc.array(treesOf(levels - 1), { maxLength: 3 }).map((children) => ({ children }));

const trees = treesOf(3);

/** A leaf is a dense layer, everything else a chain. */
const grown = ({ children }: Tree): nn.Module =>
  children.length === 0 ? new nn.Linear(1, 2) : new nn.Sequential(...children.map(grown));

const sizeOfTree = ({ children }: Tree): { modules: number; leaves: number } =>
  children.map(sizeOfTree).reduce(
    (total, child) => ({
      modules: total.modules + child.modules,
      leaves: total.leaves + child.leaves,
    }),
    { modules: 1, leaves: children.length === 0 ? 1 : 0 },
  );

/** What stands at the end of a path of properties. */
const follow = (start: object, path: string): unknown =>
  path.split(".").reduce<unknown>((place, name) => (place as Record<string, unknown>)[name], start);

/** Moves the mean to zero. */
class CenteredLayer extends nn.Module {
  override forward(x: Tensor): Tensor {
    return add(x, mul(mean(x), -1));
  }
}

// ## Comparing values with everything in them

const bits = (t: Tensor): Buffer =>
  Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength);

function sameTensor(actual: unknown, expected: Tensor): void {
  assert.ok(actual !== null && typeof actual === "object" && "storage" in actual, "no tensor");
  const t = actual as Tensor;
  assert.deepEqual([t.shape, t.dtype], [expected.shape, expected.dtype]);
  assert.ok(bits(t).equals(bits(expected)), `${String(t)} has other numbers`);
}

const special = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, Infinity, -Infinity, Number.NaN, 2 ** -149, 2 ** -1074, 1e308),
);

const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom<DType>("float32", "float64", "int64", "uint8"),
    fc.array(whole(0, 3), { maxLength: 3 }),
  )
  .chain(([dtype, shape]) => {
    const size = shape.reduce((product, d) => product * d, 1);
    const values = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: size, maxLength: size });
    switch (dtype) {
      case "float32":
        return values(special).map((list) => fromData(Float32Array.from(list), shape));
      case "float64":
        return values(special).map((list) => fromData(Float64Array.from(list), shape));
      case "int64":
        return values(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map((list) =>
          fromData(BigInt64Array.from(list), shape),
        );
      case "uint8":
        return values(whole(0, 255)).map((list) => fromData(Uint8Array.from(list), shape));
    }
  });

// ## Networks whose loss is differentiated

interface Network {
  readonly name: string;
  readonly create: () => nn.Module;
  readonly shape: Shape;
}

/** Every kind of layer of the notes, in networks that are quick. */
const networks: readonly Network[] = [
  { name: "LeNet", create: () => new LeNet(), shape: [2, 1, 28, 28] },
  { name: "LeNet with batch normalisation", create: () => new LeNetBN(), shape: [4, 1, 28, 28] },
  {
    name: "a narrow VGG with its dropout",
    create: () =>
      new VGG(
        [
          [1, 3],
          [2, 4],
        ],
        { imageSize: 12, hidden: 12 },
      ),
    shape: [2, 1, 12, 12],
  },
  {
    name: "Inception and residual blocks",
    create: () =>
      new nn.Sequential(
        new nn.Inception(2, 2, [2, 3], [1, 2], 2),
        new nn.Residual(9, 4, { use1x1Conv: true, strides: 2 }),
        new nn.Tanh(),
        new nn.AdaptiveAvgPool2d(1),
        new nn.Flatten(),
        new nn.Linear(4, 10),
      ),
    shape: [3, 2, 6, 6],
  },
];

describe("01 Modules, parameters, files, devices", () => {
  const rows = integers([2, 3]);

  statement("sequential", "runs its modules one after another, however they are grouped", () => {
    forAll([rows, whole(0, 9)], (x, start) => {
      const layers = [
        wholeLinear(3, 4, scrambled(start)),
        new nn.ReLU(),
        wholeLinear(4, 2, scrambled(start + 1)),
        wholeLinear(2, 3, scrambled(start + 2)),
      ] as const;
      const chain = new nn.Sequential(...layers);
      let y = x;
      for (const layer of layers) y = layer.call(y);
      equal(chain.call(x), y);
      const [a, b, c, d] = layers;
      equal(new nn.Sequential(new nn.Sequential(a, b), new nn.Sequential(c, d)).call(x), y);
      equal(chain.slice(2).call(chain.slice(0, 2).call(x)), y);
    });
  });

  statement("sequential", "shares its modules with its parts", () => {
    const chain = new nn.Sequential(new nn.Linear(1, 1), new nn.ReLU());
    const part = chain.slice(0, 1);
    assert.equal(part.at(0), chain[0]);
    chain[0].weight.fill_(3);
    chain[0].bias!.fill_(0);
    assert.equal(part.call(tensor([[2]])).item(), 6);
  });

  statement("custom-layer", "has the mean zero, and takes the mean from the gradient", () => {
    forAll([integers([4, 2]), integers([4, 2])], (x, dy) => {
      x.requiresGrad = true;
      const y = new nn.Sequential(new CenteredLayer()).call(x);
      const average = numbers(x).reduce((a, b) => a + b, 0) / 8;
      equal(
        y,
        build(x.shape, (i, j) => Number(x.data[i * 2 + j]) - average),
      );
      assert.equal(
        numbers(y).reduce((a, b) => a + b, 0),
        0,
      );
      y.backward(dy);
      const mean = numbers(dy).reduce((a, b) => a + b, 0) / 8;
      equal(
        x.grad!,
        build(x.shape, (i, j) => Number(dy.data[i * 2 + j]) - mean),
      );
    });
    assert.equal(
      String(new nn.Sequential(new CenteredLayer())),
      "Sequential(\n  (0): CenteredLayer()\n)",
    );
  });

  statement("parameters", "have the paths that lead to them, each once", () => {
    forAll([trees], (tree) => {
      const root = new nn.Sequential(grown(tree));
      const named = [...root.namedParameters()];
      const { leaves } = sizeOfTree(tree);
      assert.equal(named.length, 2 * leaves);
      assert.equal(new Set(named.map(([, parameter]) => parameter)).size, named.length);
      for (const [path, parameter] of named) assert.equal(follow(root, path), parameter, path);
    });
  });

  statement("parameters", "of the example module are PyTorch's, in order, 122,570 of them", () => {
    const model = new NotesExample();
    assert.deepEqual(
      Array.from(model.namedParameters(), ([name]) => name),
      ["feature_extraction.0", "feature_extraction.3", "feature_extraction.6"]
        .concat(["classification.0", "classification.2"])
        .flatMap((layer) => [`${layer}.weight`, `${layer}.bias`]),
    );
    const count = [...model.parameters()].reduce((total, p) => total + p.size, 0);
    assert.equal(
      count,
      closedModel("notes_example").layers.reduce((n, l) => n + l.parameters, 0),
    );
    expectShown("parameters", count);
    expectTraced("notes_example");
    expectExecuted("notes_example");
  });

  statement("parameters", "can be read, replaced and differentiated by", () => {
    const { classification } = new NotesExample();
    const [first] = classification;
    assert.equal(first, classification[0]);
    const { weight } = classification[0];
    sum(mul(weight, weight)).backward();
    equal(weight.grad!, mul(weight.detach(), 2));
    weight.grad = null;
    assert.equal(weight.grad, null);
    weight.fill_(0);
    assert.ok(numbers(classification[0].weight).every((v) => v === 0));
  });

  statement("sharing", "lists a shared layer once and adds the gradients of its places", () => {
    forAll([rows, whole(0, 9), integers([2, 3])], (x, start, dy) => {
      const layer = () => wholeLinear(3, 3, scrambled(start));
      const shared = layer();
      const chain = new nn.Sequential(shared, new nn.ReLU(), shared);
      assert.equal([...chain.parameters()].length, 2);
      assert.equal([...chain.modules()].length, 3);
      chain.call(x).backward(dy);
      const [first, second] = [layer(), layer()];
      const apart = new nn.Sequential(first, new nn.ReLU(), second);
      equal(apart.call(x), chain.call(x));
      apart.call(x).backward(dy);
      equal(shared.weight.grad!, combine(1, first.weight.grad!, 1, second.weight.grad!));
      equal(shared.bias!.grad!, combine(1, first.bias!.grad!, 1, second.bias!.grad!));
    });
  });

  statement("sharing", "changes in all places at once", () => {
    const layer = new nn.Linear(1, 1, { bias: false });
    const chain = new nn.Sequential(layer, layer, layer);
    chain[1].weight.fill_(2);
    assert.equal(chain.call(tensor([[1]])).item(), 8);
  });

  statement("apply", "visits every module once, its children before it, the root last", () => {
    forAll([trees], (tree) => {
      const root = grown(tree);
      const visited: nn.Module[] = [];
      assert.equal(
        root.apply((module) => void visited.push(module)),
        root,
      );
      assert.equal(visited.length, sizeOfTree(tree).modules);
      assert.equal(new Set(visited).size, visited.length);
      for (const module of visited)
        for (const child of module.children())
          assert.ok(visited.indexOf(child) < visited.indexOf(module), "a parent came first");
      assert.equal(visited.at(-1), root);
      for (const module of visited) {
        const places = Array.from(module.children(), (child) => visited.indexOf(child));
        assert.deepEqual(
          places,
          [...places].sort((a, b) => a - b),
        );
      }
    });
  });

  statement("apply", "begins all dense layers with one call", () => {
    const model = new NotesExample().apply((module) => {
      if (module instanceof nn.Linear) init.constant_(module.weight, 0.5);
    });
    for (const [name, { data }] of model.namedParameters()) {
      const isDense = name.startsWith("classification") && name.endsWith("weight");
      assert.equal(
        data.every((v) => v === 0.5),
        isDense,
        name,
      );
    }
  });

  statement("init", "fills with constants exactly", () => {
    forAll([fc.double({ noNaN: true })], (value) => {
      const w = () => zeros([2, 3], { dtype: "float64" });
      assert.ok(numbers(init.constant_(w(), value)).every((v) => Object.is(v, value)));
      equal(
        init.ones_(w()),
        build([2, 3], () => 1),
      );
      equal(init.zeros_(init.ones_(w())), w());
    });
  });

  statement("init", "draws with the stated mean and variance", () => {
    manualSeed(seed);
    const shape = [200, 100];
    const size = 20_000;
    const [low, high] = squaresBand(size);
    const meanOf = (t: Tensor) => numbers(t).reduce((a, b) => a + b, 0) / t.size;

    const uniform = init.uniform_(zeros(shape), -1, 3);
    assert.ok(numbers(uniform).every((v) => v >= -1 && v < 3));
    within(meanOf(uniform), 1, meanBound(size, 4), "mean");
    // Var = (3 − −1)²/12, measured around the true mean, in squares from 0 to 4.
    within(meanSquare(add(uniform, -1)), 16 / 12, meanBound(size, 4), "variance");

    const normal = init.normal_(zeros(shape), 5, 0.25);
    const ratio = meanSquare(add(normal, -5)) / 0.25 ** 2;
    assert.ok(ratio >= low && ratio <= high, `normal: ${ratio} in ${low} … ${high}`);

    for (const fans of [shape, [20, 10, 4, 5]]) {
      const inputs = fans.slice(1).reduce((product, d) => product * d, 1);
      const limit = Math.sqrt(6 / inputs);
      const w = init.kaimingUniform_(zeros(fans));
      assert.ok(numbers(w).every((v) => Math.abs(v) <= Math.fround(limit)));
      within(meanSquare(w), 2 / inputs, meanBound(w.size, limit ** 2), "Kaiming, uniform");
      const share = (meanSquare(init.kaimingNormal_(zeros(fans))) * inputs) / 2;
      const [least, most] = squaresBand(w.size);
      assert.ok(share >= least && share <= most, `Kaiming, normal: ${share}`);
    }
  });

  statement("init", "makes up for the rectifier, which halves the mean square", () => {
    forAll([integers([1, 4]), integers([3, 4])], (x, w) => {
      // For each row of weights there is one with the opposite sign, as likely as itself.
      const both = build([6, 4], (o, i) => (o < 3 ? 1 : -1) * Number(w.data[(o % 3) * 4 + i]));
      const h = linear(x, both, null);
      const squares = (t: Tensor) => numbers(t).reduce((total, v) => total + v * v, 0);
      assert.equal(2 * squares(relu(h)), squares(h));
    });
  });

  statement("init", "is uniform within ±1/√I by default, and follows from the seed", () => {
    for (const make of [() => new nn.Linear(100, 50), () => new nn.Conv2d(4, 50, 5)]) {
      manualSeed(seed);
      const layer = make();
      const limit = 1 / Math.sqrt(100);
      const { weight, bias } = layer;
      assert.ok(
        [...numbers(weight), ...numbers(bias!)].every((v) => Math.abs(v) <= Math.fround(limit)),
      );
      within(meanSquare(weight), limit ** 2 / 3, meanBound(weight.size, limit ** 2));
      manualSeed(seed);
      const twin = make();
      for (const [name, parameter] of layer.namedParameters())
        sameTensor(follow(twin, name), parameter);
    }
  });

  statement("init", "leaves units equal that began equal", () => {
    forAll(
      [integers([4, 3]), fc.array(whole(0, 1), { minLength: 4, maxLength: 4 })],
      (x, labels) => {
        const net = new nn.Sequential(new nn.Linear(3, 5), new nn.Sigmoid(), new nn.Linear(5, 2));
        for (const parameter of net.parameters()) init.constant_(parameter, 0.5);
        const optimizer = new optim.SGD(net.parameters(), { lr: 0.5, momentum: 0.9 });
        for (let step = 0; step < 3; step++) {
          optimizer.zeroGrad();
          const target = tensor(labels, { dtype: "int64" });
          crossEntropy(net.call(x.to("float32")), target, null).backward();
          optimizer.step();
        }
        const [first, ...others] = net[0].weight.toArray() as number[][];
        for (const other of others) assert.deepEqual(other, first);
      },
      0.5,
    );
  });

  const plainLayers: readonly (() => nn.Module)[] = [
    () => new nn.Linear(6, 6),
    () => new nn.ReLU(),
    () => new nn.Sigmoid(),
    () => new nn.Tanh(),
    () => new nn.Softmax(1),
    () => new nn.Identity(),
    () => new nn.Flatten(),
  ];
  const moodyLayers = [() => new nn.Dropout(0.5), () => new nn.BatchNorm1d(6)];

  const chainOf = (layers: readonly (() => nn.Module)[]) =>
    fc.array(fc.constantFrom(...layers), { minLength: 1, maxLength: 4 });
  const changesWithMode = (makers: readonly (() => nn.Module)[], x: Tensor): boolean => {
    const net = new nn.Sequential(...makers.map((make) => make())).to("float64");
    const trained = net.train().call(x);
    return !same(net.eval().call(x), trained);
  };

  statement("modes", "make no difference without dropout and batch normalisation", () => {
    forAll([chainOf(plainLayers), integers([4, 6])], (makers, x) => {
      assert.equal(changesWithMode(makers, x), false);
    });
  });

  statement("modes", "make one with either", () => {
    for (const moody of moodyLayers)
      refute([integers([4, 6], 1, 9)], (x) => {
        assert.equal(changesWithMode([moody], x), false);
      });
  });

  statement("modes", "reach every module below", () => {
    forAll([trees, fc.boolean()], (tree, mode) => {
      const root = grown(tree);
      root.train(!mode).train(mode);
      for (const module of root.modules()) assert.equal(module.training, mode);
      root.eval();
      for (const module of root.modules()) assert.equal(module.training, false);
    });
  });

  // ## Directional derivatives
  //
  // By the mean value theorem the difference quotient over a segment is the derivative somewhere on
  // it. The derivative is read off at points along the segment; between neighbouring points it is
  // taken to leave their range by no more than the largest step between any two of them.

  for (const { name, create, shape } of networks)
    statement("autograd", `tells how fast the loss of ${name} changes in any direction`, () => {
      let narrow = 0;
      for (let trial = 0; trial < 3 || (narrow === 0 && trial < 20); trial++) {
        manualSeed(seed + trial);
        const net = create().to("float64");
        const x = randn(shape, { dtype: "float64", requiresGrad: true });
        const labels = Array.from({ length: shape[0] }, (_, n) => (3 * n + trial) % 10);
        const target = tensor(labels, { dtype: "int64" });
        const leaves: readonly Tensor[] = [x, ...net.parameters()];
        const starts = leaves.map((leaf) => leaf.clone());
        const directions = leaves.map((leaf) => randn(leaf.shape, { dtype: "float64" }));
        /** Loss, and its rate of change along the direction, at so many steps from the start. */
        const at = (t: number) => {
          leaves.forEach((leaf, i) => {
            leaf.grad = null;
            leaf.copy_(combine(1, starts[i], t, directions[i]));
          });
          manualSeed(seed); // the same dropout masks each time
          const loss = crossEntropy(net.call(x), target, null);
          loss.backward();
          const rate = leaves.reduce(
            (total, leaf, i) => total + inner(leaf.grad!, directions[i]),
            0,
          );
          return { loss: loss.item(), rate };
        };
        const step = 2 ** -20;
        const points = [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((k) => at((k / 4) * step));
        const rates = points.map((p) => p.rate);
        const gap = Math.max(...rates.slice(1).map((rate, i) => Math.abs(rate - rates[i])));
        const quotient = (points[8].loss - points[0].loss) / (2 * step);
        // Some thousand roundings, relative to losses of a few nats, over the length of the segment.
        const noise = (gamma(4096, float64) * (1 + points[4].loss)) / step;
        const [low, high] = [Math.min(...rates) - gap - noise, Math.max(...rates) + gap + noise];
        assert.ok(low <= quotient && quotient <= high, `${quotient} in ${low} … ${high}`);
        const longest = Math.hypot(...leaves.map((leaf) => norm(leaf.grad!)));
        if (high - low < longest / 1000) narrow++;
      }
      // A range says something when it is narrow; only where a rectifier bends just here it is not.
      assert.ok(narrow > 0, "every range is too wide to say anything");
    });

  statement("autograd", "is exact where the loss is made of planes", () => {
    const drawn = fc.record({
      x: integers([1, 1, 8, 8], -50, 50),
      zx: integers([1, 1, 8, 8]),
      w: integers([2, 1, 3, 3], -50, 50),
      zw: integers([2, 1, 3, 3]),
      head: integers([3, 18]),
      dy: integers([1, 3]),
    });
    forAll([drawn], ({ x, zx, w, zw, head, dy }) => {
      const conv = new nn.Conv2d(1, 2, 3, { bias: false }).to("float64");
      const net = new nn.Sequential(conv, new nn.ReLU(), new nn.MaxPool2d(2), new nn.Flatten());
      const loss = (image: Tensor, kernel: Tensor) => {
        conv.weight.copy_(kernel);
        return sum(mul(linear(net.call(image), head, null), dy));
      };
      const lambda = 2 ** -12;
      for (const [inImage, inKernel] of [
        [1, 0],
        [0, 1],
      ]) {
        const moved = (sign: number) =>
          noGrad(() =>
            loss(
              combine(1, x, sign * lambda * inImage, zx),
              combine(1, w, sign * lambda * inKernel, zw),
            ).item(),
          );
        const [ahead, behind] = [moved(1), moved(-1)];
        const leaf = x.clone();
        leaf.requiresGrad = true;
        conv.weight.grad = null;
        const here = loss(leaf, w);
        // On a fold between two planes the two sides differ, and there is no gradient to speak of.
        fc.pre(ahead - here.item() === here.item() - behind);
        here.backward();
        const rate = inImage * inner(leaf.grad!, zx) + inKernel * inner(conv.weight.grad!, zw);
        assert.equal((ahead - behind) / (2 * lambda), rate);
      }
    });
  });

  const halves = fc.record({ x: integers([4, 3]), w: integers([2, 3]), dy: integers([4, 2]) });
  const rowsOf = (t: Tensor, from: number, to: number): Tensor =>
    build([to - from, t.shape[1]], (n, j) => Number(t.data[(n + from) * t.shape[1] + j]));

  statement("accumulation", "adds the gradients of two halves of a batch", () => {
    forAll([halves, whole(1, 3)], ({ x, w, dy }, cut) => {
      const at = (parts: readonly (readonly [number, number])[]) => {
        const parameter = new nn.Parameter(w.clone());
        for (const [from, to] of parts)
          linear(rowsOf(x, from, to), parameter, null).backward(rowsOf(dy, from, to));
        return parameter.grad!;
      };
      const joint = at([[0, 4]]);
      equal(
        at([
          [0, cut],
          [cut, 4],
        ]),
        joint,
      );
      equal(
        at([
          [0, 4],
          [0, 4],
        ]),
        mul(joint, 2),
      );
    });
  });

  statement("accumulation", "is forgotten by zeroGrad, and needs to be wanted", () => {
    const net = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
    const x = randn([3, 2]);
    sum(net.call(x)).backward();
    for (const parameter of net.parameters()) assert.notEqual(parameter.grad, null);
    net.zeroGrad();
    for (const parameter of net.parameters()) assert.equal(parameter.grad, null);
    net[0].requiresGrad_(false);
    sum(net.call(x)).backward();
    assert.deepEqual(
      Array.from(net.parameters(), (p) => p.grad === null),
      [true, true, false, false],
    );
    assert.equal(noGrad(() => net.call(x)).requiresGrad, false);
  });

  /** A network whose weights and running statistics are not as they began. */
  function used(seed: number): LeNetBN {
    manualSeed(seed);
    const model = new LeNetBN();
    for (let k = 0; k < 2; k++) model.call(randn([2, 1, 28, 28]));
    return model;
  }

  statement("state", "makes a twin compute the same, running statistics and all", () => {
    const [model, twin] = [used(1), new LeNetBN()];
    const x = randn([3, 1, 28, 28]);
    assert.ok(!same(model.eval().call(x), twin.eval().call(x)));
    twin.loadStateDict(model.stateDict());
    equal(twin.eval().call(x), model.eval().call(x));
    equal(twin.train().call(x), model.train().call(x));
  });

  statement("state", "is loaded whole or not at all, and says what does not fit", () => {
    const twin = new LeNetBN();
    const before = [...twin.stateDict()].map(([name, t]) => [name, t.clone()] as const);
    const slips: readonly (readonly [(state: Map<string, Tensor>) => void, RegExp])[] = [
      [(s) => s.delete("net.0.bias"), /Missing key\(s\) in state_dict: "net\.0\.bias"/],
      [(s) => s.set("net.99", zeros([1])), /Unexpected key\(s\) in state_dict: "net\.99"/],
      [
        (s) => s.set("net.15.weight", zeros([10, 83])),
        /size mismatch for net\.15\.weight: .*\[10, 83\].*\[10, 84\]/,
      ],
    ];
    for (const [slip, message] of slips) {
      const state = used(2).stateDict();
      slip(state);
      assert.throws(() => twin.loadStateDict(state), message);
      for (const [name, t] of before) sameTensor(twin.stateDict().get(name), t);
    }
  });

  statement("files", "hold tensors, lists and dictionaries to the last bit", () => {
    forAll([anyTensor, anyTensor, fc.string(), fc.integer()], (a, b, key, number) => {
      const value = { alone: a, list: [a, b, [number, null]], [`k${key}`]: { b, yes: true } };
      const back = decodeTorch(encodeTorch(value)) as typeof value;
      sameTensor(back.alone, a);
      sameTensor(back.list[0], a);
      sameTensor(back.list[1], b);
      assert.deepEqual(back.list[2], [number, null]);
      const inner = (back as Record<string, unknown>)[`k${key}`] as { b: Tensor; yes: boolean };
      sameTensor(inner.b, b);
      assert.equal(inner.yes, true);
    });
  });

  statement("files", "keep one tensor in two places one, and two views of the same numbers", () => {
    const t = tensor([1, 2]);
    const view = reshape(t, { shape: [2, 1] });
    const loaded = decodeTorch(encodeTorch([t, t, view])) as readonly Tensor[];
    loaded[0].fill_(7);
    equal(loaded[1], tensor([7, 7]));
    equal(loaded[2], tensor([[7], [7]]));
    equal(t, tensor([1, 2]));
  });

  statement("files", "carry the state of a network over a disk, in both formats", () => {
    const folder = mkdtempSync(join(tmpdir(), "convnotes-"));
    try {
      const model = used(3);
      const path = join(folder, "lenet.pth");
      save(model.stateDict(), path);
      const saved = load(path) as Map<string, Tensor>;
      assert.deepEqual([...saved.keys()], [...model.stateDict().keys()]);
      const twin = new LeNetBN();
      twin.loadStateDict(saved);
      const x = randn([2, 1, 28, 28]);
      equal(twin.eval().call(x), model.eval().call(x));
    } finally {
      rmSync(folder, { recursive: true });
    }
    const { tensors } = decodeSafetensors(encodeSafetensors(used(3).stateDict()), "state");
    for (const [name, t] of used(3).stateDict()) {
      const { shape, data } = tensors.get(name)!;
      sameTensor(fromData(data, shape), t);
    }
  });

  statement("devices", "meta has the shapes that are computed elsewhere, and no numbers", () => {
    for (const { create, shape } of networks) {
      const computed = create().call(zeros(shape)).shape;
      const known = withDevice("meta", () => create().call(zeros(shape)));
      assert.deepEqual(known.shape, computed);
      assert.equal(known.device, "meta");
      assert.throws(() => known.data, /"meta" has a shape \[.*\] but no numbers/);
    }
    for (const name of ["alexnet", "vgg", "nin", "googlenet", "resnet"]) {
      const { create, inputShape } = modelNamed(name);
      assert.deepEqual(summarize(create, [7, ...inputShape]).rows.at(-1)!.outputShape, [7, 10]);
    }
  });

  statement("devices", "must agree, and an error names both", () => {
    const layer = new nn.Linear(2, 3);
    assert.throws(
      () => layer.call(zeros([1, 2], { device: "reference" })),
      /linear: input is on "reference" but weight is on "cpu"; move one with to\("reference"\)/,
    );
    layer.to("reference");
    const y = layer.call(zeros([1, 2], { device: "reference" }));
    assert.equal(y.device, "reference");
    assert.throws(() => layer.to("cpuu"), /there is no device "cpuu"\. Did you mean "cpu"\?/);
  });

  statement(
    "devices",
    "are changed for all parameters and buffers, without changing a number",
    () => {
      const model = used(4);
      const before = [...model.stateDict()].map(([name, t]) => [name, t.clone()] as const);
      model.to("reference");
      for (const [, t] of [...model.namedParameters(), ...model.namedBuffers()])
        assert.equal(t.device, "reference");
      for (const [name, t] of before) sameTensor(model.stateDict().get(name), t);
      model.to("meta");
      for (const [, t] of [...model.namedParameters(), ...model.namedBuffers()])
        assert.equal(t.device, "meta");
      assert.equal(reshape(zeros([2, 2], { device: "meta" }), { shape: [4] }).device, "meta");
    },
  );
});
