// # Python values
//
// What the interpreter computes with. Integers are JavaScript's numbers, strings its strings, None is
// null; floats are boxed, because `4 / 2` prints as `2.0`. A tensor is one of the library's own, on
// the `meta` device while shapes are all that is asked for. What cannot be followed is `Unknown`,
// with the reason, and everything made of it is unknown for the same reason.

import type { Tensor } from "../tensor.js";
import type { SourceRange } from "./analysis.js";
import type { ClassNode, Expr, Parameter, Stmt } from "./ast.js";
import type { Layer } from "./layers.js";
import type { SourceFile } from "./source.js";
import { Refusal, type Said } from "../words.js";

export class Unknown {
  constructor(readonly reason: Said) {}
}

export class Float {
  constructor(readonly value: number) {}
}

export class List {
  constructor(
    readonly items: Value[],
    /** An array is numpy's: of numbers, which operators take one by one. */
    readonly kind: "list" | "tuple" | "set" | "array" = "list",
  ) {}
}

/** What numpy makes of lists within lists. */
export const arrayOf = (value: Value): Value =>
  value instanceof List ? new List(value.items.map(arrayOf), "array") : value;

export const tuple = (items: Value[]): List => new List(items, "tuple");

export class Dict {
  /** By `keyOf` the key. */
  readonly entries = new Map<string, [key: Value, value: Value]>();

  get(key: Value): Value | undefined {
    return this.entries.get(keyOf(key))?.[1];
  }

  set(key: Value, value: Value): void {
    this.entries.set(keyOf(key), [key, value]);
  }
}

/** Equal for keys that Python takes for equal. */
export function keyOf(value: Value, room = { left: mostShown }): string {
  // What holds the same list twice at every level would have no end.
  if (--room.left < 0) return "…";
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "number" || typeof value === "boolean") return `n${Number(value)}`;
  if (value instanceof Float) return `n${value.value}`;
  if (value instanceof List)
    return `t(${value.items
      .slice(0, 100)
      .map((item) => keyOf(item, room))
      .join(",")})`;
  if (value === null) return "0";
  return `o${identityOf(value)}`;
}

const identities = new WeakMap<object, number>();
let nextIdentity = 0;
function identityOf(value: object): number {
  const known = identities.get(value) ?? nextIdentity++;
  identities.set(value, known);
  return known;
}

export class Range {
  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
  ) {}

  get length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step));
  }
}

export class Slice {
  constructor(readonly parts: readonly (number | null)[]) {}
}

export type Scope = Map<string, Value>;

export class Fn {
  constructor(
    readonly name: string,
    readonly parameters: readonly Parameter[],
    readonly defaults: ReadonlyMap<string, Value>,
    readonly body: readonly Stmt[] | Expr,
    /** From the innermost scope to the file's. */
    readonly scopes: readonly Scope[],
    readonly file: SourceFile,
    readonly kind: "plain" | "static" | "class" | "property",
    readonly yields: boolean,
    /** The class in whose body it was defined, for `super()`. */
    public owner: Class | null = null,
    /** Of a property. */
    public setter: Fn | null = null,
  ) {}
}

export class Bound {
  constructor(
    readonly self: Value,
    readonly fn: Fn | Native,
  ) {}
}

export class Class {
  /** This class and its ancestors, nearest first; a common ancestor stands after all heirs. */
  readonly lineage: readonly Class[];
  /** The names that its body declares with a type, for `@dataclass` and `NamedTuple`. */
  fields: readonly string[] = [];

  constructor(
    readonly name: string,
    bases: readonly Class[],
    readonly members: Scope,
    readonly node: ClassNode | null,
    readonly file: SourceFile | null,
  ) {
    const all = [this, ...bases.flatMap((base) => base.lineage)];
    this.lineage = all.filter((c, i) => all.lastIndexOf(c) === i);
  }

  find(name: string): Value | undefined {
    for (const c of this.lineage) {
      const member = c.members.get(name);
      if (member !== undefined) return member;
    }
    return undefined;
  }
}

/** `super()` inside a method. */
export class Super {
  constructor(
    readonly self: Instance,
    readonly after: Class,
  ) {}
}

/** What a lazy layer becomes, given the size that it was not told. */
export interface Lazy {
  readonly cls: Class;
  readonly make: (inputs: readonly Value[]) => {
    readonly layer: Layer;
    readonly settings: ReadonlyMap<string, Value>;
  };
  readonly becomes: Class;
  readonly waiting: Layer;
}

export class Instance {
  readonly attributes: Scope = new Map();
  /** What PyTorch's own class in the lineage does, once its `__init__` has run. */
  layer: Layer | null = null;
  settings: ReadonlyMap<string, Value> | null = null;
  /** Where it was constructed, and with what. */
  definition: SourceRange | null = null;
  argumentRanges: ReadonlyMap<string, SourceRange> = new Map();
  /** Of a layer that learns its input's size from its first input. */
  lazy: Lazy | null = null;

  constructor(public cls: Class) {}
}

/** The arguments of a call, and where they stand. */
export interface Args {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
  readonly ranges: readonly (SourceRange | null)[];
  readonly namedRanges: ReadonlyMap<string, SourceRange>;
  readonly range: SourceRange | null;
}

export class Native {
  constructor(
    readonly name: string,
    readonly call: (args: Args) => Value,
    /** What it is made of, such as the `func` of a partial. */
    readonly members?: ReadonlyMap<string, Value>,
  ) {}
}

/** `torch`, `torch.nn`, a neighbouring file. */
export class Namespace {
  constructor(
    readonly name: string,
    readonly member: (name: string) => Value | undefined,
    /** For `from it import *`. */
    readonly all?: () => Iterable<[string, Value]>,
  ) {}
}

/** Region of the input that one output pixel depends on, and how far neighbours are apart. */
export interface Field {
  readonly size: readonly [height: number, width: number];
  readonly jump: readonly [height: number, width: number];
}

export class TensorValue {
  constructor(
    readonly tensor: Tensor,
    /** Null for the whole input, or none of it. */
    readonly field: Field | null = null,
    /** The layer that made it, as far as nothing has been done to it since. */
    readonly madeBy: Instance | null = null,
    readonly isParameter = false,
    public requiresGrad = isParameter,
    /** The numbers themselves, of short vectors that settings are made from. */
    readonly numbers: readonly number[] | null = null,
  ) {}

  get shape(): readonly number[] {
    return this.tensor.shape;
  }
}

export type Value =
  | number
  | string
  | boolean
  | null
  | Float
  | List
  | Dict
  | Range
  | Slice
  | Fn
  | Bound
  | Class
  | Super
  | Instance
  | Native
  | Namespace
  | TensorValue
  | Unknown;

/** An exception of the Python program. */
export class Raised extends Refusal {
  constructor(
    said: Said,
    /** Null: of what class cannot be said. */
    readonly value: Instance | null = null,
  ) {
    super(said);
  }
}

/** Whether it is of Python's or PyTorch's own class of that name, or of an heir. */
export const isA = (value: Value | undefined, name: string): value is Instance =>
  value instanceof Instance && value.cls.lineage.some((c) => c.name === name && c.file === null);

export const isModule = (value: Value | undefined): value is Instance => isA(value, "Module");

/** The modules right below, by name, in the order of registration; each once. */
export function childrenOf(module: Instance): [name: string, child: Instance][] {
  const seen = new Set<Instance>();
  return [...module.attributes].filter((entry): entry is [string, Instance] => {
    const [, child] = entry;
    if (!isModule(child) || seen.has(child)) return false;
    seen.add(child);
    return true;
  });
}

/** A module and all below it with their paths, each once, parents first. */
export function modulesOf(root: Instance): Map<Instance, string> {
  const result = new Map<Instance, string>();
  // No recursion: modules may be nested more deeply than our own calls can be.
  const waiting: [Instance, string][] = [[root, ""]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [module, path] = next;
    if (result.has(module)) continue;
    result.set(module, path);
    const children = [...module.attributes].flatMap(([name, child]): [Instance, string][] =>
      isModule(child) ? [[child, path === "" ? name : `${path}.${name}`]] : [],
    );
    for (const child of children.reverse()) waiting.push(child);
  }
  return result;
}

/** Values within one value that are looked at; a long string counts as several. */
const mostShown = 10000;

/** Lists within lists that are looked at: each writes down anew what is inside of it. */
const deepestShown = 100;

/** As Python's `str`. */
export function show(value: Value, quoted = false, room = { left: mostShown }, depth = 0): string {
  room.left -= typeof value === "string" ? 1 + Math.floor(value.length / 16) : 1;
  // A string itself is there already, however long.
  if ((room.left < 0 || depth > deepestShown) && depth > 0) return "…";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return quoted ? `'${value}'` : value;
  if (value instanceof Float) return showFloat(value.value);
  if (value instanceof List) {
    const items = value.items.slice(0, 1000).map((v) => show(v, true, room, depth + 1));
    if (value.kind === "list" || value.kind === "array") return `[${items.join(", ")}]`;
    if (value.kind === "set") return `{${items.join(", ")}}`;
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
  }
  if (value instanceof Dict) {
    const pairs = [...value.entries.values()].slice(0, 1000);
    const texts = pairs.map((pair) =>
      pair.map((item) => show(item, true, room, depth + 1)).join(": "),
    );
    return `{${texts.join(", ")}}`;
  }
  return "?";
}

export function showFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e16))
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** Arguments without a place. */
export const plainArgs = (positional: readonly Value[]): Args => ({
  positional,
  named: new Map(),
  ranges: positional.map(() => null),
  namedRanges: new Map(),
  range: null,
});
