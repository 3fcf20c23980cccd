// # Python's records, enumerations and formats
//
// What the standard library builds from a class's body, so that configurations written in these
// styles can be followed.

import type { Interpreter } from "./interpreter.js";
import {
  type Args,
  Class,
  Float,
  Fn,
  Instance,
  isModule,
  List,
  Native,
  plainArgs,
  show,
  showFloat,
  type Value,
} from "./values.js";

// ## Records

/** Turns a class with declared names into one whose constructor takes them: `@dataclass`. */
export function recorded(run: Interpreter, cls: Class): Class {
  if (!(cls.members.get("__init__") instanceof Fn)) cls.members.set("__init__", constructor(run));
  return cls;
}

/** The `__init__` of a record: the declared names in order, ancestors' first. */
export function constructor(run: Interpreter): Native {
  return new Native("__init__", ({ positional: [self, ...given], named }: Args) => {
    if (!(self instanceof Instance)) return null;
    const rest = [...given];
    for (const name of fieldsOf(self.cls)) {
      const standard = self.cls.find(name);
      const value =
        rest.length > 0
          ? rest.shift()
          : (named.get(name) ??
            (standard instanceof Native && standard.name === "field"
              ? standard.call(plainArgs([]))
              : standard));
      if (value !== undefined) run.setAttribute(self, name, value);
    }
    const after = self.cls.find("__post_init__");
    if (after instanceof Fn) run.callFunction(after, plainArgs([self]));
    return null;
  });
}

export const fieldsOf = (cls: Class): string[] => [
  ...new Set([...cls.lineage].reverse().flatMap(({ fields }) => fields)),
];

/** The members of an enumeration, each with its name and value. */
export function enumerated(cls: Class): void {
  for (const [name, value] of cls.members) {
    if (value instanceof Fn || name.startsWith("_")) continue;
    const member = new Instance(cls);
    member.attributes.set("name", name);
    member.attributes.set("value", value);
    cls.members.set(name, member);
  }
}

/** `del layers[-1]`: those after it move up, as in a list. */
export function removeModule(parent: Instance, key: Value): void {
  const children = [...parent.attributes].filter(([, child]) => isModule(child));
  const at = typeof key === "number" ? (key < 0 ? key + children.length : key) : -1;
  const name = at >= 0 ? children.at(at)?.[0] : show(key);
  if (name === undefined) return;
  parent.attributes.delete(name);
  if (!children.every(([n], i) => n === String(i))) return;
  const rest = children.filter(([n]) => n !== name);
  for (const [n] of rest) parent.attributes.delete(n);
  rest.forEach(([, child], i) => parent.attributes.set(String(i), child));
}

// ## Formats

const pattern = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/;

/** `{value:spec}`. What is not understood is left out of account. */
export function formatted(value: Value, spec: string): string {
  const match = pattern.exec(spec);
  if (match === null) return show(value);
  const [, fill, alignment, sign, , zero, width, comma, precision, type] = match as (
    string | undefined
  )[];
  const number = value instanceof Float ? value.value : typeof value === "number" ? value : null;
  let text = number === null ? show(value) : numeral(value, number, type, precision);
  if (number === null && precision !== undefined) text = text.slice(0, Number(precision));
  if (comma !== undefined) text = text.replace(/\d(?=(\d{3})+(?!\d))/g, `$&${comma}`);
  if (number !== null && number >= 0 && (sign === "+" || sign === " ")) text = sign + text;
  const missing = Math.min(Number(width ?? 0), 1000) - text.length;
  if (missing <= 0) return text;
  const pad = (fill ?? (zero === undefined ? " " : "0")).repeat(missing);
  const half = Math.floor(missing / 2);
  switch (alignment ?? (zero !== undefined ? "=" : number === null ? "<" : ">")) {
    case "<":
      return text + pad;
    case "^":
      return pad.slice(0, half) + text + pad.slice(half);
    case "=":
      return /^[-+ ]/.test(text) ? text[0] + pad + text.slice(1) : pad + text;
    default:
      return pad + text;
  }
}

function numeral(value: Value, n: number, type: string | undefined, precision?: string): string {
  const digits = Math.min(precision === undefined ? 6 : Number(precision), 50);
  switch (type) {
    case "f":
    case "F":
      return n.toFixed(digits);
    case "e":
      return n.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");
    case "%":
      return `${(n * 100).toFixed(digits)}%`;
    case "x":
      return n.toString(16);
    case "b":
      return n.toString(2);
    case "g":
      return String(Number(n.toPrecision(Math.max(1, digits))));
    default:
      return value instanceof Float && precision === undefined
        ? showFloat(n)
        : value instanceof List || precision === undefined
          ? String(n)
          : String(Number(n.toPrecision(Math.max(1, digits))));
  }
}
