// # Where fewer multiplications pay
//
// A convolution of 3 × 3 windows in blocks can be computed by Winograd's tiles
// (`host/winograd_conv2d.cpp`): 16 multiply-adds instead of 36, and sums before and after. Which of the two
// takes less time follows from the sizes alone.

import type { Shape } from "convnotes";
import type { Available } from "./layout.js";
import type { Call, Draft } from "./plan.js";

/** The kernel by tiles for one in blocks. */
const tiled: ReadonlyMap<string, string> = new Map([
  ["blocked_conv2d", "winograd_conv2d"],
  ["blocked_conv2d_backward_input", "winograd_conv2d_backward_input"],
]);

interface Options {
  readonly stride?: number | readonly number[];
  readonly padding?: number | readonly number[];
  readonly dilation?: number | readonly number[];
}

const pairOf = (value: number | readonly number[] = 0): readonly number[] =>
  typeof value === "number" ? [value, value] : value;

/** Whether the window is one that the kernel takes. */
const fits = ({ stride = 1, dilation = 1 }: Options, [, , K, L]: Shape): boolean =>
  K === 3 && L === 3 && [...pairOf(stride), ...pairOf(dilation)].every((n) => n === 1);

// ## Cost
//
// In multiply-adds of a vector: of the window's own sum, less the taps outside; and of tiles, which reach nine
// tenths of the speed, with what each pixel, result and weight takes to be transformed, as it was measured.

/** Places along an axis that a window's taps see inside of the image, all taps together. */
const seen = (size: number, results: number, padding: number): number =>
  [0, 1, 2].reduce((sum, tap) => {
    const begin = Math.max(0, padding - tap);
    const end = Math.min(results, size + padding - tap);
    return sum + Math.max(0, end - begin);
  }, 0);

/** Whether tiles take less time: of `results` from `image`, both `[G, H, W, C, 16]`. */
function pays(image: Shape, results: Shape, padding: readonly number[]): boolean {
  const [G, H, W, terms] = image;
  const [, places, columns, outs] = results;
  const direct = G * seen(H, places, padding[0]) * seen(W, columns, padding[1]) * terms * outs;
  const tiles = G * Math.ceil(places / 2) * Math.ceil(columns / 2);
  const inTiles = tiles * (17.6 * terms * outs + 200 * (terms + outs)) + 40 * terms * outs;
  return inTiles < direct;
}

/** Gives convolutions to the kernels by tiles: wherever they can with `always`, else where it pays. */
export function intoTiles(draft: Draft, { kernels, always }: Available): Draft {
  const { buffers } = draft;
  const calls = draft.calls.map((call): Call => {
    const kernel = tiled.get(call.kernel);
    if (kernel === undefined || !kernels.has(kernel)) return call;
    const options = call.options as Options;
    const [image, weight] = call.inputs.map((b) => (b === null ? [] : buffers[b].shape));
    const results = buffers[call.outputs[0]!].shape;
    if (!fits(options, weight)) return call;
    const padding = pairOf(options.padding);
    const before = call.kernel.endsWith("_input") ? padding.map((p) => 2 - p) : padding;
    return always || pays(image, results, before) ? { ...call, kernel } : call;
  });
  return { ...draft, calls };
}
