// # Numbers as the fixture has them

import { createHash } from "node:crypto";
import { type DType, fromData, type Shape, type Tensor } from "convnotes";

/** Of all bytes, one tensor after the other. */
export function sha256(tensors: Iterable<Tensor>): string {
  const hash = createHash("sha256");
  for (const { data } of tensors)
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}

/** Whole numbers from −5 to 5; other `k`, other numbers. */
export function whole(shape: Shape, k: number, dtype: DType = "float32"): Tensor {
  const size = shape.reduce((product, d) => product * d, 1);
  const numbers = Float64Array.from({ length: size }, (_, i) => ((7 * i + 3 * k) % 11) - 5);
  return fromData(numbers, shape).to(dtype);
}

export const numbers = (t: Tensor): number[] => Array.from(t.data, Number);
