// # Tensors in tests
//
// From plain values to the library's tensors, and whether two of them are the same.

import assert from "node:assert/strict";
import { fromData, type Tensor } from "convnotes";
import type { Values } from "./values.js";

/** A float64 tensor of these values. */
export const tensorOf = ({ shape, data }: Values): Tensor =>
  fromData(Float64Array.from(data), shape);

/** Fails unless shapes and all numbers are equal; −0 equals 0, and NaN itself. */
export function assertEqual(actual: Tensor, expected: Tensor): void {
  assert.deepEqual(actual.shape, expected.shape);
  const plain = (t: Tensor) => Array.from(t.data, Number).map((v) => v + 0);
  assert.deepEqual(plain(actual), plain(expected));
}
