// # From text to syntax tree
//
// tree-sitter parses, also what is half written; here its tree becomes ours. A file is parsed again
// and again while it is edited: tree-sitter re-reads only what changed, and statements at the top
// level whose text is as before keep their trees, moved to where they now stand.

import { Edit, Language, type Node, Parser, type Tree } from "web-tree-sitter";
import type {
  Argument,
  Case,
  Clause,
  ClassNode,
  Comparison,
  Expr,
  FunctionNode,
  Parameter,
  Pattern,
  Span,
  Stmt,
} from "./ast.js";
import { type Said, say } from "../words.js";

export interface WasmFiles {
  /** `web-tree-sitter.wasm` of the package web-tree-sitter. */
  readonly runtime: Uint8Array;
  /** `tree-sitter-python.wasm` of the package tree-sitter-python. */
  readonly python: Uint8Array;
}

export interface Parsed {
  readonly body: readonly Stmt[];
  /** What the parser stumbled over. */
  readonly errors: readonly Span[];
}

interface Kept {
  readonly text: string;
  readonly tree: Tree;
  /** Each statement at the top level by its text. */
  readonly statements: Map<string, { at: number; stmts: Stmt[]; errors: Span[] }[]>;
}

/** Deeper nesting is cut off: no reader could follow it, and neither could our recursion. */
const deepest = 200;

export class PythonParser {
  readonly #parser: Parser;
  readonly #kept = new Map<string, Kept>();

  private constructor(parser: Parser) {
    this.#parser = parser;
  }

  static async create({ runtime, python }: WasmFiles): Promise<PythonParser> {
    await Parser.init({ wasmBinary: runtime });
    const parser = new Parser();
    parser.setLanguage(await Language.load(python));
    return new PythonParser(parser);
  }

  parse(file: string, text: string): Parsed {
    const before = this.#kept.get(file);
    if (before !== undefined) before.tree.edit(editBetween(before.text, text));
    // A callback that hands out pieces keeps a long text from being copied at every step.
    const tree = this.#parser.parse((at) => text.slice(at, at + 8192), before?.tree);
    if (tree === null) return { body: [], errors: [] };
    before?.tree.delete();
    const body: Stmt[] = [];
    const errors: Span[] = [];
    const statements: Kept["statements"] = new Map();
    for (const node of tree.rootNode.children) {
      if (node.type === "comment") continue;
      const own = text.slice(node.startIndex, node.endIndex);
      const old = node.hasError ? undefined : before?.statements.get(own)?.shift();
      const entry = old ?? { at: node.startIndex, ...new Reader(text).top(node) };
      if (old !== undefined) move(old.stmts, node.startIndex - old.at);
      entry.at = node.startIndex;
      body.push(...entry.stmts);
      errors.push(...entry.errors);
      const same = statements.get(own);
      if (same === undefined) statements.set(own, [entry]);
      else same.push(entry);
    }
    this.#kept.set(file, { text, tree, statements });
    return { body, errors };
  }

  /** An expression on its own. Null when it is not one. */
  expression(text: string): Expr | null {
    const tree = this.#parser.parse(text);
    if (tree === null) return null;
    const [statement, ...more] = new Reader(text).block(tree.rootNode);
    const broken = tree.rootNode.hasError;
    tree.delete();
    return !broken && more.length === 0 && statement.kind === "expression" ? statement.value : null;
  }

  forget(file: string): void {
    this.#kept.get(file)?.tree.delete();
    this.#kept.delete(file);
  }
}

/** What lies between the common beginning and the common end of two texts. */
function editBetween(before: string, after: string): Edit {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before.charCodeAt(start) === after.charCodeAt(start)) start++;
  let same = 0;
  while (
    same < most - start &&
    before.charCodeAt(before.length - 1 - same) === after.charCodeAt(after.length - 1 - same)
  )
    same++;
  const [oldEnd, newEnd] = [before.length - same, after.length - same];
  return new Edit({
    startIndex: start,
    oldEndIndex: oldEnd,
    newEndIndex: newEnd,
    startPosition: pointAt(before, start),
    oldEndPosition: pointAt(before, oldEnd),
    newEndPosition: pointAt(after, newEnd),
  });
}

function pointAt(text: string, index: number) {
  let [row, lineStart] = [0, 0];
  for (let i = text.indexOf("\n"); i !== -1 && i < index; i = text.indexOf("\n", i + 1)) {
    row++;
    lineStart = i + 1;
  }
  return { row, column: index - lineStart };
}

/** Moves every node of a tree. Nobody else holds them: what an analysis says has ranges of its own. */
function move(value: unknown, by: number): void {
  if (by === 0 || typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) move(item, by);
    return;
  }
  const node = value as { start?: number; end?: number };
  if (typeof node.start === "number" && typeof node.end === "number") {
    node.start += by;
    node.end += by;
  }
  for (const child of Object.values(value)) move(child, by);
}

// ## Reading tree-sitter's tree

const span = (node: Node): Span => ({ start: node.startIndex, end: node.endIndex });

class Reader {
  readonly errors: Span[] = [];
  #depth = 0;
  #yields = false;

  constructor(readonly text: string) {}

  top(node: Node): { stmts: Stmt[]; errors: Span[] } {
    const stmts = this.#statement(node);
    return { stmts, errors: this.errors };
  }

  block(node: Node | null): Stmt[] {
    if (node === null) return [];
    return node.namedChildren.flatMap((child) =>
      child.type === "comment" ? [] : this.#statement(child),
    );
  }

  #statement(node: Node): Stmt[] {
    if (++this.#depth > deepest) {
      this.#depth--;
      return [{ kind: "broken", why: say`this is nested too deeply`, ...span(node) }];
    }
    try {
      return this.#read(node);
    } finally {
      this.#depth--;
    }
  }

  #text(node: Node): string {
    return this.text.slice(node.startIndex, node.endIndex);
  }

  #field(node: Node, name: string): Node | null {
    return node.childForFieldName(name);
  }

  #read(node: Node): Stmt[] {
    const at = span(node);
    const field = (name: string) => this.#field(node, name);
    switch (node.type) {
      case "expression_statement":
        return node.namedChildCount > 1
          ? [{ kind: "expression", value: this.#tuple(node.namedChildren, at), ...at }]
          : node.namedChildren.flatMap((child) => this.#simple(child));
      case "function_definition":
        return [this.#function(node, [])];
      case "class_definition":
        return [this.#class(node, [])];
      case "decorated_definition": {
        const definition = field("definition");
        if (definition === null) return [];
        const decorators = node.namedChildren
          .filter((child) => child.type === "decorator")
          .flatMap((child) => child.namedChildren.slice(0, 1).map((c) => this.expr(c)));
        return definition.type === "class_definition"
          ? [this.#class(definition, decorators)]
          : [this.#function(definition, decorators)];
      }
      case "return_statement":
        return [
          { kind: "return", value: this.#maybe(node.namedChildren.find(isNoComment)), ...at },
        ];
      case "if_statement": {
        const others = node.namedChildren.filter((c) => /^(elif|else)_clause$/.test(c.type));
        const rest = (i: number): Stmt[] => {
          const clause = others.at(i);
          if (i >= others.length || clause === undefined) return [];
          if (clause.type === "else_clause") return this.block(this.#field(clause, "body"));
          return [
            {
              kind: "if",
              test: this.#need(this.#field(clause, "condition"), clause),
              then: this.block(this.#field(clause, "consequence")),
              else: rest(i + 1),
              ...span(clause),
            },
          ];
        };
        return [
          {
            kind: "if",
            test: this.#need(field("condition"), node),
            then: this.block(field("consequence")),
            else: rest(0),
            ...at,
          },
        ];
      }
      case "for_statement": {
        const alternative = field("alternative");
        return [
          {
            kind: "for",
            target: this.#need(field("left"), node),
            iterable: this.#need(field("right"), node),
            body: this.block(field("body")),
            else: alternative === null ? [] : this.block(this.#field(alternative, "body")),
            ...at,
          },
        ];
      }
      case "while_statement":
        return [
          {
            kind: "while",
            test: this.#need(field("condition"), node),
            body: this.block(field("body")),
            ...at,
          },
        ];
      case "match_statement": {
        const subjects = node.childrenForFieldName("subject");
        const [first] = subjects;
        const last = subjects.at(-1);
        const comma = last !== undefined && /^\s*,/.test(this.text.slice(last.endIndex, at.end));
        const cases = field("body")?.namedChildren.filter((c) => c.type === "case_clause") ?? [];
        return [
          {
            kind: "match",
            subject:
              subjects.length > 1 || comma ? this.#tuple(subjects, at) : this.#need(first, node),
            cases: cases.map((clause) => this.#case(clause)),
            ...at,
          },
        ];
      }
      case "with_statement": {
        const items = node.namedChildren
          .filter((c) => c.type === "with_clause")
          .flatMap((c) => c.namedChildren.filter((i) => i.type === "with_item"))
          .map((item) => {
            const value = this.#field(item, "value") ?? item;
            if (value.type !== "as_pattern")
              return { value: this.#need(this.#field(item, "value"), item), target: null };
            const target = this.#field(value, "alias")?.namedChildren.at(0);
            return {
              value: this.#need(value.namedChildren.at(0) ?? null, value),
              target: this.#maybe(target),
            };
          });
        return [{ kind: "with", items, body: this.block(field("body")), ...at }];
      }
      case "try_statement": {
        const clauses = (type: string) => node.namedChildren.filter((c) => c.type === type);
        const blockOf = (clause: Node) =>
          this.block(clause.namedChildren.find((b) => b.type === "block") ?? null);
        return [
          {
            kind: "try",
            body: this.block(field("body")),
            handlers: clauses("except_clause").map((clause) => {
              const caught = clause.namedChildren.find((c) => isNoComment(c) && c.type !== "block");
              const named = caught?.type === "as_pattern" ? caught : null;
              const alias = named && this.#field(named, "alias");
              return {
                type: this.#maybe(named?.namedChildren.at(0) ?? caught),
                name: alias && this.#text(alias),
                body: blockOf(clause),
              };
            }),
            else: clauses("else_clause").flatMap(blockOf),
            finally: clauses("finally_clause").flatMap(blockOf),
            ...at,
          },
        ];
      }
      case "import_statement":
        return node.namedChildren.map((child) => {
          const aliased = child.type === "aliased_import";
          const name = aliased ? this.#field(child, "name") : child;
          const as = aliased ? this.#field(child, "alias") : null;
          return {
            kind: "import",
            module: name === null ? "" : this.#text(name),
            names: null,
            as: as && this.#text(as),
            ...at,
          };
        });
      case "import_from_statement": {
        const module = field("module_name");
        const names = node.namedChildren
          .filter((child) => child.id !== module?.id && isNoComment(child))
          .map((child) => {
            if (child.type === "wildcard_import") return { name: "*", as: "*" };
            const name = this.#text(this.#field(child, "name") ?? child);
            const alias = this.#field(child, "alias");
            return { name, as: alias === null ? name : this.#text(alias) };
          });
        const from = module === null ? "" : this.#text(module);
        return [{ kind: "import", module: from, names, as: null, ...at }];
      }
      case "assert_statement":
        return [
          { kind: "assert", test: this.#need(node.namedChildren.at(0) ?? null, node), ...at },
        ];
      case "raise_statement":
        return [{ kind: "raise", value: this.#maybe(node.namedChildren.find(isNoComment)), ...at }];
      case "break_statement":
        return [{ kind: "break", ...at }];
      case "continue_statement":
        return [{ kind: "continue", ...at }];
      case "pass_statement":
      case "future_import_statement":
      case "type_alias_statement":
        return [{ kind: "pass", ...at }];
      case "global_statement":
      case "nonlocal_statement": {
        const names = node.namedChildren.filter(isNoComment).map((child) => this.#text(child));
        return [{ kind: "outer", names, global: node.type === "global_statement", ...at }];
      }
      case "delete_statement":
        return [
          {
            kind: "delete",
            targets: node.namedChildren
              .filter(isNoComment)
              .flatMap((c) => (c.type === "expression_list" ? c.namedChildren : [c]))
              .map((c) => this.expr(c)),
            ...at,
          },
        ];
      case "ERROR": {
        this.errors.push(at);
        // What stands inside may still be whole: definitions before the point where it breaks.
        const whole = node.namedChildren.filter((c) => /_(definition|statement)$/.test(c.type));
        return [
          ...whole.flatMap((child) => this.#statement(child)),
          { kind: "broken", why: say`this is not finished`, ...at },
        ];
      }
      default:
        return this.#simple(node);
    }
  }

  #simple(node: Node): Stmt[] {
    const at = span(node);
    switch (node.type) {
      case "assignment": {
        const targets: Expr[] = [];
        let right: Node | null = node;
        while (right?.type === "assignment") {
          const left: Node | null = this.#field(right, "left");
          if (left !== null) targets.push(this.expr(left));
          right = this.#field(right, "right");
        }
        // `x: int` declares a name, with a value or without.
        const [first] = targets;
        const declares: Stmt[] =
          this.#field(node, "type") !== null && first.kind === "name"
            ? [{ kind: "declare", name: first.name, ...at }]
            : [];
        if (right === null) return declares;
        return [...declares, { kind: "assign", targets, value: this.expr(right), ...at }];
      }
      case "augmented_assignment": {
        const op = this.#field(node, "operator");
        return [
          {
            kind: "augment",
            target: this.#need(this.#field(node, "left"), node),
            op: op === null ? "" : this.#text(op).slice(0, -1),
            value: this.#need(this.#field(node, "right"), node),
            ...at,
          },
        ];
      }
      default:
        return [{ kind: "expression", value: this.expr(node), ...at }];
    }
  }

  // ## Patterns

  #case(node: Node): Case {
    const patterns = node.namedChildren.filter((c) => c.type === "case_pattern");
    const [first] = patterns as (Node | undefined)[];
    const guard = this.#field(node, "guard");
    const alone =
      patterns.length === 1 && !/^\s*,/.test(this.text.slice(first!.endIndex, node.endIndex));
    const pattern = alone ? this.#pattern(patterns[0]) : this.#sequence(patterns);
    return {
      pattern: first === undefined ? missing : pattern,
      guard: guard && this.#need(guard.namedChildren.find(isNoComment) ?? null, guard),
      body: this.block(this.#field(node, "consequence")),
    };
  }

  #pattern(node: Node): Pattern {
    if (++this.#depth > deepest) {
      this.#depth--;
      return { kind: "broken", why: say`this is nested too deeply` };
    }
    try {
      return this.#readPattern(node);
    } finally {
      this.#depth--;
    }
  }

  #readPattern(node: Node): Pattern {
    const inner = node.namedChildren.filter(isNoComment);
    switch (node.type) {
      case "case_pattern":
        return this.#patterns(node.children).at(0) ?? missing;
      case "dotted_name": {
        const [first, ...rest] = inner;
        if (rest.length === 0) return { kind: "capture", name: this.#text(first) };
        return { kind: "value", value: this.#dotted(node) };
      }
      case "union_pattern":
        return { kind: "either", options: this.#patterns(node.children) };
      case "list_pattern":
        return this.#sequence(inner);
      case "tuple_pattern": {
        // Parentheses without a comma only group.
        const groups = inner.length === 1 && !/,\s*\)$/.test(this.#text(node));
        const isStar = inner[0]?.namedChildren.at(0)?.type === "splat_pattern";
        return groups && !isStar ? this.#pattern(inner[0]) : this.#sequence(inner);
      }
      case "as_pattern": {
        const [pattern, name] = inner;
        return { kind: "as", pattern: this.#pattern(pattern), name: this.#text(name) };
      }
      case "dict_pattern": {
        const keys = node.childrenForFieldName("key");
        const values = node.childrenForFieldName("value");
        const rest = inner.find((c) => c.type === "splat_pattern")?.namedChildren.at(0);
        return {
          kind: "mapping",
          pairs: values.map((value, i) => [
            keys[i].type === "dotted_name" ? this.#dotted(keys[i]) : this.expr(keys[i]),
            this.#pattern(value),
          ]),
          rest: rest ? this.#text(rest) : null,
        };
      }
      case "class_pattern": {
        const [cls, ...parts] = inner;
        const read = parts.map((part) => this.#keyword(part));
        return {
          kind: "class",
          cls: this.#dotted(cls),
          positional: parts.filter((_, k) => read[k] === null).map((part) => this.#pattern(part)),
          named: read.filter((part) => part !== null),
        };
      }
      case "integer":
      case "float":
      case "string":
      case "concatenated_string":
      case "true":
      case "false":
      case "none":
        return { kind: "value", value: this.expr(node) };
      default:
        return {
          kind: "broken",
          why: say`the pattern ${this.#text(node).slice(0, 80)} is not followed`,
        };
    }
  }

  /** `name=pattern` in a class pattern; null where there is no name. */
  #keyword(part: Node): readonly [name: string, value: Pattern] | null {
    const inner = part.namedChildren.find(isNoComment);
    if (inner?.type === "as_pattern") {
      // In `P(x=1 as y)` the grammar takes `x=` for a part of what is named. It names all of it.
      const [pattern, name] = inner.namedChildren.filter(isNoComment);
      const keyword = this.#keyword(pattern);
      return keyword && [keyword[0], { kind: "as", pattern: keyword[1], name: this.#text(name) }];
    }
    if (inner?.type !== "keyword_pattern") return null;
    const [name, , ...value] = inner.children;
    return [this.#text(name), this.#patterns(value).at(0) ?? missing];
  }

  /** Patterns side by side. A minus sign and a wildcard are tokens there. */
  #patterns(nodes: readonly Node[]): Pattern[] {
    const parts = nodes.filter((c) => isNoComment(c) && c.type !== "|");
    return parts.flatMap((part, i): Pattern[] => {
      if (part.type === "-") return [];
      if (part.type === "_") return [{ kind: "capture", name: null }];
      return [i > 0 && parts[i - 1].type === "-" ? this.#negative(part) : this.#pattern(part)];
    });
  }

  #negative(node: Node): Pattern {
    const operand = this.expr(node);
    return { kind: "value", value: { kind: "unary", op: "-", operand, ...span(node) } };
  }

  #dotted(node: Node): Expr {
    const [first, ...rest] = node.namedChildren;
    return rest.reduce<Expr>(
      (object, name) => ({
        ...{ kind: "attribute", object, name: this.#text(name) },
        ...{ start: object.start, end: name.endIndex },
      }),
      this.expr(first),
    );
  }

  #sequence(nodes: readonly Node[]): Pattern {
    const star = (node: Node) =>
      node.namedChildren.find((child) => child.type === "splat_pattern") ?? null;
    const at = nodes.findIndex((node) => star(node) !== null);
    const patterns = (some: readonly Node[]) => some.map((node) => this.#pattern(node));
    if (at === -1) return { kind: "sequence", before: patterns(nodes), rest: null, after: [] };
    return {
      kind: "sequence",
      before: patterns(nodes.slice(0, at)),
      rest: this.#text(star(nodes[at])!).replace(/^\*\s*/, ""),
      after: patterns(nodes.slice(at + 1)),
    };
  }

  #function(node: Node, decorators: Expr[]): FunctionNode {
    const outer = this.#yields;
    this.#yields = false;
    const name = this.#field(node, "name");
    const result: FunctionNode = {
      kind: "function",
      name: name === null ? "" : this.#text(name),
      nameSpan: span(name ?? node),
      parameters: this.#parameters(this.#field(node, "parameters")),
      body: this.block(this.#field(node, "body")),
      decorators,
      yields: this.#yields,
      ...span(node),
    };
    this.#yields = outer;
    return result;
  }

  #class(node: Node, decorators: Expr[]): ClassNode {
    const name = this.#field(node, "name");
    const bases = this.#field(node, "superclasses")?.namedChildren ?? [];
    return {
      kind: "class",
      name: name === null ? "" : this.#text(name),
      nameSpan: span(name ?? node),
      bases: bases
        .filter((c) => c.type !== "keyword_argument" && isNoComment(c))
        .map((c) => this.expr(c)),
      body: this.block(this.#field(node, "body")),
      decorators,
      ...span(node),
    };
  }

  #parameters(node: Node | null): Parameter[] {
    return (node?.namedChildren ?? []).flatMap((child): Parameter[] => {
      const inner = (name: string) => this.#field(child, name);
      const plain = (name: Node | null, value: Node | null): Parameter[] =>
        name === null
          ? []
          : [{ name: this.#text(name), kind: "plain", default: this.#maybe(value ?? undefined) }];
      switch (child.type) {
        case "identifier":
          return plain(child, null);
        case "default_parameter":
        case "typed_default_parameter":
          return plain(inner("name"), inner("value"));
        case "typed_parameter":
          return this.#parameterOf(child.namedChildren.at(0));
        case "keyword_separator":
          return [{ name: "", kind: "rest", default: null }];
        default:
          return this.#parameterOf(child);
      }
    });
  }

  #parameterOf(node: Node | undefined): Parameter[] {
    if (node === undefined) return [];
    const name = (from: Node) => this.#text(from).replace(/^\*+/, "");
    switch (node.type) {
      case "identifier":
        return [{ name: this.#text(node), kind: "plain", default: null }];
      case "list_splat_pattern":
        return [{ name: name(node), kind: "rest", default: null }];
      case "dictionary_splat_pattern":
        return [{ name: name(node), kind: "named", default: null }];
      default:
        return [];
    }
  }

  // ## Expressions

  #maybe(node: Node | undefined): Expr | null {
    return node === undefined ? null : this.expr(node);
  }

  #need(node: Node | null, around: Node): Expr {
    return node === null
      ? { kind: "broken", why: say`this is not finished`, ...span(around) }
      : this.expr(node);
  }

  #tuple(nodes: readonly Node[], at: Span): Expr {
    const items = nodes.filter(isNoComment).map((c) => starOutside(this.expr(c)));
    return { kind: "tuple", items, ...at };
  }

  expr(node: Node): Expr {
    if (++this.#depth > deepest) {
      this.#depth--;
      return { kind: "broken", why: say`this is nested too deeply`, ...span(node) };
    }
    try {
      return this.#expr(node);
    } finally {
      this.#depth--;
    }
  }

  #expr(node: Node): Expr {
    const at = span(node);
    const field = (name: string) => this.#need(this.#field(node, name), node);
    const broken = (why: Said): Expr => ({ kind: "broken", why, ...at });
    if (node.isMissing) {
      this.errors.push(at);
      return broken(say`something is missing here`);
    }
    switch (node.type) {
      case "identifier":
        return { kind: "name", name: this.#text(node), ...at };
      case "integer": {
        const digits = this.#text(node).replaceAll("_", "").toLowerCase();
        const value = Number(digits.replace(/[lj]$/, ""));
        return Number.isSafeInteger(value) ? { kind: "int", value, ...at } : broken(say`too large`);
      }
      case "float":
        return { kind: "float", value: parseFloat(this.#text(node).replaceAll("_", "")), ...at };
      case "true":
        return { kind: "constant", value: true, ...at };
      case "false":
        return { kind: "constant", value: false, ...at };
      case "none":
        return { kind: "constant", value: null, ...at };
      case "ellipsis":
        return { kind: "name", name: "Ellipsis", ...at };
      case "string":
        return { kind: "string", parts: this.#string(node), ...at };
      case "concatenated_string":
        return { kind: "string", parts: node.namedChildren.flatMap((c) => this.#string(c)), ...at };
      case "binary_operator":
        return {
          kind: "binary",
          op: this.#operator(node),
          left: field("left"),
          right: field("right"),
          ...at,
        };
      case "boolean_operator":
        return {
          kind: "logic",
          op: this.#operator(node) === "or" ? "or" : "and",
          left: field("left"),
          right: field("right"),
          ...at,
        };
      case "unary_operator":
        return { kind: "unary", op: this.#operator(node), operand: field("argument"), ...at };
      case "not_operator":
        return { kind: "unary", op: "not", operand: field("argument"), ...at };
      case "comparison_operator": {
        const operands = node.namedChildren.filter(isNoComment);
        const rest: Comparison[] = [];
        for (const [i, right] of operands.entries())
          if (i > 0) {
            const op = this.text.slice(operands[i - 1].endIndex, right.startIndex);
            rest.push({ op: op.trim().replace(/\s+/g, " "), right: this.expr(right) });
          }
        return { kind: "compare", first: this.#need(operands.at(0) ?? null, node), rest, ...at };
      }
      case "attribute": {
        const name = this.#field(node, "attribute");
        return {
          kind: "attribute",
          object: field("object"),
          name: name === null ? "" : this.#text(name),
          ...at,
        };
      }
      case "subscript": {
        const [object, ...indices] = node.namedChildren.filter(isNoComment);
        const index =
          indices.length === 1 && !this.#text(node).trimEnd().endsWith(",]")
            ? this.expr(indices[0])
            : this.#tuple(indices, at);
        return { kind: "subscript", object: this.expr(object), index, ...at };
      }
      case "slice": {
        const parts: [Expr | null, Expr | null, Expr | null] = [null, null, null];
        let i = 0;
        for (const child of node.children)
          if (child.type === ":") i++;
          else if (i < 3 && isNoComment(child)) parts[i] = this.expr(child);
        return { kind: "slice", parts, ...at };
      }
      case "call": {
        const args = this.#field(node, "arguments");
        return {
          kind: "call",
          callee: field("function"),
          args:
            args === null
              ? []
              : args.type === "generator_expression"
                ? [{ name: null, value: this.expr(args), ...span(args) }]
                : args.namedChildren.filter(isNoComment).map((c) => this.#argument(c)),
          ...at,
        };
      }
      case "list":
      case "list_pattern":
        return {
          kind: "list",
          items: node.namedChildren.filter(isNoComment).map((c) => this.expr(c)),
          ...at,
        };
      case "set":
        return {
          kind: "set",
          items: node.namedChildren.filter(isNoComment).map((c) => this.expr(c)),
          ...at,
        };
      case "tuple":
      case "tuple_pattern":
      case "expression_list":
      case "pattern_list":
        return this.#tuple(node.namedChildren, at);
      case "dictionary":
        return {
          kind: "dict",
          pairs: node.namedChildren.filter(isNoComment).map((child) => {
            if (child.type === "pair")
              return [
                this.#need(this.#field(child, "key"), child),
                this.#need(this.#field(child, "value"), child),
              ];
            return [null, this.#need(child.namedChildren.at(0) ?? null, child)];
          }),
          ...at,
        };
      case "list_comprehension":
      case "generator_expression":
      case "set_comprehension":
      case "dictionary_comprehension": {
        const body = this.#field(node, "body");
        const pair = body?.type === "pair" ? body : null;
        const of = node.type.startsWith("d") ? "dict" : node.type.startsWith("s") ? "set" : "list";
        return {
          kind: "comprehension",
          of,
          key: pair && this.#need(this.#field(pair, "key"), pair),
          body: this.#need(pair === null ? body : this.#field(pair, "value"), node),
          clauses: this.#clauses(node),
          ...at,
        };
      }
      case "conditional_expression": {
        const [yes, test, no] = node.namedChildren.filter(isNoComment);
        return {
          kind: "choice",
          test: this.#need(test, node),
          yes: this.#need(yes, node),
          no: this.#need(no, node),
          ...at,
        };
      }
      case "lambda":
        return {
          kind: "lambda",
          parameters: this.#parameters(this.#field(node, "parameters")),
          body: field("body"),
          ...at,
        };
      case "named_expression":
        return { kind: "walrus", target: field("name"), value: field("value"), ...at };
      case "list_splat":
      case "list_splat_pattern":
        return { kind: "star", value: this.#need(node.namedChildren.at(0) ?? null, node), ...at };
      case "parenthesized_expression":
      case "parenthesized_list_splat":
        return this.#need(node.namedChildren.find(isNoComment) ?? null, node);
      case "type":
      case "await":
        return this.#need(node.namedChildren.at(0) ?? null, node);
      case "yield": {
        this.#yields = true;
        const all = this.#text(node).startsWith("yield from");
        return {
          kind: "yield",
          value: this.#maybe(node.namedChildren.find(isNoComment)),
          all,
          ...at,
        };
      }
      case "ERROR":
        this.errors.push(at);
        return broken(say`this is not finished`);
      default:
        return broken(say`${node.type.replaceAll("_", " ")} is not followed`);
    }
  }

  #operator(node: Node): string {
    const op = this.#field(node, "operator");
    return op === null ? "" : this.#text(op);
  }

  #argument(node: Node): Argument {
    const at = span(node);
    switch (node.type) {
      case "keyword_argument": {
        const name = this.#field(node, "name");
        const value = this.#need(this.#field(node, "value"), node);
        return {
          name: name === null ? "" : this.#text(name),
          value,
          start: value.start,
          end: value.end,
        };
      }
      case "list_splat":
        return { name: "*", value: this.#need(node.namedChildren.at(0) ?? null, node), ...at };
      case "dictionary_splat":
        return { name: "**", value: this.#need(node.namedChildren.at(0) ?? null, node), ...at };
      default:
        return { name: null, value: this.expr(node), ...at };
    }
  }

  #clauses(node: Node): Clause[] {
    const clauses: { target: Expr; iterable: Expr; conditions: Expr[] }[] = [];
    for (const child of node.namedChildren)
      if (child.type === "for_in_clause")
        clauses.push({
          target: this.#need(this.#field(child, "left"), child),
          iterable: this.#need(this.#field(child, "right"), child),
          conditions: [],
        });
      else if (child.type === "if_clause")
        clauses.at(-1)?.conditions.push(this.#need(child.namedChildren.at(0) ?? null, child));
    return clauses;
  }

  #string(node: Node): (string | Expr)[] {
    const start = this.text.slice(node.startIndex, node.endIndex).match(/^[a-zA-Z]*/)![0];
    const raw = /r/i.test(start);
    return node.namedChildren.flatMap((child): (string | Expr)[] => {
      if (child.type === "string_content")
        return [raw ? this.#text(child) : unescaped(this.#text(child))];
      if (child.type !== "interpolation") return [];
      const value = this.#field(child, "expression");
      if (value === null) return [];
      const format = child.namedChildren.find((c) => c.type === "format_specifier");
      const conversion = child.namedChildren.find((c) => c.type === "type_conversion");
      // `{width=}` shows itself as well.
      const shown = this.text.slice(value.endIndex, child.endIndex).trimStart().startsWith("=");
      const before = shown ? [`${this.text.slice(child.startIndex + 1, value.endIndex)}=`] : [];
      if (format?.namedChildren.some((c) => c.type === "interpolation") === true)
        return [{ kind: "broken", why: say`computed formats are not followed`, ...span(child) }];
      return [
        ...before,
        {
          kind: "formatted",
          value: this.expr(value),
          spec: format === undefined ? "" : this.#text(format).slice(1),
          quoted: (conversion !== undefined && this.#text(conversion) === "!r") || shown,
          ...span(child),
        },
      ];
    });
  }
}

const missing: Pattern = { kind: "broken", why: say`something is missing here` };

const isNoComment = (node: Node): boolean => node.type !== "comment";

const unescaped = (text: string): string =>
  text.replace(/\\(\r?\n|.)/g, (all, c: string) =>
    c === "n" ? "\n" : c === "t" ? "\t" : c.endsWith("\n") ? "" : "\\'\"".includes(c) ? c : all,
  );

/** In `b, h = *x.shape, 2` the grammar takes the star for a part of `x`. It belongs to all of it. */
function starOutside(whole: Expr): Expr {
  const without = (expr: Expr): Expr | null => {
    if (expr.kind === "star") return expr.value;
    if (expr.kind === "attribute" || expr.kind === "subscript") {
      const object = without(expr.object);
      return object && { ...expr, object };
    }
    if (expr.kind !== "call") return null;
    const callee = without(expr.callee);
    return callee && { ...expr, callee };
  };
  const value = whole.kind === "star" ? null : without(whole);
  return value ? { kind: "star", value, start: whole.start, end: whole.end } : whole;
}
