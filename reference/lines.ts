// # Lines along an axis
//
// Softmax, its logarithm and the cross-entropy treat a tensor as a bundle of lines along one
// axis, the classes. They share the walk over the lines and the sum of exponentials, which
// overflows unless the largest exponent is taken out first:
//
// $$\log \sum_c e^{x_c} = a + \log \sum_c e^{x_c - a}, \qquad a = \max_c x_c.$$

import { type Shape, sizeOf } from "./tensor.js";

/** Lines of `count` elements each, `step` apart, starting at `starts`. */
export interface Lines {
  readonly starts: readonly number[];
  readonly count: number;
  readonly step: number;
}

/** The lines of `shape` along `axis`, in the order of the remaining axes. */
export function linesAlong(shape: Shape, axis: number): Lines {
  const count = shape[axis];
  const step = sizeOf(shape.slice(axis + 1));
  const starts: number[] = [];
  for (let outer = 0; outer < sizeOf(shape.slice(0, axis)); outer++)
    for (let inner = 0; inner < step; inner++) starts.push(outer * count * step + inner);
  return { starts, count, step };
}

/** Along one line: the largest value `a` and the sum of `exp(x − a)`, which lies in `[1, count]`. */
export function shiftedExponentials(
  data: ArrayLike<number>,
  start: number,
  { count, step }: Lines,
): { readonly max: number; readonly total: number } {
  let max = -Infinity;
  for (let c = 0; c < count; c++) max = Math.max(max, data[start + c * step]);
  let total = 0;
  for (let c = 0; c < count; c++) total += Math.exp(data[start + c * step] - max);
  return { max, total };
}
