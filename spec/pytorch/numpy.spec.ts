// # Inputs made with numpy
//
// Against the shapes that numpy and PyTorch give the same expressions.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { spoken } from "convnotes/pytorch";
import { frontEnd, python } from "./front_end.js";

const expressions = JSON.parse(
  readFileSync(new URL("../fixtures/numpy_inputs.json", import.meta.url), "utf8"),
) as readonly { expression: string; shape: readonly number[] }[];

const head = "import numpy as np\nimport torch\nfrom torch import nn\n";

describe("an input made with numpy", () => {
  for (const { expression, shape } of expressions)
    it(`has its shape: ${expression}`, () => {
      const text = `${head}net = nn.Sequential(nn.ReLU())\ny = net(${expression})\n`;
      const [{ input }] = frontEnd.analyse(python(text)).networks;
      strictEqual(input.source, "call");
      deepStrictEqual(input.shape, ["N", ...shape.slice(1)]);
    });

  it("is unknown, with the reason, where its size is", () => {
    const text = `${head}import os\nn = int(os.environ["N"])\nnet = nn.Sequential(nn.Linear(4, 2))\nnet(torch.from_numpy(np.zeros((2, n))))\n`;
    const [network] = frontEnd.analyse(python(text)).networks;
    strictEqual(network.input.source, "solved");
    const random = `${head}class Net(nn.Module):\n    def forward(self, x):\n        return x.view(-1, np.random.randint(3))\n`;
    const { calls, output } = frontEnd.analyseEntry(
      python(random),
      "nn.Sequential(Net(), nn.Linear(4, 2))",
      {
        inputs: new Map([["nn.Sequential(Net(), nn.Linear(4, 2))", [4]]]),
      },
    );
    strictEqual(output, null);
    strictEqual(spoken(calls.at(-1)!.unknown!), "a random number");
  });
});
