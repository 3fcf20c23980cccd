// # The emulated device in tests
//
// Builds the kernels as they are now, and has the suite that asks for it compute with them.

import * as convnotes from "convnotes";
import type { Primitive, Tensor } from "convnotes";
import { loadKernels } from "../backend.js";
import { restoreKernels } from "../check/guarded.js";
import { buildEmulated } from "./build.js";

/** Builds the library of all kernels for the emulated device; returns its path. */
export const emulatedKernels = (checks = false): Promise<string> =>
  buildEmulated({
    ...{ name: "kernels", sources: ["kernels/cuda/all.cu", "kernels/cuda/library.cu"] },
    ...{ checks, library: true },
  });

/**
 * Before the suite's tests `emulated` has the kernels as they are in the sources, loaded with what
 * `changes` gives in place of parts of the library; behind them it is what it was.
 */
export function onEmulatedDevice(changes: () => object = () => ({})): void {
  const known = process.env.CONVNOTES_EMULATED;
  before(async () => {
    process.env.CONVNOTES_EMULATED = await emulatedKernels();
    loadKernels({ ...convnotes, ...changes() });
  });
  after(() => {
    if (known === undefined) delete process.env.CONVNOTES_EMULATED;
    else process.env.CONVNOTES_EMULATED = known;
    restoreKernels();
  });
}

/** What a kernel gives, by its name alone, for outputs of those shapes. */
export function runKernel(
  name: string,
  inputs: readonly (Tensor | null)[],
  shapes: readonly (readonly number[] | null)[],
  options: object,
): (Tensor | null)[] {
  const outputs = shapes.map((shape) => shape && convnotes.zeros(shape, { device: "emulated" }));
  const primitive = { name, inputs: inputs.map(() => "") } as unknown as Primitive;
  convnotes.backendOf("emulated").run(primitive, inputs, outputs, options);
  return outputs;
}
