// # Match statements
//
// Against what Python itself says of random ones; and what cannot be told is unknown where it stands.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Network, spoken } from "convnotes/pytorch";
import { frontEnd, python } from "./front_end.js";

const { setup, programs } = JSON.parse(
  readFileSync(new URL("../fixtures/patterns.json", import.meta.url), "utf8"),
) as { setup: string; programs: readonly { program: string; result: string }[] };

const indented = (text: string) => text.replace(/^(?=.)/gm, "        ");

const head = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n";

describe("match", () => {
  it("goes Python's way, and binds what Python binds", () => {
    const wrong: object[] = [];
    for (const { program, result } of programs) {
      const text =
        `${head}${setup}class Net(nn.Module):\n    def extra_repr(self):\n${indented(program)}\n` +
        "        return str(r)\n    def forward(self, x):\n        return x\n";
      const { printed } = frontEnd.analyseEntry(python(text), "Net", {
        inputs: new Map([["Net", [1]]]),
      });
      if (printed !== `Net(${result})`) wrong.push({ program, result, printed });
    }
    ok(programs.length >= 400);
    deepStrictEqual(wrong, []);
  });

  const built = (cases: string, call: string) =>
    `${head}def act(kind, *more):\n    match kind:\n${cases}\n` +
    `net = nn.Sequential(nn.Linear(8, 4), ${call}, nn.Linear(4, 2))\n`;

  const cases =
    "        case 'relu' | 'r':\n            return nn.ReLU()\n" +
    "        case {'dropout': p}:\n            return nn.Dropout(p)\n" +
    "        case ['linear', *sizes] if sizes:\n            return nn.Sequential(*[nn.Linear(4, s) for s in sizes])\n" +
    "        case _:\n            raise ValueError(kind)";

  for (const [call, layers] of [
    ["act('r')", ["Linear", "ReLU", "Linear"]],
    ["act({'dropout': 0.5, 'more': 1})", ["Linear", "Dropout", "Linear"]],
    ["act(('linear', 4, 4))", ["Linear", "Linear", "Linear", "Linear"]],
  ] as const)
    it(`chooses the layers of ${call}`, () => {
      const [network] = frontEnd.analyse(python(built(cases, call))).networks;
      deepStrictEqual(
        network.calls.map(({ className }) => className),
        layers,
      );
      deepStrictEqual(network.output, ["N", 2]);
    });

  it("says where Python's own exception is what a case is", () => {
    const [network] = frontEnd.analyse(python(built(cases, "act('tanh')"))).networks as [
      Network | undefined,
    ];
    strictEqual(network?.totals.complete ?? false, false);
  });

  const forked = (pattern: string, first: string, second: string) =>
    `${head}import os\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n` +
    "        self.a = nn.Linear(8, 4)\n        self.b = nn.Linear(8, 4)\n        self.c = nn.Linear(4, 2)\n" +
    `    def forward(self, x):\n        match os.environ['MODE']:\n            case ${pattern}:\n                y = ${first}\n` +
    `            case _:\n                y = ${second}\n        return self.c(y)\n`;
  const analysed = (text: string) =>
    frontEnd.analyseEntry(python(text), "Net", { inputs: new Map([["Net", [8]]]) });

  it("goes every way where nobody knows which, and knows what all agree on", () => {
    const network = analysed(forked("'fast'", "self.a(x)", "F.relu(self.b(x))"));
    deepStrictEqual(network.output, ["N", 2]);
    strictEqual(network.totals.complete, true);
    strictEqual(network.totals.multiplyAdds, 8 * 4 + 4 * 2);
  });

  it("is unknown where the ways differ, with the reason", () => {
    const network = analysed(forked("['fast', 3]", "self.a(x)", "x"));
    strictEqual(network.output, null);
    strictEqual(network.failed, null);
    match(spoken(network.calls.at(-1)!.unknown!), /^it differs between the two ways of an if: /);
  });

  it("binds what is not known as unknown", () => {
    const text =
      `${head}import os\nclass Net(nn.Module):\n    def forward(self, x):\n        match os.environ:\n` +
      "            case {'N': n}:\n                pass\n        return x.view(-1, n)\n";
    const network = analysed(text);
    strictEqual(network.output, null);
    strictEqual(network.failed, null);
  });

  it("takes a pattern that is not followed for one that may fit", () => {
    const network = analysed(forked("1 + 2j", "self.a(x)", "self.b(x)"));
    deepStrictEqual(network.output, ["N", 2]);
  });

  it("outlives a statement that is half written", () => {
    const text = forked("['a', *rest] | {'k': Point(x=-1)}", "self.a(x)", "self.b(x)");
    for (let cut = 0; cut < text.length; cut += 3) frontEnd.analyse(python(text.slice(0, cut)));
  });

  it("takes a name for a name, as in other code", () => {
    const text = `${head}match = 2\ncase = match * 2\nnet = nn.Linear(case, 1)\n`;
    strictEqual(frontEnd.analyse(python(text)).networks[0].calls[0].parameters, 5);
  });
});
