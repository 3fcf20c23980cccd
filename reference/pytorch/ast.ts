// # Python, as far as model files need it
//
// A small syntax tree of our own, so that the parser can change. Every node knows where it stands in
// the Python text; what the parser could not make sense of is a node as well, `broken`, so that the
// rest of a half-written file keeps its meaning.

import type { Said } from "../words.js";

/** Half-open, in UTF-16 code units of the Python text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type Expr = Span &
  (
    | { readonly kind: "name"; readonly name: string }
    | { readonly kind: "int" | "float"; readonly value: number }
    | { readonly kind: "string"; readonly parts: readonly (string | Expr)[] }
    | { readonly kind: "constant"; readonly value: boolean | null }
    | { readonly kind: "binary"; readonly op: string; readonly left: Expr; readonly right: Expr }
    | { readonly kind: "unary"; readonly op: string; readonly operand: Expr }
    | {
        readonly kind: "logic";
        readonly op: "and" | "or";
        readonly left: Expr;
        readonly right: Expr;
      }
    | { readonly kind: "compare"; readonly first: Expr; readonly rest: readonly Comparison[] }
    | { readonly kind: "attribute"; readonly object: Expr; readonly name: string }
    | { readonly kind: "subscript"; readonly object: Expr; readonly index: Expr }
    | {
        readonly kind: "slice";
        readonly parts: readonly [Expr | null, Expr | null, Expr | null];
      }
    | { readonly kind: "call"; readonly callee: Expr; readonly args: readonly Argument[] }
    | { readonly kind: "list" | "tuple" | "set"; readonly items: readonly Expr[] }
    | { readonly kind: "dict"; readonly pairs: readonly [key: Expr | null, value: Expr][] }
    | {
        readonly kind: "comprehension";
        readonly of: "list" | "set" | "dict";
        readonly key: Expr | null;
        readonly body: Expr;
        readonly clauses: readonly Clause[];
      }
    | { readonly kind: "choice"; readonly test: Expr; readonly yes: Expr; readonly no: Expr }
    | { readonly kind: "lambda"; readonly parameters: readonly Parameter[]; readonly body: Expr }
    | { readonly kind: "walrus"; readonly target: Expr; readonly value: Expr }
    | { readonly kind: "star"; readonly value: Expr }
    /** `{value:spec}` of an f-string. */
    | {
        readonly kind: "formatted";
        readonly value: Expr;
        readonly spec: string;
        /** `{value!r}`. */
        readonly quoted: boolean;
      }
    /** `yield value`; `all` for `yield from value`. */
    | { readonly kind: "yield"; readonly value: Expr | null; readonly all: boolean }
    | { readonly kind: "broken"; readonly why: Said }
  );

export interface Comparison {
  readonly op: string;
  readonly right: Expr;
}

export interface Clause {
  readonly target: Expr;
  readonly iterable: Expr;
  readonly conditions: readonly Expr[];
}

/** What `case` compares with. */
export type Pattern =
  /** A literal, or a name with dots. */
  | { readonly kind: "value"; readonly value: Expr }
  /** Binds a name, or for `_` none. */
  | { readonly kind: "capture"; readonly name: string | null }
  | { readonly kind: "as"; readonly pattern: Pattern; readonly name: string }
  | { readonly kind: "either"; readonly options: readonly Pattern[] }
  | {
      readonly kind: "sequence";
      readonly before: readonly Pattern[];
      /** What `*name` binds; null where there is no star. */
      readonly rest: string | null;
      readonly after: readonly Pattern[];
    }
  | {
      readonly kind: "mapping";
      readonly pairs: readonly (readonly [key: Expr, value: Pattern])[];
      /** What `**name` binds. */
      readonly rest: string | null;
    }
  | {
      readonly kind: "class";
      readonly cls: Expr;
      readonly positional: readonly Pattern[];
      readonly named: readonly (readonly [name: string, value: Pattern])[];
    }
  | { readonly kind: "broken"; readonly why: Said };

/** `case pattern if guard:`. */
export interface Case {
  readonly pattern: Pattern;
  readonly guard: Expr | null;
  readonly body: readonly Stmt[];
}

export interface Argument extends Span {
  /** `name=`, `*`, `**`, or nothing. */
  readonly name: string | null;
  readonly value: Expr;
}

export interface Parameter {
  /** `""` for a bare `*`: what follows must be named. */
  readonly name: string;
  readonly kind: "plain" | "rest" | "named";
  readonly default: Expr | null;
}

export interface FunctionNode extends Span {
  readonly kind: "function";
  readonly name: string;
  readonly nameSpan: Span;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Stmt[];
  readonly decorators: readonly Expr[];
  /** Whether it yields: calling it gives a generator. */
  readonly yields: boolean;
}

/** `except type as name:`; null catches everything. */
interface Handler {
  readonly type: Expr | null;
  readonly name: string | null;
  readonly body: readonly Stmt[];
}

export interface ClassNode extends Span {
  readonly kind: "class";
  readonly name: string;
  readonly nameSpan: Span;
  readonly bases: readonly Expr[];
  readonly body: readonly Stmt[];
  readonly decorators: readonly Expr[];
}

export type Stmt =
  | FunctionNode
  | ClassNode
  | (Span &
      (
        | { readonly kind: "expression"; readonly value: Expr }
        | { readonly kind: "assign"; readonly targets: readonly Expr[]; readonly value: Expr }
        | {
            readonly kind: "augment";
            readonly target: Expr;
            readonly op: string;
            readonly value: Expr;
          }
        | { readonly kind: "return"; readonly value: Expr | null }
        | {
            readonly kind: "if";
            readonly test: Expr;
            readonly then: readonly Stmt[];
            readonly else: readonly Stmt[];
          }
        | {
            readonly kind: "for";
            readonly target: Expr;
            readonly iterable: Expr;
            readonly body: readonly Stmt[];
            readonly else: readonly Stmt[];
          }
        | { readonly kind: "while"; readonly test: Expr; readonly body: readonly Stmt[] }
        | { readonly kind: "match"; readonly subject: Expr; readonly cases: readonly Case[] }
        | {
            readonly kind: "with";
            readonly items: readonly { readonly value: Expr; readonly target: Expr | null }[];
            readonly body: readonly Stmt[];
          }
        | {
            readonly kind: "try";
            readonly body: readonly Stmt[];
            readonly handlers: readonly Handler[];
            readonly else: readonly Stmt[];
            readonly finally: readonly Stmt[];
          }
        | {
            readonly kind: "import";
            /** `a.b` of `import a.b` and `from a.b import c`. */
            readonly module: string;
            /** Null for `import a.b`; `*` is a name. */
            readonly names: readonly { readonly name: string; readonly as: string }[] | null;
            /** The name that `import a.b as c` binds; null: `a`. */
            readonly as: string | null;
          }
        | { readonly kind: "assert"; readonly test: Expr }
        | { readonly kind: "raise"; readonly value: Expr | null }
        /** `name: type`, which binds nothing. */
        | { readonly kind: "declare"; readonly name: string }
        /** `global` or `nonlocal`. */
        | { readonly kind: "outer"; readonly names: readonly string[]; readonly global: boolean }
        | { readonly kind: "delete"; readonly targets: readonly Expr[] }
        | { readonly kind: "pass" | "break" | "continue" }
        | { readonly kind: "broken"; readonly why: Said }
      ));
