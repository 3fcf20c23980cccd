// # Values as Python prints them
//
// For the printed form of modules, which is PyTorch's.

import type { Pair } from "../window.js";

/** `(2, 2)` for a pair, `2` for a number: as it was given. */
export const printedPair = (value: Pair): string =>
  typeof value === "number" ? String(value) : `(${value.join(", ")})`;

export const printedBool = (value: boolean): string => (value ? "True" : "False");

/** Python changes to exponents below 10⁻⁴, JavaScript below 10⁻⁶; Python's have two digits. */
export function printedNumber(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e-4) return String(value);
  return value.toExponential().replace(/e-(\d)$/, "e-0$1");
}
