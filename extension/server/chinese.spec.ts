// # Both languages, whole
//
// Whatever is said anywhere has Chinese words with the same holes, and nothing is said beside `say`.

import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { type Said, saidBy, say, ShapeError, spoken } from "convnotes";
import { chinese } from "./chinese.js";
import { inLanguage } from "./show.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The sources of what an editor may come to say. */
const sources = ["reference", "extension"].flatMap((wing) =>
  readdirSync(join(root, wing), { recursive: true, encoding: "utf8" })
    .filter(
      (file) => file.endsWith(".ts") && !/(^|\/)(dist|node_modules)\/|\.(d|spec)\.ts$/.test(file),
    )
    .map((file) => {
      const name = join(wing, file);
      const text = readFileSync(join(root, name), "utf8");
      return ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
    }),
);

function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodesOf(child);
}

const nodes = sources.flatMap((source) => [...nodesOf(source)]);

const isSay = (node: ts.Node): node is ts.TaggedTemplateExpression =>
  ts.isTaggedTemplateExpression(node) && node.tag.getText() === "say";

const placeOf = (node: ts.Node): string => {
  const source = node.getSourceFile();
  return `${source.fileName}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
};

/** The words of a template, by `say` itself. */
function wordsOf({ template }: ts.TaggedTemplateExpression): string {
  const parts = ts.isTemplateExpression(template)
    ? [template.head.text, ...template.templateSpans.map(({ literal }) => literal.text)]
    : [template.text];
  return say(Object.assign(parts, { raw: parts }), ...parts.slice(1)).words;
}

const holesOf = (words: string): string[] => [...new Set(words.match(/\{\d+\}/g))].sort();

describe("what the editor says, in Chinese", () => {
  const all = nodes.filter(isSay);

  it("has words for all that is said, and for nothing else", () => {
    const said = new Set(all.map(wordsOf));
    ok(said.size > 200);
    deepStrictEqual([...said].filter((words) => !chinese.has(words)).sort(), []);
    deepStrictEqual([...chinese.keys()].filter((words) => !said.has(words)).sort(), []);
  });

  it("keeps every value", () => {
    for (const [english, words] of chinese)
      deepStrictEqual(holesOf(words), holesOf(english), english);
  });

  it("is Chinese", () => {
    const passedOn = /^(\{\d\}|: )+$/;
    for (const [english, words] of chinese)
      if (!passedOn.test(english)) match(words, /\p{Script=Han}/u, english);
  });

  it("knows every refusal: none is text that was put together without say", () => {
    const refusals = /^(ShapeError|Unknown|NotKnown|Raised|Exhausted|Refusal)$/;
    const wrong = nodes.filter((node): node is ts.NewExpression => {
      if (!ts.isNewExpression(node) || !refusals.test(node.expression.getText())) return false;
      const [first] = node.arguments ?? [];
      return (
        ts.isStringLiteralLike(first) ||
        ts.isTemplateExpression(first) ||
        ts.isBinaryExpression(first)
      );
    });
    deepStrictEqual(wrong.map(placeOf), []);
  });

  it("knows the words inside of words", () => {
    // A text in a hole would stay English.
    const isText = (node: ts.Node) =>
      (ts.isStringLiteralLike(node) && /[A-Za-z]{2}/.test(node.text)) ||
      ts.isTemplateExpression(node);
    const wrong = all.flatMap(({ template }) =>
      ts.isTemplateExpression(template)
        ? template.templateSpans.flatMap(({ expression }) =>
            [...nodesOf(expression)].filter(
              (node) => isText(node) && !isSay(node.parent) && !ts.isCallExpression(node.parent),
            ),
          )
        : [],
    );
    deepStrictEqual(wrong.map(placeOf), []);
  });

  it("puts values and words within words where they belong", () => {
    const inner = say` in ${2} groups`;
    const said = say`input ${"[N, 3]"} has ${3} channels, but weight ${"[4, 2]"}${inner} expects ${4}; set in_channels to ${3}`;
    strictEqual(
      spoken(said),
      "input [N, 3] has 3 channels, but weight [4, 2] in 2 groups expects 4; set in_channels to 3",
    );
    strictEqual(
      inLanguage(said, "zh"),
      "输入 [N, 3] 有 3 个通道，而权重 [4, 2]（分为 2 组）需要 4 个；请将 in_channels 设为 3",
    );
  });

  it("keeps the names that whoever passes an error on puts before it", () => {
    const error = new ShapeError(say`${3} cannot be halved`);
    error.message = `head (GLU): ${error.message}`;
    strictEqual(inLanguage(saidBy(error), "zh"), "head (GLU): 3 不能对半分");
    strictEqual(inLanguage(saidBy(new Error("no such file")), "zh"), "no such file");
    const other = Object.assign(new Error("its own"), { said: 3 });
    strictEqual(spoken(saidBy(other)), "its own");
    error.message += "; and more";
    strictEqual(spoken(saidBy(error)), error.message);
  });

  it("takes no value for words", () => {
    strictEqual(inLanguage(say`${"the input {0}"} is no tensor`, "zh"), "the input {0}不是张量");
    const plain: Said = { words: "not in the table: {0}", values: ["it"] };
    doesNotMatch(inLanguage(plain, "zh"), /它/);
  });
});
