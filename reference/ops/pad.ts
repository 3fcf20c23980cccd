// # Padding
//
// A border of one value around a tensor, of a width of its own on either side of each axis. A
// negative width takes elements away instead, which is why padding is its own gradient: what was
// added in front is cut off again on the way back. The note is `spec/ops/pad.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { type Shape, showShape, strides, type Tensor } from "../tensor.js";
import { walk } from "../walk.js";
import { say } from "../words.js";

export interface PadOptions {
  /**
   * Elements to add before and after, from the last axis on: `[left, right, top, bottom, …]`.
   * Axes that are not reached stay as they are; negative numbers cut off.
   */
  readonly padding: readonly number[];
  /** What the border is filled with. Default: 0. */
  readonly value?: number;
}

/** `[before, after]` for every axis, the first axis first. */
function borders(input: Shape, { padding }: PadOptions): [number, number][] {
  if (padding.length % 2 !== 0 || padding.length > 2 * input.length)
    throw new ShapeError(
      say`padding ${showShape(padding)} must hold two numbers for each axis to pad, and
        ${showShape(input)} has ${input.length} axes`,
      "padding",
    );
  return input.map((size, axis) => {
    const at = 2 * (input.length - 1 - axis);
    const [before, after] = [padding[at] ?? 0, padding[at + 1] ?? 0];
    if (!Number.isInteger(before) || !Number.isInteger(after) || size + before + after < 0)
      throw new ShapeError(
        say`padding ${before} and ${after} cannot be put around axis ${axis} of size ${size}: they
          must be whole numbers that leave at least 0`,
        "padding",
      );
    return [before, after];
  });
}

/**
 * The input inside a border of one value.
 *
 * Shape: each axis grows by its two paddings.
 * Throws: ShapeError when paddings do not come in pairs, or take away more than there is.
 * Source: the notes on padding. Differs from PyTorch: constant borders only.
 */
export const pad = defineOp("pad", {
  inputs: ["input"],
  accepts: "any",

  // ## Shape: $d' = d + p_{\mathrm{before}} + p_{\mathrm{after}}$ on every axis
  shape: ({ input }, o: PadOptions) =>
    borders(input.shape, o).map(([before, after], axis) => input.shape[axis] + before + after),

  // ## Forward: $y_{i + p_{\mathrm{before}}} = x_i$ where both exist, the value elsewhere
  forward({ input }, y, o: PadOptions) {
    y.data.fill(o.value ?? 0);
    const [from, to] = [strides(input.shape), strides(y.shape)];
    // The part that survives, and the offsets of its first element in input and result.
    const kept: number[] = [];
    let [a, b] = [0, 0];
    borders(input.shape, o).forEach(([before, after], axis) => {
      const size = input.shape[axis] + Math.min(before, 0) + Math.min(after, 0);
      kept.push(Math.max(size, 0));
      a += Math.max(-before, 0) * from[axis];
      b += Math.max(before, 0) * to[axis];
    });
    walk(kept, from, to, (_, i, j) => {
      y.data[b + j] = input.data[a + i];
    });
  },

  // ## Backward: $\bar x_i = \bar y_{i + p_{\mathrm{before}}}$, padding by $-p$
  gradients: {
    input: {
      needs: [],
      compose: ({ dy }, { padding }): Tensor => pad(dy, { padding: padding.map((p) => -p) }),
    },
  },
});
