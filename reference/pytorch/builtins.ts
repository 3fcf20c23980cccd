// # Python's built-in functions
//
// Those that model files use.

import { binary, compare, index, iterate } from "./arithmetic.js";
import type { Interpreter } from "./interpreter.js";
import { NotKnown, truth } from "./layers.js";
import {
  type Args,
  Class,
  Dict,
  Float,
  Fn,
  Instance,
  isModule,
  List,
  Native,
  plainArgs,
  Range,
  show,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";

const made = new WeakMap<Interpreter, Map<string, Value>>();

/** The built-in names of one run. */
export function builtins(run: Interpreter): ReadonlyMap<string, Value> {
  const known = made.get(run);
  if (known !== undefined) return known;
  const result = new Map<string, Value>();
  made.set(run, result);
  const define = (name: string, body: (args: readonly Value[], all: Args) => Value) =>
    result.set(
      name,
      new Native(name, (all) => {
        const unknown = all.positional.find((value) => value instanceof Unknown);
        return unknown ?? body(all.positional, all);
      }),
    );
  const items = (value: Value | undefined): readonly Value[] => {
    const list = iterate(run, value ?? null);
    if (list instanceof Unknown) throw new NotKnown(list.reason);
    return list;
  };
  const call = (fn: Value, ...values: Value[]): Value => run.call(fn, plainArgs(values), run.site);
  const number = (value: Value): number => {
    if (value instanceof Float) return value.value;
    if (typeof value === "number" || typeof value === "boolean") return Number(value);
    if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)))
      return Number(value);
    throw new NotKnown(value instanceof Unknown ? value.reason : `${show(value)} is no number`);
  };

  define("len", ([value]) => {
    if (value instanceof Range || typeof value === "string") return value.length;
    if (value instanceof Dict) return value.entries.size;
    if (value instanceof TensorValue) return value.shape[0] ?? 0;
    if (isModule(value)) return [...value.attributes.values()].filter(isModule).length;
    return items(value).length;
  });
  define("range", (args) => {
    const [a, b, c] = [...args, 1].map(number);
    return args.length === 1 ? new Range(0, a, 1) : new Range(a, b, c === 0 ? 1 : c);
  });
  define("print", () => null);
  define("int", ([value = 0]) => Math.trunc(number(value)));
  define("float", ([value = 0]) => new Float(number(value)));
  define("bool", ([value = false]) =>
    value instanceof TensorValue ? new Unknown("it depends on a tensor's numbers") : truth(value),
  );
  define("str", ([value = ""]) => {
    const text = show(value);
    run.bound(text.length);
    return text === "?" ? new Unknown("the text is not known") : text;
  });
  define("repr", ([value]) => show(value, true));
  const all = (args: readonly Value[]) => (args.length === 0 ? [] : [...items(args[0])]);
  define("list", (args) => new List(all(args)));
  define("tuple", (args) => tuple(all(args)));
  define("set", (args) => new List(all(args), "set"));
  define("dict", ([value = null], { named }) => {
    const dict = new Dict();
    if (value instanceof Dict) for (const pair of value.entries.values()) dict.set(...pair);
    else if (value !== null)
      for (const pair of items(value)) dict.set(index(run, pair, 0), index(run, pair, 1));
    for (const [key, item] of named) dict.set(key, item);
    return dict;
  });
  define("sum", ([list, start = 0]) =>
    items(list).reduce((total, item) => binary(run, "+", total, item), start),
  );
  const best = (name: string, op: string) =>
    define(name, (args) => {
      const list = args.length === 1 ? items(args[0]) : args;
      if (list.length === 0) return new Unknown(`${name} of nothing`);
      let result = list[0];
      for (const item of list.slice(1)) {
        const better = compare(run, op, item, result);
        if (better instanceof Unknown) return better;
        if (better) result = item;
      }
      return result;
    });
  best("max", ">");
  best("min", "<");
  define("abs", ([value]) => {
    const n = Math.abs(number(value));
    return value instanceof Float ? new Float(n) : n;
  });
  define("round", ([value, digits = null]) => {
    const n = number(value);
    if (digits !== null) return new Float(Number(n.toFixed(Math.min(20, number(digits)))));
    const floor = Math.floor(n);
    // Python rounds halves to the even neighbour.
    return n - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(n);
  });
  define("divmod", ([a, b]) => tuple([binary(run, "//", a, b), binary(run, "%", a, b)]));
  define("pow", ([a, b]) => binary(run, "**", a, b));
  define("zip", (args) => {
    const lists = args.map(items);
    const length = Math.min(...lists.map((list) => list.length), run.limits.elements);
    return new List(
      Array.from({ length: lists.length === 0 ? 0 : length }, (_, i) =>
        tuple(lists.map((list) => list[i])),
      ),
    );
  });
  define("enumerate", ([list, start = 0], { named }) => {
    const first = number(named.get("start") ?? start);
    return new List(items(list).map((item, i) => tuple([first + i, item])));
  });
  define("reversed", ([list]) => new List([...items(list)].reverse()));
  define("sorted", ([list]) => {
    const all = [...items(list)];
    const numbers = all.every((v) => typeof v === "number" || v instanceof Float);
    return numbers
      ? new List(all.sort((a, b) => number(a) - number(b)))
      : new List(all.sort((a, b) => (show(a) < show(b) ? -1 : 1)));
  });
  define("map", ([fn, list]) => new List(items(list).map((item) => call(fn, item))));
  define("filter", ([fn, list]) => new List(items(list).filter((item) => truth(call(fn, item)))));
  const some = (name: string, decides: boolean) =>
    define(name, ([list]) => {
      for (const item of items(list)) {
        if (item instanceof Unknown) return item;
        if (truth(item) === decides) return decides;
      }
      return !decides;
    });
  some("any", true);
  some("all", false);
  define("isinstance", ([value, kinds]) => {
    const list = kinds instanceof List ? kinds.items : [kinds];
    const results = list.map((kind) => isOf(value, kind));
    if (results.includes(true)) return true;
    return results.includes(null) ? new Unknown("the class is not followed") : false;
  });
  define(
    "issubclass",
    ([value, kind]) =>
      value instanceof Class && kind instanceof Class && value.lineage.includes(kind),
  );
  define("hasattr", ([value, name]) => !(run.attribute(value, show(name)) instanceof Unknown));
  define("getattr", ([value, name, standard]) => {
    const found = run.attribute(value, show(name));
    return found instanceof Unknown && (standard as Value | undefined) !== undefined
      ? standard
      : found;
  });
  define("setattr", ([object, name, value]) => {
    if (object instanceof Instance) run.setAttribute(object, show(name), value);
    return null;
  });
  define("type", ([value]) => (value instanceof Instance ? value.cls : new Unknown("its type")));
  define("id", () => new Unknown("where it is kept"));
  define("iter", ([value]) => new List([...items(value)]));
  define("next", ([value]) =>
    value instanceof List ? (value.items.shift() ?? null) : new Unknown("next"),
  );
  define(
    "callable",
    ([value]) => value instanceof Fn || value instanceof Class || value instanceof Native,
  );
  result.set("object", new Class("object", [], new Map(), null, null));
  result.set("NotImplementedError", new Native("NotImplementedError", () => null));
  result.set("ValueError", new Native("ValueError", () => null));
  return result;
}

/** Null: it cannot be said. */
function isOf(value: Value, kind: Value): boolean | null {
  if (kind instanceof Class) {
    if (value instanceof Unknown) return null;
    return value instanceof Instance && value.cls.lineage.includes(kind);
  }
  if (!(kind instanceof Native)) return null;
  switch (kind.name) {
    case "int":
      return typeof value === "number" || typeof value === "boolean";
    case "float":
      return value instanceof Float;
    case "str":
      return typeof value === "string";
    case "bool":
      return typeof value === "boolean";
    case "list":
    case "tuple":
    case "set":
      return value instanceof List && value.kind === kind.name;
    case "dict":
      return value instanceof Dict;
    default:
      return value instanceof Instance ? false : null;
  }
}
