// # Matrix product
//
// Rows of the first matrix times columns of the second. The note is `spec/ops/matmul.md`.

import { ShapeError } from "../errors.js";
import { defineOp, expectAxes } from "../op.js";
import { showShape, type Tensor } from "../tensor.js";
import { permute } from "./permute.js";
import { say } from "../words.js";

const transposed = (t: Tensor): Tensor => permute(t, { dims: [1, 0] });

/**
 * `input · other`.
 *
 * Shape: `[M, K]`, `[K, N]` → `[M, N]`.
 * Throws: ShapeError when the inner sizes differ.
 * Differs from PyTorch: matrices only; reshape batches, or use `linear`.
 */
export const matmul = defineOp("matmul", {
  inputs: ["input", "other"],

  // ## Shape: $[M, K] \cdot [K, N] \to [M, N]$
  shape({ input, other }) {
    expectAxes("input", input.shape, 2);
    expectAxes("other", other.shape, 2);
    const [[rows, inner], [otherInner, columns]] = [input.shape, other.shape];
    if (inner !== otherInner)
      throw new ShapeError(
        say`input ${showShape(input.shape)} has ${inner} columns, but other
          ${showShape(other.shape)} has ${otherInner} rows`,
        "other",
        inner,
        otherInner,
      );
    return [rows, columns];
  },

  // ## Forward: $y_{mn} = \sum_k a_{mk} b_{kn}$
  forward({ input, other }, y) {
    const [M, K] = input.shape;
    const N = other.shape[1];
    for (let m = 0; m < M; m++)
      for (let k = 0; k < K; k++) {
        const factor = input.data[m * K + k];
        for (let n = 0; n < N; n++) y.data[m * N + n] += factor * other.data[k * N + n];
      }
  },

  multiplyAdds: ({ input }, y) => y[0] * y[1] * input[1],

  // ## Backward: $\bar A = \bar Y B^\top,\ \bar B = A^\top \bar Y$
  gradients: {
    input: {
      needs: ["other"],
      compose: ({ dy, other }): Tensor => matmul(dy, transposed(other)),
    },
    other: {
      needs: ["input"],
      compose: ({ dy, input }): Tensor => matmul(transposed(input), dy),
    },
  },
});
