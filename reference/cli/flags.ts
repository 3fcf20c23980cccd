// # Reading flags
//
// Numbers and names on the command line, refused with what was expected.

import { type Command, InvalidArgumentError } from "commander";
import { didYouMean } from "../errors.js";
import { type Precision, precisions } from "../kernels.js";

/** A command line that cannot be followed; the message says how to write it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Reads a whole number of at least `least`. */
export const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
    return value;
  };

/** Reads a finite number of at least `least`. */
export const atLeast =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least)
      throw new InvalidArgumentError(`Expected a number of at least ${least}.`);
    return value;
  };

/** Reads a number above 0 and up to 100. */
export function percent(text: string): number {
  const value = atLeast(0)(text);
  if (value === 0 || value > 100)
    throw new InvalidArgumentError("Expected a number from 0 to 100.");
  return value;
}

/** Reads a number from 0 up to, but not including, 1. */
export function fraction(text: string): number {
  const value = atLeast(0)(text);
  if (value >= 1) throw new InvalidArgumentError("Expected a number below 1.");
  return value;
}

/** Reads one of `names`. */
export const oneOf =
  <const T extends string>(...names: readonly T[]) =>
  (text: string): T => {
    const found = names.find((name) => name === text);
    if (found === undefined)
      throw new InvalidArgumentError(
        `Expected one of ${names.join(", ")}.${didYouMean(text, names)}`,
      );
    return found;
  };

/** Reads sizes separated by commas, such as `1,1,28,28`. */
export function sizes(text: string): number[] {
  return text.split(",").map(wholeNumber(1));
}

export interface KernelFlags {
  readonly threads?: number;
  readonly precision?: Precision;
}

/** Adds the options that say how kernels compute. */
export const kernelOptions = (command: Command): Command =>
  command
    .option("--threads <n>", "of the processor (default: one for each core)", wholeNumber(1))
    .option(
      "--precision <name>",
      "on GPUs: how factors are rounded before they are multiplied, tf32, bf16 or fp32 for not at " +
        "all (default: tf32)",
      oneOf(...precisions),
    );

/** Throws: UsageError where a precision is asked of what has none to choose. */
export function checkPrecision({ precision }: KernelFlags, device: string): void {
  if (precision !== undefined && ["cpu", "reference", "meta"].includes(device))
    throw new UsageError(
      `--precision ${precision} is for GPUs; on "${device}" nothing is rounded before it is multiplied`,
    );
}
