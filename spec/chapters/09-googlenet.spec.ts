// # GoogLeNet: the tests
//
// Blocks with weights of whole numbers are compared with their paths, which are put together here
// from single operations. What the reductions save is counted on real layers, with and without.

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  conv2d,
  GoogLeNet,
  maxPool2d,
  nn,
  noGrad,
  relu,
  type Shape,
  summarize,
  type Tensor,
  withDevice,
  zeros,
} from "convnotes";
import { build, equal, forAll, integers, reader, whole } from "./cases.js";
import { expectRun, expectShown, total } from "./evidence.js";
import { closedModel, type ClosedNetwork, closedNetwork, expectTraced } from "./networks.js";
import { statement } from "./statement.js";

// ## Small blocks of whole numbers

/** Channels in, of path 1, of path 2, of path 3, of path 4. */
type Channels = readonly [
  inChannels: number,
  c1: number,
  c2: readonly [number, number],
  c3: readonly [number, number],
  c4: number,
];

const few = whole(1, 3);
const channels: fc.Arbitrary<Channels> = fc.tuple(
  few,
  few,
  fc.tuple(few, few),
  fc.tuple(few, few),
  few,
);

/** A block whose parameters are whole numbers, and an image for it. */
const blocks = fc.tuple(channels, whole(1, 6), whole(1, 6)).chain(([c, height, width]) => {
  const block = new nn.Inception(...c).to("float64");
  const state = [...block.stateDict()].map(([name, { shape }]) =>
    integers(shape, -2, 2).map((t) => [name, t] as const),
  );
  return fc.record({
    c: fc.constant(c),
    x: integers([2, c[0], height, width]),
    state: fc.tuple(...state).map((entries) => new Map(entries)),
  });
});

const blockOf = (c: Channels, state: ReadonlyMap<string, Tensor>): nn.Inception => {
  const block = new nn.Inception(...c).to("float64");
  block.loadStateDict(new Map(state));
  return block;
};

/** The four paths, from single operations. */
function pathsOf(x: Tensor, state: ReadonlyMap<string, Tensor>): Tensor[] {
  const layer = (input: Tensor, name: string, padding: number) =>
    relu(conv2d(input, state.get(`${name}.weight`)!, state.get(`${name}.bias`)!, { padding }));
  return [
    layer(x, "b1_1", 0),
    layer(layer(x, "b2_1", 0), "b2_2", 1),
    layer(layer(x, "b3_1", 0), "b3_2", 2),
    layer(maxPool2d(x, { kernelSize: 3, stride: 1, padding: 1 }), "b4_2", 0),
  ];
}

/** The biases of the paths' last convolutions: they lift all channels of a path. */
const lastBiases = ["b1_1.bias", "b2_2.bias", "b3_2.bias", "b4_2.bias"];

const outputsOf = ([, c1, c2, c3, c4]: Channels): number[] => [c1, c2[1], c3[1], c4];

// ## The network

/** The sizes behind each window that moves in steps of 2, by the statement. */
const halvings = (size: number): number[] =>
  Array.from({ length: 5 }, () => (size = Math.ceil(size / 2)));

/** The same, from the network's layers on an image of that size. */
const sizesOf = (height: number, width: number): Shape[] =>
  closedNetwork(
    withDevice("meta", () => new GoogLeNet()),
    [1, height, width],
  ).layers.flatMap(({ window, output }) => (window?.stride === 2 ? [output.slice(1)] : []));

// ## Reductions

interface Cost {
  readonly multiplyAdds: number;
  readonly parameters: number;
}

/** A large window behind a reduction, and the same window without. */
interface Reduction {
  readonly pixels: readonly [number, number];
  readonly channels: number;
  readonly reduced: number;
  readonly out: number;
  readonly k: number;
}

const costOf = (shape: Shape, create: () => nn.Module): Cost => summarize(create, shape);

const costs = ({ pixels, channels: C, reduced, out, k }: Reduction) => {
  const shape = [1, C, ...pixels];
  const padding = (k - 1) / 2;
  return {
    reducing: costOf(
      shape,
      () =>
        new nn.Sequential(
          new nn.Conv2d(C, reduced, 1),
          new nn.Conv2d(reduced, out, k, { padding }),
        ),
    ),
    direct: costOf(shape, () => new nn.Conv2d(C, out, k, { padding })),
  };
};

/** The reductions of the network's blocks, as the network itself has them. */
const reductions: Reduction[] = (() => {
  const found = summarize(() => new GoogLeNet(), [1, 1, 96, 96]).rows;
  return found.flatMap(({ path, inputShapes: [[, C, height, width]], outputShape }, i) =>
    /b[23]_1$/.test(path)
      ? [
          {
            pixels: [height, width] as const,
            channels: C,
            reduced: outputShape[1],
            out: found[i + 1].outputShape[1],
            k: path.endsWith("b2_1") ? 3 : 5,
          },
        ]
      : [],
  );
})();

describe("09 GoogLeNet", () => {
  statement("inception", "is the concatenation of its paths", () => {
    forAll([blocks], ({ c, x, state }) => {
      const paths = pathsOf(x, state);
      const places = paths.flatMap((path) =>
        Array.from({ length: path.shape[1] }, (_, k) => [reader(path), k] as const),
      );
      const [batch, , height, width] = x.shape;
      equal(
        blockOf(c, state).call(x),
        build([batch, places.length, height, width], (n, k, i, j) => {
          const [at, own] = places[k];
          return at(n, own, i, j);
        }),
      );
    });
  });

  statement("inception", "keeps height and width and adds up the channels", () => {
    forAll([channels, whole(1, 9), whole(1, 9)], (c, height, width) => {
      const y = noGrad(() => new nn.Inception(...c).call(zeros([1, c[0], height, width])));
      assert.deepEqual(y.shape, [1, total(outputsOf(c)), height, width]);
    });
  });

  statement("inception", "changes the channels of one path when its weights change", () => {
    forAll([blocks, whole(0, 3)], ({ c, x, state }, q) => {
      const before = reader(blockOf(c, state).call(x));
      const name = lastBiases[q];
      // Enough to lift any sum of these weights above zero.
      const lifted = build(state.get(name)!.shape, () => 1e6);
      const y = blockOf(c, new Map([...state, [name, lifted]])).call(x);
      const after = reader(y);
      const outputs = outputsOf(c);
      const start = total(outputs.slice(0, q));
      const own = (k: number) => k >= start && k < start + outputs[q];
      build(y.shape, (...index) => {
        assert.equal(after(...index) === before(...index), !own(index[1]), `at ${index.join()}`);
        return 0;
      });
    });
  });

  statement("inception-reduction", "saves exactly below the bound", () => {
    const cases = fc.record({
      pixels: fc.tuple(whole(1, 4), whole(1, 4)),
      channels: whole(1, 6),
      reduced: whole(1, 6),
      out: whole(1, 6),
      k: fc.constantFrom(1, 3, 5),
    });
    forAll([cases], (r) => {
      const { reducing, direct } = costs(r);
      const { pixels, channels: C, reduced, out, k } = r;
      const area = pixels[0] * pixels[1];
      assert.equal(reducing.multiplyAdds, area * (C * reduced + k * k * reduced * out));
      assert.equal(direct.multiplyAdds, area * k * k * C * out);
      assert.equal(
        reducing.multiplyAdds < direct.multiplyAdds,
        reduced * (C + k * k * out) < k * k * C * out,
      );
    });
  });

  statement("inception-reduction", "saves what the text says in the first block", () => {
    const [three, five] = reductions.map(costs);
    assert.deepEqual(
      [reductions[0], reductions[1]].map((r) => [r.k, r.channels, r.reduced, r.out]),
      [
        [3, 192, 96, 128],
        [5, 192, 16, 32],
      ],
    );
    for (const { reducing, direct } of [three, five])
      expectShown(
        "inception-reduction",
        ...[reducing, direct].flatMap((cost) => [cost.multiplyAdds, cost.parameters]),
      );
    const times = five.direct.multiplyAdds / five.reducing.multiplyAdds;
    assert.ok(times > 9.5 && times < 10, `nearly ten times: ${times}`);
  });

  statement("inception-reduction", "saves both in every block of the network", () => {
    assert.equal(reductions.length, 18);
    const all = reductions.map(costs);
    for (const { reducing, direct } of all) {
      assert.ok(reducing.multiplyAdds < direct.multiplyAdds);
      assert.ok(reducing.parameters < direct.parameters);
    }
    const inBlocks = summarize(() => new GoogLeNet(), [1, 1, 96, 96]).rows.filter((r) =>
      /b\d_\d$/.test(r.path),
    );
    for (const what of ["multiplyAdds", "parameters"] as const) {
      const now = total(inBlocks.map((r) => r[what]));
      const saved = total(all.map(({ reducing, direct }) => direct[what] - reducing[what]));
      expectShown("inception-reduction", now, now + saved);
    }
  });

  statement("googlenet-layers", "is the same by formula, in a trace and in the text", () => {
    expectTraced("googlenet");
    const parameters = ({ layers }: ClosedNetwork) => total(layers.map((l) => l.parameters));
    const [own, alexnets] = ["googlenet", "alexnet"].map((name) => parameters(closedModel(name)));
    expectShown("googlenet-layers", own, alexnets);
    assert.equal(Math.round(alexnets / own), 8);
    expectShown("googlenet-layers", 96, ...halvings(96));
  });

  statement("googlenet-layers", "halves images of any size and rounds up", () => {
    forAll(
      [whole(1, 300), whole(1, 300)],
      (height, width) => {
        const [rows, columns] = [halvings(height), halvings(width)];
        assert.deepEqual(
          sizesOf(height, width),
          rows.map((row, i) => [row, columns[i]]),
        );
      },
      0.2,
    );
  });

  statement("googlenet-layers", "has these sizes when it runs", () => {
    expectRun(new GoogLeNet(), [1, 33, 8]);
    expectRun(new GoogLeNet(), [1, 1, 1]);
  });
});
