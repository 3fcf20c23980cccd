// # Where fewer multiplications pay
//
// A convolution of 3 × 3 or 5 × 5 windows in blocks can be computed by Winograd's tiles
// (`host/winograd_conv2d.cpp`): 16 multiply-adds instead of 36, or 49 instead of 100, and sums before and
// after. Which takes less time follows from the sizes alone.

import type { Shape } from "convnotes";
import type { Available } from "./layout.js";
import type { Call, Draft } from "./plan.js";

/** Which operands are the images that are read and those that are written: forward, `x` and `y`. */
interface Tiled {
  readonly kernel: string;
  images(call: Call): readonly [number, number];
  readonly weight: (call: Call) => number;
}

const tiled: Readonly<Record<string, Tiled>> = {
  blocked_conv2d: {
    kernel: "winograd_conv2d",
    images: ({ inputs, outputs }) => [inputs[0]!, outputs[0]!],
    weight: ({ inputs }) => inputs[1]!,
  },
  blocked_conv2d_backward_input: {
    kernel: "winograd_conv2d_backward_input",
    images: ({ inputs, outputs }) => [outputs[0]!, inputs[0]!],
    weight: ({ inputs }) => inputs[1]!,
  },
  blocked_conv2d_backward_weight: {
    kernel: "winograd_conv2d_backward_weight",
    images: ({ inputs }) => [inputs[1]!, inputs[0]!],
    weight: ({ outputs }) => outputs[0]!,
  },
};

interface Options {
  readonly stride?: number | readonly number[];
  readonly padding?: number | readonly number[];
  readonly dilation?: number | readonly number[];
}

const pairOf = (value: number | readonly number[] = 0): readonly number[] =>
  typeof value === "number" ? [value, value] : value;

/** Whether the window is one that the kernels take. */
const fits = ({ stride = 1, dilation = 1 }: Options, [, , K, L]: Shape): boolean =>
  (K === 3 || K === 5) && L === K && [...pairOf(stride), ...pairOf(dilation)].every((n) => n === 1);

// ## Cost
//
// In multiply-adds of a vector: of the window's own sum, less the taps outside; and of tiles, which reach nine
// tenths of the speed, with what each pixel, result and weight takes to be transformed, as it was measured.

/** Places along an axis that a window's taps see inside of the image, all taps together. */
const seen = (size: number, places: number, taps: number, padding: number): number =>
  Array.from({ length: taps }, (_, tap) =>
    Math.max(0, Math.min(places, size + padding - tap) - Math.max(0, padding - tap)),
  ).reduce((sum, count) => sum + count);

/** Whether tiles take less time. `x` and `y` are `[G, H, W, C, 16]`; `kernel` is what would compute. */
function pays(kernel: string, x: Shape, y: Shape, taps: number, padding: readonly number[]) {
  const [G, H, W, C] = x;
  const [, H2, W2, O] = y;
  const direct = G * seen(H, H2, taps, padding[0]) * seen(W, W2, taps, padding[1]) * C * O;
  const parts = taps === 3 ? 16 : 49;
  const [rows, columns] = kernel.endsWith("_input") ? [H, W] : [H2, W2];
  const tiles = G * Math.ceil(rows / 2) * Math.ceil(columns / 2);
  const each = parts * (1.1 * C * O + 12 * (C + O));
  return tiles * each + 2.5 * parts * C * O < direct;
}

/** Gives convolutions to the kernels by tiles: wherever they can with `always`, else where it pays. */
export function intoTiles(draft: Draft, { kernels, always }: Available): Draft {
  const { buffers } = draft;
  const calls = draft.calls.map((call): Call => {
    const form = Object.hasOwn(tiled, call.kernel) ? tiled[call.kernel] : undefined;
    if (form === undefined || !kernels.has(form.kernel)) return call;
    const { kernel } = form;
    const [x, y] = form.images(call).map((b) => buffers[b].shape);
    const weight = buffers[form.weight(call)].shape;
    const options = call.options as Options;
    if (!fits(options, weight)) return call;
    return always || pays(kernel, x, y, weight[2], pairOf(options.padding))
      ? { ...call, kernel }
      : call;
  });
  return { ...draft, calls };
}
