// # Reshape
//
// The same numbers in the same order under another shape. Nothing is computed and nothing is
// copied, so there is no kernel. The note is `spec/ops/reshape.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { type Shape, showShape, sizeOf, type Tensor } from "../tensor.js";
import { say } from "../words.js";

export interface ReshapeOptions {
  /** The new sizes; one of them may be −1 and is then whatever fits. */
  readonly shape: Shape;
}

/**
 * The input's numbers, shared, under another shape.
 *
 * Shape: any → `options.shape`, of equally many elements.
 * Throws: ShapeError when the number of elements would change.
 */
export const reshape = defineOp("reshape", {
  inputs: ["input"],
  accepts: "any",
  view: true,

  // ## Shape: as asked, with $-1$ standing for what is left over
  shape({ input }, o: ReshapeOptions) {
    const known = o.shape.reduce((product, d) => (d === -1 ? product : product * d), 1);
    const unknown = o.shape.filter((d) => d === -1).length;
    const size = sizeOf(input.shape);
    if (unknown > 1) throw new ShapeError(say`only one size may be -1, got ${showShape(o.shape)}`);
    if (unknown === 1 ? known === 0 || size % known !== 0 : known !== size)
      throw new ShapeError(
        say`${showShape(input.shape)} has ${size} elements, which ${showShape(o.shape)} cannot
          hold`,
        "shape",
        size,
        known,
      );
    return o.shape.map((d) => (d === -1 ? size / known : d));
  },

  forward() {},

  // ## Backward: the gradient in the input's shape
  gradients: {
    input: { needs: [], compose: ({ dy, input }): Tensor => reshape(dy, { shape: input.shape }) },
  },
});

/**
 * Joins the axes from `startDim` to `endDim` (inclusive, negative counts from the end) into one.
 *
 * Shape: `[N, C, H, W]` → `[N, C·H·W]` by default.
 */
export function flatten(input: Tensor, { startDim = 1, endDim = -1 } = {}): Tensor {
  const last = endDim < 0 ? input.ndim + endDim : endDim;
  const first = startDim < 0 ? input.ndim + startDim : startDim;
  if (first < 0 || last >= input.ndim || first > last)
    throw new ShapeError(
      say`flatten: axes ${startDim} to ${endDim} do not exist in ${showShape(input.shape)}`,
    );
  const joined = sizeOf(input.shape.slice(first, last + 1));
  return reshape(input, {
    shape: [...input.shape.slice(0, first), joined, ...input.shape.slice(last + 1)],
  });
}
