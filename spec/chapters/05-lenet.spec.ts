// # LeNet: the tests

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  argmax,
  crossEntropy,
  evaluate,
  type ImageDataset,
  init,
  logSoftmax,
  manualSeed,
  models,
  mul,
  nn,
  optim,
  randn,
  sgd,
  ShapeError,
  showShape,
  sigmoid,
  softmax,
  sum,
  summarize,
  tensor,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { float64, gamma } from "../rounding.js";
import { seed } from "../seed.js";
import { build, equal, forAll, integers, numbers, reader, within } from "./cases.js";
import { reals, whole } from "./cases.js";
import { expectShown } from "./evidence.js";
import { closedModel, closedNetwork, expectExecuted, expectTraced } from "./networks.js";
import { statement } from "./statement.js";
import { meanBound, meanSquare, squaresBand } from "./statistics.js";

const u = float64.unit;

const parametersOf = (name: string): number =>
  closedModel(name).layers.reduce((total, layer) => total + layer.parameters, 0);

describe("05 LeNet", () => {
  for (const { name } of models)
    statement("shapes", `of ${name}: closed formula and trace agree`, () => {
      expectTraced(name);
    });

  for (const name of ["notes_example", "lenet", "lenet_bn"])
    statement("shapes", `of ${name}: closed formula and run agree`, () => {
      expectExecuted(name);
    });

  statement("shapes", "of random chains: closed formula, trace and run agree", () => {
    const layer = fc.oneof(
      fc.tuple(whole(1, 4), whole(1, 3), whole(1, 2), whole(0, 2)).map(
        ([out, kernel, stride, padding]) =>
          (channels: number): nn.Module =>
            new nn.Conv2d(channels, out, kernel, { stride, padding }),
      ),
      fc.tuple(whole(1, 3), whole(1, 3), fc.boolean()).map(
        ([kernel, stride, max]) =>
          (): nn.Module =>
            max ? new nn.MaxPool2d(kernel, { stride }) : new nn.AvgPool2d(kernel, { stride }),
      ),
    );
    forAll([fc.array(layer, { minLength: 1, maxLength: 3 })], (makers) => {
      const create = () => {
        let channels = 2;
        const layers = makers.map((make) => {
          const module = make(channels);
          if (module instanceof nn.Conv2d) [channels] = module.weight.shape;
          return module;
        });
        return new nn.Sequential(...layers);
      };
      const image = [2, 11, 13];
      const net = create();
      const sizes = closedNetwork(net, image).steps.map((step) => step.output);
      const { rows, error } = summarize(create, [1, ...image]);
      if (sizes.some((size) => size.some((d) => d < 1))) {
        assert.match(error ?? "", /kernelSize/);
        assert.throws(() => net.call(zeros([1, ...image])), ShapeError);
      } else {
        const expected = sizes.map((size) => [1, ...size]);
        assert.deepEqual(
          rows.map((row) => row.outputShape),
          expected,
        );
        assert.deepEqual(net.call(zeros([1, ...image])).shape, expected.at(-1));
      }
    });
  });

  statement("counts", "of LeNet are what the text says", () => {
    const { layers } = closedModel("lenet");
    const of = (kind: string) =>
      layers.filter((l) => l.module === kind).reduce((n, l) => n + l.parameters, 0);
    expectShown("counts", parametersOf("lenet"), of("Linear"), of("Conv2d"));
  });

  for (const { name, create } of models)
    statement("counts", `of ${name} are the formula's, by trace and by the module itself`, () => {
      const { parameters } = summarize(create, [
        1,
        ...models.find((m) => m.name === name)!.inputShape,
      ]);
      assert.equal(parameters, parametersOf(name));
      const model = withDevice("meta", create);
      const counted = [...model.parameters()].reduce((n, p) => n + p.size, 0);
      assert.equal(counted, parameters);
    });

  for (const [name, low, high] of [
    ["lenet", 28, 31],
    ["alexnet", 193, 224],
    ["vgg", 224, 255],
  ] as const)
    statement(
      "input-sizes",
      `of ${name} are ${low} to ${high} pixels, by formula and by trace`,
      () => {
        expectShown("input-sizes", low, high);
        const { create } = models.find((m) => m.name === name)!;
        const { layers } = closedModel(name);
        const head = layers.find((layer) => layer.module === "Linear")!.input;
        const net = withDevice("meta", create);
        const trunk = [...[...net.children()][0].children()];
        const flatten = trunk.findIndex((module) => module.getName() === "Flatten");
        const fits: number[] = [];
        for (let size = 1; size <= 300; size++) {
          const image = [1, size, size];
          try {
            const steps = closedNetwork(new nn.Sequential(...trunk.slice(0, flatten)), image).steps;
            const features = steps
              .at(-1)!
              .output.reduce((product, d) => product * Math.max(0, d), 1);
            if (features === head[0]) fits.push(size);
          } catch (error) {
            if (!(error instanceof assert.AssertionError)) throw error;
          }
        }
        assert.deepEqual([fits[0], fits.at(-1), fits.length], [low, high, high - low + 1]);
        const run = (size: number) =>
          withDevice(
            "meta",
            () =>
              create()
                .eval()
                .call(zeros([1, 1, size, size])).shape,
          );
        for (const size of [low, high]) assert.deepEqual(run(size), [1, 10]);
        for (const size of [low - 1, high + 1])
          assert.throws(
            () => run(size),
            (error) =>
              error instanceof ShapeError &&
              error.message.includes(`expects ${head[0]}; set in_features to`),
          );
      },
    );

  statement("sigmoid", "lies between 0 and 1, and is a half at 0", () => {
    forAll([fc.double({ noNaN: true })], (x) => {
      const y = sigmoid(tensor([x], { dtype: "float64" })).item();
      assert.ok(y >= 0 && y <= 1);
      assert.equal(y > 0.5, x > 0 && y !== 0.5);
    });
    assert.equal(sigmoid(zeros([1])).item(), 0.5);
  });

  statement("sigmoid", "is symmetric, with the slope σ(1 − σ), at most a quarter", () => {
    forAll([fc.double({ min: -50, max: 50, noNaN: true })], (x) => {
      const at = tensor([x], { dtype: "float64", requiresGrad: true });
      const y = sigmoid(at);
      y.backward();
      const mirrored = sigmoid(tensor([-x], { dtype: "float64" })).item();
      // Each of the two is within 8u of the true value, which is at most 1 (spec/ops/sigmoid.md).
      within(mirrored, 1 - y.item(), 17 * u);
      const slope = at.grad!.item();
      assert.equal(slope, y.item() * (1 - y.item()));
      assert.ok(slope <= 0.25);
      within(slope, y.item() * mirrored, 17 * u);
    });
  });

  statement("sigmoid", "passes at most a 4⁻¹⁰th of a gradient through ten layers", () => {
    forAll(
      [fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 10, maxLength: 10 })],
      (shifts) => {
        const x = tensor([0], { dtype: "float64", requiresGrad: true });
        let y: Tensor = x;
        for (const shift of shifts) y = sigmoid(add(y, shift));
        y.backward();
        assert.ok(x.grad!.item() > 0 && x.grad!.item() <= 4 ** -10);
      },
    );
  });

  const scores = whole(1, 6).chain((classes) => integers([3, classes], -9, 9));

  statement("softmax", "is positive and adds up to one", () => {
    forAll([whole(1, 6).chain((classes) => reals([2, classes]))], (x) => {
      const y = softmax(mul(x, 50), { dim: 1 });
      assert.ok(numbers(y).every((v) => v > 0));
      const classes = x.shape[1];
      for (const row of y.toArray() as number[][])
        within(
          row.reduce((total, v) => total + v, 0),
          1,
          gamma(2 * classes, float64),
          "sum",
        );
    });
  });

  statement("softmax", "keeps the order and does not notice a shift", () => {
    forAll([scores, whole(-1000, 1000)], (x, shift) => {
      const y = softmax(x, { dim: 1 });
      equal(softmax(add(x, shift), { dim: 1 }), y);
      const [at, p] = [reader(x), reader(y)];
      for (let n = 0; n < 3; n++)
        for (let c = 0; c < x.shape[1]; c++)
          for (let d = 0; d < x.shape[1]; d++) assert.equal(at(n, c) < at(n, d), p(n, c) < p(n, d));
    });
  });

  statement("softmax", "doubles the odds for a difference of ln 2", () => {
    const [a, b] = numbers(softmax(tensor([0, Math.LN2], { dtype: "float64" }), { dim: 0 }));
    // exp errs by up to 5u, as does the difference in it; three quotients by u each.
    within(b / a, 2, 2 * gamma(9, float64));
  });

  /** How far −ln of a softmax may be from the logarithm's own: see spec/ops/log_softmax.md. */
  const logBound = (x: Tensor, loss: number): number => {
    const values = numbers(x);
    const range = Math.max(...values) - Math.min(...values);
    return u * (4 * range + 2 * x.shape[1] + 20 + 5 * Math.abs(loss));
  };

  statement("softmax", "has the logarithm that log_softmax gives", () => {
    forAll([scores], (x) => {
      const logs = logSoftmax(x, { dim: 1 });
      numbers(softmax(x, { dim: 1 })).forEach((p, i) => {
        within(Number(logs.data[i]), Math.log(p), logBound(x, Math.log(p)));
      });
    });
  });

  const labelled = scores.chain((x) =>
    fc
      .array(whole(0, x.shape[1] - 1), { minLength: 3, maxLength: 3 })
      .map((labels) => ({ x, labels, target: tensor(labels, { dtype: "int64" }) })),
  );

  statement("cross-entropy", "is −ln of the right answer's probability, never negative", () => {
    forAll([labelled], ({ x, labels, target }) => {
      const losses = crossEntropy(x, target, null, { reduction: "none" });
      const p = reader(softmax(x, { dim: 1 }));
      numbers(losses).forEach((loss, n) => {
        assert.ok(loss >= 0);
        within(loss, -Math.log(p(n, labels[n])), logBound(x, loss));
      });
      const total = sum(losses).item();
      within(crossEntropy(x, target, null).item(), total / 3, gamma(6, float64) * total);
    });
  });

  statement("cross-entropy", "is ln C for a network that knows nothing", () => {
    forAll([whole(1, 20), whole(-5, 5)], (classes, score) => {
      const x = build([1, classes], () => score);
      const target = tensor([classes - 1], { dtype: "int64" });
      assert.equal(crossEntropy(x, target, null).item(), Math.log(classes));
    });
  });

  statement("cross-entropy", "has the gradient y − [c = t], over the number of images", () => {
    forAll([labelled], ({ x, labels, target }) => {
      x.requiresGrad = true;
      const y = reader(softmax(x.detach(), { dim: 1 }));
      crossEntropy(x, target, null, { reduction: "sum" }).backward();
      equal(
        x.grad!,
        build(x.shape, (n, c) => y(n, c) - (c === labels[n] ? 1 : 0)),
      );
      const summed = numbers(x.grad!);
      x.grad = null;
      crossEntropy(x, target, null).backward();
      numbers(x.grad!).forEach((g, i) => {
        within(g, summed[i] / 3, gamma(3, float64) * (1 + Math.abs(g)));
      });
      for (const row of x.grad!.toArray() as number[][])
        within(
          row.reduce((a, b) => a + b, 0),
          0,
          gamma(3 * x.shape[1] + 3, float64),
        );
    });
  });

  statement("prediction", "needs no softmax", () => {
    forAll([scores], (x) => {
      equal(argmax(softmax(x, { dim: 1 }), { dim: 1 }), argmax(x, { dim: 1 }));
    });
  });

  /** A module that returns the pixels of an image as its scores. */
  class Pixels extends nn.Module {
    override forward(x: Tensor): Tensor {
      return new nn.Flatten().call(x);
    }
  }

  statement("prediction", "is counted as accuracy over all images", () => {
    const drawn = fc
      .array(fc.tuple(fc.array(whole(0, 255), { minLength: 4, maxLength: 4 }), whole(0, 3)), {
        minLength: 1,
        maxLength: 9,
      })
      .map((list) => ({
        pixels: list.map(([image]) => image),
        labels: list.map(([, label]) => label),
      }));
    forAll([drawn, whole(1, 5)], ({ pixels, labels }, batchSize) => {
      const dataset: ImageDataset = {
        name: "drawn",
        classes: ["a", "b", "c", "d"],
        images: Uint8Array.from(pixels.flat()),
        labels: Uint8Array.from(labels),
        count: labels.length,
        height: 2,
        width: 2,
      };
      const right = pixels.filter((p, n) => p.indexOf(Math.max(...p)) === labels[n]).length;
      let correct = 0;
      const options = { batchSize, pipeline: {}, device: "cpu" };
      for (const batch of evaluate(new Pixels(), dataset, options)) correct += batch.correct;
      assert.equal(correct, right);
    });
  });

  statement("xavier", "draws weights with the variance 2/(I + O), inside the interval", () => {
    manualSeed(seed);
    for (const shape of [
      [300, 40],
      [40, 300],
      [32, 16, 5, 3],
    ]) {
      const [out, input, ...window] = shape;
      const taps = window.reduce((product, d) => product * d, 1);
      const variance = 2 / ((input + out) * taps);
      const limit = Math.sqrt(3 * variance);
      const w = init.xavierUniform_(zeros(shape));
      // float32 may round the limit itself up.
      assert.ok(numbers(w).every((v) => Math.abs(v) <= Math.fround(limit)));
      within(
        meanSquare(w),
        variance,
        meanBound(w.size, limit ** 2),
        `variance of ${showShape(shape)}`,
      );
      const mean = numbers(w).reduce((a, b) => a + b, 0) / w.size;
      within(mean, 0, meanBound(w.size, 2 * limit), `mean of ${showShape(shape)}`);
      const [low, high] = squaresBand(w.size);
      const normal = meanSquare(init.xavierNormal_(zeros(shape))) / variance;
      assert.ok(
        normal >= low && normal <= high,
        `normal, ${showShape(shape)}: ${normal} in ${low} … ${high}`,
      );
    }
  });

  /** By which factor each of `depth` layers of `width` units changes signal and gradient. */
  function factors(width: number, depth: number, start: (w: Tensor) => void) {
    const layers = Array.from(
      { length: depth },
      () => new nn.Linear(width, width, { bias: false }),
    );
    for (const layer of layers) start(layer.weight);
    const x = randn([1, width], { requiresGrad: true });
    const signals: Tensor[] = [x];
    for (const layer of layers) signals.push(layer.call(signals.at(-1)!).retainGrad());
    signals.at(-1)!.backward(randn([1, width]));
    const ratios = (sizes: readonly number[]) => sizes.slice(1).map((size, i) => size / sizes[i]);
    return {
      forwards: ratios(signals.map(meanSquare)),
      backwards: ratios(signals.map((s) => meanSquare(s.grad!)).reverse()),
    };
  }

  statement(
    "xavier",
    "keeps the size of signals and gradients through layers of equal width",
    () => {
      manualSeed(seed);
      const width = 600;
      const [low, high] = squaresBand(width);
      for (const start of [
        (w: Tensor) => init.xavierUniform_(w),
        (w: Tensor) => init.xavierNormal_(w),
      ]) {
        const { forwards, backwards } = factors(width, 3, start);
        for (const ratio of [...forwards, ...backwards])
          assert.ok(ratio >= low && ratio <= high, `${ratio} in ${low} … ${high}`);
      }
    },
  );

  statement(
    "xavier",
    "where weights of deviation 0.01 let a hundred inputs shrink to a hundredth",
    () => {
      manualSeed(seed);
      const { forwards } = factors(100, 4, (w) => init.normal_(w, 0, 0.01));
      // 100 inputs times 0.01² is a hundredth of the variance in each layer.
      const [, high] = squaresBand(100);
      for (const ratio of forwards) assert.ok(ratio <= 0.01 * high, `${ratio}`);
    },
  );

  const dyadic = whole(-64, 64).map((k) => k / 8);

  statement("sgd", "takes the step of the formula, with momentum and without", () => {
    const steps = fc.array(fc.tuple(dyadic, dyadic), { minLength: 1, maxLength: 5 });
    forAll(
      [fc.tuple(dyadic, dyadic), steps, fc.constantFrom(0, 0.5)],
      (start, gradients, momentum) => {
        const lr = 1 / 16;
        const w = new nn.Parameter(tensor([...start], { dtype: "float64" }));
        const optimizer = new optim.SGD([w], { lr, momentum });
        const expected = [...start];
        const running = [0, 0];
        for (const gradient of gradients) {
          w.grad = tensor([...gradient], { dtype: "float64" });
          optimizer.step();
          gradient.forEach((g, i) => {
            running[i] = momentum * running[i] + g;
            expected[i] -= lr * running[i];
          });
          assert.deepEqual(numbers(w), expected);
        }
      },
    );
  });

  statement("sgd", "falls on a parabola up to 2/λ and climbs beyond", () => {
    forAll([whole(1, 6), dyadic.filter((w) => w !== 0), whole(1, 60)], (power, start, k) => {
      const curvature = 2 ** power;
      const lr = (k / 16) * (1 / curvature);
      const w = tensor([start], { dtype: "float64", requiresGrad: true });
      const loss = () => mul(sum(mul(w, w)), curvature / 2);
      const before = loss();
      before.backward();
      sgd(w.detach(), w.grad!, null, { lr });
      // w' = (1 − ηλ) w, exactly: ηλ = k/16.
      equal(w, tensor([(1 - k / 16) * start], { dtype: "float64" }));
      assert.equal(Math.sign(loss().item() - before.item()), Math.sign(k - 32) || 0);
    });
  });

  statement("sgd", "lowers the loss by η|ḡ|² to first order", () => {
    forAll([integers([4]), integers([4])], (start, offset) => {
      // A quadratic: ½|w − c|². A step η lowers it by η|g|² − ½η²|g|², exactly.
      const w = start.clone();
      w.requiresGrad = true;
      const error = () => add(w, mul(offset, -1));
      const loss = () => mul(sum(mul(error(), error())), 0.5);
      const before = loss();
      before.backward();
      const squared = numbers(w.grad!).reduce((total, g) => total + g * g, 0);
      const lr = 2 ** -10;
      sgd(w.detach(), w.grad!, null, { lr });
      assert.equal(before.item() - loss().item(), lr * squared - (lr * lr * squared) / 2);
    });
  });
});
