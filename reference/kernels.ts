// # Fast kernels, where there are any
//
// The kernels are a package of their own, `convnotes-kernels`, which knows this one; this one only asks
// for it by name when a program starts, and does without where it is not there.

import { CannotCompile, registerBackend, runReference } from "./backend.js";

/** Whether `cpu` computes with kernels; if not, why not and what to do about it. */
export type KernelStatus =
  | { readonly available: true; readonly isa: string; readonly threads: number }
  | { readonly available: false; readonly reason: string };

interface KernelPackage {
  loadKernels(library: object): KernelStatus;
}

const NAME = "convnotes-kernels";

let status: KernelStatus = { available: false, reason: "they have not been asked for" };

/** What the last `loadKernels` found. */
export const kernelStatus = (): KernelStatus => status;

/**
 * Makes `cpu` compute with fast kernels from now on, where they are installed and built.
 *
 * `CONVNOTES_THREADS` and `CONVNOTES_ISA` (`avx512`, `avx2`, `sse2`, `neon`) limit what they use.
 *
 * Throws: TypeError for an instruction set that this processor has not.
 */
export async function loadKernels(): Promise<KernelStatus> {
  const name: string = NAME; // a name that no bundler follows
  try {
    const kernels = (await import(name)) as KernelPackage;
    status = kernels.loadKernels({ registerBackend, runReference, CannotCompile });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    status = { available: false, reason: `${NAME} is not installed; run: npm install ${NAME}` };
  }
  return status;
}
