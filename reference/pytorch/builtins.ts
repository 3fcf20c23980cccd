// # Python's built-in functions
//
// Those that model files use.

import { binary, compare, ellipsis, index, iterate } from "./arithmetic.js";
import type { Interpreter } from "./interpreter.js";
import { NotKnown, truth } from "./layers.js";
import { formatted } from "./objects.js";
import {
  type Args,
  Bound,
  Class,
  Dict,
  Float,
  Fn,
  Instance,
  isModule,
  keyOf,
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
import { say } from "../words.js";

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
    throw new NotKnown(value instanceof Unknown ? value.reason : say`${show(value)} is no number`);
  };

  define("len", ([value]) => {
    if (value instanceof Range || typeof value === "string") return value.length;
    if (value instanceof Dict) return value.entries.size;
    if (value instanceof TensorValue) return value.shape[0] ?? 0;
    const own = value instanceof Instance ? value.cls.find("__len__") : undefined;
    if (own instanceof Fn) return run.callFunction(own, plainArgs([value]));
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
    value instanceof TensorValue
      ? new Unknown(say`it depends on a tensor's numbers`)
      : truth(value),
  );
  define("str", ([value = ""]) => {
    const text = run.text(value);
    run.bound(text.length);
    return text === "?" ? new Unknown(say`the text is not known`) : text;
  });
  define("repr", ([value]) => show(value, true));
  const all = (args: readonly Value[]) => (args.length === 0 ? [] : [...items(args[0])]);
  define("list", (args) => new List(all(args)));
  define("tuple", (args) => tuple(all(args)));
  const unique = (args: readonly Value[]) =>
    new List([...new Map(all(args).map((v) => [keyOf(v), v])).values()], "set");
  define("set", unique);
  define("frozenset", unique);
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
  const keyed =
    (key: Value = null) =>
    (item: Value): Value =>
      key === null ? item : call(key, item);
  const best = (name: string, op: string) =>
    define(name, (args, { named }) => {
      const list = args.length === 1 ? items(args[0]) : args;
      if (list.length === 0) return named.get("default") ?? new Unknown(say`${name} of nothing`);
      const by = keyed(named.get("key"));
      let result = list[0];
      for (const item of list.slice(1)) {
        const better = compare(run, op, by(item), by(result));
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
  define("sorted", ([list], { named }) => {
    const by = keyed(named.get("key"));
    const all = items(list);
    run.step(all.length);
    const sorted = all
      .map((item) => [by(item), item] as const)
      .sort(([a], [b]) => (compare(run, "<", a, b) === true ? -1 : same(a, b) ? 0 : 1))
      .map(([, item]) => item);
    return new List(named.get("reverse") === true ? sorted.reverse() : sorted);
  });
  define("map", ([fn, ...lists]) => {
    const all = lists.map(items);
    const length = Math.min(...all.map((list) => list.length));
    return new List(Array.from({ length }, (_, i) => call(fn, ...all.map((list) => list[i]))));
  });
  define(
    "filter",
    ([fn, list]) =>
      new List(items(list).filter((item) => run.truth(fn === null ? item : call(fn, item)))),
  );
  define("chr", ([n]) => String.fromCharCode(number(n)));
  define("ord", ([c]) => show(c).charCodeAt(0));
  define("format", ([value, spec = ""]) => formatted(value, show(spec)));
  const some = (name: string, decides: boolean) =>
    define(name, ([list]) => {
      for (const item of items(list)) {
        if (item instanceof Unknown) return item;
        if (item instanceof TensorValue) return new Unknown(say`it depends on a tensor's numbers`);
        if (run.truth(item) === decides) return decides;
      }
      return !decides;
    });
  some("any", true);
  some("all", false);
  define("isinstance", ([value, kinds]) => {
    const list = kinds instanceof List ? kinds.items : [kinds];
    const results = list.map((kind) => isOf(value, kind));
    if (results.includes(true)) return true;
    return results.includes(null) ? new Unknown(say`the class is not followed`) : false;
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
    else if (object instanceof Class) object.members.set(show(name), value);
    return null;
  });
  define("type", ([value]) => {
    if (value instanceof Instance) return value.cls;
    const name = typeNames.find((type) => isOf(value, new Native(type, () => null)) === true);
    return (name === undefined ? undefined : result.get(name)) ?? new Unknown(say`its type`);
  });
  define("vars", ([object]) => run.attribute(object, "__dict__"));
  define("id", () => new Unknown(say`where it is kept`));
  define("iter", ([value]) => new List([...items(value)]));
  define("next", ([value]) =>
    value instanceof List ? (value.items.shift() ?? null) : new Unknown(say`next`),
  );
  define(
    "callable",
    ([value]) =>
      value instanceof Fn ||
      value instanceof Bound ||
      value instanceof Class ||
      value instanceof Native ||
      (value instanceof Instance &&
        (value.cls.find("__call__") ?? value.cls.find("forward")) !== undefined),
  );
  result.set("object", new Class("object", [], new Map(), null, null));
  const init = new Native("__init__", ({ positional: [self, ...given] }) => {
    if (self instanceof Instance) self.attributes.set("args", tuple(given));
    return null;
  });
  result.set("Ellipsis", ellipsis);
  for (const [name, base] of exceptions) {
    const parent = result.get(base);
    const bases = parent instanceof Class ? [parent] : [];
    result.set(name, new Class(name, bases, new Map([["__init__", init]]), null, null));
  }
  return result;
}

/** Python's exceptions, each after what it derives from. */
const exceptions: readonly [name: string, base: string][] = [
  ["BaseException", ""],
  ["Exception", "BaseException"],
  ["KeyboardInterrupt", "BaseException"],
  ["ArithmeticError", "Exception"],
  ["ZeroDivisionError", "ArithmeticError"],
  ["AssertionError", "Exception"],
  ["AttributeError", "Exception"],
  ["ImportError", "Exception"],
  ["ModuleNotFoundError", "ImportError"],
  ["LookupError", "Exception"],
  ["IndexError", "LookupError"],
  ["KeyError", "LookupError"],
  ["NameError", "Exception"],
  ["OSError", "Exception"],
  ["FileNotFoundError", "OSError"],
  ["RuntimeError", "Exception"],
  ["NotImplementedError", "RuntimeError"],
  ["StopIteration", "Exception"],
  ["TypeError", "Exception"],
  ["ValueError", "Exception"],
  ["Warning", "Exception"],
  ["UserWarning", "Warning"],
  ["DeprecationWarning", "Warning"],
];

const typeNames = ["bool", "int", "float", "str", "list", "tuple", "set", "dict"];

const same = (a: Value, b: Value): boolean => keyOf(a) === keyOf(b);

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
    case "partial":
      return value instanceof Unknown
        ? null
        : value instanceof Native && value.members !== undefined;
    case "dict":
    case "OrderedDict":
    case "Mapping":
      return value instanceof Dict;
    case "Tensor":
    case "FloatTensor":
      return value instanceof Unknown ? null : value instanceof TensorValue;
    case "Parameter":
      return value instanceof TensorValue && value.isParameter;
    case "Iterable":
    case "Sequence":
    case "Sized":
      if (value instanceof Unknown) return null;
      return (
        value instanceof List ||
        typeof value === "string" ||
        (kind.name !== "Sequence" && value instanceof Dict)
      );
    case "Number":
    case "Integral":
    case "Real":
      return typeof value === "number" || (kind.name !== "Integral" && value instanceof Float);
    case "Callable":
      return value instanceof Unknown
        ? null
        : [Fn, Bound, Native, Class].some((type) => value instanceof type) || isModule(value);
    default:
      return value instanceof Instance ? false : null;
  }
}
