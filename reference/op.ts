// # Operations
//
// An operation is a shape rule, a forward loop and the gradients of its inputs. `defineOp` turns
// those into a function on tensors, and does once for all operations what must not differ among
// them: it checks devices and element types, puts the operation's name on every error, hands the
// loops to the backend, and tells the tape and whoever is tracing.
//
// Each gradient is a primitive of its own (`conv2d_backward_weight`), so that a trace records it
// and a kernel can implement it. A gradient that is best said in other operations says so with
// `compose` and needs no kernel.

import { backendOf, isComputing } from "./backend.js";
import type { Primitive, ReceptiveWindow, Values } from "./backend.js";
import { ShapeError } from "./errors.js";
import { gradEnabled, record } from "./tape.js";
import { emptyTensor, isFloat, sameShape, showShape, Tensor } from "./tensor.js";
import type { Device, DType, Shape } from "./tensor.js";
import { either, type Said, say } from "./words.js";

// ## Names of inputs
//
// `"weight"` is required, `"bias?"` may be null, `"...tensors"` is a list. The types below give
// the loops a record with those names, null where null may come.

type Plain<K> = K extends `...${infer R}` ? R : K extends `${infer R}?` ? R : K;

type Argument<K> = K extends `...${string}`
  ? readonly Tensor[]
  : K extends `${string}?`
    ? Tensor | number | null
    : Tensor | number;

type Arguments<I extends readonly string[]> = { [k in keyof I]: Argument<I[k]> };

/** One `T` for every input, by name. */
export type Named<I extends readonly string[], T> = {
  readonly [K in I[number] as Plain<K>]: K extends `...${string}`
    ? readonly T[]
    : K extends `${string}?`
      ? T | null
      : T;
};

/** What is known of a tensor without its numbers. */
export interface Meta {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a loop writes: zeros on arrival, rounded once to the tensor's own type afterwards. */
export interface Result {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** Results by name; one whose shape the rule gave as null is null. */
type Results<R extends readonly string[], T> = { readonly [K in R[number]]: T };

// ## What a room declares

/** A gradient computed by a loop of its own. */
export interface LoopGradient<I extends readonly string[], R extends readonly string[], O> {
  /** The values it reads beside `dy`; of all others it sees only the shape of its own result. */
  readonly needs: readonly (Plain<I[number]> | R[number])[];
  run(
    values: Named<I, Values> & Results<R, Values> & { readonly dy: Values },
    dx: Result,
    options: O,
  ): void;
  /** Default: none. */
  multiplyAdds?(
    shapes: Named<I, Shape> & Results<R, Shape> & { readonly dy: Shape },
    dx: Shape,
    options: O,
  ): number;
}

/** A gradient said in other operations; `index` counts within a list such as `...tensors`. */
export interface ComposedGradient<I extends readonly string[], R extends readonly string[], O> {
  /** The tensors whose values it reads beside `dy`; shapes are always there. */
  readonly needs: readonly (Plain<I[number]> | R[number])[];
  compose(
    tensors: Named<I, Tensor> & Results<R, Tensor> & { readonly dy: Tensor },
    options: O,
    index: number,
  ): Tensor;
}

export interface OpDefinition<I extends readonly string[], R extends readonly string[], O> {
  readonly inputs: I;
  /**
   * Names of the results; the first is the one that gradients flow through. A result that bears
   * an input's name is written into that input. Default: `["y"]`.
   */
  readonly outputs?: R;
  /** `float`: all of one floating-point type. `any`: all of one type. Default: `float`. */
  readonly accepts?: "float" | "any";
  /** Inputs that hold class indices or counts, exempt from the rule above. */
  readonly integers?: readonly Plain<I[number]>[];
  /** Whether the result shares the input's numbers. */
  readonly view?: true;
  /** The result's element type. Default: the first input's. */
  readonly dtype?: DType;
  /** The shape of the result (of each, if there are several); throws a ShapeError. */
  shape(
    inputs: Named<I, Meta>,
    options: O,
  ): R["length"] extends 1 ? Shape : Results<R, Shape | null>;
  forward(
    inputs: Named<I, Values>,
    y: R["length"] extends 1 ? Result : Results<R, Result>,
    options: O,
  ): void;
  /** Products added up by `forward`. Default: none. */
  multiplyAdds?(shapes: Named<I, Shape>, y: Shape, options: O): number;
  window?(shapes: Named<I, Shape>, y: Shape, options: O): ReceptiveWindow;
  readonly gradients?: {
    readonly [K in Plain<I[number]>]?: LoopGradient<I, R, O> | ComposedGradient<I, R, O>;
  };
}

/** An operation: a function on tensors that also knows its own parts. */
export interface Op<I extends readonly string[], R extends readonly string[], O> {
  (...args: [...Arguments<I>, options?: O]): Tensor;
  /** The stem that names its room in every wing. */
  readonly stem: string;
  readonly definition: OpDefinition<I, R, O>;
  /** The forward primitive first, then one for each gradient that has a loop. */
  readonly primitives: readonly Primitive[];
  /** All results by name, where the call itself returns the first. */
  all(...args: [...Arguments<I>, options?: O]): Results<R, Tensor>;
  /** The shapes of all results, in the order of `outputs`, for inputs in the order of `inputs`. */
  infer(inputs: readonly (Meta | null)[], options?: O): (Shape | null)[];
}

/** Any operation, where its inputs do not matter. */
export type AnyOp = Pick<
  Op<readonly string[], readonly string[], object>,
  "stem" | "primitives" | "infer"
>;

// ## Who else is told
//
// A trace (trace.ts) sees every step that a backend runs, and can also see shapes of those that
// run on `meta`.

export interface Observer {
  step(
    primitive: Primitive,
    inputs: readonly (Tensor | null)[],
    outputs: readonly (Tensor | null)[],
    options: object,
  ): void;
  view(from: Tensor, to: Tensor): void;
}

let observer: Observer | null = null;

/** Runs `body` while `next` is told of every step. */
export function observed<T>(next: Observer | null, body: () => T): T {
  const before = observer;
  observer = next;
  try {
    return body();
  } finally {
    observer = before;
  }
}

function run(
  primitive: Primitive,
  inputs: readonly (Tensor | null)[],
  outputs: readonly (Tensor | null)[],
  options: object,
  device: Device,
): void {
  if (isComputing()) backendOf(device).run(primitive, inputs, outputs, options);
  observer?.step(primitive, inputs, outputs, options);
}

// ## From declaration to function

/**
 * Makes the operation `stem` out of its shape rule, loop and gradients.
 *
 * The result is called with the inputs in the order of `inputs`, then the options:
 * `conv2d(x, weight, bias, { stride: 2 })`. A number stands for a tensor of that one value.
 *
 * Throws: TypeError for devices or element types that do not go together; whatever the shape
 * rule throws, with the operation's name before it.
 */
export function defineOp<
  const I extends readonly string[],
  O extends object = object,
  const R extends readonly string[] = readonly ["y"],
>(stem: string, definition: OpDefinition<I, R, O>): Op<I, R, O> {
  const names = definition.inputs.map(plain);
  const resultNames: readonly string[] = definition.outputs ?? ["y"];
  const single = resultNames.length === 1;

  // The records below have exactly the names that their types promise; TypeScript cannot follow
  // a record built in a loop, so each builder ends in one cast.
  const byName = <T>(list: readonly (T | null)[]) =>
    (isList(definition.inputs[0])
      ? { [names[0]]: list }
      : Object.fromEntries(names.map((n, i) => [n, list[i] ?? null]))) as Named<I, T>;
  const results = <T>(list: readonly (T | null)[]) =>
    Object.fromEntries(resultNames.map((n, i) => [n, list[i]])) as Results<R, T>;

  const shapesOf = (inputs: readonly (Meta | null)[], options: O): (Shape | null)[] => {
    try {
      const shape = definition.shape(byName(inputs), options);
      if (single) return [shape as Shape];
      return resultNames.map((n) => (shape as Record<string, Shape | null>)[n]);
    } catch (error) {
      if (error instanceof ShapeError && error.operation === undefined) {
        error.operation = stem;
        error.message = `${stem}: ${error.message}`;
      }
      throw error;
    }
  };

  const forward: Primitive = {
    name: stem,
    inputs: definition.inputs,
    outputs: resultNames,
    run(inputs, outputs, shapes, options) {
      const y = outputs.map((data, k) => data && { shape: shapes[k]!, data });
      definition.forward(
        byName(inputs),
        (single ? y[0] : results(y)) as Parameters<typeof definition.forward>[1],
        options as O,
      );
    },
    multiplyAdds: (inputs, outputs, options) =>
      definition.multiplyAdds?.(byName(inputs), outputs[0]!, options as O) ?? 0,
    window:
      definition.window &&
      ((inputs, outputs, options) => definition.window!(byName(inputs), outputs[0]!, options as O)),
  };

  const gradients = new Map<string, LoopGradient<I, R, O> & { primitive: Primitive }>();
  for (const name of names) {
    const rule = definition.gradients?.[name as Plain<I[number]>];
    if (rule === undefined || "compose" in rule) continue;
    type Seen<T> = Named<I, T> & Results<R, T> & { readonly dy: T };
    const seen = <T>(list: readonly (T | null)[], own: T) =>
      Object.fromEntries([
        [name, own],
        ...["dy", ...rule.needs].map((n, i) => [n, list[i]]),
      ]) as Seen<T>;
    const primitive: Primitive = {
      name: `${stem}_backward_${name}`,
      inputs: ["dy", ...rule.needs],
      outputs: [`d${name}`],
      run(inputs, [data], [shape], options) {
        const shapeOnly = { shape: shape!, data: new Float64Array() };
        rule.run(seen<Values>(inputs, shapeOnly), { shape: shape!, data: data! }, options as O);
      },
      multiplyAdds: (inputs, [dx], options) =>
        rule.multiplyAdds?.(seen(inputs, dx!), dx!, options as O) ?? 0,
    };
    gradients.set(name, { ...rule, primitive });
  }

  function all(...args: readonly unknown[]): Results<R, Tensor> {
    const options = (args[definition.inputs.length] ?? {}) as O;
    const inputs = flatten(stem, definition.inputs, args);
    const first = inputs.find((t): t is Tensor => t instanceof Tensor);
    if (first === undefined) throw new TypeError(`${stem}: needs at least one tensor`);
    const tensors = inputs.map((t) =>
      typeof t === "number" ? constant(t, first.dtype, first.device) : t,
    );
    const label = (i: number) => (isList(definition.inputs[0]) ? `${names[0]}[${i}]` : names[i]);
    checkDevices(stem, tensors, label);
    checkTypes(stem, definition, tensors, label);

    const shapes = shapesOf(tensors, options);
    const outputs = shapes.map((shape, k) => {
      if (shape === null) return null;
      const target = names.indexOf(resultNames[k]);
      if (target >= 0) return tensors[target];
      if (definition.view) return new Tensor(shape, first.dtype, first.device, first.storage);
      return emptyTensor(shape, definition.dtype ?? first.dtype, first.device);
    });
    if (definition.view) observer?.view(first, outputs[0]!);
    else run(forward, tensors, outputs, options, first.device);
    outputs.forEach((y, k) => {
      if (y !== null && isComputing() && names.includes(resultNames[k])) y.storage.version++;
    });
    if (gradEnabled() && definition.gradients && tensors.some((t) => t?.requiresGrad))
      remember(tensors, outputs, options);
    return results(outputs);
  }

  function remember(
    tensors: readonly (Tensor | null)[],
    outputs: readonly (Tensor | null)[],
    options: O,
  ): void {
    const values = { ...byName(tensors), ...results(outputs) };
    const read = (n: string) => (values as Record<string, Tensor | null>)[n];
    // Only what the wanted gradients read counts as saved: the rest may be overwritten freely.
    const saved = names.flatMap((name, i) => {
      const wanted = isList(definition.inputs[0]) || tensors[i]?.requiresGrad;
      const rule = definition.gradients?.[name as Plain<I[number]>];
      return wanted && rule !== undefined ? rule.needs.map((n) => read(n)) : [];
    });
    const [y] = outputs;
    record(stem, y!, tensors, [...new Set(saved.filter((t) => t !== null))], (index, dy) => {
      const name = isList(definition.inputs[0]) ? names[0] : names[index];
      const rule = definition.gradients?.[name as Plain<I[number]>];
      if (rule === undefined)
        throw new TypeError(`${stem}: has no gradient for ${name}; use detach() on it`);
      if ("compose" in rule) return rule.compose({ ...values, dy }, options, index);
      const { primitive, needs } = gradients.get(name)!;
      const x = tensors[index]!;
      const dx = emptyTensor(x.shape, x.dtype, x.device);
      run(primitive, [dy, ...needs.map((n) => read(n))], [dx], options, x.device);
      return dx;
    });
  }

  return Object.assign(
    (...args: readonly unknown[]) => (all(...args) as Record<string, Tensor>)[resultNames[0]],
    {
      stem,
      definition,
      primitives: [forward, ...[...gradients.values()].map((g) => g.primitive)],
      all,
      infer: (inputs: readonly (Meta | null)[], options?: O) =>
        shapesOf(inputs, options ?? ({} as O)),
    },
  );
}

const plain = (name: string) => name.replace(/^\.\.\.|\?$/g, "");
const isList = (name: string) => name.startsWith("...");

/** The arguments as one row of tensors, numbers and nulls, as many as the operation has inputs. */
function flatten(
  stem: string,
  inputs: readonly string[],
  args: readonly unknown[],
): (Tensor | number | null)[] {
  if (isList(inputs[0])) return [...(args[0] as readonly Tensor[])];
  return inputs.map((name, i) => {
    const value = args[i] ?? null;
    if (value === null && name.endsWith("?")) return null;
    if (typeof value === "number" || value instanceof Tensor) return value;
    throw new TypeError(
      `${stem}: ${plain(name)} must be a tensor, got ${value === null ? "nothing" : typeof value}`,
    );
  });
}

/** A number as a tensor; it keeps its value even where other tensors have none. */
function constant(value: number, dtype: DType, device: Device): Tensor {
  const data = isFloat(dtype) ? new Float64Array([value]) : null;
  if (data === null) throw new TypeError(`a number cannot be combined with a ${dtype} tensor`);
  return new Tensor([], dtype, device, {
    data: dtype === "float32" ? new Float32Array(data) : data,
    version: 0,
  });
}

function checkDevices(
  stem: string,
  tensors: readonly (Tensor | null)[],
  label: (i: number) => string,
): void {
  const first = tensors.findIndex((t) => t !== null);
  tensors.forEach((t, i) => {
    if (t !== null && t.device !== tensors[first]!.device)
      throw new TypeError(
        `${stem}: ${label(first)} is on "${tensors[first]!.device}" but ${label(i)} is on ` +
          `"${t.device}"; move one with to("${tensors[first]!.device}")`,
      );
  });
}

function checkTypes<I extends readonly string[], R extends readonly string[], O>(
  stem: string,
  definition: OpDefinition<I, R, O>,
  tensors: readonly (Tensor | null)[],
  label: (i: number) => string,
): void {
  let first: number | undefined;
  tensors.forEach((t, i) => {
    const exempt: readonly string[] = definition.integers ?? [];
    if (t === null || exempt.includes(label(i))) return;
    if (definition.accepts !== "any" && !isFloat(t.dtype))
      throw new TypeError(
        `${stem}: ${label(i)} is ${t.dtype}, but only float32 and float64 can be computed with; ` +
          `convert it with to("float32")`,
      );
    first ??= i;
    if (t.dtype !== tensors[first]!.dtype)
      throw new TypeError(
        `${stem}: ${label(first)} is ${tensors[first]!.dtype} but ${label(i)} is ${t.dtype}; ` +
          `convert one with to("${tensors[first]!.dtype}")`,
      );
  });
}

// ## Shape rules' vocabulary

/** Throws a ShapeError unless `shape` has one of the given numbers of axes. */
export function expectAxes(name: string, shape: Shape, ...allowed: number[]): void {
  if (!allowed.includes(shape.length))
    throw new ShapeError(
      say`${name} must have ${either(allowed)} axes, got ${shape.length}: ${showShape(shape)}`,
      name,
    );
}

/** Throws a ShapeError unless `shape` is `expected`; `because` says where `expected` is from. */
export function expectShape(name: string, shape: Shape, expected: Shape, because: Said): void {
  if (!sameShape(shape, expected))
    throw new ShapeError(
      say`${name} has shape ${showShape(shape)}, expected ${showShape(expected)} (${because})`,
      name,
    );
}
