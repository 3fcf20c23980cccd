// # The packages that model files import
//
// `torch`, `torch.nn` and what of Python's own library stands beside them. A name that is not here is
// unknown where it is used.

import { zeros } from "../create.js";
import { ShapeError } from "../errors.js";
import * as init from "../nn/init.js";
import { Parameter } from "../nn/module.js";
import { iterate } from "./arithmetic.js";
import type { Interpreter } from "./interpreter.js";
import {
  type Entry,
  layers as ordinary,
  NotKnown,
  ownParameters,
  Settings,
  unknownLayer,
} from "./layers.js";
import { builtins } from "./builtins.js";
import { constructor, recorded } from "./objects.js";
import { lazyLayers, moreLayers } from "./layers_beyond.js";
import { bind, parsed, tensorFunction } from "./tensor_functions.js";
import { toolsOf } from "./tools.js";
import type { SourceRange } from "./analysis.js";
import {
  type Args,
  childrenOf,
  Class,
  Dict,
  Float,
  Instance,
  isModule,
  List,
  modulesOf,
  Namespace,
  Native,
  plainArgs,
  type Scope,
  show,
  TensorValue,
  tuple,
  Unknown,
  type Value,
} from "./values.js";
import { type Said, saidBy, say } from "../words.js";

const layers: ReadonlyMap<string, Entry> = new Map([...ordinary, ...moreLayers]);

interface Torch {
  readonly modules: ReadonlyMap<string, Namespace>;
  readonly module: Class;
}

const made = new WeakMap<Interpreter, Torch>();

/** The packages of one run, by their full names. */
export const modules = (run: Interpreter): ReadonlyMap<string, Namespace> => torchOf(run).modules;

/** `torch.nn.Module`. */
export const moduleClass = (run: Interpreter): Class => torchOf(run).module;

function torchOf(run: Interpreter): Torch {
  const known = made.get(run);
  if (known !== undefined) return known;
  const result = build(run);
  made.set(run, result);
  return result;
}

function build(run: Interpreter): Torch {
  const module = new Class("Module", [], moduleMembers(run), null, null);
  const classes = new Map<string, Class>([["Module", module]]);
  for (const [name, members] of containers(run))
    classes.set(name, new Class(name, [module], members, null, null));
  for (const name of layers.keys())
    classes.set(name, new Class(name, [module], layerMembers(run, name), null, null));

  for (const [name, becomes, argument] of lazyLayers) {
    const cls = classes.get(becomes)!;
    const members = lazyMembers(run, name, cls, argument);
    classes.set(name, new Class(name, [cls], members, null, null));
  }

  const functional = new Namespace("torch.nn.functional", (name) => tensorFunction(run, name));
  const initial = new Namespace("torch.nn.init", initialiser);
  const parameter = new Native("Parameter", ({ positional: [value = null], named }) => {
    if (!(value instanceof TensorValue)) return new Unknown(say`a parameter that is no tensor`);
    const learned = named.get("requires_grad") !== false;
    return new TensorValue(new Parameter(zeros(value.shape)), null, null, true, learned);
  });
  const nn = new Namespace(
    "torch.nn",
    (name) =>
      name === "functional"
        ? functional
        : name === "init"
          ? initial
          : name === "utils"
            ? new Namespace("torch.nn.utils", (inner) =>
                inner === "weight_norm" ? normed : passing(inner),
              )
            : name === "Parameter"
              ? parameter
              : (classes.get(name) ??
                (name.startsWith("Transformer")
                  ? run.libraryMembers("torch.nn").get(name)
                  : undefined)),
    () => classes,
  );
  const no = (reason: Said) => new Unknown(reason);
  const tuples = (axes: number) =>
    new Native("tuple", ({ positional: [value = null] }) =>
      value instanceof List ? tuple([...value.items]) : tuple(new Array<Value>(axes).fill(value)),
    );
  // Reparametrised layers keep their shapes; weight_norm learns the lengths apart.
  const normed = new Native("weight_norm", ({ positional: [layer = null] }) => {
    const weight = isModule(layer) ? layer.layer?.parameters.get("weight") : undefined;
    if (isModule(layer) && weight !== undefined) {
      const lengths = zeros(
        weight.map((d, i) => (i === 0 ? d : 1)),
        { device: "meta" },
      );
      layer.attributes.set("weight_g", new TensorValue(lengths, null, null, true));
    }
    return layer;
  });
  const torch = new Namespace("torch", (name) => {
    switch (name) {
      case "nn":
        return nn;
      case "Tensor":
      case "FloatTensor":
        return new Native(name, ({ positional }) => {
          const isList = positional.at(0) instanceof List;
          return tensorFunction(run, isList ? "tensor" : "zeros")!.call(plainArgs(positional));
        });
      case "float":
      case "long":
      case "int":
        // Types here, not functions.
        return undefined;
      case "jit":
      case "fx":
      case "hub":
      case "onnx":
      case "compiler":
      case "overrides":
        return new Namespace(`torch.${name}`, (inner) =>
          /^(is_|has_)/.test(inner) ? new Native(inner, () => false) : passing(inner),
        );
      case "autograd":
        return new Namespace("torch.autograd", (inner) =>
          inner === "Variable" ? passing(inner) : undefined,
        );
      case "linalg":
        return new Namespace("torch.linalg", (inner) => tensorFunction(run, inner));
      case "Size":
        return new Native("Size", ({ positional: [value = null] }) => value);
      case "no_grad":
      case "manual_seed":
      case "set_grad_enabled":
      case "inference_mode":
      case "enable_grad":
      case "device":
        return new Native(name, () => null);
      case "cuda":
        return new Namespace("torch.cuda", (inner) =>
          inner === "is_available" ? new Native(inner, () => false) : undefined,
        );
      default:
        return tensorFunction(run, name);
    }
  });
  const numbers = (name: string, body: (...values: number[]) => number, whole = false) =>
    new Native(name, ({ positional }) => {
      const settings = new Settings(name, new Map(positional.map((v, i) => [String(i), v])));
      const result = body(...positional.map((_, i) => settings.float(String(i))));
      return whole ? result : new Float(result);
    });
  const math = new Map<string, Value>([
    ["sqrt", numbers("sqrt", Math.sqrt)],
    ["log", numbers("log", (x, base = Math.E) => Math.log(x) / Math.log(base))],
    ["log2", numbers("log2", Math.log2)],
    ["exp", numbers("exp", Math.exp)],
    ["pow", numbers("pow", Math.pow)],
    ["floor", numbers("floor", Math.floor, true)],
    ["ceil", numbers("ceil", Math.ceil, true)],
    ["gcd", numbers("gcd", (a, b) => divisor(a, b), true)],
    ["log10", numbers("log10", Math.log10)],
    ["isclose", new Native("isclose", () => new Unknown(say`isclose is not followed`))],
    ["trunc", numbers("trunc", Math.trunc, true)],
    ["fabs", numbers("fabs", Math.abs)],
    ["cos", numbers("cos", Math.cos)],
    ["sin", numbers("sin", Math.sin)],
    ["prod", new Native("prod", ({ positional: [list = null] }) => product(run, list))],
    ["pi", new Float(Math.PI)],
    ["inf", new Float(Infinity)],
  ]);
  const partial = new Native(
    "partial",
    ({ positional: [fn, ...first], named, namedRanges }) =>
      new Native(
        "partial",
        (args) =>
          run.call(
            fn,
            {
              ...args,
              positional: [...first, ...args.positional],
              ranges: [...first.map(() => null), ...args.ranges],
              named: new Map([...named, ...args.named]),
              namedRanges: new Map([...namedRanges, ...args.namedRanges]),
            },
            args.range ?? run.site,
          ),
        new Map<string, Value>([
          ["func", fn],
          ["args", tuple(first)],
        ]),
      ),
  );
  const ordered = new Native("OrderedDict", ({ positional: [value], named }) => {
    const dict = new Dict();
    if (value instanceof Dict) for (const pair of value.entries.values()) dict.set(...pair);
    else if ((value as Value | undefined) !== undefined) {
      const items = iterate(run, value);
      if (items instanceof Unknown) return items;
      for (const item of items)
        if (item instanceof List) dict.set(item.items[0] ?? null, item.items[1] ?? null);
    }
    for (const [key, item] of named) dict.set(key, item);
    return dict;
  });
  const passing = (name: string) => new Native(name, ({ positional: [value = null] }) => value);
  const { functools, itertools, operators, numpy } = toolsOf(run);
  const members = () => new Map<string, Value>([["__init__", constructor(run)]]);
  const plainClass = new Class("ABC", [], new Map(), null, null);
  const tupleClass = new Class("NamedTuple", [], members(), null, null);
  const enumClass = new Class("Enum", [], new Map(), null, null);
  let autos = 0;
  const namedTuple = new Native("namedtuple", ({ positional: [name, names], named }) => {
    const cls = new Class(show(name), [tupleClass], new Map(), null, null);
    const list = typeof names === "string" ? names.split(/[\s,]+/) : iterate(run, names);
    if (list instanceof Unknown) return list;
    cls.fields = list.map((item) => show(item));
    const defaults = named.get("defaults");
    if (defaults instanceof List)
      for (const [i, value] of [...defaults.items].reverse().entries())
        cls.members.set(cls.fields.at(-1 - i) ?? "", value);
    return cls;
  });
  const dataclass: Native = new Native("dataclass", ({ positional: [cls] }) =>
    cls instanceof Class ? recorded(run, cls) : dataclass,
  );
  const field = new Native("field", ({ named }) => {
    const factory = named.get("default_factory");
    return new Native("field", () =>
      factory === undefined
        ? (named.get("default") ?? null)
        : run.call(factory, plainArgs([]), run.site),
    );
  });
  const replaced = new Native("replace", ({ positional: [of], named }) => {
    if (!(of instanceof Instance)) return new Unknown(say`replace is not followed here`);
    const copy = new Instance(of.cls);
    for (const [name, value] of [...of.attributes, ...named]) copy.attributes.set(name, value);
    return copy;
  });
  const attributesOf = (of: Value | undefined): Value => {
    const dict = new Dict();
    if (of instanceof Instance) for (const pair of of.attributes) dict.set(...pair);
    return dict;
  };
  const copied = new Native("deepcopy", ({ positional: [value = null] }) => deepCopy(run, value));
  const named = (name: string, members: ReadonlyMap<string, Value>) =>
    new Namespace(
      name,
      (key) => members.get(key),
      () => members,
    );
  const all = [
    torch,
    nn,
    functional,
    initial,
    new Namespace("torch.nn.modules", (name) => nn.member(name)),
    named(
      "torch.nn.modules.utils",
      new Map<string, Value>(
        ["_single", "_pair", "_triple", "_quadruple"].map((name, i) => [name, tuples(i + 1)]),
      ),
    ),
    new Namespace("torch.nn.utils.parametrizations", passing),
    new Namespace("torch.nn.utils", (name) => (name === "weight_norm" ? normed : passing(name))),
    new Namespace("torch.nn.parameter", (name) => nn.member(name)),
    new Namespace("torch.jit", (name) => (torch.member("jit") as Namespace).member(name)),
    new Namespace("torch.autograd", (name) => (torch.member("autograd") as Namespace).member(name)),
    new Namespace("torch.utils", () => no(say`torch.utils is not followed`)),
    new Namespace("torch.utils.checkpoint", (name) =>
      name === "checkpoint"
        ? new Native(name, ({ positional: [fn, ...rest] }) =>
            run.call(fn, plainArgs(rest), run.site),
          )
        : undefined,
    ),
    named("math", math),
    new Namespace("numpy", (name) => (numpy.has(name) ? numpy.get(name) : math.get(name))),
    new Namespace("numpy.random", (name) => (numpy.get("random") as Namespace).member(name)),
    named("functools", new Map([...functools, ["partial", partial]])),
    named("itertools", new Map(itertools)),
    named("operator", new Map(operators)),
    named(
      "collections",
      new Map<string, Value>([
        ["OrderedDict", ordered],
        ["namedtuple", namedTuple],
        ["defaultdict", new Native("defaultdict", () => new Dict())],
        ["deque", builtins(run).get("list") ?? null],
      ]),
    ),
    new Namespace("collections.abc", (name) => passing(name)),
    new Namespace("numbers", (name) => passing(name)),
    new Namespace("abc", (name) => (name === "ABC" ? plainClass : passing(name))),
    new Namespace("typing", (name) =>
      name === "NamedTuple"
        ? tupleClass
        : name === "TYPE_CHECKING"
          ? false
          : name === "Generic" || name === "Protocol"
            ? plainClass
            : name === "cast"
              ? new Native("cast", ({ positional }) => positional.at(1) ?? null)
              : passing(name),
    ),
    named(
      "enum",
      new Map<string, Value>([
        ...["Enum", "IntEnum", "StrEnum"].map((name): [string, Value] => [name, enumClass]),
        ["auto", new Native("auto", () => ++autos)],
      ]),
    ),
    named(
      "dataclasses",
      new Map<string, Value>([
        ["dataclass", dataclass],
        ["field", field],
        ["replace", replaced],
        ["asdict", new Native("asdict", ({ positional: [of] }) => attributesOf(of))],
      ]),
    ),
    named(
      "copy",
      new Map([
        ["deepcopy", copied],
        ["copy", copied],
      ]),
    ),
  ];
  return { modules: new Map(all.map((n) => [n.name, n])), module };
}

const divisor = (a: number, b: number): number => (b === 0 ? Math.abs(a) : divisor(b, a % b));

function product(run: Interpreter, list: Value): Value {
  const items = iterate(run, list);
  if (items instanceof Unknown) return items;
  return items.reduce<number>((p, d) => p * (typeof d === "number" ? d : NaN), 1);
}

/** A module and all below it once more; every module a new one. */
function deepCopy(run: Interpreter, value: Value): Value {
  run.step();
  if (value instanceof List)
    return new List(
      value.items.map((v) => deepCopy(run, v)),
      value.kind,
    );
  if (value instanceof Dict) {
    const copy = new Dict();
    for (const [key, item] of value.entries.values()) copy.set(key, deepCopy(run, item));
    return copy;
  }
  if (!isModule(value)) return value;
  const copy = new Instance(value.cls);
  copy.layer = value.layer && { ...value.layer, real: null };
  copy.settings = value.settings;
  copy.definition = value.definition;
  copy.argumentRanges = value.argumentRanges;
  copy.lazy = value.lazy;
  if (value.layer?.real) run.shapeOnly(say`a copied layer`);
  for (const [name, child] of value.attributes) copy.attributes.set(name, deepCopy(run, child));
  return copy;
}

const selfOf = ({ positional: [self] }: Args): Instance => {
  if (isModule(self)) return self;
  throw new NotKnown(say`it is no module`);
};

const native = (name: string, body: (self: Instance, args: Args) => Value): [string, Native] => [
  name,
  new Native(name, (args) =>
    body(selfOf(args), {
      ...args,
      positional: args.positional.slice(1),
      ranges: args.ranges.slice(1),
    }),
  ),
];

// ## nn.Module

function moduleMembers(run: Interpreter): Scope {
  const chained = ["train", "eval", "to", "cuda", "cpu", "float", "half", "requires_grad_", "type"];
  const parameters = (self: Instance): [string, TensorValue][] =>
    [...modulesOf(self)].flatMap(([module, path]) =>
      ownParameters(module).map(([name, value]): [string, TensorValue] => [
        path === "" ? name : `${path}.${name}`,
        value,
      ]),
    );
  const register = (self: Instance, { positional: [name, value = null], named }: Args) => {
    run.setAttribute(self, show(named.get("name") ?? name), named.get("module") ?? value);
    return null;
  };
  return new Map<string, Value>([
    ["training", false],
    native("__init__", () => null),
    ...chained.map((name) => native(name, (self) => self)),
    native("add_module", register),
    native("register_module", register),
    native("register_parameter", register),
    native("register_buffer", register),
    native("apply", (self, { positional: [fn] }) => {
      for (const module of [...modulesOf(self).keys()].reverse())
        run.call(fn, plainArgs([module]), run.site);
      return self;
    }),
    native("modules", (self) => new List([...modulesOf(self).keys()])),
    native(
      "named_modules",
      (self) => new List([...modulesOf(self)].map(([module, path]) => tuple([path, module]))),
    ),
    native("children", (self) => new List(childrenOf(self).map(([, child]) => child))),
    native(
      "named_children",
      (self) => new List(childrenOf(self).map(([name, child]) => tuple([name, child]))),
    ),
    native("parameters", (self) => new List(parameters(self).map(([, value]) => value))),
    native(
      "named_parameters",
      (self) => new List(parameters(self).map(([name, value]) => tuple([name, value]))),
    ),
    native("zero_grad", () => null),
    native("state_dict", () => new Unknown(say`the state is not followed`)),
    native("load_state_dict", () => null),
  ]);
}

// ## Containers

function containers(run: Interpreter): [string, Scope][] {
  const add = (self: Instance, name: string, value: Value) => {
    if (value instanceof Unknown) {
      const stand = new Instance(moduleClass(run));
      stand.layer = unknownLayer(value.reason);
      run.setAttribute(self, name, stand);
    } else run.setAttribute(self, name, value);
  };
  const isHeld = (value: Value) => isModule(value) || value instanceof TensorValue;
  const count = (self: Instance) => [...self.attributes.values()].filter(isHeld).length;
  const extend = (self: Instance, { positional: [list = null] }: Args): Value => {
    const items = iterate(run, list);
    if (items instanceof Unknown) add(self, String(count(self)), items);
    else for (const item of items) add(self, String(count(self)), item);
    return self;
  };
  const fromDict = (self: Instance, value: Value | undefined): Value => {
    if (value instanceof Dict)
      for (const [key, item] of value.entries.values()) add(self, show(key), item);
    else if (value instanceof List)
      for (const item of value.items)
        if (item instanceof List) add(self, show(item.items[0]), item.items[1]);
    return null;
  };
  const append = native("append", (self, { positional: [value = null] }) => {
    add(self, String(count(self)), value);
    return self;
  });
  const insert = native("insert", (self, { positional: [at = 0, value = null] }) => {
    const all = childrenOf(self).map(([, child]): Value => child);
    all.splice(typeof at === "number" ? at : 0, 0, value);
    all.forEach((child, i) => self.attributes.set(String(i), child));
    return null;
  });
  return [
    [
      "Sequential",
      new Map<string, Value>([
        native("__init__", (self, { positional }) => {
          if (positional.length === 1 && positional[0] instanceof Dict)
            fromDict(self, positional[0]);
          else positional.forEach((value, i) => add(self, String(i), value));
          return null;
        }),
        native("forward", (self, { positional: [input = null] }) => {
          let x = input;
          for (const [, child] of [...self.attributes].filter(([, c]) => isModule(c)))
            x = run.forward(child as Instance, plainArgs([x]));
          return x;
        }),
        append,
        insert,
        native("extend", extend),
      ]),
    ],
    [
      "ModuleList",
      new Map<string, Value>([
        native("__init__", (self, args) => {
          if (args.positional.length > 0) extend(self, args);
          return null;
        }),
        append,
        insert,
        native("extend", extend),
      ]),
    ],
    [
      "ModuleDict",
      new Map<string, Value>([
        native("__init__", (self, { positional: [value] }) => fromDict(self, value)),
        native("update", (self, { positional: [value] }) => fromDict(self, value)),
        native("keys", (self) => new List(childrenOf(self).map(([name]) => name))),
        native("values", (self) => new List(childrenOf(self).map(([, child]) => child))),
        native(
          "items",
          (self) => new List(childrenOf(self).map(([name, child]) => tuple([name, child]))),
        ),
      ]),
    ],
    [
      "ParameterList",
      new Map<string, Value>([
        native("__init__", (self, args) =>
          args.positional.length > 0 ? extend(self, args) && null : null,
        ),
        append,
        native("extend", extend),
      ]),
    ],
  ];
}

// ## Layers

function layerMembers(run: Interpreter, name: string): Scope {
  const { signature, make } = layers.get(name)!;
  return new Map<string, Value>([
    native("__init__", (self, args) => {
      const ranges = new Map<string, SourceRange>(args.namedRanges);
      parsed(signature).forEach(({ name: parameter }, i) => {
        const range = args.ranges.at(i);
        if (range !== null && range !== undefined) ranges.set(parameter, range);
      });
      self.argumentRanges = ranges;
      if (args.range !== null && self.cls.file === null) self.definition = args.range;
      try {
        const settings = bind(name, signature, args);
        self.settings = settings.values;
        self.layer = make(settings);
      } catch (error) {
        // The layer is there, but what it does cannot be said.
        if (error instanceof NotKnown) self.layer = unknownLayer(saidBy(error));
        else if (error instanceof ShapeError) throw error;
        else if (error instanceof RangeError || error instanceof TypeError)
          self.layer = unknownLayer(saidBy(error));
        else throw error;
      }
      return null;
    }),
    native("forward", (self, { positional, named }) =>
      run.runLayer(self, [...positional, ...named.values()]),
    ),
  ]);
}

/** A layer that is made at its first input, as the class that it then becomes. */
function lazyMembers(run: Interpreter, name: string, becomes: Class, argument: string): Scope {
  const { signature, make } = layers.get(becomes.name)!;
  const rest = signature.replace(`${argument}, `, "").replace(argument, "");
  return new Map<string, Value>([
    native("__init__", (self, args) => {
      if (args.range !== null && self.cls.file === null) self.definition = args.range;
      const settings = bind(name, rest, args);
      const waiting = unknownLayer(say`${name} has not seen an input`);
      const { cls } = self;
      self.layer = waiting;
      self.settings = settings.values;
      self.argumentRanges = args.namedRanges;
      self.lazy = {
        ...{ cls, becomes: cls.file === null ? becomes : cls, waiting },
        make([input]) {
          if (!(input instanceof TensorValue)) throw new NotKnown(say`the input is no tensor`);
          const size = input.shape.at(argument === "in_features" ? -1 : 1);
          const values = new Map([...settings.values, [argument, size ?? null]]);
          return { layer: make(new Settings(name, values)), settings: values };
        },
      };
      return null;
    }),
    native("forward", (self, { positional, named }) =>
      run.runLayer(self, [...positional, ...named.values()]),
    ),
  ]);
}

// ## Initial values
//
// On the `meta` device there is nothing to fill. A live network gets what the library can draw.

function initialiser(name: string): Value {
  return new Native(name, ({ positional: [value = null, ...rest], named }) => {
    if (!(value instanceof TensorValue) || value.tensor.device === "meta") return value;
    const { tensor } = value;
    const number = (position: number, key: string, standard: number): number => {
      const given = rest.at(position) ?? named.get(key);
      if (given instanceof Float) return given.value;
      return typeof given === "number" ? given : standard;
    };
    switch (name) {
      case "constant_":
        init.constant_(tensor, number(0, "val", 0));
        return value;
      case "zeros_":
        init.zeros_(tensor);
        return value;
      case "ones_":
        init.ones_(tensor);
        return value;
      case "normal_":
        init.normal_(tensor, number(0, "mean", 0), number(1, "std", 1));
        return value;
      case "uniform_":
        init.uniform_(tensor, number(0, "a", 0), number(1, "b", 1));
        return value;
      case "xavier_uniform_":
        init.xavierUniform_(tensor, number(0, "gain", 1));
        return value;
      default:
        return new Unknown(say`${name} is not followed`);
    }
  });
}
