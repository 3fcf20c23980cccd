// # Concatenation
//
// Puts tensors side by side along one axis; all other axes must agree. The note is
// `spec/ops/concat.md`.

import { ShapeError } from "../errors.js";
import { defineOp } from "../op.js";
import { axisOf } from "../reduce.js";
import { showShape, sizeOf } from "../tensor.js";
import { narrow } from "./narrow.js";
import { say } from "../words.js";

export interface ConcatOptions {
  /** The axis along which the tensors are put; negative counts from the end. Default: 0. */
  readonly dim?: number;
}

/**
 * The tensors one after another along `dim`.
 *
 * Shape: `[N, Cᵢ, H, W]` for each → `[N, ΣCᵢ, H, W]` with `dim: 1`.
 * Throws: ShapeError when another axis differs, or there is nothing to put together.
 * Source: PyTorch's torch.concat.
 */
export const concat = defineOp("concat", {
  inputs: ["...tensors"],
  accepts: "any",

  // ## Shape: the sizes along the axis add up
  shape({ tensors }, o: ConcatOptions) {
    const [first] = tensors;
    const dim = axisOf(first.shape, o.dim ?? 0);
    tensors.forEach(({ shape }, k) => {
      if (
        shape.length !== first.shape.length ||
        shape.some((d, i) => i !== dim && d !== first.shape[i])
      )
        throw new ShapeError(
          say`tensors[${k}] has shape ${showShape(shape)}, tensors[0] ${showShape(first.shape)};
            they may differ only along axis ${dim}`,
          `tensors[${k}]`,
        );
    });
    const total = tensors.reduce((sum, { shape }) => sum + shape[dim], 0);
    return first.shape.map((d, i) => (i === dim ? total : d));
  },

  // ## Forward: blocks, taken in turn
  //
  // What lies behind the axis makes blocks; for each index before it, the tensors' blocks follow
  // one another.
  forward({ tensors }, y, o: ConcatOptions) {
    const dim = axisOf(y.shape, o.dim ?? 0);
    const outer = sizeOf(y.shape.slice(0, dim));
    let at = 0;
    for (let n = 0; n < outer; n++)
      for (const { shape, data } of tensors) {
        const block = sizeOf(shape.slice(dim));
        y.data.set(data.subarray(n * block, (n + 1) * block), at);
        at += block;
      }
  },

  // ## Backward: each tensor's part of $\bar y$
  gradients: {
    tensors: {
      needs: [],
      compose({ dy, tensors }, o, index) {
        const dim = axisOf(dy.shape, o.dim ?? 0);
        const before = tensors.slice(0, index).reduce((sum, t) => sum + t.shape[dim], 0);
        return narrow(dy, { dim, start: before, length: tensors[index].shape[dim] });
      },
    },
  },
});
