// # Operators
//
// What `+`, `//`, `in`, `[…]` and `for` do to Python's values.

import { broadcastShape } from "../broadcast.js";
import { ShapeError } from "../errors.js";
import { add, matmul, mul, narrow, reshape } from "../ops/index.js";
import type { Tensor } from "../tensor.js";
import type { Interpreter } from "./interpreter.js";
import { joined, NotKnown, shaped, truth } from "./layers.js";
import { fieldsOf, formatted as withFormat } from "./objects.js";
import {
  childrenOf,
  Class,
  Dict,
  Float,
  Fn,
  Instance,
  isA,
  isModule,
  keyOf,
  List,
  plainArgs,
  Raised,
  Range,
  show,
  Slice,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { say } from "../words.js";

const numeric = (value: Value): number | null =>
  typeof value === "number"
    ? value
    : typeof value === "boolean"
      ? Number(value)
      : value instanceof Float
        ? value.value
        : null;

export function unary(op: string, value: Value): Value {
  if (value instanceof Unknown) return value;
  const n = numeric(value);
  if (n !== null) {
    const result = op === "-" ? -n : op === "+" ? n : ~n;
    return value instanceof Float ? new Float(result) : result;
  }
  if (value instanceof TensorValue) return value;
  return new Unknown(say`${op} is not followed here`);
}

export function binary(run: Interpreter, op: string, a: Value, b: Value): Value {
  if (a instanceof Unknown) return a;
  if (b instanceof Unknown) return b;
  if (a instanceof TensorValue || b instanceof TensorValue) return tensors(run, op, a, b);
  const own = special(run, op, a, b);
  if (own !== undefined) return own;
  const [m, n] = [numeric(a), numeric(b)];
  if (m !== null && n !== null) return numbers(op, m, n, a instanceof Float || b instanceof Float);
  if (typeof a === "string" && typeof b === "string" && op === "+") {
    run.bound(a.length + b.length);
    return a + b;
  }
  if (typeof a === "string" && op === "%") return formatted(run, a, b);
  if (a instanceof Dict && b instanceof Dict && op === "|") {
    const dict = new Dict();
    for (const pair of [...a.entries.values(), ...b.entries.values()]) dict.set(...pair);
    return dict;
  }
  if (a instanceof List && b instanceof List && a.kind === "set" && "|&-^".includes(op))
    return setOperation(op, a, b);
  if (isArray(a) || isArray(b)) return elementwise(run, op, a, b);
  if (a instanceof List && b instanceof List && op === "+") {
    run.bound(a.items.length + b.items.length);
    return new List([...a.items, ...b.items], a.kind);
  }
  if (op === "*" && (typeof n === "number" || typeof m === "number")) {
    const [what, times] = typeof n === "number" ? [a, n] : [b, m ?? 0];
    const count = Math.max(0, Math.floor(times));
    if (typeof what === "string") {
      run.bound(what.length * count);
      return what.repeat(count);
    }
    if (what instanceof List) {
      run.bound(what.items.length * count);
      return new List(Array.from({ length: count }, () => what.items).flat(), what.kind);
    }
  }
  return new Unknown(say`${op} is not followed here`);
}

const isArray = (value: Value): boolean => value instanceof List && value.kind === "array";

function elementwise(run: Interpreter, op: string, a: Value, b: Value): Value {
  const [x, y] = [a, b].map((value) => (value instanceof List ? value.items : null));
  if (x && y && x.length !== y.length) return new Unknown(say`${op} is not followed here`);
  const length = (x ?? y)?.length ?? 0;
  run.bound(length);
  const at = (i: number) => binary(run, op, x ? x[i] : a, y ? y[i] : b);
  return new List(
    Array.from({ length }, (_, i) => at(i)),
    "array",
  );
}

const methods: Readonly<Record<string, string | undefined>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "truediv",
  "//": "floordiv",
  "%": "mod",
  "**": "pow",
  "@": "matmul",
  "|": "or",
  "&": "and",
};

/** What a class of the file says of its operators. */
function special(run: Interpreter, op: string, a: Value, b: Value): Value | undefined {
  const name = methods[op];
  for (const [self, other, prefix] of [
    [a, b, "__"],
    [b, a, "__r"],
  ] as const) {
    if (!(self instanceof Instance) || name === undefined) continue;
    const method = self.cls.find(`${prefix}${name}__`);
    if (method instanceof Fn) return run.callFunction(method, plainArgs([self, other]));
  }
  return undefined;
}

function setOperation(op: string, a: List, b: List): List {
  const [inA, inB] = [a, b].map(({ items }) => new Set(items.map((item) => keyOf(item))));
  const onlyB = b.items.filter((item) => !inA.has(keyOf(item)));
  const onlyA = a.items.filter((item) => !inB.has(keyOf(item)));
  const both = a.items.filter((item) => inB.has(keyOf(item)));
  const items = { "|": [...a.items, ...onlyB], "&": both, "-": onlyA }[op] ?? [...onlyA, ...onlyB];
  return new List(items, "set");
}

function numbers(op: string, m: number, n: number, isFloat: boolean): Value {
  const wrap = (value: number): Value => {
    if (isFloat) return new Float(value);
    return Number.isSafeInteger(value) ? value : new Unknown(say`the number is too large`);
  };
  if (["/", "//", "%"].includes(op) && n === 0) throw new Raised(say`a division by zero`);
  switch (op) {
    case "+":
      return wrap(m + n);
    case "-":
      return wrap(m - n);
    case "*":
      return wrap(m * n);
    case "/":
      return new Float(m / n);
    case "//":
      return wrap(Math.floor(m / n));
    case "%":
      return wrap(m - n * Math.floor(m / n));
    case "**":
      return n < 0 && !isFloat ? new Float(m ** n) : wrap(m ** n);
    case "<<":
      return wrap(m * 2 ** n);
    case ">>":
      return wrap(Math.floor(m / 2 ** n));
    case "&":
      return m & n;
    case "|":
      return m | n;
    case "^":
      return m ^ n;
    default:
      return new Unknown(say`${op} is not followed here`);
  }
}

function formatted(run: Interpreter, pattern: string, given: Value): Value {
  const values = given instanceof List && given.kind === "tuple" ? [...given.items] : [given];
  if (values.some((v) => v instanceof Unknown)) return new Unknown(say`the text is not known`);
  const text = pattern.replace(
    /%(%|\(\w+\))?([-+ 0#]*\d*(?:\.\d+)?[sdirfge])?/g,
    (all, key, spec) => {
      if (key === "%") return "%";
      if (typeof spec !== "string") return all;
      const name = typeof key === "string" ? key.slice(1, -1) : null;
      const value =
        name !== null && given instanceof Dict ? given.get(name) : (values.shift() ?? null);
      const own = spec.replace(/[sdir]$/, "");
      return own === "" || value === undefined
        ? show(value ?? null)
        : withFormat(value, own.replace("-", "<"));
    },
  );
  run.bound(text.length);
  return text;
}

/** Element by element, with broadcasting; `@` multiplies matrices. */
function tensors(run: Interpreter, op: string, a: Value, b: Value): Value {
  if (op === "@") return product(run, a, b);
  if (!(a instanceof TensorValue && b instanceof TensorValue)) {
    const x = a instanceof TensorValue ? a : (b as TensorValue);
    const other = a instanceof TensorValue ? b : a;
    if (numeric(other) === null) return new Unknown(say`${op} is not followed here`);
    run.shapeOnly(say`${op} with a number`);
    return new TensorValue(x.tensor, x.field);
  }
  const field = joined([a, b].filter((t) => !t.isParameter).map((t) => t.field));
  const own = op === "+" ? add : op === "*" ? mul : null;
  if (own !== null && a.tensor.dtype === b.tensor.dtype)
    return new TensorValue(own(a.tensor, b.tensor), field);
  return shaped(broadcastShape(a.shape, b.shape), field, run, op);
}

export function product(run: Interpreter, a: Value, b: Value): Value {
  if (!(a instanceof TensorValue && b instanceof TensorValue))
    return a instanceof Unknown
      ? a
      : b instanceof Unknown
        ? b
        : new Unknown(say`@ of what is no tensor`);
  if (a.shape.length === 2 && b.shape.length === 2)
    return new TensorValue(matmul(a.tensor, b.tensor));
  if (a.shape.length < 2 || b.shape.length < 2)
    throw new NotKnown(say`@ with a vector is not followed`);
  const [m, k, l, n] = [...a.shape.slice(-2), ...b.shape.slice(-2)];
  if (k !== l)
    throw new ShapeError(
      say`matrices of ${m}×${k} and ${l}×${n} cannot be multiplied`,
      "other",
      k,
      l,
    );
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  run.addMultiplyAdds(batch.reduce((p, d) => p * d, m * k * n));
  return shaped([...batch, m, n], null, run, "@");
}

// ## Comparison

export function compare(run: Interpreter, op: string, a: Value, b: Value): boolean | Unknown {
  if (op === "is" || op === "is not") {
    if (a instanceof Unknown) return a;
    if (b instanceof Unknown) return b;
    return same(a, b) === (op === "is");
  }
  if (op === "in" || op === "not in") {
    if (b instanceof Unknown) return b;
    if (a instanceof Unknown) return a;
    const found = contains(run, b, a);
    return found instanceof Unknown ? found : found === (op === "in");
  }
  if (a instanceof Unknown) return a;
  if (b instanceof Unknown) return b;
  if (a instanceof TensorValue || b instanceof TensorValue)
    return new Unknown(say`it depends on a tensor's numbers`);
  if (op === "==" || op === "!=") return same(a, b) === (op === "==");
  if (a instanceof List && b instanceof List) {
    // The first items that differ decide, or else the lengths.
    const at = a.items.findIndex((item, i) => i >= b.items.length || !same(item, b.items[i]));
    return at === -1 || at >= b.items.length
      ? compare(run, op, a.items.length, b.items.length)
      : compare(run, op, a.items[at], b.items[at]);
  }
  const [m, n] = typeof a === "string" && typeof b === "string" ? [a, b] : [numeric(a), numeric(b)];
  if (m === null || n === null) return new Unknown(say`${op} is not followed here`);
  return op === "<" ? m < n : op === "<=" ? m <= n : op === ">" ? m > n : m >= n;
}

function same(a: Value, b: Value, room = { left: 10000 }): boolean {
  if (--room.left < 0) return false;
  if (a instanceof List && b instanceof List)
    return (
      a === b ||
      (a.items.length === b.items.length &&
        a.items.every((item, i) => same(item, b.items[i], room)))
    );
  if (a === null || b === null) return a === b;
  return keyOf(a) === keyOf(b);
}

function contains(run: Interpreter, whole: Value, part: Value): boolean | Unknown {
  if (typeof whole === "string") return typeof part === "string" && whole.includes(part);
  if (whole instanceof Dict) return whole.get(part) !== undefined;
  if (isModule(whole)) return childrenOf(whole).some(([name]) => name === part);
  const own = whole instanceof Instance ? whole.cls.find("__contains__") : undefined;
  if (own instanceof Fn) {
    const found = run.callFunction(own, plainArgs([whole, part]));
    return found instanceof Unknown ? found : truth(found);
  }
  const items = iterate(run, whole);
  return items instanceof Unknown ? items : items.some((item) => same(item, part));
}

// ## Walking

/** The items that a `for` would see. */
export function iterate(run: Interpreter, value: Value): readonly Value[] | Unknown {
  if (value instanceof Unknown) return value;
  if (value instanceof List) return [...value.items];
  if (value instanceof Range) {
    run.bound(value.length);
    return Array.from({ length: value.length }, (_, i) => value.start + i * value.step);
  }
  if (typeof value === "string") return Array.from(value);
  if (value instanceof Dict) return [...value.entries.values()].map(([key]) => key);
  if (value instanceof Class)
    return [...value.members.values()].filter((v) => v instanceof Instance && v.cls === value);
  if (value instanceof Instance) {
    const method = value.cls.find("__iter__");
    if (method instanceof Fn) return iterate(run, run.callFunction(method, plainArgs([value])));
    if (isA(value, "NamedTuple"))
      return fieldsOf(value.cls).map((name) => value.attributes.get(name) ?? null);
  }
  if (isModule(value)) {
    const entries = childrenOf(value);
    const isDict = value.cls.lineage.some((c) => c.name === "ModuleDict");
    return isDict ? entries.map(([name]) => name) : entries.map(([, child]) => child);
  }
  if (value instanceof TensorValue) {
    if (value.numbers !== null) return value.numbers.map((n) => new Float(n));
    if (value.shape.length === 0) return new Unknown(say`a number cannot be walked`);
    run.bound(value.shape[0]);
    return Array.from({ length: value.shape[0] }, (_, i) => index(run, value, i));
  }
  return new Unknown(say`what is walked here is not known`);
}

// ## Subscripts

/** A slice's first index, the index after its last and its step, within `length`. */
export function sliced(slice: Slice, length: number): [start: number, stop: number, step: number] {
  const step = slice.parts[2] ?? 1;
  if (step === 0) throw new Raised(say`a slice with step 0`);
  const clamp = (value: number | null | undefined, standard: number) => {
    if (value === null || value === undefined) return standard;
    const at = value < 0 ? value + length : value;
    return step > 0 ? Math.min(Math.max(at, 0), length) : Math.min(Math.max(at, -1), length - 1);
  };
  return step > 0
    ? [clamp(slice.parts[0], 0), clamp(slice.parts[1], length), step]
    : [clamp(slice.parts[0], length - 1), clamp(slice.parts[1], -1), step];
}

function part<T>(items: readonly T[], slice: Slice): T[] {
  const [start, stop, step] = sliced(slice, items.length);
  const result: T[] = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) result.push(items[i]);
  return result;
}

export function index(run: Interpreter, object: Value, key: Value): Value {
  if (object instanceof Unknown) return object;
  if (key instanceof Unknown) return key;
  if (object instanceof TensorValue) {
    if (object.numbers !== null && typeof key === "number" && object.numbers.at(key) !== undefined)
      return new Float(object.numbers.at(key)!);
    return subtensor(run, object, key);
  }
  if (object instanceof Instance) {
    const method = object.cls.find("__getitem__");
    if (method instanceof Fn) return run.callFunction(method, plainArgs([object, key]));
    if (isA(object, "NamedTuple")) {
      const all = iterate(run, object);
      return index(run, all instanceof Unknown ? all : tuple([...all]), key);
    }
  }
  if (object instanceof Class) return object.members.get(show(key)) ?? new Unknown(say`a type`);
  if (object instanceof Dict) {
    const value = object.get(key);
    if (value === undefined) throw new Raised(say`there is no key ${show(key, true)}`);
    return value;
  }
  if (isModule(object)) return submodule(run, object, key);
  const items =
    object instanceof List
      ? object.items
      : typeof object === "string"
        ? Array.from(object)
        : object instanceof Range
          ? (iterate(run, object) as readonly Value[])
          : null;
  if (items === null) return new Unknown(say`what is subscripted here is not known`);
  if (key instanceof Slice) {
    const some = part(items, key);
    return typeof object === "string"
      ? some.map((c) => show(c)).join("")
      : new List(some, object instanceof List ? object.kind : "list");
  }
  const at = numeric(key);
  if (at === null || key instanceof Float) return new Unknown(say`the index is no whole number`);
  const item = items.at(at);
  if (item === undefined || at >= items.length) throw new Raised(say`there is no item ${at}`);
  return item;
}

function submodule(run: Interpreter, module: Instance, key: Value): Value {
  const children = [...module.attributes].filter(([, child]) => isModule(child));
  if (key instanceof Slice) {
    const result = new Instance(plainContainer(module.cls));
    result.definition = module.definition;
    for (const [name, child] of part(children, key)) run.setAttribute(result, name, child);
    return result;
  }
  if (typeof key === "string") {
    const named = module.attributes.get(key);
    if (named === undefined) throw new Raised(say`there is no module ${key}`);
    return named;
  }
  const at = numeric(key);
  const child = at === null ? undefined : children.at(at)?.[1];
  if (child === undefined) throw new Raised(say`there is no module ${show(key)}`);
  return child;
}

const plainContainer = (cls: Class): Class =>
  cls.lineage.find((c) => c.file === null && c.name !== "Module") ?? cls;

function subtensor(run: Interpreter, x: TensorValue, key: Value): Value {
  const keys = key instanceof List && key.kind === "tuple" ? key.items : [key];
  const taken = keys.filter((k) => k !== null && !isEllipsis(k)).length;
  if (taken > x.shape.length)
    throw new ShapeError(say`${taken} indices for ${x.shape.length} axes`, "input");
  let y: Tensor = x.tensor;
  const sizes: number[] = [];
  let axis = 0;
  let plain = true;
  for (const k of keys) {
    if (k === null) {
      sizes.push(1);
      continue;
    }
    if (isEllipsis(k)) {
      for (const end = axis + x.shape.length - taken; axis < end; axis++) sizes.push(x.shape[axis]);
      continue;
    }
    const size = x.shape[axis];
    if (k instanceof Slice) {
      const [start, stop, step] = sliced(k, size);
      const length = Math.max(0, Math.ceil((stop - start) / step));
      if (step === 1 && length > 0) y = narrow(y, { dim: axis, start, length });
      else plain = false;
      sizes.push(length);
    } else if (k instanceof TensorValue) {
      // A mask picks nobody knows how many; an index picks one item for each of its own.
      const isMask = k.tensor.dtype !== "int64" && k.shape.every((d, i) => d === x.shape[axis + i]);
      if (isMask) return new Unknown(say`what a mask picks depends on a tensor's numbers`);
      sizes.push(...k.shape);
      plain = false;
    } else if (k instanceof List && k.items.every((item) => typeof item === "number")) {
      sizes.push(k.items.length);
      plain = false;
    } else {
      const at = numeric(k);
      if (at === null || k instanceof Float) return new Unknown(say`the index is not followed`);
      if (at >= size || at < -size)
        throw new ShapeError(say`index ${at} is outside of an axis of ${size}`, "index", size, at);
      y = narrow(y, { dim: axis, start: at < 0 ? at + size : at, length: 1 });
    }
    axis++;
  }
  sizes.push(...x.shape.slice(axis));
  if (!plain) return shaped(sizes, null, run, say`an index that is no plain slice`);
  const sameAxes = sizes.length === x.shape.length;
  return new TensorValue(reshape(y, { shape: sizes }), sameAxes ? x.field : null);
}

const isEllipsis = (value: Value): boolean =>
  value instanceof List && value.kind === "tuple" && value === ellipsis;

/** Python's `...`. */
export const ellipsis = tuple([]);
