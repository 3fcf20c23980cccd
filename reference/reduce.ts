// # Reductions
//
// What `sum`, `mean`, `max` and `argmax` share: which axes go, what shape is left, and the walk
// that tells for every element of the input to which element of the result it belongs.

import { ShapeError } from "./errors.js";
import { type Shape, showShape, strides } from "./tensor.js";
import { walk } from "./walk.js";
import { say } from "./words.js";

interface Axes {
  readonly dim?: number | readonly number[];
  readonly keepdim?: boolean;
}

/** The axis that `dim` means in `shape`. Throws: ShapeError when there is none. */
export function axisOf(shape: Shape, dim: number): number {
  if (!Number.isInteger(dim) || dim < -shape.length || dim >= shape.length)
    throw new ShapeError(
      say`axis ${dim} does not exist in ${showShape(shape)}; allowed are ${-shape.length} to
        ${shape.length - 1}`,
      "dim",
    );
  return dim < 0 ? shape.length + dim : dim;
}

/** The axes to reduce, ascending. Throws: ShapeError for one that is missing or named twice. */
export function axesOf(shape: Shape, { dim }: Axes): number[] {
  if (dim === undefined) return shape.map((_, i) => i);
  const axes = (typeof dim === "number" ? [dim] : dim).map((d) => axisOf(shape, d));
  if (new Set(axes).size < axes.length)
    throw new ShapeError(say`an axis is named twice in ${showShape(axes)}`, "dim");
  return axes.sort((a, b) => a - b);
}

/** What is left of `shape` after the reduction. */
export function keptShape(shape: Shape, options: Axes): number[] {
  const axes = axesOf(shape, options);
  return shape.flatMap((d, i) => (!axes.includes(i) ? [d] : options.keepdim ? [1] : []));
}

/** Throws: ShapeError when nothing lies along `axes`: no elements have no largest. */
export function expectElements(shape: Shape, axes: readonly number[]): void {
  const empty = axes.find((axis) => shape[axis] === 0);
  if (empty !== undefined)
    throw new ShapeError(
      say`there is no largest of no elements: axis ${empty} of ${showShape(shape)} is empty`,
      "input",
    );
}

/**
 * Visits every element `i` of `shape`, in order, with the result `k` that it belongs to.
 */
export function reduced(
  shape: Shape,
  axes: readonly number[],
  visit: (i: number, k: number) => void,
): void {
  const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d));
  const steps = strides(kept).map((s, i) => (axes.includes(i) ? 0 : s));
  walk(shape, steps, steps, visit);
}
