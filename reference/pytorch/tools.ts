// # Tools of Python's own library
//
// functools, itertools, operator and the little of numpy that settings are computed with. Iterators
// are lists here: they are walked once.

import { binary, index, iterate } from "./arithmetic.js";
import type { Interpreter } from "./interpreter.js";
import { NotKnown } from "./layers.js";
import { bind, fresh, nested, sizesOf } from "./tensor_functions.js";
import {
  arrayOf,
  Float,
  Fn,
  List,
  Namespace,
  Native,
  plainArgs,
  show,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { say } from "../words.js";

/** An array with more numbers is no setting. */
const MOST_NUMBERS = 1000;

type Entries = [name: string, value: Value][];

interface Tools {
  readonly functools: Entries;
  readonly itertools: Entries;
  readonly operators: Entries;
  readonly numpy: ReadonlyMap<string, Value>;
}

/** The tools of one run. */
export function toolsOf(run: Interpreter): Tools {
  const items = (value: Value | undefined): readonly Value[] => {
    const list = iterate(run, value ?? null);
    if (list instanceof Unknown) throw new NotKnown(list.reason);
    run.bound(list.length);
    return list;
  };
  const call = (fn: Value, ...values: Value[]) => run.call(fn, plainArgs(values), run.site);
  const define = (name: string, body: (args: readonly Value[]) => Value): [string, Value] => [
    name,
    new Native(name, ({ positional }) => body(positional)),
  ];
  const number = (value: Value): number => {
    if (value instanceof Float) return value.value;
    if (typeof value === "number" || typeof value === "boolean") return Number(value);
    throw new NotKnown(say`${show(value)} is no number`);
  };
  const chained = new Native("chain", ({ positional }) => new List(positional.flatMap(items)));
  /** Every choice of one item of each list. */
  const combined = (lists: readonly (readonly Value[])[]): Value[][] =>
    lists.reduce<Value[][]>(
      (before, list) => {
        run.bound(before.length * list.length);
        return before.flatMap((head) => list.map((item) => [...head, item]));
      },
      [[]],
    );
  const accumulated = (list: readonly Value[]): Value[] => {
    let sum: Value = null;
    return list.map((item, i) => (sum = i === 0 ? item : binary(run, "+", sum, item)));
  };
  const floats = (list: readonly number[]) => new List(list.map((n) => new Float(n)));
  const same = new Native("same", ({ positional: [value = null] }) => value);
  // `@cache` and `@lru_cache(10)`.
  const kept = new Native("cache", ({ positional: [fn] }) => (fn instanceof Fn ? fn : same));
  /** An array of which the size is known, and the kind of its numbers. */
  const array = (name: string, signature: string, whole = false): [string, Value] => [
    name,
    new Native(name, (args) => {
      const size = bind(name, signature, args).get("size");
      const none = size === null || (size instanceof List && size.items.length === 0);
      return none ? new Unknown(say`a random number`) : fresh(sizesOf(size), whole);
    }),
  ];
  const draws = [
    ...["rand", "randn"].map((name) => array(name, "*size")),
    ...["random", "random_sample", "standard_normal"].map((name) => array(name, "size=None")),
    array("uniform", "low=0.0, high=1.0, size=None"),
    array("normal", "loc=0.0, scale=1.0, size=None"),
    ...["randint", "integers"].map((name) => array(name, "low, high=None, size=None", true)),
  ];
  const random: ReadonlyMap<string, Value> = new Map<string, Value>([
    ...draws,
    define("seed", () => null),
    ...["default_rng", "RandomState"].map((name) =>
      define(name, () => new Namespace(`numpy.random.${name}()`, (draw) => random.get(draw))),
    ),
  ]);
  return {
    functools: [
      define("reduce", ([fn, list, ...start]) => {
        const all = [...start, ...items(list)];
        return all.slice(1).reduce<Value>((before, item) => call(fn, before, item), all[0] ?? null);
      }),
      ...["lru_cache", "cache", "total_ordering"].map((n): [string, Value] => [n, kept]),
      define("wraps", () => same),
    ],
    itertools: [
      ["chain", chained],
      define("product", (lists) => new List(combined(lists.map(items)).map((row) => tuple(row)))),
      define("repeat", ([value, times]) => {
        const length = number(times ?? run.limits.elements + 1);
        run.bound(length);
        return new List(new Array<Value>(length).fill(value));
      }),
      define("count", () => new Unknown(say`an endless count is not followed`)),
      define("islice", ([list, ...bounds]) => {
        const [from, to] = bounds.length === 1 ? [0, bounds[0]] : bounds;
        return new List(items(list).slice(number(from), to === null ? undefined : number(to)));
      }),
      define("accumulate", ([list]) => new List(accumulated(items(list)))),
      define("pairwise", ([list]) => {
        const all = items(list);
        return new List(all.slice(1).map((item, i) => tuple([all[i], item])));
      }),
    ],
    operators: [
      ...(
        [
          ["add", "+"],
          ["sub", "-"],
          ["mul", "*"],
          ["truediv", "/"],
          ["floordiv", "//"],
        ] as const
      ).map(([name, op]) => define(name, ([a, b]) => binary(run, op, a, b))),
      define(
        "itemgetter",
        ([key]) => new Native("itemgetter", ({ positional: [object] }) => index(run, object, key)),
      ),
      define(
        "attrgetter",
        ([name]) =>
          new Native("attrgetter", ({ positional: [object] }) => run.attribute(object, show(name))),
      ),
    ],
    numpy: new Map<string, Value>([
      define("prod", ([list]) => items(list).reduce((a, b) => binary(run, "*", a, b), 1)),
      define("sum", ([list]) => items(list).reduce((a, b) => binary(run, "+", a, b), 0)),
      ...["array", "asarray"].map((name) => define(name, ([list]) => arrayOf(list))),
      define("arange", (given) => {
        const [a, b, c] = given.map(number);
        const [from, to, step] = given.length === 1 ? [0, a, 1] : [a, b, given.length > 2 ? c : 1];
        const length = Math.max(0, Math.ceil((to - from) / step));
        // So many numbers are an image's.
        if (length > MOST_NUMBERS) return fresh([length], [from, step].every(Number.isInteger));
        run.bound(length);
        return arrayOf(new List(Array.from({ length }, (_, i) => from + i * step)));
      }),
      define("linspace", ([a, b, count = 50]) => {
        const [from, to, length] = [number(a), number(b), number(count)];
        run.bound(length);
        const step = (to - from) / Math.max(1, length - 1);
        return arrayOf(floats(Array.from({ length }, (_, i) => from + i * step)));
      }),
      define("cumsum", ([list]) => arrayOf(new List(accumulated(items(list))))),
      define("int64", ([value]) => Math.trunc(number(value))),
      ...["float16", "float32", "float64"].map((name) =>
        define(name, ([value]) => new Float(number(value))),
      ),
      ...["int8", "int16", "int32", "uint8"].map((name) =>
        define(name, ([value]) => Math.trunc(number(value))),
      ),
      ["newaxis", null],
      ...["zeros", "ones", "empty", "full"].map((name) => array(name, "size, *rest")),
      ...["zeros_like", "ones_like", "empty_like", "full_like"].map((name) =>
        define(name, ([like]) => fresh(nested(like))),
      ),
      define("expand_dims", ([of, axis]) =>
        call(run.attribute(fresh(nested(of)), "unsqueeze"), axis),
      ),
      define("reshape", ([of, shape]) => call(run.attribute(fresh(nested(of)), "reshape"), shape)),
      ["random", new Namespace("numpy.random", (name) => random.get(name))],
    ]),
  };
}
