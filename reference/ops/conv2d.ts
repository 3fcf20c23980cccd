// # Convolution
//
// Every output pixel is a weighted sum of the input pixels under its window, over all input
// channels; each output channel has weights of its own, and all pixels of a channel share them.
// (Strictly this is cross-correlation: the kernel is not flipped.) With groups, the channels are
// split into equal parts that do not see each other. The note is `spec/ops/conv2d.md`.

import type { Values } from "../backend.js";
import { ShapeError } from "../errors.js";
import { defineOp, expectAxes, expectShape, type Meta } from "../op.js";
import { type Shape, showShape } from "../tensor.js";
import { outputSize, type Pair, type Window, windowOf } from "../window.js";
import { say } from "../words.js";

export interface Conv2dOptions {
  /** Pixels from one window to the next. Default: 1. */
  readonly stride?: Pair;
  /** Zero pixels added on each side. Default: 0. */
  readonly padding?: Pair;
  /** Pixels from one tap to the next. Default: 1. */
  readonly dilation?: Pair;
  /** Parts into which the channels are split. Default: 1. */
  readonly groups?: number;
}

const windowFor = (weight: Shape, o: Conv2dOptions): Window =>
  windowOf({
    kernelSize: [weight[2], weight[3]],
    stride: o.stride ?? 1,
    padding: o.padding,
    dilation: o.dilation,
  });

// ## Shape: $[N, C, H, W] * [O, C/g, K, L] \to [N, O, H', W']$

function shape(
  { input, weight, bias }: { input: Meta; weight: Meta; bias: Meta | null },
  o: Conv2dOptions,
): number[] {
  expectAxes("input", input.shape, 4);
  expectAxes("weight", weight.shape, 4);
  const groups = o.groups ?? 1;
  const [n, channels, height, width] = input.shape;
  const [outChannels, perGroup] = weight.shape;
  if (!Number.isInteger(groups) || groups < 1 || outChannels % groups !== 0)
    throw new ShapeError(
      say`groups ${groups} must be a whole number that divides the ${outChannels} output channels`,
      "groups",
    );
  if (channels !== perGroup * groups)
    throw new ShapeError(
      say`input ${showShape(input.shape)} has ${channels} channels, but weight
        ${showShape(weight.shape)}${groups > 1 ? say` in ${groups} groups` : ""} expects
        ${perGroup * groups}; set in_channels to ${channels}`,
      "in_channels",
      channels,
      perGroup * groups,
    );
  if (bias) expectShape("bias", bias.shape, [outChannels], say`one for each output channel`);
  return [n, outChannels, ...outputSize([height, width], windowFor(weight.shape, o))];
}

// ## One walk, three sums
//
// Output $y$, input $x$ and weight $w$ meet in products $w \cdot x$ that add up to $y$. The same
// products, with one factor replaced by $\bar y$, add up to the other two's gradients, so a
// single walk serves all three. It goes along rows: in row `i` of the output and under tap
// `(a, b)`, `count` neighbouring outputs from offset `y` meet inputs from offset `x` that are
// `step` apart, all with the weight at offset `w`. Taps that fall on padding are left out.

type Row = (y: number, x: number, w: number, count: number, step: number) => void;

function everyRow(output: Shape, input: Shape, weight: Shape, o: Conv2dOptions, visit: Row): void {
  const { kernel, stride, padding, dilation } = windowFor(weight, o);
  const [N, O, rows, columns] = output;
  const [, C, H, W] = input;
  const perGroup = weight[1];
  const outPerGroup = O / (o.groups ?? 1);
  for (let n = 0; n < N; n++)
    for (let k = 0; k < O; k++)
      for (let c = 0; c < perGroup; c++) {
        const channel = Math.floor(k / outPerGroup) * perGroup + c;
        for (let a = 0; a < kernel[0]; a++)
          for (let b = 0; b < kernel[1]; b++) {
            const w = ((k * perGroup + c) * kernel[0] + a) * kernel[1] + b;
            // Columns j whose pixel v = j·stride + left lies inside 0 ≤ v < W.
            const left = b * dilation[1] - padding[1];
            const first = Math.max(0, Math.ceil(-left / stride[1]));
            const last = Math.min(columns - 1, Math.floor((W - 1 - left) / stride[1]));
            if (last < first) continue;
            for (let i = 0; i < rows; i++) {
              const h = i * stride[0] + a * dilation[0] - padding[0];
              if (h < 0 || h >= H) continue;
              const y = ((n * O + k) * rows + i) * columns + first;
              const x = ((n * C + channel) * H + h) * W + first * stride[1] + left;
              visit(y, x, w, last - first + 1, stride[1]);
            }
          }
      }
}

/** Products of one pass: every output pixel sees its window in every channel of its group. */
const products = (output: Shape, weight: Shape): number =>
  output[0] * output[1] * output[2] * output[3] * weight[1] * weight[2] * weight[3];

/**
 * Cross-correlation of a batch of images with a bank of kernels.
 *
 * Shape: input `[N, C, H, W]`, weight `[O, C/groups, K, L]`, bias `[O]` or null →
 * `[N, O, H', W']` with `H' = ⌊(H + 2·padding − dilation·(K−1) − 1)/stride⌋ + 1`.
 * Throws: ShapeError when channels, groups or bias do not fit, or the kernel exceeds the image.
 * Source: the notes' (conv-layer-channels). Differs from PyTorch: `padding` takes no strings.
 */
export const conv2d = defineOp("conv2d", {
  inputs: ["input", "weight", "bias?"],
  shape,

  // ## Forward: $y_{nkij} = b_k + \sum_{c,a,b} w_{kcab}\, x_{n,c,\,si+da-p,\,sj+db-p}$
  forward({ input, weight, bias }, y, o: Conv2dOptions) {
    if (bias) fillChannels(y.shape, y.data, bias);
    const [X, Wt, Y] = [input.data, weight.data, y.data];
    everyRow(y.shape, input.shape, weight.shape, o, (y0, x0, w, count, step) => {
      const factor = Wt[w];
      for (let j = 0; j < count; j++) Y[y0 + j] += factor * X[x0 + j * step];
    });
  },

  multiplyAdds: ({ weight }, y) => products(y, weight),

  window({ weight }, _, o: Conv2dOptions) {
    const { kernel, stride, padding, dilation } = windowFor(weight, o);
    const span = (axis: 0 | 1) => dilation[axis] * (kernel[axis] - 1) + 1;
    return { kernel: [span(0), span(1)], stride, padding };
  },

  gradients: {
    // ## Backward, input: $\bar x = \sum w\,\bar y$ over the outputs that saw the pixel
    input: {
      needs: ["weight"],
      run({ dy, weight, input }, dx, o: Conv2dOptions) {
        const [dY, Wt, dX] = [dy.data, weight.data, dx.data];
        everyRow(dy.shape, input.shape, weight.shape, o, (y0, x0, w, count, step) => {
          const factor = Wt[w];
          for (let j = 0; j < count; j++) dX[x0 + j * step] += factor * dY[y0 + j];
        });
      },
      multiplyAdds: ({ dy, weight }) => products(dy, weight),
    },

    // ## Backward, weight: $\bar w = \sum x\,\bar y$ over all places where the tap was used
    weight: {
      needs: ["input"],
      run({ dy, input, weight }, dweight, o: Conv2dOptions) {
        const [dY, X, dW] = [dy.data, input.data, dweight.data];
        everyRow(dy.shape, input.shape, weight.shape, o, (y0, x0, w, count, step) => {
          let total = 0;
          for (let j = 0; j < count; j++) total += dY[y0 + j] * X[x0 + j * step];
          dW[w] += total;
        });
      },
      multiplyAdds: ({ dy }, dweight) => products(dy, dweight),
    },

    // ## Backward, bias: $\bar b_k = \sum_{n,i,j} \bar y_{nkij}$
    bias: {
      needs: [],
      run({ dy }, dbias) {
        const plane = dy.shape[2] * dy.shape[3];
        for (let i = 0; i < dy.data.length; i++)
          dbias.data[Math.floor(i / plane) % dbias.data.length] += dy.data[i];
      },
    },
  },
});

function fillChannels([N, O, rows, columns]: Shape, data: Float64Array, bias: Values): void {
  const plane = rows * columns;
  for (let m = 0; m < N * O; m++) data.fill(bias.data[m % O], m * plane, (m + 1) * plane);
}
