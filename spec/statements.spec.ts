// # What the chapters promise
//
// The chapters that stand here cite nothing that is missing and say the same in both languages. The
// checks themselves are tried on small projects in which something is wrong.

import assert from "node:assert/strict";
import * as convnotes from "convnotes";
import {
  anchorsOf,
  ChapterError,
  chapterProblems,
  parseChapter,
  projectAt,
  projectRoot,
  readChapters,
  slug,
  testsIn,
} from "./statements.js";

/** The stems of all operations, from the library itself. */
const stems = Object.values(convnotes).flatMap((value: unknown) =>
  typeof value === "function" && "stem" in value ? [String(value.stem)] : [],
);

describe("statements", () => {
  it("of the chapters cite nothing that is missing and agree in both languages", () => {
    assert.deepEqual(chapterProblems(readChapters(), projectAt(projectRoot, stems)), []);
  });
});

// ## The checks, on a project in which one thing is wrong

const english = `# Windows

See [above](#window).

::: statement window
**A window has taps.** They are

$$k \\ge 1$$

| symbol | shape | meaning |
| --- | --- | --- |
| $k$ | ℕ | taps |

operations: conv2d
source: reference/window.ts#the-walk
:::
`;

const chinese = english
  .replace("Windows", "窗口")
  .replace("[above]", "[上文]")
  .replace("A window has taps.** They are", "窗口由若干点组成。**点数")
  .replace("| symbol | shape | meaning |", "| 符号 | 形状 | 含义 |")
  .replace("taps |", "点数 |");

const files = {
  "reference/window.ts": "// # Windows\\n\\n// ## The walk: $i$\\n".replaceAll("\\n", "\n"),
  "spec/notation.md": "| letter | meaning |\n| $k$ | taps |\n",
};

/** The problems of a project of one chapter, after a slip in the English or the Chinese text. */
function problemsAfter(
  change: {
    readonly en?: [string, string];
    readonly zh?: [string, string];
    both?: [string, string];
  },
  changedFiles: Readonly<Record<string, string>> = {},
): string[] {
  const apply = (text: string, ...slips: ([string, string] | undefined)[]) =>
    slips.reduce((t, slip) => {
      if (slip === undefined) return t;
      assert.ok(t.includes(slip[0]), `the slip changes nothing: ${slip[0]}`);
      return t.replace(slip[0], slip[1]);
    }, text);
  const all: Readonly<Record<string, string | undefined>> = { ...files, ...changedFiles };
  return chapterProblems(
    [
      parseChapter(apply(english, change.both, change.en), "spec/chapters/01-windows.md"),
      parseChapter(apply(chinese, change.both, change.zh), "spec/chapters/01-windows.zh.md"),
    ],
    { operations: ["conv2d"], read: (path) => all[path] ?? null },
  );
}

const inBoth = (line: number, what: string) => [
  `spec/chapters/01-windows.md:${line}: ${what}`,
  `spec/chapters/01-windows.zh.md:${line}: ${what}`,
];

describe("statements: what is refused, with file and line", () => {
  it("is nothing in a project that is right", () => {
    assert.deepEqual(problemsAfter({}), []);
  });

  it("a label that is not there", () => {
    assert.deepEqual(problemsAfter({ en: ["#window", "#widnow"] }), [
      'spec/chapters/01-windows.md:3: cites the label "widnow", which spec/chapters/01-windows.md ' +
        "does not have",
    ]);
  });

  it("a file that is not there", () => {
    assert.deepEqual(
      problemsAfter({ both: ["reference/window.ts", "reference/widow.ts"] }),
      inBoth(15, "cites reference/widow.ts, which does not exist"),
    );
    assert.deepEqual(problemsAfter({ zh: ["#window", "09-nothing.md"] }), [
      "spec/chapters/01-windows.zh.md:3: cites spec/chapters/09-nothing.md, which does not exist",
    ]);
  });

  it("a heading that is not there, or is there twice", () => {
    assert.deepEqual(
      problemsAfter({ both: ["#the-walk", "#the-run"] }),
      inBoth(
        15,
        "cites reference/window.ts#the-run, but the file has 0 such headings; " +
          "it has: windows, the-walk",
      ),
    );
    const twice = { "reference/window.ts": "// # Windows\n// ## The walk\n  // ## The walk\n" };
    assert.deepEqual(
      problemsAfter({}, twice),
      inBoth(
        15,
        "cites reference/window.ts#the-walk, but the file has 2 such headings; " +
          "it has: windows, the-walk",
      ),
    );
  });

  it("an operation that does not exist", () => {
    assert.deepEqual(
      problemsAfter({ both: ["operations: conv2d", "operations: conv3d"] }),
      inBoth(5, 'statement window names an unknown operation "conv3d"'),
    );
  });

  it("a statement without formula, symbols or source", () => {
    assert.deepEqual(
      problemsAfter({ both: ["$$k \\ge 1$$", "at least one"] }),
      inBoth(5, "statement window has no formula"),
    );
    assert.deepEqual(
      problemsAfter({ both: ["| $k$ |", "| k |"] }),
      inBoth(5, "statement window has no table of symbols and shapes"),
    );
    assert.deepEqual(
      problemsAfter({ both: ["source: reference/window.ts#the-walk", ""] }),
      inBoth(5, "statement window cites no source"),
    );
  });

  it("a letter that the notation does not list, or lists twice", () => {
    assert.deepEqual(
      problemsAfter({ both: ["| $k$ |", "| $q'_0$ |"] }),
      inBoth(12, "statement window uses $q$, which spec/notation.md does not list"),
    );
    const twice = { "spec/notation.md": "| $k$ | taps |\n| $k$ | rows |\n" };
    assert.deepEqual(problemsAfter({}, twice), [
      "spec/notation.md:2: $k$ already has a meaning in line 1",
    ]);
  });

  it("languages that do not agree", () => {
    assert.deepEqual(problemsAfter({ zh: ["k \\ge 1", "k > 1"] }), [
      "spec/chapters/01-windows.zh.md:5: statement window has the formulas k > 1; " +
        "spec/chapters/01-windows.md:5 has k \\ge 1",
    ]);
    assert.deepEqual(problemsAfter({ zh: ["| ℕ |", "| [K] |"] }), [
      "spec/chapters/01-windows.zh.md:5: statement window has the symbols $k$ [K]; " +
        "spec/chapters/01-windows.md:5 has $k$ ℕ",
    ]);
    const renamed = problemsAfter({ zh: ["statement window", "statement view"] });
    assert.ok(
      renamed.includes(
        "spec/chapters/01-windows.zh.md:1: has the labels view; " +
          "spec/chapters/01-windows.md has window",
      ),
      renamed.join("\n"),
    );
  });

  it("a chapter in one language only, and a label that is taken", () => {
    const project = { operations: ["conv2d"], read: () => "| $k$ |\n// ## The walk" };
    const one = parseChapter(english, "spec/chapters/01-windows.md");
    const two = parseChapter(english, "spec/chapters/02-windows.md");
    assert.deepEqual(chapterProblems([one, two], project), [
      "spec/chapters/02-windows.md:5: label window is taken (spec/chapters/01-windows.md:5)",
      'spec/chapters/01-windows.md:1: has no counterpart in "zh"',
      'spec/chapters/02-windows.md:1: has no counterpart in "zh"',
    ]);
  });

  const refused: readonly (readonly [string, string, string])[] = [
    [
      "a container that is not closed",
      "# T\n\n::: statement a\n**T**\n",
      "3: statement a is never closed",
    ],
    [
      "a container inside another",
      "# T\n::: statement a\n::: statement b\n",
      "3: statement a is still open",
    ],
    ["an end without a beginning", "# T\n:::\n", "2: ::: closes nothing"],
    [
      "another kind of container",
      "# T\n::: warning\n:::\n",
      '2: unknown container "warning"; known: statement',
    ],
    [
      "a label that is none",
      "# T\n::: statement Kernel size\n:::\n",
      '2: a label is small letters, digits and hyphens, got "Kernel size"',
    ],
    [
      "a statement without a title",
      "# T\n::: statement a\ntext\n:::\n",
      "2: statement a begins with its **title**",
    ],
    ["a chapter without a title", "text\n", "1: a chapter begins with a title: # …"],
  ];
  for (const [what, text, message] of refused)
    it(what, () => {
      assert.throws(
        () => parseChapter(text, "spec/chapters/01-a.md"),
        (error) =>
          error instanceof ChapterError && error.message === `spec/chapters/01-a.md:${message}`,
      );
    });
});

describe("statements: what is read", () => {
  it("a statement with its formula, letters, operations and sources", () => {
    const text = english.replace("source:", "erratum: $k$\nsource:");
    const { statements, title, language } = parseChapter(text, "spec/chapters/01-windows.md");
    assert.deepEqual([title, language], ["Windows", "en"]);
    const [{ body, ...rest }] = statements;
    assert.ok(body.endsWith("| $k$ | ℕ | taps |"), body);
    assert.deepEqual(rest, {
      label: "window",
      chapter: "01-windows",
      language: "en",
      title: "A window has taps.",
      formulas: ["k \\ge 1"],
      symbols: [{ symbol: "$k$", shape: "ℕ", line: 12 }],
      operations: ["conv2d"],
      sources: [{ path: "reference/window.ts", anchor: "the-walk", line: 16 }],
      erratum: "$k$",
      file: "spec/chapters/01-windows.md",
      line: 5,
    });
  });

  it("nothing inside a block of code", () => {
    const text = "# T\n\n```\n::: statement a\n[x](#nowhere)\n```\n";
    const { statements, links } = parseChapter(text, "spec/chapters/01-a.md");
    assert.deepEqual([statements, links], [[], []]);
  });

  it("a heading by its words, up to a colon or a formula", () => {
    assert.equal(slug("Backward, input: $\\bar x$"), "backward-input");
    assert.equal(slug("The divisor $d_i$"), "the-divisor");
    assert.deepEqual(anchorsOf("// # A\ncode // # no\n  // ## B: c\n// text\n", "a.ts"), [
      "a",
      "b",
    ]);
    assert.deepEqual(anchorsOf("# A\ntext\n## B\n", "a.md"), ["a", "b"]);
  });

  it("tests by their label and title", () => {
    const text =
      'x;\nstatement("a-b", "is so", () => {});\n  statement(\n"c", `for ${name}`, f);\n';
    assert.deepEqual(testsIn(text, "spec/a.spec.ts"), [
      { label: "a-b", title: "is so", file: "spec/a.spec.ts", line: 2 },
      { label: "c", title: "for ⟨name⟩", file: "spec/a.spec.ts", line: 3 },
    ]);
  });
});
