// # Planted slips
//
// A law that cannot fail says nothing. Here is, for every room, what a hand may get wrong, and the
// law that must notice: `npm run test:mutants` plants each slip into the source, runs the laws of the
// room on it, and fails if one survives. The source text is found literally and must stand there
// exactly once.

import type { LawName } from "./laws.js";

export interface Mutant {
  /** The room, whose source `reference/ops/ROOM.ts` is changed. */
  readonly room: string;
  /** Another file below `reference/` to change instead, such as `window.ts`. */
  readonly file?: string;
  readonly slip: string;
  readonly find: string;
  readonly replace: string;
  readonly caughtBy: LawName;
}

export const mutants: readonly Mutant[] = [
  {
    room: "conv2d",
    slip: "the kernel is flipped",
    find: "const h = i * stride[0] + a * dilation[0] - padding[0];",
    replace: "const h = i * stride[0] + (kernel[0] - 1 - a) * dilation[0] - padding[0];",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "the column's stride is taken for the row's",
    find: "const h = i * stride[0]",
    replace: "const h = i * stride[1]",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "padding is off by one",
    find: "const left = b * dilation[1] - padding[1];",
    replace: "const left = b * dilation[1] - padding[1] + 1;",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "the bias is forgotten",
    find: "if (bias) fillChannels(y.shape, y.data, bias);",
    replace: "",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "all groups see the first group's channels",
    find: "const channel = Math.floor(k / outPerGroup) * perGroup + c;",
    replace: "const channel = c;",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "the last column of each row is dropped",
    find: "visit(y, x, w, last - first + 1, stride[1]);",
    replace: "visit(y, x, w, last - first, stride[1]);",
    caughtBy: "exact",
  },
  {
    room: "conv2d",
    slip: "the weight's gradient is overwritten, not added up",
    find: "dW[w] += total;",
    replace: "dW[w] = total;",
    caughtBy: "adjoint",
  },
  {
    room: "conv2d",
    slip: "the bias's gradient is the mean, not the sum",
    find: "dbias.data[Math.floor(i / plane) % dbias.data.length] += dy.data[i];",
    replace: "dbias.data[Math.floor(i / plane) % dbias.data.length] += dy.data[i] / plane;",
    caughtBy: "adjoint",
  },
  {
    room: "conv2d",
    file: "window.ts",
    slip: "dilation is forgotten in the size of the output",
    find: "const room = size + 2 * p - d * (k - 1) - 1;\n    if",
    replace: "const room = size + 2 * p - (k - 1) - 1;\n    if",
    caughtBy: "shapes",
  },
];
