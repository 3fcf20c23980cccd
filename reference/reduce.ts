// # Reductions
//
// What `sum`, `mean`, `max` and `argmax` share: which axes go, what shape is left, and the walk
// that tells for every element of the input to which element of the result it belongs.

import { ShapeError } from "./errors.js";
import { type Shape, showShape, sizeOf, strides } from "./tensor.js";

interface Axes {
  readonly dim?: number | readonly number[];
  readonly keepdim?: boolean;
}

/** The axis that `dim` means in `shape`. Throws: ShapeError when there is none. */
export function axisOf(shape: Shape, dim: number): number {
  if (!Number.isInteger(dim) || dim < -shape.length || dim >= shape.length)
    throw new ShapeError(
      `axis ${dim} does not exist in ${showShape(shape)}; ` +
        `allowed are ${-shape.length} to ${shape.length - 1}`,
      "dim",
    );
  return dim < 0 ? shape.length + dim : dim;
}

/** The axes to reduce, ascending. Throws: ShapeError for one that is missing or named twice. */
export function axesOf(shape: Shape, { dim }: Axes): number[] {
  if (dim === undefined) return shape.map((_, i) => i);
  const axes = (typeof dim === "number" ? [dim] : dim).map((d) => axisOf(shape, d));
  if (new Set(axes).size < axes.length)
    throw new ShapeError(`an axis is named twice in ${showShape(axes)}`, "dim");
  return axes.sort((a, b) => a - b);
}

/** What is left of `shape` after the reduction. */
export function keptShape(shape: Shape, options: Axes): number[] {
  const axes = axesOf(shape, options);
  return shape.flatMap((d, i) => (!axes.includes(i) ? [d] : options.keepdim ? [1] : []));
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
  const step = strides(kept).map((s, i) => (axes.includes(i) ? 0 : s));
  const index = new Array<number>(shape.length).fill(0);
  const size = sizeOf(shape);
  let k = 0;
  for (let i = 0; i < size; i++) {
    visit(i, k);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      k += step[axis];
      if (++index[axis] < shape[axis]) break;
      k -= step[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}
