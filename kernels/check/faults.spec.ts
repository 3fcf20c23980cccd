// # Faults that must be seen
//
// A judge that finds nothing wrong may be blind. Here kernels are given the faults that fast kernels
// have: a tile that ends one place off, a row that is left out, products in fewer bits, an update
// that two threads make at once, a buffer of the call before. Each is put between the kernel and the
// judge, and the judge must find it on the cases that it always draws.

import assert from "node:assert/strict";
import { Tensor } from "convnotes";
import fc from "fast-check";
import { type Law, rooms } from "../../spec/laws.js";
import { float32 } from "../../spec/rounding.js";
import { checkKernels, restoreKernels, type Run } from "./guarded.js";
import { judge } from "./judge.js";

type Data = Tensor["data"];

const room = (stem: string): Law => rooms().find((law) => law.stem === stem)!;

/** What the kernel leaves in its outputs is changed. */
const afterwards =
  (change: (output: Float32Array, shape: readonly number[], name: string) => void) =>
  (run: Run): Run =>
  (primitive, inputs, outputs, options) => {
    run(primitive, inputs, outputs, options);
    for (const y of outputs)
      if (y?.data instanceof Float32Array && y.size > 0) change(y.data, y.shape, primitive.name);
  };

/** The kernel sees other numbers than it was given. */
const beforehand =
  (change: (input: Float32Array, shape: readonly number[]) => void) =>
  (run: Run): Run =>
  (primitive, inputs, outputs, options) => {
    const changed = inputs.map((x) => {
      if (!(x?.data instanceof Float32Array)) return x;
      const data: Data = x.data.slice();
      change(data, x.shape);
      return new Tensor(x.shape, x.dtype, "cpu", { data, version: 0 });
    });
    run(primitive, changed, outputs, options);
  };

interface Fault {
  readonly plant: (run: Run) => Run;
  readonly stems: readonly string[];
}

const innermost = (shape: readonly number[]) => shape[shape.length - 1] ?? 1;

const faults: Readonly<Record<string, () => Fault>> = {
  "a tile whose edge is one column off": () => ({
    // What is left over after whole vectors gets its neighbour's numbers.
    plant: afterwards((y, shape) => {
      const columns = innermost(shape);
      const tail = columns - (columns % 16);
      for (let i = 0; i < y.length; i++)
        if (i % columns >= tail && i % columns < columns - 1) y[i] = y[i + 1];
    }),
    stems: ["conv2d", "linear", "matmul", "max_pool2d", "avg_pool2d", "batch_norm", "relu"],
  }),
  "a last row that nobody writes": () => ({
    plant: afterwards((y, shape) => y.fill(NaN, y.length - innermost(shape))),
    stems: ["conv2d", "linear", "matmul", "max_pool2d", "batch_norm", "softmax", "concat"],
  }),
  "a last term that nobody adds": () => ({
    plant: beforehand((x, shape) => {
      for (let i = innermost(shape) - 1; i < x.length; i += innermost(shape)) x[i] = 0;
    }),
    stems: ["conv2d", "linear", "matmul", "sum", "mean", "avg_pool2d", "cross_entropy"],
  }),
  "factors of ten bits": () => ({
    plant: beforehand((x) => {
      const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
      for (let i = 0; i < x.length; i++) if (Number.isFinite(x[i])) bits[i] &= ~0x1fff;
    }),
    stems: ["conv2d", "linear", "matmul", "batch_norm", "sgd", "adam"],
  }),
  "a sum that two threads write at once": () => {
    // Now and then the half that one of them added is lost.
    let calls = 0;
    return {
      plant: (run) => (primitive, inputs, outputs, options) => {
        const isSum = /_backward_(weight|bias)$/.test(primitive.name);
        const loses = isSum && ++calls % 3 === 0;
        const half = beforehand((x, shape) => {
          if (shape.length > 1) x.fill(0, 0, Math.ceil(shape[0] / 2) * (x.length / shape[0]));
        });
        (loses ? half(run) : run)(primitive, inputs, outputs, options);
      },
      stems: ["conv2d", "linear", "batch_norm"],
    };
  },
  "a buffer of the call before": () => {
    const last = new Map<string, Float32Array>();
    return {
      plant: afterwards((y, _, name) => {
        const fresh = y.slice();
        const stale = last.get(name);
        if (stale) y.set(stale.subarray(0, 1));
        last.set(name, fresh);
      }),
      stems: ["conv2d", "linear", "add", "relu", "max_pool2d", "dropout"],
    };
  },
  "a store behind the end": () => ({
    plant: afterwards((y) => {
      new Float32Array(y.buffer, y.byteOffset, y.length + 1)[y.length] = 0;
    }),
    stems: ["conv2d", "relu", "sum"],
  }),
  "an input that is used as scratch": () => ({
    plant: (run) => (primitive, inputs, outputs, options) => {
      run(primitive, inputs, outputs, options);
      const x = inputs.find((t) => t !== null && !outputs.includes(t) && t.size > 0);
      if (x?.data instanceof Float32Array) x.data[0] += 1;
    },
    stems: ["conv2d", "max_pool2d", "softmax"],
  }),
};

describe("a kernel's fault is found:", () => {
  after(restoreKernels);

  for (const [name, fault] of Object.entries(faults))
    for (const stem of fault().stems)
      it(`${name}, in ${stem}`, () => {
        checkKernels({ threads: 2 }, fault().plant);
        const law = room(stem);
        const { failed, errorInstance } = fc.check(
          fc.property(law.real, (c) => judge(law, c, float32)),
          { numRuns: 60, endOnFailure: true },
        );
        assert(failed, "nobody saw it");
        // Seen as what it is: a number that is off, or memory that was not the kernel's.
        assert.match(
          (errorInstance as Error).message,
          /\] is .*, expected |bytes beside|changed its input/,
        );
      });
});
