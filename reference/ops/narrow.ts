// # Narrow
//
// A run of neighbours along one axis: some channels of an image, some images of a batch. The
// numbers are copied. What was left out had no influence, so its gradient is zero: going back,
// the run is padded to full length. The note is `spec/ops/narrow.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { axisOf } from "../reduce.js";
import { type Shape, showShape, sizeOf } from "../tensor.js";
import { pad } from "./pad.js";
import { say } from "../words.js";

export interface NarrowOptions {
  /** The axis to shorten, negative counted from the end. */
  readonly dim: number;
  /** The first index to keep, negative counted from the end. */
  readonly start: number;
  /** How many to keep. */
  readonly length: number;
}

function run(input: Shape, { dim, start, length }: NarrowOptions) {
  const axis = axisOf(input, dim);
  const size = input[axis];
  const first = start < 0 ? start + size : start;
  const whole = Number.isInteger(start) && Number.isInteger(length);
  if (!whole || first < 0 || length < 0 || first + length > size)
    throw new ShapeError(
      say`${length} elements from index ${start} do not lie in axis ${axis} of ${showShape(input)},
        which has indices 0 to ${size - 1}`,
      "length",
    );
  return { axis, first, after: size - first - length };
}

/**
 * The `length` elements from index `start` on along the axis `dim`, copied.
 *
 * Shape: the input's, with `length` on axis `dim`.
 * Throws: ShapeError when the axis does not exist or the run does not lie in it.
 * Source: PyTorch's function. Differs from it: copies, no view.
 */
export const narrow = defineOp("narrow", {
  inputs: ["input"],
  accepts: "any",

  // ## Shape: `length` on the axis
  shape({ input }, o: NarrowOptions) {
    const { axis } = run(input.shape, o);
    return input.shape.map((d, i) => (i === axis ? o.length : d));
  },

  // ## Forward: $y_{\ldots i \ldots} = x_{\ldots, \mathrm{start} + i, \ldots}$
  forward({ input }, y, o: NarrowOptions) {
    const { axis, first } = run(input.shape, o);
    const step = sizeOf(input.shape.slice(axis + 1));
    const [from, to] = [input.shape[axis] * step, o.length * step];
    for (let outer = 0; outer * to < y.data.length; outer++) {
      const begin = outer * from + first * step;
      y.data.set(input.data.subarray(begin, begin + to), outer * to);
    }
  },

  // ## Backward: the run in its place, zeros around it
  gradients: {
    input: {
      needs: [],
      compose({ dy, input }, o) {
        const { axis, first, after } = run(input.shape, o);
        const untouched = new Array<number>(2 * (input.ndim - 1 - axis)).fill(0);
        return pad(dy, { padding: [...untouched, first, after] });
      },
    },
  },
});
