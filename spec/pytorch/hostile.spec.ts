// # Source that means no good, and source that is not finished
//
// Whatever stands in the editor, the front end answers, soon, and keeps what it can.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import fc from "fast-check";
import { frontEnd, modelFile, python } from "./front_end.js";

const files = readdirSync(new URL("./files/", import.meta.url));
const budget = { milliseconds: 300 };

const answersSoon = (text: string, language: "python" | "markdown" | "notebook" = "python") => {
  const started = performance.now();
  frontEnd.analyse({ file: "a", language, text }, { budget });
  ok(performance.now() - started < 8000, "it took too long");
};

describe("PyTorch source that is broken or hostile", () => {
  it("is answered wherever it breaks off, and whatever is missing from it", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("lenet.py", "vgg_notes.py", "senet.py", "lenet_bn.py", "vae.py"),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(60),
        fc.boolean(),
        (file, place, length, cut) => {
          const { text } = modelFile(file);
          const at = Math.floor(place * text.length);
          answersSoon(text.slice(0, at) + (cut ? "" : text.slice(at + length)));
        },
      ),
      { numRuns: 40 },
    );
  });

  it("is answered in every language, whatever the characters", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("python" as const, "markdown" as const, "notebook" as const),
        fc.string({ unit: "binary", maxLength: 200 }),
        (language, noise) =>
          answersSoon("```python\nx = 1\n" + noise + '{"cells":[' + noise, language),
      ),
      { numRuns: 60 },
    );
  });

  for (const [name, text] of [
    ["an endless loop", "while True:\n    pass\n"],
    ["an endless list", "x = []\nfor i in range(10**12):\n    x.append(i)\n"],
    ["a number that grows", "x = 2\nwhile True:\n    x = x ** x\n"],
    ["a string that doubles", "x = 'a'\nwhile True:\n    x = x + x\n"],
    ["a list that holds itself", "x = []\nx.append(x)\nprint(str(x), x == x, {(1, x): 2})\n"],
    ["endless recursion", "def f(n):\n    return f(n + 1)\nf(0)\n"],
    ["deep brackets", `x = ${"(".repeat(5000)}1${")".repeat(5000)}\n`],
    ["deep blocks", Array.from({ length: 400 }, (_, i) => `${" ".repeat(i)}if 1:`).join("\n")],
    ["a long sum", `x = ${Array.from({ length: 20000 }, () => "1").join(" + ")}\n`],
    [
      "a module inside of itself",
      "import torch.nn as nn\nclass A(nn.Module):\n    def __init__(self):\n        super().__init__()\n" +
        "        self.a = self\n    def forward(self, x):\n        return self.a(x)\nnet = A()\n",
    ],
    [
      "layers without end",
      "import torch.nn as nn\nlayers = []\nwhile 1:\n    layers.append(nn.Linear(10**9, 10**9))\n",
    ],
    [
      "a huge tensor",
      "import torch\nx = torch.zeros(10**9, 10**9, 10**9)\ny = x.repeat(9, 9, 9)\n",
    ],
    ["a class of itself", "class A(A):\n    pass\nclass A(A):\n    pass\nA()()\n"],
  ] as const)
    it(`survives ${name}`, () => answersSoon(text));

  it("keeps the networks before and after what is half written", () => {
    const { text } = modelFile("lenet.py");
    const half = `${text}\nclass Half(nn.Module):\n    def __init__(self):\n        self.conv = nn.Conv2d(1,\n\n${text.replace("LeNet", "Other")}`;
    const names = frontEnd.analyse(python(half)).networks.map(({ name }) => name);
    ok(names.includes("LeNet"), `found ${names.join(", ")}`);
  });

  it("gives the same answer when a file is edited as when it is new", () => {
    for (const file of files.slice(0, 12)) {
      const { text } = modelFile(file);
      const edited = text.replace("import torch", "import  torch").replace(/\n\n\n/, "\n\n\n\n");
      const plain = (name: string, source: string) => {
        const analysis = frontEnd.analyse({ file: name, language: "python", text: source });
        const json = JSON.stringify(analysis, (key, value: unknown) =>
          key === "file" ? "" : value,
        );
        return JSON.parse(json) as unknown;
      };
      plain("edited", text);
      deepStrictEqual(plain("edited", edited), plain(`fresh ${file}`, edited));
    }
  });

  it("says in one note where it stumbled", () => {
    const { findings } = frontEnd.analyse(python("x = (1,\ny = 2\n"));
    strictEqual(
      findings.every(({ severity }) => severity === "note"),
      true,
    );
  });
});
