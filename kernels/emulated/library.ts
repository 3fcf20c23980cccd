// # The emulated device in tests
//
// Builds the kernels as they are now, and has the suite that asks for it compute with them.

import * as convnotes from "convnotes";
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
