// # Layers
//
// A layer adds to its operation what PyTorch's users see: parameters and how they begin, settings
// and their defaults, names, and how it prints. `fixtures/nn.py` asked PyTorch about each. That
// the operations themselves compute what they should is shown in `ops/`.

import assert from "node:assert/strict";
import {
  batchNorm,
  crossEntropy,
  defaultGenerator,
  dropout,
  dropoutState,
  fromData,
  init,
  manualSeed,
  nn,
  ones,
  rand,
  randn,
  sigmoid,
  softmax,
  tanh,
  tensor,
  withDevice,
  zeros,
} from "convnotes";
import fixture from "../fixtures/nn.json" with { type: "json" };
import { modules } from "./modules.js";
import { numbers, sha256, whole } from "./numbers.js";

describe("nn: every module that PyTorch was asked about", () => {
  it("is here", () => {
    assert.deepEqual(
      Object.keys(modules),
      fixture.modules.map(({ name }) => name),
    );
  });

  for (const { name, printed, state, initial, computes } of fixture.modules)
    describe(name, () => {
      const make = modules[name];

      it("prints itself as in PyTorch", () => {
        assert.equal(String(make()), printed);
      });

      it("has PyTorch's state", () => {
        assert.deepEqual(
          Array.from(make().stateDict(), ([key, { shape, dtype }]) => [key, shape, dtype]),
          state,
        );
      });

      it("begins with PyTorch's numbers, bit for bit, and draws no others", () => {
        for (const { seed, sha256: expected, after } of initial) {
          manualSeed(BigInt(seed));
          assert.equal(sha256(make().stateDict().values()), expected, `seed ${seed}`);
          assert.equal(String(defaultGenerator.randomInt64()), after, `after seed ${seed}`);
        }
      });

      it("draws nothing on meta, where it has the same shapes", () => {
        manualSeed(0);
        const module = withDevice("meta", make);
        const expected = manualSeed(0).randomInt64();
        manualSeed(0);
        withDevice("meta", make);
        assert.equal(defaultGenerator.randomInt64(), expected);
        for (const [i, [key, t]] of [...module.stateDict()].entries())
          assert.deepEqual([key, t.shape, t.device], [...state[i].slice(0, 2), "meta"]);
      });

      if (computes !== null)
        it("computes what PyTorch computes, and its gradients, exactly", () => {
          const { dtype, input, shape, y, dx, gradients } = computes as Computes;
          const module = make().eval().to(dtype);
          let k = 0;
          for (const [key, t] of module.stateDict()) {
            if (key.endsWith("running_var")) t.fill_(0.99999);
            else if (t.dtype !== "int64") t.copy_(whole(t.shape, k, dtype));
            k++;
          }
          const x = whole(input, 17, dtype);
          x.requiresGrad = true;
          const result = module.call(x);
          assert.deepEqual([result.shape, numbers(result)], [shape, y]);
          if (result === x) return; // nothing was computed, so there is nothing to walk back
          result.backward(whole(shape, 23, dtype));
          assert.deepEqual(positive(numbers(x.grad!)), positive(dx), "dx");
          const found = [...module.namedParameters()].map(([n, p]) => [
            n,
            positive(numbers(p.grad!)),
          ]);
          assert.deepEqual(
            found,
            Object.entries(gradients).map(([n, g]) => [n, positive(g)]),
          );
        });
    });
});

interface Computes {
  readonly dtype: "float32" | "float64";
  readonly input: number[];
  readonly shape: number[];
  readonly y: number[];
  readonly dx: number[];
  readonly gradients: Readonly<Record<string, number[]>>;
}

/** Zeros have no sign here: 0 times a negative number is −0, and adding 0 to that is not. */
const positive = (list: readonly number[]) => list.map((v) => v + 0);

// ## Where rounding or chance comes in
//
// There the layer must do exactly what its operation does.

describe("nn: layers over operations that round", () => {
  const x = randn([3, 4]);

  it("apply sigmoid, tanh and softmax", () => {
    assert.deepEqual(new nn.Sigmoid().call(x).data, sigmoid(x).data);
    assert.deepEqual(new nn.Tanh().call(x).data, tanh(x).data);
    assert.deepEqual(new nn.Softmax(0).call(x).data, softmax(x, { dim: 0 }).data);
  });

  it("apply cross_entropy with every setting", () => {
    const weight = tensor([1, 2, 0.5, 3]);
    const options = { reduction: "sum", labelSmoothing: 0.25, ignoreIndex: 2 } as const;
    const target = fromData(BigInt64Array.of(0n, 2n, 3n));
    const loss = new nn.CrossEntropyLoss({ weight, ...options });
    assert.equal(loss.call(x, target).item(), crossEntropy(x, target, weight, options).item());
    assert.equal(
      new nn.CrossEntropyLoss().call(x, target).item(),
      crossEntropy(x, target, null).item(),
    );
  });

  it("apply batch_norm by the batch in training, with the settings given", () => {
    const settings = { eps: 0.5, momentum: 0.25 };
    const norm = new nn.BatchNorm1d(4, settings);
    init.uniform_(norm.weight!);
    init.uniform_(norm.bias!);
    const [mean, variance] = [zeros([4]), ones([4])];
    const y = batchNorm(x, norm.weight, norm.bias, mean, variance, { ...settings, training: true });
    assert.deepEqual(norm.call(x).data, y.data);
    assert.deepEqual(norm.running_mean!.data, mean.data);
    assert.deepEqual(norm.running_var!.data, variance.data);
  });

  it("use the batch even in evaluation when batch_norm keeps no statistics", () => {
    const norm = new nn.BatchNorm1d(4, { trackRunningStats: false, affine: false });
    const trained = norm.call(x);
    assert.deepEqual(norm.eval().call(x).data, trained.data);
    assert.deepEqual(trained.data, batchNorm(x, null, null, null, null, { training: true }).data);
  });
});

describe("nn: running statistics", () => {
  for (const { name, momentum, after } of fixture.statistics)
    it(`are PyTorch's ${name} averages, exactly`, () => {
      const norm = new nn.BatchNorm1d(3, { momentum }).to("float64");
      after.forEach((expected, k) => {
        norm.call(whole([2, 3], k, "float64"));
        const found = [...norm.namedBuffers()].map(([key, t]) => [key, numbers(t)]);
        assert.deepEqual(Object.fromEntries(found), expected);
      });
    });

  it("stand still in evaluation", () => {
    const norm = new nn.BatchNorm2d(2).eval();
    norm.call(rand([2, 2, 3, 3]));
    assert.deepEqual([...norm.namedBuffers()].map(([, t]) => numbers(t)).flat(), [0, 0, 1, 1, 0]);
  });
});

describe("nn: Dropout", () => {
  it("draws the mask that the stream hands out, a new one for each call", () => {
    const x = ones([64]);
    const layer = new nn.Dropout(0.25);
    manualSeed(7);
    const found = [layer.call(x), layer.call(x)].map(numbers);
    const expected = [0, 1].map((n) =>
      numbers(dropout(x, { p: 0.25, seed: 7, step: 0, layer: n })),
    );
    assert.deepEqual(found, expected);
    assert.notDeepEqual(found[0], found[1]);
  });

  it("hands its input through in evaluation, and takes no mask", () => {
    manualSeed(7);
    const x = rand([8]);
    assert.equal(new nn.Dropout(0.5).eval().call(x), x);
    assert.equal(dropoutState.getState().layer, 0);
  });

  it("refuses what is no probability", () => {
    assert.throws(() => new nn.Dropout(1.5), {
      name: "RangeError",
      message: "Dropout: p must be a probability from 0 to 1, got 1.5",
    });
  });
});

describe("nn: what layers refuse", () => {
  it("groups that do not divide the channels", () => {
    assert.throws(() => new nn.Conv2d(4, 6, 3, { groups: 4 }), {
      name: "ShapeError",
      message: "Conv2d: groups 4 must divide both the 4 input and the 6 output channels",
    });
  });

  it("an image for BatchNorm1d, a vector for BatchNorm2d", () => {
    assert.throws(() => new nn.BatchNorm1d(2).call(zeros([1, 2, 3, 3])), {
      message: "BatchNorm1d: input must be [N, C] or [N, C, L], got [1, 2, 3, 3]",
    });
    assert.throws(() => new nn.BatchNorm2d(2).call(zeros([1, 2])), {
      message: "BatchNorm2d: input must be [N, C, H, W], got [1, 2]",
    });
  });
});
