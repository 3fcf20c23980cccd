// # Batch normalisation
//
// Shifts and scales every channel to mean 0 and variance 1, then to a learned mean and variance.
// In training, mean and variance are those of the batch, and running statistics follow them; in
// evaluation the running statistics are used, and the operation is affine. The note is
// `spec/ops/batch_norm.md`.

import type { Values } from "../backend.js";
import { ShapeError } from "../errors.js";
import { defineOp, expectAxes, expectShape } from "../op.js";
import { type Shape, showShape, sizeOf } from "../tensor.js";
import { say } from "../words.js";

export interface BatchNormOptions {
  /** Whether to use the batch's statistics and update the running ones. Default: false. */
  readonly training?: boolean;
  /** The weight of this batch in the running statistics, in [0, 1]. Default: 0.1. */
  readonly momentum?: number;
  /** Added to the variance, in units of x². Default: 1e−5. */
  readonly eps?: number;
}

const EPS = 1e-5;

// ## Channels
//
// Axis 1 is the channel; everything else is averaged over. `everyValue` visits each element `i`
// with its channel `c`.

function everyValue(shape: Shape, visit: (i: number, c: number) => void): void {
  const [N, C] = shape;
  const inner = sizeOf(shape.slice(2));
  let i = 0;
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++) for (let k = 0; k < inner; k++) visit(i++, c);
}

/** How many values each channel has. */
const perChannel = (shape: Shape): number => sizeOf(shape) / shape[1];

/** `1/√(σ² + ε)` of each channel. */
const inverseDeviation = (variance: Values, eps: number): Float64Array =>
  Float64Array.from(variance.data, (v) => 1 / Math.sqrt(v + eps));

/**
 * Batch normalisation over the batch and all axes behind the channel.
 *
 * Shape: `[N, C, *]` → same; `weight`, `bias`, `running_mean`, `running_var` are `[C]` or null.
 * `save_mean` and `save_var` (biased) are the statistics that were used.
 * Units: `momentum` is a fraction in [0, 1]; `eps` is in units of x².
 * Throws: ShapeError in training on one value per channel, which has no variance, and in
 * evaluation without running statistics.
 * Source: Ioffe and Szegedy 2015, algorithm 1. Differs from PyTorch: nowhere; `running_var` takes
 * n/(n−1), the batch takes n.
 */
export const batchNorm = defineOp("batch_norm", {
  inputs: ["input", "weight?", "bias?", "running_mean?", "running_var?"],
  outputs: ["y", "save_mean", "save_var", "running_mean", "running_var"],

  // ## Shape: that of the input
  shape({ input, weight, bias, running_mean, running_var }, o: BatchNormOptions) {
    expectAxes("input", input.shape, 2, 3, 4);
    const channels = [input.shape[1]];
    for (const [name, t] of Object.entries({ weight, bias, running_mean, running_var }))
      if (t)
        expectShape(
          name,
          t.shape,
          channels,
          say`one for each channel of ${showShape(input.shape)}`,
        );
    const training = o.training ?? false;
    if (training && perChannel(input.shape) === 1)
      throw new ShapeError(
        say`in training each channel needs more than one value, got ${showShape(input.shape)}; use a
          larger batch, or eval()`,
        "input",
      );
    if (!training && !(running_mean && running_var))
      throw new ShapeError(say`evaluation needs running_mean and running_var`, "running_mean");
    return {
      y: input.shape,
      save_mean: channels,
      save_var: channels,
      running_mean: training && running_mean ? channels : null,
      running_var: training && running_var ? channels : null,
    };
  },

  // ## Forward
  //
  // $$\mu_c = \frac1n \sum_{i \in c} x_i, \qquad \sigma_c^2 = \frac1n \sum_{i \in c} (x_i-\mu_c)^2,
  //   \qquad y_i = \gamma_c \frac{x_i - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c$$
  //
  // The variance takes a second pass: squares of differences lose nothing where the mean is
  // large. Running statistics take the unbiased $\sigma^2 n/(n-1)$.
  forward({ input, weight, bias, running_mean, running_var }, y, o: BatchNormOptions) {
    const { momentum = 0.1, eps = EPS } = o;
    const [mean, variance] = [y.save_mean, y.save_var];
    if (o.training) {
      const n = perChannel(input.shape);
      everyValue(input.shape, (i, c) => {
        mean.data[c] += input.data[i] / n;
      });
      everyValue(input.shape, (i, c) => {
        variance.data[c] += (input.data[i] - mean.data[c]) ** 2 / n;
      });
      const follow = (running: number, now: number) => (1 - momentum) * running + momentum * now;
      for (let c = 0; c < mean.data.length; c++) {
        if (running_mean) y.running_mean.data[c] = follow(running_mean.data[c], mean.data[c]);
        if (running_var)
          y.running_var.data[c] = follow(running_var.data[c], (variance.data[c] * n) / (n - 1));
      }
    } else {
      mean.data.set(running_mean!.data);
      variance.data.set(running_var!.data);
    }
    const inverse = inverseDeviation(variance, eps);
    everyValue(input.shape, (i, c) => {
      const normal = (input.data[i] - mean.data[c]) * inverse[c];
      y.y.data[i] = normal * (weight ? weight.data[c] : 1) + (bias ? bias.data[c] : 0);
    });
  },

  gradients: {
    // ## Backward, input
    //
    // With $\hat x$ the normalised input and means over the channel,
    // $$\bar x_i = \frac{\gamma_c}{\sqrt{\sigma_c^2+\varepsilon}}
    //   \left(\bar y_i - \operatorname{mean}(\bar y) - \hat x_i \operatorname{mean}(\bar y\,\hat x)\right)$$
    // in training; the two means are there because the statistics move with the input. In
    // evaluation they do not, and only the factor is left.
    input: {
      needs: ["input", "weight", "save_mean", "save_var"],
      run({ dy, input, weight, save_mean, save_var }, dx, o: BatchNormOptions) {
        const inverse = inverseDeviation(save_var, o.eps ?? EPS);
        const normal = (i: number, c: number) => (input.data[i] - save_mean.data[c]) * inverse[c];
        const meanDy = new Float64Array(inverse.length);
        const meanDyNormal = new Float64Array(inverse.length);
        if (o.training) {
          const n = perChannel(dx.shape);
          everyValue(dx.shape, (i, c) => {
            meanDy[c] += dy.data[i] / n;
            meanDyNormal[c] += (dy.data[i] * normal(i, c)) / n;
          });
        }
        everyValue(dx.shape, (i, c) => {
          const moving = meanDy[c] + normal(i, c) * meanDyNormal[c];
          dx.data[i] = (weight ? weight.data[c] : 1) * inverse[c] * (dy.data[i] - moving);
        });
      },
    },

    // ## Backward, weight: $\bar\gamma_c = \sum_{i \in c} \bar y_i \hat x_i$
    weight: {
      needs: ["input", "save_mean", "save_var"],
      run({ dy, input, save_mean, save_var }, dweight, o: BatchNormOptions) {
        const inverse = inverseDeviation(save_var, o.eps ?? EPS);
        everyValue(dy.shape, (i, c) => {
          dweight.data[c] += dy.data[i] * (input.data[i] - save_mean.data[c]) * inverse[c];
        });
      },
    },

    // ## Backward, bias: $\bar\beta_c = \sum_{i \in c} \bar y_i$
    bias: {
      needs: [],
      run({ dy }, dbias) {
        everyValue(dy.shape, (i, c) => {
          dbias.data[c] += dy.data[i];
        });
      },
    },
  },
});
