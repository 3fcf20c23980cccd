// # Pickle, without the execution
//
// A pickle is a program for a small stack machine, and Python's machine may import and call
// anything. This one has a closed list: the names that a caller gives, and nothing is ever looked
// up anywhere else. It knows protocol 2, which PyTorch writes; an opcode beyond that is refused.
//
// Python's values become: None null, numbers numbers (integers beyond 2⁵³ bigint), a list an array,
// a tuple a `Tuple`, an OrderedDict a Map, a dict an object, or a `Dict` where an object could not
// keep its keys or their order.
//
// Source: the comments of Python's pickletools describe every opcode.

import { FileFormatError } from "./source.js";

/** A Python tuple, which is an array in all else; made by `tuple`. */
export class Tuple extends Array<unknown> {}

/** A Python tuple: `tuple(1, "two")`. */
export const tuple = (...items: readonly unknown[]): Tuple => tupleOf(items);

/** The same of a list, however long. */
export function tupleOf(items: readonly unknown[]): Tuple {
  const result = new Tuple();
  for (const item of items) result.push(item);
  return result;
}

/** A Python dict of any keys, where a plain object would lose their order or type. */
export class Dict extends Map<unknown, unknown> {}

/** A value that a pickle names by its module and name. */
export class Global {
  constructor(readonly name: string) {}
}

/** What a pickle may do beside building plain data. */
export interface Names {
  /** Calls `name`, such as `torch._utils._rebuild_tensor_v2`; throws for all but a few. */
  call(name: string, args: readonly unknown[]): unknown;
  /** Whether the name may stand in a pickle at all. */
  knows(name: string): boolean;
  /** What an id that points outside of the pickle stands for. */
  persistent(id: unknown): unknown;
}

/** How deep values may be nested: far beyond what is useful, far below the end of the stack. */
export const MAX_DEPTH = 500;

/** A dict while it is being filled, or an OrderedDict, whose class is already known. */
class Filling {
  readonly entries = new Map<unknown, unknown>();
  constructor(readonly ordered: boolean) {}
}

/**
 * Runs the pickle that begins at `start`; `end` is the byte behind it. `where` names the file.
 *
 * Throws: FileFormatError for a name that `names` does not know, an opcode of a newer protocol,
 * anything that is truncated or malformed, and for values that contain themselves.
 */
export function unpickle(
  bytes: Uint8Array,
  start: number,
  names: Names,
  where: string,
): { value: unknown; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  const marks: number[] = [];
  const memo = new Map<number, unknown>();
  let at = start;
  let opcodeAt = start;

  const refuse = (why: string): never => {
    throw new FileFormatError(`${where}, byte ${opcodeAt} of the pickle: ${why}`);
  };
  const take = (length: number): number => {
    if (at + length > bytes.length) refuse("the pickle ends in the middle of a value");
    at += length;
    return at - length;
  };
  const pop = (): unknown => {
    if (stack.length <= (marks.at(-1) ?? 0)) refuse("takes from an empty stack");
    return stack.pop();
  };
  const top = (): unknown => {
    if (stack.length <= (marks.at(-1) ?? 0)) refuse("looks at an empty stack");
    return stack.at(-1);
  };
  const popToMark = (): unknown[] => {
    const mark = marks.pop();
    return mark === undefined ? refuse("there is no mark on the stack") : stack.splice(mark);
  };
  const text = (length: number, encoding: "utf-8" | "latin1"): string => {
    const from = take(length);
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes.subarray(from, at));
    } catch {
      return refuse("a string is not UTF-8");
    }
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > 255) refuse("a name has no end");
    const result = text(end - at, "utf-8");
    take(1);
    return result;
  };
  const remember = (index: number) => void memo.set(index, top());
  const recall = (index: number): void => {
    if (!memo.has(index)) refuse(`nothing was remembered under ${index}`);
    stack.push(memo.get(index));
  };
  const append = (items: readonly unknown[]): void => {
    const list = top();
    if (!Array.isArray(list) || list instanceof Tuple) return refuse("appends to what is no list");
    for (const item of items) list.push(item);
  };
  const setItems = (items: readonly unknown[]): void => {
    const dict = top();
    if (!(dict instanceof Filling)) return refuse("sets an item of what is no dict");
    if (items.length % 2 !== 0) refuse("a key has no value");
    for (let i = 0; i < items.length; i += 2) dict.entries.set(key(items[i]), items[i + 1]);
  };
  const key = (value: unknown): unknown =>
    value === null || ["string", "number", "bigint", "boolean"].includes(typeof value)
      ? value
      : refuse(`a key of a dict must be text, a number, a truth value or None`);
  const global = (name: string): Global => {
    if (name !== "collections.OrderedDict" && !names.knows(name))
      refuse(`refuses the name "${name}": it is not on the list of what a file of tensors needs`);
    return new Global(name);
  };
  const reduce = (callee: unknown, args: unknown): unknown => {
    if (!(callee instanceof Global)) return refuse("calls what is no name");
    if (!(args instanceof Tuple)) return refuse(`calls "${callee.name}" without a tuple`);
    if (callee.name !== "collections.OrderedDict") return names.call(callee.name, args);
    const made = new Filling(true);
    if (args.length > 1) refuse("OrderedDict takes one list of pairs");
    const pairs: unknown = args.length === 0 ? [] : args[0];
    if (!Array.isArray(pairs)) return refuse("OrderedDict takes one list of pairs");
    for (const pair of pairs as unknown[]) {
      if (!Array.isArray(pair) || pair.length !== 2) return refuse("OrderedDict takes pairs");
      made.entries.set(key(pair[0]), pair[1]);
    }
    return made;
  };

  for (;;) {
    opcodeAt = at;
    const code = bytes[take(1)];
    switch (code) {
      case 0x80: // PROTO
        if (bytes[take(1)] > 2)
          refuse(`protocol ${bytes[at - 1]}, readable is 2; save with torch.save's default`);
        break;
      case 0x2e: // STOP
        if (stack.length !== 1 || marks.length > 0) refuse("ends with other than one value");
        return { value: finish(stack[0], where), end: at };
      case 0x28: // MARK
        marks.push(stack.length);
        break;
      case 0x30: // POP
        pop();
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4b: // BININT1
        stack.push(bytes[take(1)]);
        break;
      case 0x4d: // BININT2
        stack.push(view.getUint16(take(2), true));
        break;
      case 0x4a: // BININT
        stack.push(view.getInt32(take(4), true));
        break;
      case 0x8a: // LONG1
        stack.push(long(bytes, take(bytes[take(1)]), at));
        break;
      case 0x47: // BINFLOAT
        stack.push(view.getFloat64(take(8)));
        break;
      case 0x58: // BINUNICODE
        stack.push(text(view.getUint32(take(4), true), "utf-8"));
        break;
      case 0x54: // BINSTRING, from Python 2
        stack.push(text(view.getUint32(take(4), true), "latin1"));
        break;
      case 0x55: // SHORT_BINSTRING
        stack.push(text(bytes[take(1)], "latin1"));
        break;
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        break;
      case 0x6c: // LIST
        stack.push(popToMark());
        break;
      case 0x61: {
        // APPEND
        const item = pop();
        append([item]);
        break;
      }
      case 0x65: // APPENDS
        append(popToMark());
        break;
      case 0x29: // EMPTY_TUPLE
        stack.push(new Tuple());
        break;
      case 0x74: // TUPLE
        stack.push(tupleOf(popToMark()));
        break;
      case 0x85: // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: code - 0x84 }, pop);
        stack.push(tupleOf(items.reverse()));
        break;
      }
      case 0x7d: // EMPTY_DICT
        stack.push(new Filling(false));
        break;
      case 0x73: {
        // SETITEM
        const value = pop();
        setItems([pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        setItems(popToMark());
        break;
      case 0x63: // GLOBAL
        stack.push(global(`${line()}.${line()}`));
        break;
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = pop();
        stack.push(reduce(pop(), args));
        break;
      }
      case 0x62: {
        // BUILD: only an OrderedDict has attributes here (a state dict's _metadata), and they go.
        const attributes = pop();
        const made = top();
        if (!(made instanceof Filling && made.ordered && attributes instanceof Filling))
          refuse("gives attributes to what is no OrderedDict");
        break;
      }
      case 0x51: // BINPERSID
        stack.push(names.persistent(pop()));
        break;
      case 0x71: // BINPUT
        remember(bytes[take(1)]);
        break;
      case 0x72: // LONG_BINPUT
        remember(view.getUint32(take(4), true));
        break;
      case 0x68: // BINGET
        recall(bytes[take(1)]);
        break;
      case 0x6a: // LONG_BINGET
        recall(view.getUint32(take(4), true));
        break;
      default:
        refuse(
          `opcode 0x${code.toString(16).padStart(2, "0")} is not part of what torch.save writes`,
        );
    }
  }
}

/** A little-endian integer in two's complement. */
function long(bytes: Uint8Array, from: number, to: number): number | bigint {
  let value = 0n;
  for (let i = to - 1; i >= from; i--) value = (value << 8n) | BigInt(bytes[i]);
  if (to > from && bytes[to - 1] & 0x80) value -= 1n << BigInt(8 * (to - from));
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/**
 * Turns dicts into what they shall be, everywhere in `root`. A value that stands in several places
 * is visited once, and stays one value.
 */
function finish(root: unknown, where: string): unknown {
  const done = new Map<object, unknown>();
  const open = new Set<object>();
  const visit = (value: unknown, depth: number): unknown => {
    if (value instanceof Global)
      throw new FileFormatError(`${where}: the name "${value.name}" stands where a value should`);
    if (!(value instanceof Filling || Array.isArray(value))) return value;
    if (done.has(value)) return done.get(value);
    if (open.has(value)) throw new FileFormatError(`${where}: a value contains itself`);
    if (depth > MAX_DEPTH)
      throw new FileFormatError(`${where}: values are nested deeper than ${MAX_DEPTH}`);
    open.add(value);
    let result: unknown = value;
    if (value instanceof Filling) {
      for (const [k, v] of value.entries) value.entries.set(k, visit(v, depth + 1));
      result = value.ordered ? value.entries : dictOf(value.entries);
    } else {
      for (let i = 0; i < value.length; i++) value[i] = visit(value[i], depth + 1);
    }
    open.delete(value);
    done.set(value, result);
    return result;
  };
  return visit(root, 0);
}

const isIndex = (key: string): boolean => /^(0|[1-9]\d{0,8})$/.test(key);

/** A plain object, if it keeps keys and order; JavaScript puts whole numbers first, ascending. */
function dictOf(entries: ReadonlyMap<unknown, unknown>): Record<string, unknown> | Dict {
  let last = -1;
  for (const key of entries.keys()) {
    const number = typeof key === "number" && isIndex(String(key)) && key > last;
    if (number) last = key;
    else if (typeof key === "string" && !isIndex(key) && key !== "__proto__") last = Infinity;
    else return new Dict(entries);
  }
  return Object.fromEntries(entries as ReadonlyMap<string, unknown>);
}

// ## Writing

/** A call that Python makes when it reads: `name(*args)`. */
export class Call {
  constructor(
    readonly name: string,
    readonly args: Tuple,
  ) {}
}

/** An id that points outside of the pickle. */
export class Persistent {
  constructor(readonly id: Tuple) {}
}

/**
 * The pickle of `value`, protocol 2. `replace` may say each object in other terms: as a `Call`, a
 * `Global`, plain data, or undefined for what it knows nothing of.
 *
 * A Map becomes an OrderedDict; a `Dict` and a plain object become a dict, whose keys that are
 * whole numbers become Python's. The same value gives the same bytes.
 * Throws: TypeError for what Python has no plain data for, naming its place; RangeError for values
 * that contain themselves.
 */
export function pickle(
  value: unknown,
  replace: (object: object, path: string) => unknown,
): Uint8Array {
  let out = new Uint8Array(1024);
  let view = new DataView(out.buffer);
  let size = 0;
  /** Makes room; `out` and `view` may be others afterwards. */
  const room = (length: number): number => {
    if (size + length > out.length) {
      const larger = new Uint8Array(Math.max(2 * out.length, size + length));
      larger.set(out);
      out = larger;
      view = new DataView(out.buffer);
    }
    size += length;
    return size - length;
  };
  const raw = (bytes: ArrayLike<number>): void => {
    const at = room(bytes.length);
    out.set(bytes, at);
  };
  const byte = (...values: number[]): void => raw(values);
  const u32 = (v: number): void => {
    const at = room(4);
    view.setUint32(at, v, true);
  };
  const memo = new Map<unknown, number>();
  const indexed = (index: number, short: number, long: number): void => {
    if (index < 256) return byte(short, index);
    byte(long);
    u32(index);
  };
  const put = (what: unknown): void => {
    indexed(memo.size, 0x71, 0x72);
    memo.set(what, memo.size);
  };
  const get = (what: unknown): boolean => {
    const index = memo.get(what);
    if (index !== undefined) indexed(index, 0x68, 0x6a);
    return index !== undefined;
  };
  const encoder = new TextEncoder();
  const globals = new Map<string, Global>();
  const open = new Set<object>();

  const string = (s: string): void => {
    if (get(s)) return;
    const encoded = encoder.encode(s);
    byte(0x58);
    u32(encoded.length);
    raw(encoded);
    put(s);
  };
  const number = (n: number): void => {
    if (!Number.isSafeInteger(n) || Object.is(n, -0)) {
      byte(0x47);
      const at = room(8);
      view.setFloat64(at, n);
    } else if (n >= 0 && n < 256) byte(0x4b, n);
    else if (n >= 0 && n < 65536) byte(0x4d, n & 255, n >> 8);
    else if (n === (n | 0)) {
      byte(0x4a);
      u32(n);
    } else integer(BigInt(n));
  };
  const integer = (n: bigint): void => {
    let length = 1;
    while (BigInt.asIntN(8 * length, n) !== n) length++;
    if (length > 255) throw new RangeError("save: an integer has more than 255 bytes");
    byte(0x8a, length);
    for (let i = 0; i < length; i++) byte(Number((n >> BigInt(8 * i)) & 255n));
  };
  const global = (name: string): void => {
    let one = globals.get(name);
    if (one === undefined) globals.set(name, (one = new Global(name)));
    if (get(one)) return;
    const dot = name.lastIndexOf(".");
    const encoded = encoder.encode(`${name.slice(0, dot)}\n${name.slice(dot + 1)}\n`);
    byte(0x63);
    raw(encoded);
    put(one);
  };
  const items = (entries: Iterable<readonly [unknown, unknown]>, path: string): void => {
    const list = [...entries];
    if (list.length === 0) return;
    byte(0x28);
    for (const [k, v] of list) {
      write(k, path);
      write(v, path === "" ? String(k) : `${path}.${String(k)}`);
    }
    byte(0x75);
  };
  const sequence = (list: readonly unknown[], path: string): void =>
    list.forEach((item, i) => write(item, path === "" ? String(i) : `${path}.${i}`));

  const write = (v: unknown, path: string): void => {
    if (v === null) return byte(0x4e);
    if (typeof v === "boolean") return byte(v ? 0x88 : 0x89);
    if (typeof v === "number") return number(v);
    if (typeof v === "bigint") return integer(v);
    if (typeof v === "string") return string(v);
    if (typeof v !== "object") throw unwritable(typeof v, path);
    if (v instanceof Global) return global(v.name);
    if (open.has(v)) throw new RangeError(`save: the value at "${path}" contains itself`);
    if (get(v)) return;
    if (open.size > MAX_DEPTH)
      throw new RangeError(`save: values are nested deeper than ${MAX_DEPTH}`);
    open.add(v);
    object(v, path);
    open.delete(v);
  };
  const object = (v: object, path: string): void => {
    if (v instanceof Persistent) {
      write(v.id, path);
      byte(0x51);
      put(v);
    } else if (v instanceof Call) {
      global(v.name);
      write(v.args, path);
      byte(0x52);
      put(v);
    } else if (v instanceof Tuple) {
      if (v.length === 0) return byte(0x29);
      if (v.length > 3) byte(0x28);
      sequence(v, path);
      byte(v.length > 3 ? 0x74 : 0x84 + v.length);
      put(v);
    } else if (Array.isArray(v)) {
      byte(0x5d);
      put(v);
      if (v.length === 0) return;
      byte(0x28);
      sequence(v, path);
      byte(0x65);
    } else if (v instanceof Dict) {
      byte(0x7d);
      put(v);
      items(v, path);
    } else if (v instanceof Map) {
      global("collections.OrderedDict");
      byte(0x29, 0x52);
      put(v);
      items(v as Map<unknown, unknown>, path);
    } else {
      const other = replace(v, path);
      if (other !== undefined) return replaced(v, other, path);
      const prototype: unknown = Object.getPrototypeOf(v);
      if (prototype !== Object.prototype && prototype !== null)
        throw unwritable(v.constructor.name, path);
      byte(0x7d);
      put(v);
      const entries = Object.entries(v as Record<string, unknown>);
      items(
        entries.map(([k, x]) => [isIndex(k) ? Number(k) : k, x] as const),
        path,
      );
    }
  };
  const replaced = (v: object, other: unknown, path: string): void => {
    write(other, path);
    const index = memo.get(other);
    if (index !== undefined) memo.set(v, index);
  };

  byte(0x80, 2);
  write(value, "");
  byte(0x2e);
  return out.slice(0, size);
}

const unwritable = (what: string, path: string): TypeError =>
  new TypeError(
    `save: cannot write ${what === "undefined" ? "undefined" : `a ${what}`} ` +
      `${path === "" ? "" : `(at "${path}") `}into a PyTorch file; use tensors, numbers, text, ` +
      `booleans, null, arrays, Tuple, Map and plain objects`,
  );
