// # Statistics with a stated confidence
//
// What is drawn at random can only be right with a certain probability. The bounds here hold for any
// number of draws, not only for many: a right implementation leaves them at most once in `1/DOUBT`
// tests, whatever the seed.

import type { Tensor } from "convnotes";
import { numbers } from "./cases.js";

/** How likely a right implementation is to fail one comparison. */
const DOUBT = 1e-9;

const t = Math.log(2 / DOUBT);

/** How far the mean of `n` independent values between 0 and `range` may be from its expectation. */
export const meanBound = (n: number, range: number): number => range * Math.sqrt(t / (2 * n));

/**
 * Between which factors the mean of `n` independent squares may be of its expectation, where each
 * value is a sum of independent values that are uniform around 0 or normal.
 *
 * Such sums are sub-Gaussian with their own variance, and their fourth moment is at most 3 times
 * the square of it. From above, squares then behave as those of normal numbers at worst (Laurent
 * and Massart 2000, lemma 1); from below, $e^{-x} \le 1 - x + x^2/2$ gives $e^{-n\delta^2/6}$.
 */
export const squaresBand = (n: number): readonly [low: number, high: number] => [
  1 - Math.sqrt((6 * t) / n),
  1 + 2 * Math.sqrt(t / n) + (2 * t) / n,
];

/** The mean of the squares of all elements. */
export const meanSquare = (x: Tensor): number =>
  numbers(x).reduce((total, v) => total + v * v, 0) / x.size;
