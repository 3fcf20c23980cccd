// # What is left of a gradient
//
// Stacks of dense layers with sigmoids: as they are, with batch normalisation before each sigmoid,
// and with a shortcut around each layer. Measured is the length of the gradient at the input, as a
// share of its length at the output. The tests, the chapter's table and the plot measure here.

import {
  add,
  init,
  manualSeed,
  nn,
  randn,
  type RandomOptions,
  sigmoid,
  type Tensor,
} from "convnotes";
import { numbers } from "./cases.js";

export const stackKinds = ["plain", "batch normalisation", "shortcuts"] as const;
export type StackKind = (typeof stackKinds)[number];

/** The depths that the chapter shows. */
export const depths = [1, 2, 4, 8, 16, 32, 64];

const width = 16;

export const norm = (t: Tensor): number => Math.hypot(...numbers(t));

export interface Stack {
  /** What is left of the gradient's length behind all layers. */
  readonly left: number;
  readonly weights: readonly Tensor[];
}

/** Draws a stack and sends a random gradient back through it, in float64. */
export function measureStack(
  kind: StackKind,
  depth: number,
  seed: number,
  start: (weight: Tensor) => void = (weight) => void init.xavierUniform_(weight),
): Stack {
  manualSeed(seed);
  const options: RandomOptions = { dtype: "float64" };
  const x = randn([width, width], { ...options, requiresGrad: true });
  const gradient = randn([width, width], options);
  const weights: Tensor[] = [];
  let h: Tensor = x;
  for (let q = 0; q < depth; q++) {
    const layer = new nn.Linear(width, width, { bias: false }).to("float64");
    start(layer.weight);
    weights.push(layer.weight);
    const z = layer.call(h);
    if (kind === "plain") h = sigmoid(z);
    else if (kind === "shortcuts") h = add(h, sigmoid(z));
    else h = sigmoid(new nn.BatchNorm1d(width).to("float64").call(z));
  }
  h.backward(gradient);
  return { left: norm(x.grad!) / norm(gradient), weights };
}
