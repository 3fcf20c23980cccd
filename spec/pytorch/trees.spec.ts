// # Random networks, written as Python
//
// A random chain of layers is built twice: directly, from the library's modules, and by the front end
// from Python that says the same, in one of several manners. Both must agree in everything.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { nn, summarize } from "convnotes";
import { frontEnd, python } from "./front_end.js";

interface Drawn {
  readonly source: string;
  readonly make: () => nn.Module;
  /** Channels after it, for those before it. */
  readonly channels: number;
}

/** A layer for `channels` channels. */
const layer = (channels: number): fc.Arbitrary<Drawn> =>
  fc.oneof(
    fc
      .record({
        out: fc.integer({ min: 1, max: 6 }),
        kernel: fc.integer({ min: 1, max: 4 }),
        stride: fc.integer({ min: 1, max: 3 }),
        padding: fc.integer({ min: 0, max: 2 }),
        bias: fc.boolean(),
        depthwise: fc.boolean(),
        named: fc.boolean(),
      })
      .map(({ out, kernel, stride, padding, bias, depthwise, named }): Drawn => {
        const groups = depthwise ? channels : 1;
        const after = depthwise ? channels * out : out;
        const sizes = named
          ? `in_channels=${channels}, out_channels=${after}, kernel_size=${kernel}`
          : `${channels}, ${after}, ${kernel}`;
        const more = `stride=${stride}, padding=${padding}, groups=${groups}`;
        return {
          source: `nn.Conv2d(${sizes}, ${more}, bias=${bias ? "True" : "False"})`,
          make: () => new nn.Conv2d(channels, after, kernel, { stride, padding, groups, bias }),
          channels: after,
        };
      }),
    fc
      .record({ kernel: fc.integer({ min: 1, max: 3 }), max: fc.boolean(), ceilMode: fc.boolean() })
      .map(({ kernel, max, ceilMode }): Drawn => ({
        source: `nn.${max ? "Max" : "Avg"}Pool2d(${kernel}, ceil_mode=${ceilMode ? "True" : "False"})`,
        make: () =>
          max ? new nn.MaxPool2d(kernel, { ceilMode }) : new nn.AvgPool2d(kernel, { ceilMode }),
        channels,
      })),
    fc.constantFrom<Drawn>(
      { source: "nn.ReLU()", make: () => new nn.ReLU(), channels },
      { source: "nn.Sigmoid()", make: () => new nn.Sigmoid(), channels },
      { source: "nn.Dropout(0.25)", make: () => new nn.Dropout(0.25), channels },
      {
        source: `nn.BatchNorm2d(${channels})`,
        make: () => new nn.BatchNorm2d(channels),
        channels,
      },
    ),
  );

const chain = (length: number, channels: number): fc.Arbitrary<Drawn[]> =>
  length === 0
    ? fc.constant([])
    : layer(channels).chain((first) =>
        chain(length - 1, first.channels).map((rest) => [first, ...rest]),
      );

const manners: readonly ((layers: readonly string[]) => string)[] = [
  (layers) => `net = nn.Sequential(${layers.join(", ")})`,
  (layers) =>
    `layers = []\n${layers.map((l) => `layers.append(${l})`).join("\n")}\nnet = nn.Sequential(*layers)`,
  (layers) =>
    `def build():\n    layers = [${layers.join(", ")}]\n    return nn.Sequential(*[l for l in layers])\nnet = build()`,
  (layers) =>
    `class Sequential(nn.Module):\n    def __init__(self, *layers):\n        super().__init__()\n` +
    `        for i, layer in enumerate(layers):\n            self.add_module(f"{i}", layer)\n` +
    `    def forward(self, x):\n        for layer in self.children():\n            x = layer(x)\n        return x\n` +
    `net = Sequential(${layers.join(", ")})`,
  (layers) =>
    `class Sequential(nn.Sequential):\n    pass\nfrom collections import OrderedDict\n` +
    `net = Sequential(OrderedDict([${layers.map((l, i) => `(str(${i}), ${l})`).join(", ")}]))`,
];

describe("a random network, written as Python", () => {
  it("is the network that the same layers make", () => {
    let [fitting, failing] = [0, 0];
    fc.assert(
      fc.property(
        fc.record({
          channels: fc.integer({ min: 1, max: 4 }),
          height: fc.integer({ min: 1, max: 20 }),
          width: fc.integer({ min: 1, max: 20 }),
          batch: fc.integer({ min: 1, max: 3 }),
          length: fc.integer({ min: 1, max: 6 }),
        }),
        fc.constantFrom(...manners),
        fc.gen(),
        ({ channels, height, width, batch, length }, manner, draw) => {
          const layers = draw(chain, length, channels);
          const create = () => new nn.Sequential(...layers.map(({ make }) => make()));
          const direct = summarize(create, [batch, channels, height, width]);
          const source = `from torch import nn\n${manner(layers.map((l) => l.source))}\n`;
          const network = frontEnd.analyseEntry(python(source), "net", {
            inputs: new Map([["net", [channels, height, width]]]),
            batch,
          });
          strictEqual(network.printed, String(create()));
          strictEqual(network.totals.parameters, direct.parameters);
          strictEqual(network.failed === null, direct.error === undefined);
          deepStrictEqual(
            network.calls.map((c) => [
              c.path,
              c.className,
              c.output,
              c.parameters,
              c.multiplyAdds,
              c.receptiveField,
            ]),
            direct.rows.map((r) => [
              r.path,
              r.module,
              ["N", ...r.outputShape.slice(1)],
              r.parameters,
              r.multiplyAdds,
              r.receptiveField,
            ]),
          );
          if (direct.error === undefined) fitting++;
          else failing++;
        },
      ),
      { numRuns: 150 },
    );
    ok(fitting > 10 && failing > 10, `${fitting} fitted and ${failing} did not`);
  });
});
