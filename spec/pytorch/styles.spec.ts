// # Ways to write the same network
//
// Python has many ways to say one thing. Each of these says the same three layers, or the same
// number, and the front end must understand that.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { spoken } from "convnotes/pytorch";
import { frontEnd, python } from "./front_end.js";

const head = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n";

const analysed = (text: string, entry: string, input: readonly number[]) =>
  frontEnd.analyseEntry(python(head + text), entry, { inputs: new Map([[entry, input]]) });

/** Expressions with the number that Python gives for them. */
const numbers: readonly [program: string, result: number][] = [
  [
    "from dataclasses import dataclass, replace\n@dataclass(frozen=True)\nclass C:\n    a: int = 2\n    b: int = 3\nn = replace(C(b=5), a=4).b",
    5,
  ],
  [
    "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    b: int = 4\nx, y = P(3)\nn = x * y + P(1)[1]",
    16,
  ],
  [
    "from enum import Enum\nclass E(Enum):\n    A = 3\n    B = 4\nn = sum(e.value for e in E) if E['A'] is E.A else 0",
    7,
  ],
  [
    "def f(a, *rest, k=2, **more):\n    return a + sum(rest) * k + more.get('z', 0)\nn = f(1, 2, 3, z=4)",
    15,
  ],
  ["def g():\n    for i in range(3):\n        yield i\n    yield from [7]\nn = max(g())", 7],
  ["n = int('%03d' % 7 + f'{2:02d}'[-1])", 72],
  ["n = len(f'{3.14159:.2f}|{7:>4}|{1000:,}')", 15],
  ["a, *b, c = [1, 2, 3, 4]\nn = b[-1] + c", 7],
  [
    "class A:\n    def __init__(self):\n        self._n = 1\n    @property\n    def n(self):\n        return self._n\n    @n.setter\n    def n(self, v):\n        self._n = v * 2\na = A()\na.n = 4\nn = a.n",
    8,
  ],
  [
    "class A:\n    def __getitem__(self, i):\n        return i + 1\n    def __len__(self):\n        return 5\n    def __call__(self, x):\n        return x\na = A()\nn = a[2] + len(a) + a(1)",
    9,
  ],
  [
    "def twice(f):\n    def g(*a, **k):\n        return 2 * f(*a, **k)\n    return g\n@twice\ndef f(x):\n    return x + 1\nn = f(3)",
    8,
  ],
  [
    "try:\n    raise ValueError('no')\nexcept (TypeError, KeyError):\n    n = 1\nexcept ValueError as e:\n    n = 2\nelse:\n    n = 3\nfinally:\n    n += 10",
    12,
  ],
  ["class Mine(RuntimeError):\n    pass\ntry:\n    raise Mine()\nexcept Exception:\n    n = 6", 6],
  ["n = sorted([3, 1, 2], key=lambda v: -v)[0] + sorted('ba')[0].count('a')", 4],
  ["import itertools\nn = len(list(itertools.product([1, 2], [3, 4, 5])))", 6],
  ["import math\nn = math.ceil(math.log2(9)) + math.gcd(12, 18)", 10],
  ["n = sum(x if x % 2 else 0 for x in range(5)) + (lambda a, b=2: a * b)(3)", 10],
  ["s = {1, 2} | {2, 3}\nn = len(s & {3, 4} | s)", 3],
  ["d = {**{'a': 1}, 'b': 2}\nfor k, v in d.items():\n    pass\nn = d.pop('a') + len(d) + v", 4],
  ["n = 0\nwhile True:\n    n += 1\n    if n >= 5:\n        break", 5],
  [
    "count = 0\ndef bump():\n    global count\n    count = count + 2\n    return count\nn = bump() + bump()\nn = n - count",
    2,
  ],
  ["n = (10).bit_length() + -7 // 2 + 2 ** 3 - 7 % 3", 7],
];

describe("Python", () => {
  for (const [program, result] of numbers)
    it(`computes ${JSON.stringify(program.split("\n").at(-1))}`, () => {
      const wrapped = `${program}\nnet = nn.Linear(n, 1)\n`;
      strictEqual(
        analysed(wrapped, "net", [result]).printed,
        `Linear(in_features=${result}, out_features=1, bias=True)`,
      );
    });
});

const forward = "    def forward(self, x):\n";

describe("a network of many forms", () => {
  it("of lazy layers is that of layers with all their sizes", () => {
    const build = (lazy: string, told: string) =>
      `net = nn.Sequential(nn.${lazy}Conv2d(${told === "" ? "" : "1, "}6, 5), nn.${lazy}BatchNorm2d(${told === "" ? "" : "6"}), ` +
      `nn.Flatten(), nn.${lazy}Linear(${told === "" ? "" : "3456, "}10))\n`;
    const [lazy, told] = [build("Lazy", ""), build("", "told")].map((text) =>
      analysed(text, "net", [1, 28, 28]),
    );
    const plain = ({ calls, totals, printed, output }: typeof lazy) => ({
      ...{ totals, printed, output },
      calls: calls.map(({ className, output: out, parameters }) => [className, out, parameters]),
    });
    deepStrictEqual(plain(lazy), plain(told));
    strictEqual(told.failed, null);
  });

  it("of lazy layers fits every size, also when it is solved", () => {
    const text = `${head}net = nn.Sequential(nn.LazyConv2d(6, 5), nn.Flatten(), nn.LazyLinear(10))\n`;
    const { networks, findings } = frontEnd.analyse(python(text));
    deepStrictEqual(findings, []);
    strictEqual(networks[0].totals.complete, true);
  });

  it("derives from the course's Classifier, whose forward is the net", () => {
    const text =
      "import torch\nfrom torch import nn\nfrom d2l import torch as d2l\n\nclass LeNet(d2l.Classifier):\n" +
      "    def __init__(self, lr=0.1, num_classes=10):\n        super().__init__()\n" +
      "        self.save_hyperparameters()\n        self.net = nn.Sequential(nn.LazyConv2d(6, 5, padding=2), nn.Sigmoid(),\n" +
      "            nn.AvgPool2d(2), nn.Flatten(), nn.LazyLinear(self.num_classes))\n\n" +
      "model = LeNet()\nmodel.layer_summary((1, 1, 28, 28))\n";
    const { networks, findings } = frontEnd.analyse(python(text));
    deepStrictEqual(findings, []);
    const [{ name, input, output, totals }] = networks;
    deepStrictEqual(
      [name, input.shape, output, totals.parameters],
      ["LeNet", ["N", 1, 28, 28], ["N", 10], 6 * 25 + 6 + 1176 * 10 + 10],
    );
  });

  it("derives from a class of another package: its forward says that it is a module", () => {
    const text =
      "from mmcv.runner import BaseBlock\nclass Net(BaseBlock):\n    def __init__(self):\n        super().__init__()\n" +
      `        self.a = nn.Linear(4, 2)\n${forward}        return self.a(x)\n`;
    strictEqual(analysed(text, "Net", [4]).totals.parameters, 10);
  });

  const either = (first: string, second: string) =>
    "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(8, 4)\n" +
    `        self.b = nn.Linear(8, 4)\n        self.c = nn.Linear(4, 2)\n${forward}        if x.mean() > 0:\n            y = ${first}\n` +
    `        else:\n            y = ${second}\n        return self.c(y)\n`;

  it("goes both ways where nobody knows which, and knows what both agree on", () => {
    const network = analysed(either("self.a(x)", "F.relu(self.b(x))"), "Net", [8]);
    strictEqual(network.totals.complete, true);
    deepStrictEqual(network.output, ["N", 2]);
    strictEqual(network.totals.multiplyAdds, 8 * 4 + 4 * 2);
    const { findings } = frontEnd.analyse(
      python(head + either("F.relu(self.a(x))", "self.b(x).relu()")),
    );
    deepStrictEqual(findings, []);
  });

  it("says where the two ways of an if differ", () => {
    const network = analysed(either("self.a(x)", "x"), "Net", [8]);
    strictEqual(network.output, null);
    strictEqual(network.failed, null);
    match(spoken(network.calls.at(-1)!.unknown!), /^it differs between the two ways of an if: /);
  });

  it("takes the way that fits where the other does not", () => {
    const network = analysed(either("self.c(x)", "self.b(x)"), "Net", [8]);
    strictEqual(network.failed, null);
    deepStrictEqual(network.output, ["N", 2]);
  });

  it("counts tied weights once, and frozen ones as not trainable", () => {
    const text =
      "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 4)\n" +
      "        self.b = nn.Linear(4, 4)\n        self.b.weight = self.a.weight\n        for p in self.a.parameters():\n" +
      `            p.requires_grad = False\n${forward}        return self.b(self.a(x))\n`;
    const { parameters, trainable } = analysed(text, "Net", [4]).totals;
    deepStrictEqual([parameters, trainable], [16 + 4 + 4, 4]);
  });

  it("says of the user's own exception what it says", () => {
    const text =
      "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 4)\n" +
      `${forward}        if x.shape[-1] != 5:\n            raise ValueError(f"five, not {x.shape[-1]}")\n        return self.a(x)\n`;
    const network = analysed(text, "Net", [4]);
    strictEqual(network.output, null);
    strictEqual(network.totals.complete, false);
  });

  it("does not take a layer for unused that only learns, or whose weight is used by itself", () => {
    const text =
      "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 4)\n" +
      "        self.aux = nn.Linear(4, 2)\n        self.w = nn.Linear(4, 3)\n" +
      `${forward}        x = self.a(x)\n        if self.training:\n            return x, self.aux(x)\n        return F.linear(x, self.w.weight)\n`;
    const { findings } = frontEnd.analyse(python(head + text));
    deepStrictEqual(findings, []);
  });

  it("is shown what it is given inside of others, lists too", () => {
    const text =
      "class Join(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(6, 2, 1)\n" +
      "    def forward(self, xs):\n        return self.conv(torch.cat(xs, 1))\n" +
      "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Conv2d(3, 3, 3, padding=1)\n" +
      `        self.join = Join()\n${forward}        xs = [x]\n        xs.append(self.a(x))\n        y = self.join(xs)\n        xs.append(y)\n        return y\n`;
    const { networks, findings } = frontEnd.analyse(python(head + text));
    deepStrictEqual(findings, []);
    ok(networks.every(({ totals }) => totals.complete));
    deepStrictEqual(
      networks.map(({ name, calls }) => [name, calls.length]),
      [
        ["Join", 1],
        ["Net", 2],
      ],
    );
  });
});
