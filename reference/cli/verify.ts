// # convnotes verify
//
// Holds the kernels to the laws of their operations, on this machine, and writes a certificate.

import type { Command } from "commander";
import { backendOf } from "../backend.js";
import { writeAtomically } from "../files/atomic.js";
import { type Certificate, loadVerifier, type Seen } from "../kernels.js";
import { modelNamed } from "../models/index.js";
import { checkPrecision, type KernelFlags, kernelOptions, wholeNumber } from "./flags.js";

interface Flags extends KernelFlags {
  readonly device: string;
  readonly model?: string;
  readonly batchSize: number;
  readonly runs: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly isa?: string;
  readonly out: string;
}

export function addVerify(program: Command): void {
  kernelOptions(program.command("verify"))
    .summary("hold the fast kernels to the formulas, on this machine")
    .description(
      "Draws cases for every kernel and holds every element of every result and gradient against " +
        "the formula, within a derived bound; or, with --model, trains a network for a while and " +
        "looks at its calls. Writes a certificate.",
    )
    .option("--device <name>", "whose kernels", "cpu")
    .option("--model <name>", "the calls of this network instead of drawn cases")
    .option("--batch-size <n>", "with --model: images in a step", wholeNumber(1), 16)
    .option("--seconds <n>", "with --model: for so long", wholeNumber(1), 20)
    .option("--runs <n>", "cases of each law", wholeNumber(1), 200)
    .option("--seed <n>", "of the cases (default: another one each time)", wholeNumber(0))
    .option("--isa <name>", "avx512, avx2, sse2 or neon (default: the fastest here)")
    .option("--out <file>", "where the certificate is written", "certificate.json")
    .action(runVerify);
}

async function runVerify(flags: Flags): Promise<void> {
  const { device } = flags;
  if (["reference", "meta"].includes(backendOf(device).device))
    throw new Error(
      `verify: "${device}" has no kernels; those of "cpu", of GPUs and of the emulated device are ` +
        `held to the formulas`,
    );
  const verifier = await loadVerifier();
  checkPrecision(flags, device);
  const { runs, isa, threads, precision } = flags;
  const seed = flags.seed ?? Date.now() % 2 ** 31;
  let certificate: Certificate;
  if (flags.model === undefined) {
    const onOperation = (seen: Seen) => console.log(line(seen));
    certificate = verifier.verifyKernels({
      ...{ device, seed, runs, isa, threads, precision, onOperation },
    });
  } else {
    certificate = verifier.verifyModel({
      ...{
        device,
        model: modelNamed(flags.model).name,
        batch: flags.batchSize,
        seed,
        isa,
        threads,
        precision,
      },
      ...{ steps: Number.POSITIVE_INFINITY, milliseconds: flags.seconds * 1000 },
    });
    for (const seen of certificate.operations) console.log(line(seen));
  }
  writeCertificate(certificate, flags.out);
  console.log(verdict(certificate, flags.out));
  if (!certificate.passed) process.exitCode = 1;
}

const line = ({ operation, calls, worst, failure }: Seen): string =>
  failure === undefined
    ? `ok      ${operation.padEnd(32)} ${String(calls).padStart(6)}   worst ${worst.toFixed(3)}`
    : `FAILED  ${operation}: ${failure}`;

export const writeCertificate = (certificate: Certificate, path: string): void => {
  writeAtomically(path, [new TextEncoder().encode(`${JSON.stringify(certificate, null, 2)}\n`)]);
};

/** In one line: what was seen, and where it is written down. */
export function verdict({ operations, unchecked, ...c }: Certificate, path: string): string {
  const calls = operations.reduce((sum, seen) => sum + seen.calls, 0);
  const worst = Math.max(0, ...operations.map((seen) => seen.worst));
  const rest = unchecked.length > 0 ? `; not looked at: ${unchecked.join(", ")}` : "";
  return (
    `${c.passed ? "verified" : "NOT verified"}: ${c.what} (${c.isa}, ${c.threads} ` +
    `${c.device === "cpu" ? "threads" : "multiprocessors"}, ` +
    `seed ${c.seed}): ${calls} calls of ${operations.length} operations, ` +
    `worst error ÷ bound ${worst.toFixed(3)}${rest} (${path})`
  );
}
