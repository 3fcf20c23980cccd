// # Patterns
//
// What `case` compares with. A pattern fits, does not, or nobody knows: then the reason is given, and what
// it would bind is as unknown.

import { compare, iterate } from "./arithmetic.js";
import type { Expr, Pattern } from "./ast.js";
import { builtins } from "./builtins.js";
import type { Interpreter } from "./interpreter.js";
import { fieldsOf } from "./objects.js";
import {
  Class,
  Dict,
  Instance,
  isA,
  keyOf,
  List,
  Native,
  plainArgs,
  Range,
  show,
  Unknown,
  type Value,
} from "./values.js";
import { say } from "../words.js";

/** Whether a pattern fits, and what it binds. */
export class Match {
  readonly bound = new Map<string, Value>();
  readonly #run: Interpreter;
  readonly #evaluate: (expression: Expr) => Value;

  constructor(run: Interpreter, evaluate: (expression: Expr) => Value) {
    this.#run = run;
    this.#evaluate = evaluate;
  }

  fits(pattern: Pattern, value: Value): boolean | Unknown {
    this.#run.step();
    switch (pattern.kind) {
      case "capture":
        if (pattern.name !== null) this.bound.set(pattern.name, value);
        return true;
      case "as": {
        const fits = this.fits(pattern.pattern, value);
        if (fits !== false) this.bound.set(pattern.name, value);
        return fits;
      }
      case "value": {
        const expected = this.#evaluate(pattern.value);
        // None, True and False are compared by what they are: 1 is not True.
        if (pattern.value.kind !== "constant") return compare(this.#run, "==", value, expected);
        return value instanceof Unknown ? value : value === expected;
      }
      case "either": {
        let open: Unknown | null = null;
        for (const option of pattern.options) {
          const fits = this.fits(option, value);
          if (fits === true) return open ?? true;
          if (fits !== false) open ??= fits;
        }
        return open ?? false;
      }
      case "sequence":
        return this.#sequence(pattern, value);
      case "mapping":
        return this.#mapping(pattern, value);
      case "class":
        return this.#class(pattern, value);
      case "broken":
        return this.#unknown(pattern, new Unknown(pattern.why));
    }
  }

  /** All that a pattern binds is unknown. */
  #unknown(pattern: Pattern, why: Unknown): Unknown {
    for (const name of namesIn(pattern)) this.bound.set(name, why);
    return why;
  }

  #all(pairs: readonly (readonly [Pattern, Value])[]): boolean | Unknown {
    let open: Unknown | null = null;
    for (const [pattern, value] of pairs) {
      const fits = this.fits(pattern, value);
      if (fits === false) return false;
      if (fits !== true) open ??= fits;
    }
    return open ?? true;
  }

  #sequence(pattern: Extract<Pattern, { kind: "sequence" }>, value: Value): boolean | Unknown {
    if (value instanceof Unknown) return this.#unknown(pattern, value);
    const isSequence =
      (value instanceof List && (value.kind === "list" || value.kind === "tuple")) ||
      value instanceof Range ||
      isA(value, "NamedTuple");
    if (!isSequence) return false;
    const items = iterate(this.#run, value);
    if (items instanceof Unknown) return this.#unknown(pattern, items);
    const { before, rest, after } = pattern;
    const least = before.length + after.length;
    if (rest === null ? items.length !== least : items.length < least) return false;
    const end = items.length - after.length;
    if (rest !== null && rest !== "_")
      this.bound.set(rest, new List(items.slice(before.length, end)));
    return this.#all([
      ...before.map((inner, i) => [inner, items[i]] as const),
      ...after.map((inner, i) => [inner, items[end + i]] as const),
    ]);
  }

  #mapping(pattern: Extract<Pattern, { kind: "mapping" }>, value: Value): boolean | Unknown {
    if (value instanceof Unknown) return this.#unknown(pattern, value);
    if (!(value instanceof Dict)) return false;
    const keys = pattern.pairs.map(([key]) => this.#evaluate(key));
    const open = keys.find((key) => key instanceof Unknown);
    if (open !== undefined) return this.#unknown(pattern, open);
    const found = keys.map((key) => value.get(key));
    if (found.includes(undefined)) return false;
    if (pattern.rest !== null) {
      const others = new Dict();
      const taken = new Set(keys.map((key) => keyOf(key)));
      for (const [id, pair] of value.entries) if (!taken.has(id)) others.set(...pair);
      this.bound.set(pattern.rest, others);
    }
    return this.#all(pattern.pairs.map(([, inner], i) => [inner, found[i]!] as const));
  }

  #class(pattern: Extract<Pattern, { kind: "class" }>, value: Value): boolean | Unknown {
    const cls = this.#evaluate(pattern.cls);
    const isInstance = builtins(this.#run).get("isinstance") as Native;
    const fits = isInstance.call(plainArgs([value, cls]));
    if (fits instanceof Unknown) return this.#unknown(pattern, fits);
    if (fits !== true) return false;
    const { positional, named } = pattern;
    // `int(n)` binds the number itself; a class of the user's says which attributes come in which order.
    const itself = cls instanceof Native && positional.length === 1 && named.length === 0;
    if (itself) return this.fits(positional[0], value);
    const names = cls instanceof Class ? orderIn(cls) : [];
    if (names.length < positional.length)
      return this.#unknown(pattern, new Unknown(say`the order of its attributes is not known`));
    const pairs = [...positional.map((inner, i) => [names[i], inner] as const), ...named].map(
      ([name, inner]) => [inner, this.#attribute(value, name)] as const,
    );
    if (pairs.some(([, found]) => found === undefined)) return false;
    return this.#all(pairs.map(([inner, found]) => [inner, found!] as const));
  }

  /** Undefined where it is known that there is none. */
  #attribute(value: Value, name: string): Value | undefined {
    const found = this.#run.attribute(value, name);
    const own = value instanceof Instance && value.cls.lineage.every((c) => c.file !== null);
    return found instanceof Unknown && own && !value.attributes.has(name) ? undefined : found;
  }
}

const orderIn = (cls: Class): string[] => {
  const told = cls.find("__match_args__");
  return told instanceof List ? told.items.map((name) => show(name)) : fieldsOf(cls);
};

/** The names that a pattern binds. */
export function namesIn(pattern: Pattern): string[] {
  const of = (name: string | null) => (name === null || name === "_" ? [] : [name]);
  switch (pattern.kind) {
    case "capture":
      return of(pattern.name);
    case "as":
      return [pattern.name, ...namesIn(pattern.pattern)];
    case "either":
      return pattern.options.flatMap(namesIn);
    case "sequence":
      return [...of(pattern.rest), ...[...pattern.before, ...pattern.after].flatMap(namesIn)];
    case "mapping":
      return [...of(pattern.rest), ...pattern.pairs.flatMap(([, inner]) => namesIn(inner))];
    case "class":
      return [...pattern.positional, ...pattern.named.map(([, inner]) => inner)].flatMap(namesIn);
    default:
      return [];
  }
}
