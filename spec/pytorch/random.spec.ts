// # Random trees and random programs
//
// Trees of containers, residual and branching blocks are built directly from the library's modules
// and by the front end from Python in one of several manners. Random programs compute widths by
// loops, conditions and functions; what they compute is known here without any Python.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { add, concat, nn, relu, summarize, type Tensor } from "convnotes";
import { frontEnd, python } from "./front_end.js";

// ## Trees

class Residual extends nn.Module {
  constructor(readonly body: nn.Module) {
    super();
  }
  override forward(x: Tensor): Tensor {
    return relu(add(this.body.call(x), x));
  }
}

class Branches extends nn.Module {
  readonly branches: nn.ModuleList;
  constructor(...branches: nn.Module[]) {
    super();
    this.branches = new nn.ModuleList(branches);
  }
  override forward(x: Tensor): Tensor {
    return concat(
      Array.from(this.branches, (branch) => branch.call(x)),
      { dim: 1 },
    );
  }
}

/** A part of a network for some channels, which keeps the image's size. */
interface Part {
  readonly python: string;
  readonly make: () => nn.Module;
  readonly channels: number;
}

const leaf = (channels: number): fc.Arbitrary<Part> =>
  fc.oneof(
    fc
      .record({ out: fc.integer({ min: 1, max: 5 }), half: fc.nat(2) })
      .map(({ out, half }): Part => ({
        python: `nn.Conv2d(${channels}, ${out}, ${2 * half + 1}, padding=${half})`,
        make: () => new nn.Conv2d(channels, out, 2 * half + 1, { padding: half }),
        channels: out,
      })),
    fc.constant<Part>({ python: "nn.ReLU()", make: () => new nn.ReLU(), channels }),
    fc.constant<Part>({
      python: `nn.BatchNorm2d(${channels})`,
      make: () => new nn.BatchNorm2d(channels),
      channels,
    }),
  );

const tree = (channels: number, depth: number): fc.Arbitrary<Part> => {
  if (depth === 0) return leaf(channels);
  const two = (first: Part) =>
    tree(first.channels, depth - 1).map((second): Part => ({
      python: `nn.Sequential(${first.python}, ${second.python})`,
      make: () => new nn.Sequential(first.make(), second.make()),
      channels: second.channels,
    }));
  return fc.oneof(
    leaf(channels),
    tree(channels, depth - 1).chain(two),
    fc.array(tree(channels, depth - 1), { minLength: 1, maxLength: 3 }).map((parts): Part => ({
      python: `Branches(${parts.map((p) => p.python).join(", ")})`,
      make: () => new Branches(...parts.map((p) => p.make())),
      channels: parts.reduce((sum, p) => sum + p.channels, 0),
    })),
    // What is added must have the input's channels, or it fails in both.
    tree(channels, depth - 1).map((body): Part => ({
      python: `Residual(${body.python})`,
      make: () => new Residual(body.make()),
      channels,
    })),
  );
};

const residuals = [
  "        return torch.relu(self.body(x) + x)\n",
  "        y = self.body(x)\n        y += x\n        return y.relu()\n",
  "        return F.relu(torch.add(self.body(x), x), inplace=True)\n",
];
const branchings = [
  "        return torch.cat([b(x) for b in self.branches], 1)\n",
  "        out = []\n        for i, b in enumerate(self.branches):\n            out.append(self.branches[i](x))\n        return torch.cat(out, dim=1)\n",
  "        out = None\n        for b in self.branches:\n            y = b(x)\n            out = y if out is None else torch.cat((out, y), dim=-3)\n        return out\n",
  "        return torch.concat(tuple(map(lambda b: b(x), self.branches)), axis) if (axis := 1) else x\n",
];

const classes = (residual: string, branching: string) =>
  "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n" +
  "class Residual(nn.Module):\n    def __init__(self, body):\n        super().__init__()\n        self.body = body\n" +
  `    def forward(self, x):\n${residual}\n` +
  "class Branches(nn.Module):\n    def __init__(self, *parts):\n        super(Branches, self).__init__()\n" +
  `        self.branches = nn.ModuleList(parts)\n    def forward(self, x):\n${branching}\n`;

describe("a random tree of modules, written as Python", () => {
  it("is the tree that is built directly", () => {
    let [fitting, failing] = [0, 0];
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }).chain((c) => tree(c, 3).map((part) => [c, part] as const)),
        fc.integer({ min: 5, max: 12 }),
        fc.constantFrom(...residuals),
        fc.constantFrom(...branchings),
        ([channels, part], size, residual, branching) => {
          const create = () => new nn.Sequential(part.make());
          const direct = summarize(create, [2, channels, size, size]);
          const text = `${classes(residual, branching)}\nnet = nn.Sequential(${part.python})\n`;
          const network = frontEnd.analyseEntry(python(text), "net", {
            inputs: new Map([["net", [channels, size, size]]]),
            batch: 2,
          });
          strictEqual(network.printed, String(create()));
          strictEqual(network.totals.parameters, direct.parameters);
          strictEqual(network.failed === null, direct.error === undefined);
          if (direct.error !== undefined) {
            failing++;
            return;
          }
          fitting++;
          strictEqual(network.totals.multiplyAdds, direct.multiplyAdds);
          deepStrictEqual(
            network.calls.map((c) => [c.path, c.className, c.output, c.parameters, c.multiplyAdds]),
            direct.rows.map((r) => [
              r.path,
              r.module,
              ["N", ...r.outputShape.slice(1)],
              r.parameters,
              r.multiplyAdds,
            ]),
          );
        },
      ),
      { numRuns: 150 },
    );
    ok(fitting > 20 && failing > 5, `${fitting} fitted and ${failing} did not`);
  });
});

// ## Programs

/** A statement as Python, and what it does to the widths so far. */
interface Step {
  readonly python: (indent: string) => string;
  readonly run: (widths: number[]) => void;
}

const wide = (n: number) => 1 + (((n % 9) + 9) % 9);

const step = (depth: number): fc.Arbitrary<Step> => {
  const small = fc.integer({ min: -4, max: 7 });
  const simple = fc.oneof(
    small.map((n): Step => ({
      python: (i) => `${i}ws.append(wide(${n}))\n`,
      run: (ws) => ws.push(wide(n)),
    })),
    small.map((n): Step => ({
      python: (i) => `${i}ws += [wide(w + (${n})) for w in ws[-2:] if w % 2 == 1]\n`,
      run: (ws) =>
        ws.push(
          ...ws
            .slice(-2)
            .filter((w) => w % 2 === 1)
            .map((w) => wide(w + n)),
        ),
    })),
    small.map((n): Step => ({
      python: (i) => `${i}ws[-1], ws[0] = wide(ws[0] // 2 * ${n}), ws[-1]\n`,
      run(ws) {
        const [first, last] = [ws[0], ws[ws.length - 1]];
        ws[ws.length - 1] = wide(Math.floor(first / 2) * n);
        ws[0] = last;
      },
    })),
    fc.constant<Step>({
      python: (i) => `${i}ws.append(max(ws, key=lambda w: (w % 3, w)))\n`,
      run(ws) {
        const better = (a: number, b: number) => a % 3 > b % 3 || (a % 3 === b % 3 && a > b);
        ws.push(ws.reduce((best, w) => (better(w, best) ? w : best)));
      },
    }),
    fc.constant<Step>({
      python: (i) =>
        `${i}try:\n${i}    ws.append({1: 2, 2: 3}[ws[-1]])\n${i}except KeyError:\n${i}    ws.append(4)\n`,
      run: (ws) =>
        ws.push(
          new Map([
            [1, 2],
            [2, 3],
          ]).get(ws[ws.length - 1]) ?? 4,
        ),
    }),
  );
  if (depth === 0) return simple;
  const body = fc.array(step(depth - 1), { minLength: 1, maxLength: 2 });
  const inside = (steps: readonly Step[], indent: string) =>
    steps.map((s) => s.python(`${indent}    `)).join("");
  return fc.oneof(
    simple,
    fc.tuple(small, body, body).map(([n, yes, no]): Step => ({
      python: (i) =>
        `${i}if ws[-1] > ${n} and not len(ws) % 2:\n${inside(yes, i)}${i}else:\n${inside(no, i)}`,
      run(ws) {
        const way = ws[ws.length - 1] > n && ws.length % 2 === 0 ? yes : no;
        for (const s of way) s.run(ws);
      },
    })),
    fc.tuple(fc.nat(3), body).map(([n, steps]): Step => ({
      python: (i) =>
        `${i}for k in range(${n}):\n${inside(steps, i)}${i}    if len(ws) > 12:\n${i}        break\n${i}else:\n${i}    ws.append(1)\n`,
      run(ws) {
        for (let k = 0; k < n; k++) {
          for (const s of steps) s.run(ws);
          if (ws.length > 12) return;
        }
        ws.push(1);
      },
    })),
    body.map((steps): Step => ({
      python: (i) =>
        `${i}turns = 0\n${i}while sum(ws) < 30 and turns < 3:\n${i}    turns += 1\n${inside(steps, i).replaceAll("turns", "_turns")}`,
      run(ws) {
        for (let t = 0; t < 3 && ws.reduce((a, b) => a + b, 0) < 30; t++)
          for (const s of steps) s.run(ws);
      },
    })),
  );
};

/** Manners of making the widths into a network. */
const ends = [
  "net = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(ws, ws[1:])])\n",
  "net = nn.Sequential()\nfor i in range(len(ws) - 1):\n    net.add_module(str(i), nn.Linear(ws[i], ws[i + 1]))\n",
  "def layers():\n    before = None\n    for w in ws:\n        if before is not None:\n            yield nn.Linear(before, w)\n        before = w\nnet = nn.Sequential(*layers())\n",
  "from collections import OrderedDict\nnet = nn.Sequential(OrderedDict((f'{i:d}', nn.Linear(*p)) for i, p in enumerate(zip(ws[:-1], ws[1:]))))\n",
  "from functools import reduce\nnet = reduce(lambda n, p: n.append(nn.Linear(in_features=p[0], **{'out_features': p[1]})), zip(ws, ws[1:]), nn.Sequential())\n",
];

describe("a random program that computes a network", () => {
  it("computes what its statements say", () => {
    fc.assert(
      fc.property(
        fc.array(step(2), { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...ends),
        fc.boolean(),
        (steps, end, inFunction) => {
          const widths = [3, 2];
          for (const { run } of steps) run(widths);
          const head = "from torch import nn\nwide = lambda n: 1 + n % 9\n";
          const program = inFunction
            ? `def widths():\n    ws = [3, 2]\n${steps.map((s) => s.python("    ")).join("")}    return ws\nws = widths()\n`
            : `ws = [3, 2]\n${steps.map((s) => s.python("")).join("")}`;
          const text = head + program + end;
          const network = frontEnd.analyseEntry(python(text), "net", {
            inputs: new Map([["net", [widths[0]]]]),
          });
          const layers = widths.slice(1).map((w, i) => new nn.Linear(widths[i], w));
          strictEqual(network.printed, String(new nn.Sequential(...layers)));
          strictEqual(network.totals.complete, true);
          deepStrictEqual(network.output, ["N", widths[widths.length - 1]]);
        },
      ),
      { numRuns: 200 },
    );
  });
});
