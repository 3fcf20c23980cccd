// # What a summary says
//
// Layers, outputs and parameters of the networks are compared with PyTorch's in `models/`; here are
// the numbers that PyTorch does not give, and the table as text.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  add,
  concat,
  formatSummary,
  mean,
  models,
  mul,
  nn,
  ones,
  reshape,
  showBytes,
  sizeOf,
  summarize,
  type Tensor,
  zeros,
} from "convnotes";
import fixture from "./fixtures/models.json" with { type: "json" };
import "./seed.js";

/** A module whose forward is `body`, with `children` under their names. */
class Custom extends nn.Module {
  constructor(
    children: Readonly<Record<string, nn.Module>>,
    private readonly body: (x: Tensor) => Tensor,
  ) {
    super();
    Object.assign(this, children);
  }

  override forward(x: Tensor): Tensor {
    return this.body(x);
  }
}

/** Two calls of one layer. */
function twice(): nn.Module {
  const layer = new nn.Linear(3, 3);
  return new Custom({ layer }, (x) => layer.call(layer.call(x)));
}

const misfit = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 6, 5, { padding: 2 }),
    new nn.Flatten(),
    new nn.Linear(1024, 10),
  );

describe("summary", () => {
  // ## Work

  for (const { name, input, state, calls } of fixture.models)
    it(`counts the multiply-adds of ${name} by the formulas of its layers`, () => {
      const shapes = new Map<string, { shape: number[] }>(Object.entries(state));
      // Each output pixel of a convolution, and each row of a linear map, meets every weight of
      // its channel once; normalisation counts as none.
      const expected = calls.map(([path, , output]) => {
        const weight = shapes.get(`${path as string}.weight`)?.shape ?? [];
        const places = sizeOf(output as number[]) / (output as number[])[1];
        return weight.length < 2 ? 0 : places * sizeOf(weight);
      });
      const { create } = models.find((m) => m.name === name)!;
      const { rows, multiplyAdds } = summarize(create, input);
      assert.deepEqual(
        rows.map((row) => row.multiplyAdds),
        expected,
      );
      assert.equal(
        multiplyAdds,
        expected.reduce((sum, n) => sum + n),
      );
      assert.ok(multiplyAdds > 0);
    });

  it("has a row for every call, and counts parameters once", () => {
    const summary = summarize(twice, [2, 3]);
    assert.deepEqual(
      summary.rows.map(({ path, parameters, multiplyAdds }) => [path, parameters, multiplyAdds]),
      [
        ["layer", 12, 18],
        ["layer", 12, 18],
      ],
    );
    assert.deepEqual([summary.parameters, summary.multiplyAdds], [12, 36]);
  });

  it("says which parameters are trained", () => {
    const frozen = () => {
      const net = new nn.Sequential(new nn.Linear(3, 4), new nn.Linear(4, 2));
      net[0].requiresGrad_(false);
      return net;
    };
    const { parameters, trainableParameters } = summarize(frozen, [1, 3]);
    assert.deepEqual([parameters, trainableParameters], [26, 10]);
  });

  // ## Receptive fields

  /** Rows of the image on which the pixel in the middle of the last output depends. */
  function reach(net: nn.Module, size: number): number {
    for (const parameter of net.parameters()) parameter.fill_(1);
    const x = ones([1, 1, size, 1], { dtype: "float64", requiresGrad: true });
    const y = net.to("float64").call(x);
    const dy = zeros(y.shape, { dtype: "float64" });
    dy.data[Math.floor(y.shape[2] / 2)] = 1;
    y.backward(dy);
    const rows = Array.from(x.grad!.data, Number).flatMap((g, row) => (g === 0 ? [] : [row]));
    return rows[rows.length - 1] - rows[0] + 1;
  }

  it("gives the receptive field that gradients show, through branches as well", () => {
    const along = (n: number) => [n, 1] as const;
    const conv = (k: number, stride: number, dilation: number) =>
      new nn.Conv2d(1, 1, along(k), { stride: along(stride), dilation: along(dilation) });
    const same = (k: number, inChannels = 1) =>
      new nn.Conv2d(inChannels, 1, along(k), { padding: [(k - 1) / 2, 0] });
    const layer: fc.Arbitrary<() => nn.Module> = fc.oneof(
      fc
        .tuple(
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 1, max: 2 }),
          fc.constantFrom(1, 2),
        )
        .map((settings) => () => conv(...settings)),
      fc.integer({ min: 2, max: 3 }).map((k) => () => new nn.AvgPool2d(along(k))),
      fc.constant(() => new nn.ReLU()),
      fc.constantFrom(3, 5).map((k) => () => {
        const [inner, outer] = [same(k), same(3)];
        return new Custom({ inner, outer }, (x) => add(outer.call(inner.call(x)), x));
      }),
      fc.constantFrom(3, 5).map((k) => () => {
        const [wide, narrow, joined] = [same(k), same(1), same(1, 2)];
        return new Custom({ wide, narrow, joined }, (x) =>
          joined.call(concat([narrow.call(x), wide.call(x)], { dim: 1 })),
        );
      }),
    );
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (layers) => {
        const create = () => new nn.Sequential(...layers.map((make) => make()));
        // A layer adds at most six neighbours to a field, and makes them at most three times as far
        // apart; three fields leave room on either side of the middle.
        const size = 3 * (1 + 6 * (1 + 3 + 9 + 27));
        const { rows, error } = summarize(create, [1, 1, size, 1]);
        assert.equal(error, undefined);
        const reported = rows[rows.length - 1].receptiveField;
        assert.deepEqual(reported, [reach(create(), size), 1]);
      }),
      { numRuns: 60 },
    );
  });

  it("gives no receptive field behind what sees the whole image", () => {
    const squeezed = () => {
      const [pool, gate] = [new nn.AdaptiveAvgPool2d(1), new nn.Linear(2, 2)];
      const last = new nn.Conv2d(2, 2, 3);
      return new Custom({ pool, gate, last }, (x) => {
        const weights = gate.call(reshape(pool.call(x), { shape: [1, 2] }));
        return last.call(mul(x, reshape(weights, { shape: [1, 2, 1, 1] })));
      });
    };
    const fields = (create: () => nn.Module) =>
      summarize(create, [1, 2, 9, 9]).rows.map((row) => row.receptiveField);
    assert.deepEqual(fields(squeezed), [[9, 9], null, null]);
    const averaged = () => {
      const last = new nn.ReLU();
      return new Custom({ last }, (x) => last.call(mean(x, { dim: [2, 3], keepdim: true })));
    };
    assert.deepEqual(fields(averaged), [null]);
  });

  it("keeps the finer of two grids that meet", () => {
    const gated = () => {
      const [pool, last] = [new nn.AvgPool2d(9), new nn.Conv2d(2, 2, 3)];
      return new Custom({ pool, last }, (x) => last.call(mul(x, pool.call(x))));
    };
    const { rows } = summarize(gated, [1, 2, 9, 9]);
    assert.deepEqual(
      rows.map((row) => row.receptiveField),
      [
        [9, 9],
        [11, 11],
      ],
    );
  });

  // ## Memory

  it("knows the memory of the worst moment", () => {
    const net = () =>
      new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(3, 2));
    const summary = summarize(net, [2, 4]);
    assert.deepEqual(
      summary.rows.map((row) => row.activationBytes),
      [24, 24, 0, 16],
    );
    // 23 parameters and 8 inputs; beside them at most the rectifier's input and output.
    assert.equal(summary.evaluationBytes, 4 * (23 + 8) + 24 + 24);
    // Backward, the worst moment is the last: the gradients of all parameters and, to compute the
    // first layer's, that of its output.
    assert.equal(summary.trainingBytes, 4 * (23 + 8) + 4 * 23 + 24 + 16);
    assert.equal(summary.activationBytes, 64);
  });

  it("counts buffers, and no training where nothing is trained", () => {
    const { evaluationBytes, trainingBytes } = summarize(
      () => new nn.BatchNorm2d(3).requiresGrad_(false),
      [1, 3, 2, 2],
    );
    // Weight, bias and two statistics of 3; the count of batches is an int64. The operation hands
    // out the statistics that it used beside its result.
    assert.equal(evaluationBytes, 4 * (4 * 3) + 8 + 4 * 12 + 4 * (12 + 6));
    assert.equal(trainingBytes, null);
  });

  // ## What does not fit

  it("goes up to the layer that does not fit, and says why", () => {
    const summary = summarize(misfit, [1, 1, 28, 28]);
    assert.deepEqual(
      summary.rows.map((row) => row.path),
      ["0", "1"],
    );
    assert.equal(
      summary.error,
      "2 (Linear): linear: input [1, 4704] has 4704 features, but weight [10, 1024] expects 1024; " +
        "set in_features to 4704",
    );
    assert.equal(summary.trainingBytes, null);
    const text = formatSummary(summary);
    assert.match(text, /\nerror: 2 \(Linear\): linear: input \[1, 4704\] has 4704 features.*$/);
  });

  it("lets other errors pass", () => {
    const broken = () =>
      new Custom({}, () => {
        throw new TypeError("not a matter of sizes");
      });
    assert.throws(() => summarize(broken, [1]), new TypeError("not a matter of sizes"));
  });

  it("takes a network that does nothing", () => {
    const summary = summarize(() => new nn.Identity(), [1, 1, 2, 2]);
    assert.deepEqual(summary.rows[0].receptiveField, [1, 1]);
    assert.deepEqual([summary.evaluationBytes, summary.trainingBytes], [16, null]);
  });

  // ## Text

  it("is printed as a table", () => {
    const lenet = models.find((m) => m.name === "lenet")!;
    assert.equal(
      formatSummary(summarize(lenet.create, [1, 1, 28, 28])),
      `LeNet on [1, 1, 28, 28]
────────────────────────────────────────────────────────────────────────
layer                  output  parameters  multiply-adds  field   memory
────────────────────────────────────────────────────────────────────────
net.0   Conv2d      1×6×28×28         156        117,600    5×5  18.8 kB
net.1   Sigmoid     1×6×28×28           0              0    5×5  18.8 kB
net.2   AvgPool2d   1×6×14×14           0              0    6×6  4.70 kB
net.3   Conv2d     1×16×10×10       2,416        240,000  14×14  6.40 kB
net.4   Sigmoid    1×16×10×10           0              0  14×14  6.40 kB
net.5   AvgPool2d    1×16×5×5           0              0  16×16  1.60 kB
net.6   Flatten         1×400           0              0
net.7   Linear          1×120      48,120         48,000           480 B
net.8   Sigmoid         1×120           0              0           480 B
net.9   Linear           1×84      10,164         10,080           336 B
net.10  Sigmoid          1×84           0              0           336 B
net.11  Linear           1×10         850            840            40 B
────────────────────────────────────────────────────────────────────────
parameters: 61,706 (247 kB)
multiply-adds: 416,520
memory: 288 kB to evaluate, 553 kB to train`,
    );
  });

  it("leaves out the last columns where the lines would be too wide", () => {
    const summary = summarize(twice, [2, 3]);
    const lines = formatSummary(summary, { width: 40 }).split("\n");
    assert.deepEqual(lines.slice(1, 7), [
      "─────────────────────────────────",
      "layer          output  parameters",
      "─────────────────────────────────",
      "layer  Linear     2×3          12",
      "layer  Linear     2×3        (12)",
      "─────────────────────────────────",
    ]);
  });

  it("writes memory in powers of 1000", () => {
    assert.deepEqual([0, 999, 1000, 1536, 12_345_678, 2 ** 40].map(showBytes), [
      "0 B",
      "999 B",
      "1.00 kB",
      "1.54 kB",
      "12.3 MB",
      "1.10 TB",
    ]);
  });
});
