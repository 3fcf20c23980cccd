// # Walking over a tensor
//
// Copying, broadcasting and reducing all do the same: go through every index of a shape in order
// and know, for each, where the element stands in some other tensor. An index counts like an
// odometer, and the offsets elsewhere move by that tensor's own steps.

import { type Shape, sizeOf } from "./tensor.js";

/**
 * Visits every element `i` of `shape`, in order, with its offset `a` where neighbours along each
 * axis lie `aSteps` apart, and likewise `b`.
 */
export function walk(
  shape: Shape,
  aSteps: readonly number[],
  bSteps: readonly number[],
  visit: (i: number, a: number, b: number) => void,
): void {
  const index = new Array<number>(shape.length).fill(0);
  const size = sizeOf(shape);
  let [a, b] = [0, 0];
  for (let i = 0; i < size; i++) {
    visit(i, a, b);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      a += aSteps[axis];
      b += bSteps[axis];
      if (++index[axis] < shape[axis]) break;
      a -= aSteps[axis] * shape[axis];
      b -= bSteps[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}
