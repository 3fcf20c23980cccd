// # What the editor is told
//
// Where the input comes from, what is underlined, what a fix would write, and that every place is the
// user's own: in Python, in Markdown and in a notebook.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Document, type SourceRange, spoken } from "convnotes/pytorch";
import { manualSeed, models, nn } from "convnotes";
import { frontEnd, modelFile, python } from "./front_end.js";

const lenet = modelFile("lenet.py").text;

const quoted = ({ text }: Document, { start, end }: SourceRange) => text.slice(start, end);

const analysed = (document: Document) => frontEnd.analyse(document);

const markdown = (...blocks: readonly string[]): Document => ({
  file: "a.md",
  language: "markdown",
  text: blocks.map((block) => `Text before.\n\n\`\`\`python\n${block}\n\`\`\`\n`).join("\n"),
});

const notebook = (...cells: readonly string[]): Document => ({
  file: "a.ipynb",
  language: "notebook",
  text: JSON.stringify({
    metadata: { source: "x = 1" },
    cells: [
      { cell_type: "markdown", source: ['# "LeNet"\n', "text"] },
      ...cells.map((cell) => ({
        cell_type: "code",
        outputs: [{ source: ["print(1)"] }],
        source: ["%matplotlib inline\n", ...cell.split(/(?<=\n)/)],
      })),
    ],
  }),
});

const halves = `import torch
from torch import nn

class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 2, stride=8)
        self.up = nn.Upsample(scale_factor=8)

    def forward(self, x):
        return torch.cat((x, self.up(self.down(x))), dim=1)
`;

describe("what is said of PyTorch source", () => {
  it("solves the input: the sizes that fit the head, and the customary one of them", () => {
    const [network] = analysed(python(lenet)).networks;
    deepStrictEqual(network.input, {
      shape: ["N", 1, 28, 28],
      source: "solved",
      interval: { from: 28, to: 31 },
    });
    const [alexnet] = analysed(python(modelFile("alexnet.py").text.split("\nX = ")[0])).networks;
    deepStrictEqual(alexnet.input, {
      shape: ["N", 1, 224, 224],
      source: "solved",
      interval: { from: 193, to: 224 },
    });
  });

  it("finds the steps in which sizes fit", () => {
    const [network] = analysed(python(halves)).networks;
    deepStrictEqual(network.input.interval, { from: 8, to: 1024, step: 8 });
  });

  it("takes no guess for a reason to complain", () => {
    const { findings, networks } = analysed(python(modelFile("idioms.py").text));
    deepStrictEqual(findings, []);
    const shapes = new Map(networks.map(({ name, input }) => [name, input.shape]));
    deepStrictEqual(shapes.get("Squeeze"), ["N", 10, 32, 32]);
    deepStrictEqual(shapes.get("Labelled"), ["N", 1, 28, 28]);
  });

  for (const [source, more, shape] of [
    ["call", "net = LeNet()\nnet(torch.rand(4, 1, 30, 29))\n", ["N", 1, 30, 29]],
    ["comment", "# nothing\n", ["N", 1, 29, 29]],
    ["dataset", "data = FashionMNIST(transform=Resize(31))\n", ["N", 1, 31, 31]],
  ] as const)
    it(`takes the input from a ${source}`, () => {
      const text =
        source === "comment"
          ? lenet.replace("class LeNet", "# input: (1, 29, 29)\nclass LeNet")
          : `${lenet}\n${more}`;
      const [{ input }] = analysed(python(text)).networks;
      strictEqual(input.source, source);
      deepStrictEqual(input.shape, shape);
      ok(input.range !== undefined);
    });

  it("takes the user's choice before all else", () => {
    const inputs = new Map([["LeNet", [1, 30, 30]]]);
    const { networks } = frontEnd.analyse(python(lenet), { inputs });
    deepStrictEqual(networks[0].input, { shape: ["N", 1, 30, 30], source: "chosen" });
  });

  it("says of a layer how its output's size comes about, and what it costs", () => {
    const document = python(lenet);
    const [first] = analysed(document).networks[0].calls;
    deepStrictEqual(first.arithmetic, ["(28 + 2·2 − 5)/1 + 1 = 28"]);
    strictEqual(first.parameterFormula, "6·1·5·5 + 6");
    strictEqual(first.printed, "Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))");
    strictEqual(first.multiplyAdds, 28 * 28 * 6 * 25);
    deepStrictEqual(first.receptiveField, [5, 5]);
    strictEqual(quoted(document, first.definition), "nn.Conv2d(1, 6, kernel_size=5, padding=2)");
    strictEqual(quoted(document, first.call), "self.net(x)");
  });

  for (const [name, make] of [
    ["Python", (text: string) => python(text)],
    ["Markdown", (text: string) => markdown(text)],
    ["a notebook", (text: string) => notebook(text)],
  ] as const)
    it(`underlines a wrong number in ${name}, and knows the right one`, () => {
      const document = make(lenet.replace("84, 10)", "85, 10)"));
      const { networks, findings } = analysed(document);
      const finding = findings.find(({ severity }) => severity === "error")!;
      deepStrictEqual(networks[0].failed, finding);
      strictEqual(
        spoken(finding.message),
        "Linear: in_features=85, but 84 features arrive (the input is N×84)",
      );
      strictEqual(quoted(document, finding.range), "85");
      strictEqual(finding.expected, "85");
      strictEqual(finding.got, "84");
      strictEqual(spoken(finding.fix!.title), "Set in_features to 84");
      deepStrictEqual(finding.fix!.edits, [{ range: finding.range, text: "84" }]);
      strictEqual(networks[0].calls.length, 11);
      const [fixed] = finding.fix!.edits;
      const text =
        document.text.slice(0, fixed.range.start) +
        fixed.text +
        document.text.slice(fixed.range.end);
      strictEqual(analysed({ ...document, text }).networks[0].failed, null);
    });

  it("asks whether a head for an unusual size is meant", () => {
    const document = python(modelFile("notes_example.py").text.replace("576", "1024"));
    const finding = analysed(document).findings.find(({ severity }) => severity === "warning")!;
    strictEqual(
      spoken(finding.message),
      "in_features=1024 fits only images of 34 to 37 pixels; for 32×32 it is 576",
    );
    strictEqual(quoted(document, finding.range), "1024");
    strictEqual(finding.fix?.edits[0].text, "576");
  });

  for (const [code, body, forward, place] of [
    [
      "bias-before-batch-norm",
      "self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))",
      "self.net(x)",
      "nn.Conv2d(3, 8, 3)",
    ],
    [
      "no-relu",
      "self.net = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 10))",
      "self.net(x)",
      "nn.Linear(20, 10)",
    ],
    [
      "unused-layer",
      "self.a = nn.Linear(30, 20); self.b = nn.Linear(30, 20)",
      "self.a(x)",
      "nn.Linear(30, 20)",
    ],
    [
      "softmax-before-cross-entropy",
      "self.net = nn.Sequential(nn.Linear(30, 20), nn.Softmax(1)); loss = nn.CrossEntropyLoss()",
      "self.net(x)",
      "nn.Softmax(1)",
    ],
    [
      "softmax-before-cross-entropy",
      "self.net = nn.Linear(30, 20); loss = nn.CrossEntropyLoss()",
      "torch.softmax(self.net(x), dim=-1)",
      "torch.softmax(self.net(x), dim=-1)",
    ],
    [
      "odd-size",
      "self.net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 7 * 7, 20)) # input: (3, 15, 15)",
      "self.net(x)",
      "nn.MaxPool2d(2)",
    ],
  ] as const)
    it(`notes ${code}, and only that`, () => {
      const document = python(
        `import torch, torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self):\n` +
          `        super().__init__()\n        ${body}\n    def forward(self, x):\n        return ${forward}\n`,
      );
      const { findings } = analysed(document);
      deepStrictEqual(
        findings.map((f) => [f.severity, f.code, quoted(document, f.range)]),
        [["note", code, place]],
      );
    });

  it("goes on after what it cannot follow, and says why", () => {
    const text =
      "import torch.nn as nn, timm\nclass Net(nn.Module):\n    def __init__(self):\n" +
      "        super().__init__()\n        self.stem = nn.Conv2d(3, 8, 3)\n" +
      "        self.body = timm.create_model('x')\n        self.head = nn.Linear(8, 10)\n" +
      "    def forward(self, x):\n        return self.head(self.body(self.stem(x)))\n";
    const { networks, findings } = analysed(python(text));
    deepStrictEqual(findings, []);
    deepStrictEqual(
      networks[0].calls.map(({ path, unknown }) => [path, unknown && spoken(unknown)]),
      [
        ["stem", undefined],
        ["head", "the package timm is not followed"],
      ],
    );
    strictEqual(networks[0].totals.complete, false);
  });

  it("says why a part of a Sequential is not followed", () => {
    const text =
      "import timm\nfrom torch import nn\nnet = nn.Sequential(nn.Conv2d(3, 8, 3), timm.pool(), nn.Linear(8, 10))\n";
    const [{ calls }] = analysed(python(text)).networks;
    strictEqual(spoken(calls.at(-1)!.unknown!), "the package timm is not followed");
  });

  it("looks into a training loop, and takes no loss for a network", () => {
    const text =
      "from torch import nn\nfrom torchvision import datasets\n" +
      "def block(c):\n    return nn.Sequential(nn.Conv2d(1, c, 3), nn.ReLU())\n" +
      "net = nn.Sequential(block(4), nn.Flatten()).to('cuda')\nloss = nn.CrossEntropyLoss()\n" +
      "for X, y in DataLoader(datasets.FashionMNIST('.'), 128):\n    loss(net(X), y).backward()\n";
    const { networks, findings } = analysed(python(text));
    deepStrictEqual(findings, []);
    deepStrictEqual(
      networks.map(({ name, input, output }) => [name, input.source, output]),
      [
        ["net", "dataset", ["N", 2704]],
        ["block", "call", ["N", 4, 26, 26]],
      ],
    );
  });

  it("reads a neighbour's file", () => {
    const blocks = python("import torch.nn as nn\ndef block(c):\n    return nn.Conv2d(1, c, 3)\n");
    const text = "from .blocks import block\nfrom torch import nn\nnet = nn.Sequential(block(4))\n";
    const { networks } = frontEnd.analyse(python(text), {
      neighbour: (module) => (module === ".blocks" ? { ...blocks, file: "blocks.py" } : null),
    });
    strictEqual(networks[0].totals.parameters, 40);
    strictEqual(networks[0].calls[0].definition.file, "blocks.py");
  });

  it("shares definitions between the blocks of one file", () => {
    const [first, second] = lenet.split("\nclass ");
    for (const make of [markdown, notebook]) {
      const document = make(
        first,
        `class ${second}`,
        "net = LeNet()\nnet(torch.rand(2, 1, 28, 28))",
      );
      const { networks, blocks } = analysed(document);
      strictEqual(networks[0].input.source, "call");
      strictEqual(quoted(document, networks[0].range), "LeNet");
      strictEqual(blocks.length, 3);
    }
  });

  it("tells networks of the same name apart; the name alone is the last one's, as in Python", () => {
    const text =
      "import torch\nfrom torch import nn\n" +
      "net = nn.Sequential(nn.Conv2d(1, 6, 5))\nnet(torch.rand(1, 1, 28, 28))\nnet = net.eval()\n" +
      "net = nn.Sequential(nn.Conv2d(3, 8, 3))\nnet(torch.rand(1, 3, 32, 32))\n" +
      ["4", "5"]
        .map(
          (channels) =>
            "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n" +
            `        self.conv = nn.Conv2d(1, ${channels}, 3)\n` +
            "    def forward(self, x):\n        return self.conv(x)\n",
        )
        .join("");
    const { networks } = analysed(python(text));
    deepStrictEqual(
      networks.map(({ name, totals }) => [name, totals.parameters]),
      [
        ["net@1", 6 * 26],
        ["net", 8 * 28],
        ["A@1", 4 * 10],
        ["A", 5 * 10],
      ],
    );
    deepStrictEqual(networks[0].output, ["N", 6, 24, 24]);
    deepStrictEqual(networks[1].output, ["N", 8, 30, 30]);
    const [first, last] = ["net@1", "net"].map((entry) =>
      frontEnd.analyseEntry(python(text), entry),
    );
    deepStrictEqual([first.totals.parameters, last.totals.parameters], [6 * 26, 8 * 28]);
    const live = last.build();
    ok(!("unavailable" in live));
  });

  it("builds a live network with PyTorch's initial weights", () => {
    const network = analysed(python(lenet)).networks[0].build(7);
    ok(network instanceof nn.Module);
    manualSeed(7);
    const own = models.find(({ name }) => name === "lenet")!.create();
    const numbers = (module: nn.Module) =>
      Array.from(module.stateDict(), ([name, t]) => [name, t.shape, Array.from(t.data, Number)]);
    deepStrictEqual(numbers(network), numbers(own));
    strictEqual(String(network), String(own));
  });

  it("says why a network cannot be built", () => {
    const { networks } = analysed(modelFile("mobilenet_v2.py"));
    const mobile = networks.find(({ name }) => name === "MobileNetV2")!;
    const built = mobile.build();
    ok("unavailable" in built);
    strictEqual(spoken(built.unavailable), "ReLU6 is known to its shape only");
  });
});
