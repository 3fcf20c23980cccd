// # Linear map
//
// Every output is a weighted sum of all inputs of its row, plus a bias. The weight is stored one
// output a row, `[out, in]`, so that each output is a dot product of two runs of numbers. The
// note is `spec/ops/linear.md`.

import { ShapeError } from "../errors.js";
import { defineOp, expectAxes, expectShape } from "../op.js";
import { type Shape, showShape, sizeOf } from "../tensor.js";
import { say } from "../words.js";

/** Rows times inputs times outputs. */
const products = (rows: Shape, weight: Shape): number => sizeOf(rows.slice(0, -1)) * sizeOf(weight);

/**
 * `input · weightᵀ + bias`.
 *
 * Shape: `[*, in]`, `[out, in]`, `[out]` or null → `[*, out]`.
 * Throws: ShapeError when `in` differs between input and weight.
 * Source: the notes' (mlp). Differs from PyTorch: nowhere.
 */
export const linear = defineOp("linear", {
  inputs: ["input", "weight", "bias?"],

  // ## Shape: $[*, I] \to [*, O]$
  shape({ input, weight, bias }) {
    expectAxes("weight", weight.shape, 2);
    const [outputs, inputs] = weight.shape;
    const features = input.shape.at(-1);
    if (features === undefined) throw new ShapeError(say`input must have at least 1 axis, got 0`);
    if (features !== inputs)
      throw new ShapeError(
        say`input ${showShape(input.shape)} has ${features} features, but weight
          ${showShape(weight.shape)} expects ${inputs}; set in_features to ${features}`,
        "in_features",
        features,
        inputs,
      );
    if (bias) expectShape("bias", bias.shape, [outputs], say`one for each output`);
    return [...input.shape.slice(0, -1), outputs];
  },

  // ## Forward: $y_{no} = b_o + \sum_i x_{ni} w_{oi}$
  forward({ input, weight, bias }, y) {
    const [O, I] = weight.shape;
    const [X, W, Y] = [input.data, weight.data, y.data];
    for (let k = 0; k < Y.length; k++) {
      const o = k % O;
      const x = ((k - o) / O) * I;
      const w = o * I;
      let total = bias ? bias.data[o] : 0;
      for (let i = 0; i < I; i++) total += X[x + i] * W[w + i];
      Y[k] = total;
    }
  },

  multiplyAdds: ({ weight }, y) => products(y, weight),

  gradients: {
    // ## Backward, input: $\bar x_{ni} = \sum_o \bar y_{no} w_{oi}$
    input: {
      needs: ["weight"],
      run({ dy, weight }, dx) {
        const [O, I] = weight.shape;
        const [dY, W, dX] = [dy.data, weight.data, dx.data];
        for (let k = 0; k < dY.length; k++) {
          const o = k % O;
          const x = ((k - o) / O) * I;
          const w = o * I;
          const factor = dY[k];
          for (let i = 0; i < I; i++) dX[x + i] += factor * W[w + i];
        }
      },
      multiplyAdds: ({ dy, weight }) => products(dy, weight),
    },

    // ## Backward, weight: $\bar w_{oi} = \sum_n \bar y_{no} x_{ni}$
    weight: {
      needs: ["input"],
      run({ dy, input }, dweight) {
        const [O, I] = dweight.shape;
        const [dY, X, dW] = [dy.data, input.data, dweight.data];
        for (let k = 0; k < dY.length; k++) {
          const o = k % O;
          const x = ((k - o) / O) * I;
          const w = o * I;
          const factor = dY[k];
          for (let i = 0; i < I; i++) dW[w + i] += factor * X[x + i];
        }
      },
      multiplyAdds: ({ dy }, dweight) => products(dy, dweight),
    },

    // ## Backward, bias: $\bar b_o = \sum_n \bar y_{no}$
    bias: {
      needs: [],
      run({ dy }, dbias) {
        const O = dbias.data.length;
        for (let k = 0; k < dy.data.length; k++) dbias.data[k % O] += dy.data[k];
      },
    },
  },
});
