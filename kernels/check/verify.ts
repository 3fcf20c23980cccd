// # Verification, on the machine where it matters
//
// What `convnotes verify` and `convnotes train --verify` ask for. The laws come packed with it, so that a
// user's own processor can be held to them: every kernel on drawn cases, whole networks call by call,
// and training while it runs. What was seen is written down as a certificate.

import * as convnotes from "convnotes";
import { cpus } from "node:os";
import fc from "fast-check";
import type { Law } from "../../spec/laws.js";
import { type Arithmetic, arithmeticWith, float32 } from "../../spec/rounding.js";
import type { Case } from "../../spec/values.js";
import { type KernelOptions, loadKernels } from "../backend.js";
import { difficultCases } from "./adversarial.js";
import { checkKernels, restoreKernels } from "./guarded.js";
import { executeOn, judge, type Worst } from "./judge.js";
import { laws } from "./laws.js";
import { Sampler, type SamplerOptions, VerificationError } from "./sampler.js";

// ## Certificates

/** What was seen of one operation. */
export interface Seen {
  readonly operation: string;
  /** Calls that were looked at, or cases that were drawn. */
  readonly calls: number;
  readonly elements?: number;
  /** The largest error ÷ bound. */
  readonly worst: number;
  readonly shapes?: readonly string[];
  readonly failure?: string;
}

/** Where and how something was verified. */
export interface Certificate {
  readonly what: string;
  readonly date: string;
  readonly convnotes: string;
  readonly node: string;
  readonly processor: string;
  readonly device: string;
  /** The host's instruction set, or a GPU's name and how it rounds factors. */
  readonly isa: string;
  /** Of a GPU: its multiprocessors. */
  readonly threads: number;
  readonly seed: number;
  readonly passed: boolean;
  readonly operations: readonly Seen[];
  /** Operations that were met and have no law. */
  readonly unchecked: readonly string[];
}

interface Circumstances {
  readonly what: string;
  readonly device: string;
  readonly isa: string;
  readonly threads: number;
  readonly seed: number;
}

const certificate = (
  circumstances: Circumstances,
  operations: readonly Seen[],
  unchecked: readonly string[],
): Certificate => ({
  ...circumstances,
  date: new Date().toISOString(),
  convnotes: convnotes.version,
  node: process.version,
  processor: cpus()[0]?.model ?? "unknown",
  passed: operations.every(({ failure }) => failure === undefined),
  operations,
  unchecked,
});

/** What a sampler has seen so far. */
const seenBy = (sampler: Sampler, about: Circumstances): Certificate =>
  certificate(
    about,
    [...sampler.tallies].map(([operation, { calls, elements, worst, shapes }]) => ({
      ...{ operation, calls, elements, worst },
      shapes: [...shapes],
    })),
    [...sampler.unchecked],
  );

// ## Every kernel

export interface VerifyOptions extends Pick<KernelOptions, "isa" | "threads" | "precision"> {
  /** `cpu`, or a device with memory of its own. */
  readonly device: string;
  readonly seed: number;
  /** Cases of each law. */
  readonly runs: number;
  /** Called after each operation. */
  readonly onOperation?: (seen: Seen) => void;
}

/** The largest error ÷ bound of any result or gradient. */
const worstOf = (worst: Worst): number => Math.max(0, ...worst.values());

/**
 * Draws cases for every kernel, and holds every element of every result and gradient to the laws. On
 * `cpu`, operands lie between guard words, and outputs are full of NaN before.
 *
 * Throws: Error where there are no kernels.
 */
export function verifyKernels(options: VerifyOptions): Certificate {
  const { device, seed, runs, onOperation, isa, threads, precision } = options;
  try {
    if (precision && device !== "cpu") loadKernels(convnotes, { precision });
    const where =
      device === "cpu"
        ? checkKernels({ ...(isa && { isa }), ...(threads && { threads }) })
        : describeGpu(device);
    const operations = laws.map((law): Seen => {
      const seen = seenOf(law, device, seed, runs);
      onOperation?.(seen);
      return seen;
    });
    const about = { what: "every kernel", device, isa: where.isa, threads: where.threads, seed };
    return certificate(about, operations, []);
  } finally {
    restoreKernels();
  }
}

/** A GPU in the words of a certificate. Throws: Error where there is none. */
function describeGpu(device: string): { isa: string; threads: number } {
  const found = convnotes.backendOf(device).describe?.();
  if (found === undefined)
    throw new Error(`"${device}" has no kernels; cpu has, GPUs have, and the emulated device has`);
  const { name, major, minor, multiprocessors, factors } = found;
  return {
    isa: `${name}, compute capability ${major}.${minor}, factors in ${factors}`,
    threads: multiprocessors,
  };
}

/** What the results of an operation's kernels may be off. */
function arithmeticOf(stem: string, device: string): Arithmetic {
  const factors = convnotes.backendOf(device).describe?.().factors ?? "float32";
  return ["conv2d", "linear", "matmul"].includes(stem) ? arithmeticWith[factors] : float32;
}

function seenOf(law: Law, device: string, seed: number, runs: number): Seen {
  const worst: Worst = new Map();
  const arithmetic = arithmeticOf(law.stem, device);
  const run = executeOn(device);
  let calls = 0;
  const hold = (cases: fc.Arbitrary<Case>, exactly: boolean) => {
    fc.assert(
      fc.property(cases, (c) => {
        calls++;
        judge(law, c, exactly ? null : arithmetic, worst, run);
      }),
      { seed, numRuns: runs },
    );
  };
  try {
    if (typeof law.exact !== "string") hold(law.exact, true);
    hold(law.real, false);
    if (device === "cpu") hold(difficultCases(law), false);
    return { operation: law.stem, calls, worst: worstOf(worst) };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    return { operation: law.stem, calls, worst: worstOf(worst), failure };
  }
}

// ## Whole networks

export interface ModelOptions extends Pick<KernelOptions, "isa" | "threads" | "precision"> {
  readonly device: string;
  readonly model: string;
  readonly batch: number;
  readonly seed: number;
  /** Ends after so many steps or milliseconds, whatever comes first. */
  readonly steps: number;
  readonly milliseconds: number;
  readonly onStep?: (step: number) => void;
}

/**
 * Trains a network on noise as `train` would, and looks at one call of each step.
 *
 * Throws: Error where there are no kernels.
 */
export function verifyModel(options: ModelOptions): Certificate {
  const { device, model, batch, seed, steps, milliseconds, onStep } = options;
  const { isa, threads, precision } = options;
  const sampler = new Sampler({ share: 1, seed });
  const status = loadKernels(convnotes, {
    ...{ sampler, ...(isa && { isa }), ...(threads && { threads }) },
    ...(precision && { precision }),
  });
  if (!status.available) throw new Error(status.reason);
  const where = device === "cpu" ? status : describeGpu(device);
  const about = {
    ...{ what: `${model}, batch ${batch}`, device, seed },
    ...{ isa: where.isa, threads: where.threads },
  };
  try {
    convnotes.manualSeed(seed);
    const { create, inputShape } = convnotes.modelNamed(model);
    const net = create().to(device);
    const optimizer = new convnotes.optim.Adam(net.parameters(), { lr: 0.001 });
    const step = new convnotes.TrainingStep(net, optimizer, device);
    const x = convnotes.randn([batch, ...inputShape]).to(device);
    const labels = convnotes.tensor(
      Array.from({ length: batch }, (_, i) => i % 10),
      { dtype: "int64", device },
    );
    const started = performance.now();
    for (let i = 0; i < steps && performance.now() - started < milliseconds; i++) {
      convnotes.dropoutState.setStep(i);
      step.run(x, labels);
      onStep?.(i + 1);
    }
    return seenBy(sampler, about);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    const seen = seenBy(sampler, about);
    const failed = { operation: model, calls: 1, worst: Infinity, failure: error.message };
    return { ...seen, passed: false, operations: [...seen.operations, failed] };
  } finally {
    restoreKernels();
  }
}

// ## While it trains

/** A sampler for `loadKernels`, which also says what it has seen. */
export function makeSampler(options: SamplerOptions) {
  const sampler = new Sampler(options);
  return Object.assign(sampler, {
    certificate: (
      what: string,
      device: string,
      status: { isa: string; threads: number },
    ): Certificate => {
      const { isa, threads } = device === "cpu" ? status : describeGpu(device);
      return seenBy(sampler, { what, device, isa, threads, seed: options.seed });
    },
  });
}
