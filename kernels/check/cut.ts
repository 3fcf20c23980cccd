// # A part of a call
//
// To judge a call of a convolution takes as long as the plainest convolution takes. But an image of the
// batch goes through it alone, and an output channel has kernels of its own: what belongs to one image
// and one channel is a smaller call of the same operation, whose elements are those of the larger
// one, rounded alike. So a few images and channels are drawn and judged in full.
//
// Each axis of an operand has a letter; axes with the same letter run together. Letters that stand in
// an output may be cut: what is added up over stays whole.

import type { Shape } from "convnotes";
import type { Values } from "../../spec/values.js";

/** Letters of the axes of inputs and outputs: `.` is never cut, `*` are all axes that are left. */
interface Axes {
  /** One for all: of a list of tensors. */
  readonly inputs: readonly string[] | string;
  readonly outputs: readonly string[];
  /** Whether they hold for these sizes and options. Default: always. */
  holds?(inputs: readonly (Shape | null)[], options: object): boolean;
}

const planes = { inputs: ["nc*", "nc*"], outputs: ["nc*"] };
const rows = { inputs: ["n*", "n*"], outputs: ["n*"] };
const updates = { inputs: ["n*", "n*", "n*", "n*"], outputs: ["n*", "n*", "n*"] };
/** Every tensor has the same number of images. */
const alike: NonNullable<Axes["holds"]> = (inputs) =>
  new Set(inputs.map((shape) => shape?.join())).size === 1;
const notAlongImages: NonNullable<Axes["holds"]> = (_, options) =>
  "dim" in options && typeof options.dim === "number" && options.dim > 0;
const ungrouped: NonNullable<Axes["holds"]> = (_, options) =>
  !("groups" in options) || options.groups === 1;
const asMatrix: NonNullable<Axes["holds"]> = ([first]) => first?.length === 2;
const channel = ["c", "c", "c", "c"];

const axesOf: Readonly<Record<string, Axes>> = {
  conv2d: { inputs: ["n*", "o*", "o"], outputs: ["no*"], holds: ungrouped },
  conv2d_backward_input: { inputs: ["n*", ".c*"], outputs: ["nc*"], holds: ungrouped },
  conv2d_backward_weight: { inputs: [".o*", ".c*"], outputs: ["oc*"], holds: ungrouped },
  conv2d_backward_bias: { inputs: [".o*"], outputs: ["o"] },
  linear: { inputs: ["n.", "o.", "o"], outputs: ["no"], holds: asMatrix },
  linear_backward_input: { inputs: ["n.", ".i"], outputs: ["ni"], holds: asMatrix },
  linear_backward_weight: { inputs: [".o", ".i"], outputs: ["oi"], holds: asMatrix },
  linear_backward_bias: { inputs: [".o"], outputs: ["o"], holds: asMatrix },
  batch_norm: { inputs: [".c*", ...channel], outputs: [".c*", ...channel] },
  batch_norm_backward_input: { inputs: [".c*", ".c*", "c", "c", "c"], outputs: [".c*"] },
  batch_norm_backward_weight: { inputs: [".c*", ".c*", "c", "c"], outputs: ["c"] },
  batch_norm_backward_bias: { inputs: [".c*"], outputs: ["c"] },
  ...Object.fromEntries(
    ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"]
      .flatMap((name) => [name, `${name}_backward_input`])
      .map((name) => [name, planes]),
  ),
  ...Object.fromEntries(
    ["relu", "sigmoid", "tanh"]
      .flatMap((name) => [name, `${name}_backward_input`])
      .map((name) => [name, rows]),
  ),
  add: { ...rows, holds: alike },
  mul: { ...rows, holds: alike },
  concat: { inputs: "n*", outputs: ["n*"], holds: notAlongImages },
  narrow: { ...rows, holds: notAlongImages },
  gather_images: { inputs: ["", "n"], outputs: ["n*"] },
  sgd: updates,
  adam: updates,
};

/** How many of each letter are kept. */
const kept: Readonly<Record<string, number>> = { n: 1, o: 1, c: 1, i: 2 };

/** By letter: which places along its axes are kept. */
export type Cut = ReadonlyMap<string, readonly number[]>;

const lettersOf = (axes: string, { length }: Shape): string[] =>
  Array.from({ length }, (_, k) => (axes[k] === "*" || k >= axes.length ? "." : axes[k]));

/** What to keep of a call; nothing where it cannot be cut. `random` gives numbers from 0 to 1. */
export function drawCut(
  name: string,
  inputs: readonly (Shape | null)[],
  outputs: readonly (Shape | null)[],
  options: object,
  random: () => number,
): Cut {
  const axes = Object.hasOwn(axesOf, name) ? axesOf[name] : undefined;
  const cut = new Map<string, readonly number[]>();
  if (axes === undefined || !(axes.holds?.(inputs, options) ?? true)) return cut;
  outputs.forEach((shape, k) => {
    // What a continuation writes besides lies like the first.
    if (shape === null || k >= axes.outputs.length) return;
    lettersOf(axes.outputs[k], shape).forEach((letter, axis) => {
      if (letter === "." || cut.has(letter)) return;
      const count = Math.min(kept[letter], shape[axis]);
      const picked = new Set<number>();
      while (picked.size < count) picked.add(Math.floor(random() * shape[axis]));
      cut.set(
        letter,
        [...picked].sort((a, b) => a - b),
      );
    });
  });
  return cut;
}

/** How a tensor lies in memory: row-major, or with the batch in blocks of so many lanes inside. */
export type Layout = "plain" | { readonly lanes: number };

/** What is kept along each axis of a tensor of `shape`. `axes` are its letters. */
const picksOf = (shape: Shape, axes: string, cut: Cut): (readonly number[])[] =>
  lettersOf(axes, shape).map(
    (letter, axis) => cut.get(letter) ?? Array.from({ length: shape[axis] }, (_, i) => i),
  );

/** Where the elements that are kept lie, in order. */
function offsetsOf(picks: readonly (readonly number[])[], shape: Shape, layout: Layout): number[] {
  const offsets: number[] = [];
  const index = shape.map(() => 0);
  const visit = (axis: number): void => {
    if (axis === shape.length) {
      offsets.push(offsetOf(index, shape, layout));
      return;
    }
    for (const i of picks[axis]) {
      index[axis] = i;
      visit(axis + 1);
    }
  };
  visit(0);
  return offsets;
}

/** The part of a tensor of `shape` that is kept. */
function part(
  data: ArrayLike<number | bigint>,
  shape: Shape,
  layout: Layout,
  axes: string,
  cut: Cut,
): Values {
  const picks = picksOf(shape, axes, cut);
  const numbers = offsetsOf(picks, shape, layout).map((at) => Number(data[at]));
  const exact =
    data instanceof BigInt64Array
      ? ({ dtype: "int64" } as const)
      : data instanceof Uint8Array
        ? ({ dtype: "uint8" } as const)
        : {};
  return { shape: picks.map((p) => p.length), data: numbers, ...exact };
}

/** Images lie in blocks as `[⌈N/lanes⌉, H, W, C, lanes]`. */
function offsetOf(index: readonly number[], shape: Shape, layout: Layout): number {
  if (layout === "plain") return index.reduce((offset, i, axis) => offset * shape[axis] + i, 0);
  const [n, c, h, w] = index;
  const [, C, H, W] = shape;
  const { lanes } = layout;
  const block = Math.floor(n / lanes);
  return (((block * H + h) * W + w) * C + c) * lanes + (n % lanes);
}

/** A tensor as a kernel had it. */
export interface Held {
  readonly data: ArrayLike<number | bigint>;
  readonly shape: Shape;
  readonly layout: Layout;
}

/** Of all stored images those that the kept indices name, numbered anew. */
function onlyGathered([images, indices]: readonly (Held | null)[], cut: Cut): Held[] {
  const [, height, width] = images!.shape;
  const numbers = Array.from(indices!.data, Number);
  const named = [...new Set((cut.get("n") ?? [...numbers.keys()]).map((p) => numbers[p]))];
  const pixels = height * width;
  const data = new Uint8Array(named.length * pixels);
  named.forEach((k, i) => {
    for (let p = 0; p < pixels; p++) data[i * pixels + p] = Number(images!.data[k * pixels + p]);
  });
  const places = numbers.map((k) => BigInt(Math.max(0, named.indexOf(k))));
  return [
    { data, shape: [named.length, height, width], layout: "plain" },
    { ...indices!, data: BigInt64Array.from(places) },
  ];
}

/** The numbers that the kept elements of the first output have in the whole of it. */
export function keptPlaces(name: string, shape: Shape, cut: Cut): number[] {
  const [axes = ""] = Object.hasOwn(axesOf, name) ? axesOf[name].outputs : [];
  return offsetsOf(picksOf(shape, axes, cut), shape, "plain");
}

/**
 * The parts of a call's inputs and outputs that are kept, and of what each continuation reads besides,
 * which lies as the first output does.
 */
export function cutCall(
  name: string,
  inputs: readonly (Held | null)[],
  outputs: readonly (Held | null)[],
  cut: Cut,
  further: readonly (readonly (Held | null)[])[] = [],
): { inputs: (Values | null)[]; outputs: (Values | null)[]; further: (Values | null)[][] } {
  const axes = Object.hasOwn(axesOf, name) ? axesOf[name] : undefined;
  const take = (held: readonly (Held | null)[], letters: readonly string[] | string = []) =>
    held.map((t, k) => {
      const own = typeof letters === "string" ? letters : (letters[k] ?? "");
      return t && part(t.data, t.shape, t.layout, own, cut);
    });
  const [first = ""] = axes?.outputs ?? [];
  // Several outputs of a continuation lie like its first.
  const written = further.length > 0 && outputs.length > 1 && axes?.outputs.length === 1;
  return {
    inputs: take(name === "gather_images" ? onlyGathered(inputs, cut) : inputs, axes?.inputs),
    outputs: take(outputs, written ? first : axes?.outputs),
    further: further.map((held) => take(held, first)),
  };
}
