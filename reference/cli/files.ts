// # convnotes inspect and convnotes convert
//
// A look into any file of tensors without loading it, and the way from one format to another.

import { extname } from "node:path";
import type { Command } from "commander";
import { type Listing, type ListedTensor, listTensors } from "../files/any.js";
import { writeAtomically } from "../files/atomic.js";
import { withFile } from "../files/disk.js";
import { npyPieces, npzPieces } from "../files/npy.js";
import { onnxPieces } from "../files/onnx.js";
import { safetensorsPieces } from "../files/safetensors.js";
import { storedTypes } from "../files/stored.js";
import { torchPieces } from "../files/torch_file.js";
import { modelNamed } from "../models/index.js";
import { showShape, sizeOf } from "../tensor.js";
import { UsageError } from "./flags.js";

// ## Looking

interface Statistics {
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Of the numbers themselves, not an estimate: divided by how many there are. */
  readonly std: number | null;
  readonly zeros: number;
  readonly nan: number;
}

interface Row extends Statistics {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
}

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .summary("what a file of tensors holds: .pth, .safetensors, .npy, .npz, .onnx")
    .argument("<file>", "a file of any of these formats")
    .option("--json", "print names, shapes, types and statistics as JSON")
    .action((path: string, flags: { json?: boolean }) => {
      withFile(path, (source) => {
        const { format, tensors, others } = listTensors(source);
        // One tensor after the other is in memory, whatever the file's size.
        const rows = tensors.map((t): Row => ({ ...head(t), ...statistics(t) }));
        if (flags.json) console.log(JSON.stringify({ format, tensors: rows, others }, jsonNumber));
        else print(format, rows, others, source.size);
      });
    });
}

const head = ({ name, shape, dtype }: ListedTensor) => ({ name, shape, dtype });

function statistics(t: ListedTensor): Statistics {
  const numbers = t.numbers();
  let [min, max, sum, zeros, nan] = [Infinity, -Infinity, 0, 0, 0];
  for (const element of numbers) {
    const v = Number(element);
    if (Number.isNaN(v)) nan++;
    else {
      min = Math.min(min, v);
      max = Math.max(max, v);
      sum += v;
      if (v === 0) zeros++;
    }
  }
  const count = numbers.length - nan;
  if (count === 0) return { min: null, max: null, mean: null, std: null, zeros, nan };
  const mean = sum / count;
  let squares = 0;
  for (const element of numbers) {
    const v = Number(element);
    if (!Number.isNaN(v)) squares += (v - mean) ** 2;
  }
  return { min, max, mean, std: Math.sqrt(squares / count), zeros, nan };
}

/** JSON has no numbers beyond 2⁵³, no infinities and no NaN; they are written as text. */
const jsonNumber = (_: string, value: unknown): unknown =>
  typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value))
    ? String(value)
    : value;

function print(
  format: string,
  rows: readonly Row[],
  others: Listing["others"],
  sizeBytes: number,
): void {
  const count = rows.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  console.log(
    `${format}: ${rows.length} tensor${rows.length === 1 ? "" : "s"}, ` +
      `${count.toLocaleString("en-US")} numbers, ` +
      `${sizeBytes.toLocaleString("en-US")} bytes`,
  );
  const short = (v: number | null) => (v === null ? "-" : String(Number(v.toPrecision(4))));
  const lines = rows.map((r) => [
    r.name,
    showShape(r.shape),
    r.dtype,
    ...[r.min, r.max, r.mean, r.std].map(short),
    r.nan > 0 ? `${r.nan} NaN` : "",
  ]);
  const table = [["name", "shape", "type", "min", "max", "mean", "std", ""], ...lines];
  const widths = table[0].map((_, i) => Math.max(...table.map((line) => line[i].length)));
  for (const line of table)
    console.log(
      line
        .map((cell, i) => cell.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    );
  for (const [name, value] of Object.entries(others)) console.log(`${name}: ${String(value)}`);
}

// ## Converting

const extensions = ".pth, .pt, .safetensors, .npy, .npz, .onnx";

export function addConvert(program: Command): void {
  program
    .command("convert")
    .summary("write the tensors of one file in the format of another")
    .argument("<from>", "a file with tensors, of any format that inspect reads")
    .argument("<to>", `the file to write; its ending says how: ${extensions}`)
    .option("--model <name>", "for .onnx: the network whose weights these are")
    .action((from: string, to: string, flags: { model?: string }) => {
      withFile(from, (source) => {
        const listing = listTensors(source);
        writeAtomically(to, converted(listing, to, flags.model));
        const left = Object.keys(listing.others);
        if (listing.format === "PyTorch" && left.length > 0)
          console.error(`left out, as they are no tensors: ${left.join(", ")}`);
      });
    });
}

function converted(
  { tensors, others }: Listing,
  to: string,
  model: string | undefined,
): readonly Uint8Array[] {
  const raw = tensors.map((t) => [t.name, t.raw()] as const);
  const widened = (missing: "storage" | "descr") =>
    raw.map(
      ([name, t]) => [name, storedTypes[t.dtype][missing] === null ? t.toTensor() : t] as const,
    );
  switch (extname(to).toLowerCase()) {
    case ".pth":
    case ".pt":
      return torchPieces(new Map(widened("storage")));
    case ".safetensors":
      return safetensorsPieces(raw, texts(others));
    case ".npz":
      return npzPieces(widened("descr"));
    case ".npy": {
      if (raw.length !== 1)
        throw new UsageError(`${to}: an .npy file holds one array, not ${raw.length}; use .npz`);
      return npyPieces(widened("descr")[0][1]);
    }
    case ".onnx": {
      const name = model ?? (typeof others.model === "string" ? others.model : undefined);
      if (name === undefined)
        throw new UsageError(`${to}: say whose weights these are: --model NAME`);
      const entry = modelNamed(name);
      const network = entry.create();
      network.loadStateDict(new Map(raw.map(([key, t]) => [key, t.toTensor()])));
      return onnxPieces(network, entry.inputShape);
    }
    default:
      throw new UsageError(`${to}: its ending says no format; use one of ${extensions}`);
  }
}

/** Metadata, which safetensors has as text only. */
const texts = (others: Listing["others"]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(others).filter((e): e is [string, string] => typeof e[1] === "string"),
  );
