// # Fast kernels, where there are any
//
// The kernels are a package of their own, `convnotes-kernels`, which knows this one; this one only asks
// for it by name when a program starts, and does without where it is not there.

import {
  CannotCompile,
  isComputing,
  registerBackend,
  registerFamily,
  runReference,
} from "./backend.js";

/** Whether `cpu` computes with kernels; if not, why not and what to do about it. */
export type KernelStatus =
  | { readonly available: true; readonly isa: string; readonly threads: number }
  | { readonly available: false; readonly reason: string };

/** How GPUs round factors before they multiply them; `fp32`: not at all. */
export const precisions = ["tf32", "bf16", "fp32"] as const;
export type Precision = (typeof precisions)[number];

export interface KernelSettings {
  /** The instruction set: `avx512`, `avx2`, `sse2` or `neon`. Default: the fastest there is. */
  readonly isa?: string | undefined;
  /** Default: one for each processor. */
  readonly threads?: number | undefined;
  /** Default: `tf32`. */
  readonly precision?: Precision | undefined;
  /**
   * Whether convolutions may use Winograd's tiles, which multiply less and whose results are rounded
   * otherwise. Default: true.
   */
  readonly winograd?: boolean | undefined;
  /** Looks at calls while they are made (`makeSampler`). */
  readonly sampler?: object | undefined;
}

interface KernelPackage {
  loadKernels(library: object, settings: KernelSettings): KernelStatus;
}

const NAME = "convnotes-kernels";

/** What the package works for: the very copy of the library that a program runs. */
const library = { CannotCompile, isComputing, registerBackend, registerFamily, runReference };

let status: KernelStatus = { available: false, reason: "they have not been asked for" };

/** What the last `loadKernels` found. */
export const kernelStatus = (): KernelStatus => status;

/** The package, or a part of it; null where it is not installed. No bundler follows the name. */
async function part(path: string): Promise<unknown> {
  try {
    return (await import(`${NAME}${path}`)) as unknown;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return null;
  }
}

/**
 * Makes `cpu` compute with fast kernels from now on, where they are installed and built.
 *
 * What the settings leave open, `CONVNOTES_THREADS`, `CONVNOTES_ISA`, `CONVNOTES_WINOGRAD` (`off`) and, on
 * GPUs, `CONVNOTES_PRECISION` decide.
 *
 * Throws: TypeError for an instruction set that this processor has not.
 */
export async function loadKernels(settings: KernelSettings = {}): Promise<KernelStatus> {
  const kernels = (await part("")) as KernelPackage | null;
  status =
    kernels === null
      ? { available: false, reason: `${NAME} is not installed; run: npm install ${NAME}` }
      : kernels.loadKernels(library, settings);
  return status;
}

// ## Holding them to the laws

/** What was seen of one operation: how often, and the largest error ÷ bound. */
export interface Seen {
  readonly operation: string;
  readonly calls: number;
  readonly elements?: number;
  readonly worst: number;
  readonly failure?: string;
}

/** Where and how something was verified. */
export interface Certificate {
  readonly what: string;
  readonly device: string;
  readonly isa: string;
  readonly threads: number;
  readonly seed: number;
  readonly passed: boolean;
  readonly operations: readonly Seen[];
  readonly unchecked: readonly string[];
}

interface Choice {
  readonly device: string;
  readonly isa?: string | undefined;
  readonly threads?: number | undefined;
  readonly precision?: Precision | undefined;
  readonly seed: number;
}

/** What judges kernels, on the user's own machine. */
export interface Verifier {
  verifyKernels(
    options: Choice & { readonly runs: number; readonly onOperation?: (seen: Seen) => void },
  ): Certificate;
  verifyModel(
    options: Choice & {
      readonly model: string;
      readonly batch: number;
      readonly steps: number;
      readonly milliseconds: number;
      readonly onStep?: (step: number) => void;
    },
  ): Certificate;
  makeSampler(options: { readonly share: number; readonly seed: number }): Sampler;
}

/** Looks at calls while they are made; ask for kernels with it. */
export interface Sampler {
  /** Milliseconds spent on looking. */
  readonly spentMs: number;
  certificate(
    what: string,
    device: string,
    status: { readonly isa: string; readonly threads: number },
  ): Certificate;
}

/** Throws: Error where there is nothing to verify, with the reason. */
export async function loadVerifier(): Promise<Verifier> {
  if (!status.available) throw new Error(`there are no kernels to verify: ${status.reason}`);
  return (await part("/verify")) as Verifier;
}
