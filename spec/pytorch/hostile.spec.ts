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
    ["a generator without end", "def g():\n    while 1:\n        yield 1\nx = list(g())\n"],
    ["a generator of itself", "def g(n):\n    yield n\n    yield from g(n + 1)\nx = list(g(0))\n"],
    [
      "huge repetitions",
      "import itertools\nx = list(itertools.repeat(1))\ny = 'ab' * 10**9\nz = [[0] * 10**4] * 10**4\n" +
        "w = list(itertools.product(range(1000), range(1000), range(1000)))\n",
    ],
    ["wide formats", "x = f'{1:>1000000000}'\ny = '%1000000000d' % 3\nz = 'x'.zfill(10**9)\n"],
    ["a dictionary that grows", "d = {}\nwhile True:\n    d[len(d)] = [0] * 90000\n"],
    [
      "deep values",
      "x = []\nt = ()\nfor i in range(50000):\n    x = [x]\n    t = (t,)\ns = str(x)\nd = {t: x == x}\n",
    ],
    [
      "a list twice in itself, again and again",
      "x = [1]\ny = [1]\nfor i in range(60):\n    x = [x, x]\n    y = [y, y]\ns = str(x)\nd = {tuple(x): x == y}\nz = x < y\n",
    ],
    [
      "a module twice in itself, again and again",
      "import torch.nn as nn\nnet = nn.Sequential(nn.ReLU())\nfor i in range(45):\n    net = nn.Sequential(net, net)\n",
    ],
    [
      "modules too deep for a stack",
      "import torch.nn as nn\nnet = nn.ReLU()\nwhile 1:\n    net = nn.Sequential(net)\n",
    ],
    [
      "attributes without end",
      "class A:\n    def __getattr__(self, n):\n        return getattr(self, n + 'x')\nA().b\n",
    ],
    [
      "methods of themselves",
      "class A:\n    def __len__(self):\n        return len(self)\n    def __iter__(self):\n        return self\n" +
        "    def __str__(self):\n        return str(self)\n    def __add__(self, o):\n        return self + o\n" +
        "    @property\n    def p(self):\n        return self.p\na = A()\nlen(a)\nlist(a)\nstr(a)\na + a\na.p\n",
    ],
    ["a decorator of itself", "def d(f):\n    return d(d)(f)\n@d\ndef f():\n    pass\n"],
    [
      "sizes that are none",
      "import torch.nn as nn\nn = float('inf')\nx = [0] * int(n)\na = nn.Linear(int(n), 3)\nb = nn.Conv2d(-3, -4, -1)\n" +
        "c = nn.MaxPool2d(0)\nd = nn.AvgPool2d(2, stride=0)\ne = range(0, 10, 0)\nf = 1 << 10**9\ng = -5 % 0\n",
    ],
    [
      "many layers in one",
      "import torch.nn as nn\nx = nn.LSTM(10, 10, num_layers=10**9)\ny = nn.Transformer(512, 8, 10**6)\n",
    ],
    [
      "many parts",
      "import torch\nx = torch.zeros(10**5, 10**5)\nfor r in x:\n    for c in r:\n        pass\ny = x.split(1)\nz = torch.arange(10**12)\n",
    ],
    ["a slow sort", "x = sorted(range(90000), key=lambda v: sorted(range(90000)))\n"],
    [
      "a loop that catches all",
      "while True:\n    try:\n        raise ValueError()\n    except:\n        continue\n",
    ],
    [
      "forks within forks",
      "import torch.nn as nn\nclass A(nn.Module):\n    def f(self, x, n):\n        if x.mean() > 0:\n            x = self.f(x, n + 1)\n" +
        "        else:\n            x = self.f(x, n + 2)\n        return x\n    def forward(self, x):\n        return self.f(x, 0)\n" +
        "import torch\nA()(torch.zeros(2, 3))\n",
    ],
    [
      "a printed form of itself",
      "import torch.nn as nn\nclass A(nn.Module):\n    def extra_repr(self):\n        return repr(self)\n" +
        "    def __repr__(self):\n        return str(self)\n    def forward(self, x):\n        return x\nnet = A()\n",
    ],
    [
      "modules within modules",
      "import torch.nn as nn\nnet = nn.Linear(1, 1)\nfor i in range(3000):\n    net = nn.Sequential(net)\n",
    ],
    ["a class of itself", "class A(A):\n    pass\nclass A(A):\n    pass\nA()()\n"],
  ] as const)
    it(`survives ${name}`, () => answersSoon(text));

  it("is answered, however growth and loops are put together", () => {
    const growth = fc.constantFrom(
      ...["xs.append(xs)", "xs = [xs, xs]", "s = s + s", "n = n * n + 1", "xs += xs", "f(n)"],
      ...["d[str(n)] = [0] * n", "xs.append(nn.Linear(n, n))", "net = nn.Sequential(net, net)"],
      ...[
        "s = f'{s}{xs}'",
        "x = torch.zeros(n, n, n)",
        "x = torch.cat([x, x])",
        "net.add_module(s, net)",
      ],
    );
    const loops = [
      "while True:",
      "for i in range(10**9):",
      "for v in xs:",
      "if n:",
      "def f(n):",
      "try:",
    ];
    const body = (depth: number): fc.Arbitrary<string[]> =>
      fc
        .array(
          depth === 0
            ? growth.map((line) => [line])
            : fc.oneof(
                growth.map((line) => [line]),
                fc
                  .tuple(fc.constantFrom(...loops), body(depth - 1))
                  .map(([head, lines]) => [
                    head,
                    ...lines.map((line) => `    ${line}`),
                    ...(head === "try:" ? ["except:", "    pass"] : []),
                  ]),
              ),
          { minLength: 1, maxLength: 3 },
        )
        .map((parts) => parts.flat());
    const head =
      "import torch\nfrom torch import nn\nxs = [1]\ns = 'a'\nn = 2\nd = {}\nnet = nn.Sequential()\nx = torch.ones(2)\n";
    fc.assert(
      fc.property(body(3), (lines) => {
        answersSoon(head + lines.join("\n") + "\n");
      }),
      { numRuns: 25 },
    );
  });

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
