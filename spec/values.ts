// # Values
//
// What oracles compute with: a shape and plain numbers. An oracle says for each element of the
// result, by its index, what the formula gives; it shares no code with what it judges.

export type Shape = readonly number[];

/** A tensor as plain data, row-major; float numbers unless `dtype` says otherwise. */
export interface Values {
  readonly shape: Shape;
  readonly data: readonly number[];
  readonly dtype?: "int64" | "uint8";
}

/** The numbers as a tensor holds them; float ones in `floats`. */
export function dataOf(
  { data, dtype }: Values,
  floats: Float32ArrayConstructor | Float64ArrayConstructor,
): Float32Array | Float64Array | BigInt64Array | Uint8Array {
  if (dtype === "int64") return BigInt64Array.from(data, BigInt);
  return (dtype === "uint8" ? Uint8Array : floats).from(data);
}

/** Inputs in the order of the operation, options, and the gradient of the first result. */
export interface Case<O extends object = object> {
  readonly inputs: readonly (Values | null)[];
  readonly options: O;
  readonly dy: Values | null;
}

/** The values whose element at each index is `element(...index)`. */
export function build(shape: Shape, element: (...index: number[]) => number): Values {
  const size = shape.reduce((product, d) => product * d, 1);
  const data = Array.from({ length: size }, (_, i) => element(...indexOf(i, shape)));
  return { shape, data };
}

/** The index of the element that is the `i`-th in row-major order. */
export function indexOf(i: number, shape: Shape): number[] {
  const index = new Array<number>(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = i % shape[axis];
    i = Math.floor(i / shape[axis]);
  }
  return index;
}

/**
 * The element at `index`.
 *
 * Throws: RangeError for an index that is not there, unless `outside` says what stands there.
 */
export function at({ shape, data }: Values, index: readonly number[], outside?: number): number {
  let offset = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    if (!(index[axis] >= 0 && index[axis] < shape[axis])) {
      if (outside === undefined)
        throw new RangeError(`no element [${index.join(", ")}] in [${shape.join(", ")}]`);
      return outside;
    }
    offset = offset * shape[axis] + index[axis];
  }
  return data[offset];
}

/** The product of some of the sizes. */
export const sizeOf = (v: Values | null, ...axes: number[]): number =>
  axes.reduce((product, axis) => product * v!.shape[axis], 1);

/** Every combination of one whole number from 0 up to each of `ends`, without the ends. */
export function* everyIndex(...ends: number[]): Generator<number[]> {
  if (ends.includes(0)) return;
  const index = ends.map(() => 0);
  for (let axis = 0; axis >= 0;) {
    yield [...index];
    // As an odometer: the last wheel turns, and the one before it when it comes round.
    axis = ends.length - 1;
    while (axis >= 0 && ++index[axis] === ends[axis]) index[axis--] = 0;
  }
}

export const map = (v: Values, change: (x: number, i: number) => number): Values => ({
  ...v,
  data: v.data.map(change),
});

/** The case with every float number made positive: what rounding is measured against. */
export const absolute = <O extends object>(c: Case<O>): Case<O> => {
  const positive = (v: Values | null) => (v === null || v.dtype ? v : map(v, Math.abs));
  return { ...c, inputs: c.inputs.map(positive), dy: positive(c.dy) };
};
