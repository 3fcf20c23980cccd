// # Files of any kind
//
// What a file is, is seen by how it begins; then its tensors are listed by name, still in the file.
// This is what a look into a file and a change of format need.

import { type Shape, Tensor, type TensorData } from "../tensor.js";
import { isNpy, readNpy, readNpz } from "./npy.js";
import { readOnnxTensors } from "./onnx_import.js";
import { readSafetensors } from "./safetensors.js";
import { type ByteSource, FileFormatError, readBytes } from "./source.js";
import { RawTensor, type StoredType } from "./stored.js";
import { TensorInFile } from "./tensor_in_file.js";
import { readTorch } from "./torch_file.js";
import { isZip, readDirectory } from "./zip.js";

/** ONNX files begin with their version, field 1, a number. */
const IR_VERSION = 8;

export interface ListedTensor {
  readonly name: string;
  readonly dtype: StoredType;
  readonly shape: Shape;
  /** The numbers, read from the file now, in the type that a tensor would have. */
  numbers(): TensorData;
  /** The same in the file's own type. */
  raw(): RawTensor;
}

export interface Listing {
  readonly format: "PyTorch" | "safetensors" | "npy" | "npz" | "ONNX";
  readonly tensors: readonly ListedTensor[];
  /** What there is beside tensors, by name. */
  readonly others: Readonly<Record<string, unknown>>;
}

/**
 * What the file holds; no numbers are read but where the format leaves no choice (ONNX).
 *
 * Throws: FileFormatError as the reader of the format does.
 */
export function listTensors(source: ByteSource): Listing {
  if (isNpy(source))
    return { format: "npy", tensors: [inFile("array", readNpy(source))], others: {} };
  if (isZip(source) && [...readDirectory(source).keys()].every((name) => name.endsWith(".npy"))) {
    const arrays = [...readNpz(source)].map(([name, read]): ListedTensor => {
      const { dtype, shape } = read();
      return { name, dtype, shape, numbers: () => read().read(), raw: () => read().readRaw() };
    });
    return { format: "npz", tensors: arrays, others: {} };
  }
  const head = readBytes(source, 0, Math.min(source.size, 9));
  if (isZip(source) || head[0] === 0x80) return listTorch(source);
  if (head[8] === "{".charCodeAt(0) || source.name.endsWith(".safetensors")) {
    const { tensors, metadata } = readSafetensors(source);
    const list = [...tensors].map(([name, t]) => inFile(name, t));
    return { format: "safetensors", tensors: list, others: { ...metadata } };
  }
  if (head[0] !== IR_VERSION)
    throw new FileFormatError(
      `${source.name}: begins like no file of tensors; readable are PyTorch's, safetensors, ` +
        `.npy, .npz and ONNX`,
    );
  const tensors = [...readOnnxTensors(readBytes(source, 0, source.size), source.name)];
  const list = tensors.map(([name, t]): ListedTensor => ({
    name,
    dtype: t.dtype,
    shape: t.shape,
    numbers: () => t.toTensor().data,
    raw: () => t,
  }));
  return { format: "ONNX", tensors: list, others: {} };
}

const inFile = (name: string, t: TensorInFile): ListedTensor => ({
  name,
  dtype: t.dtype,
  shape: t.shape,
  numbers: () => t.read(),
  raw: () => t.readRaw(),
});

/** The tensors of a PyTorch file under the path that leads to them, such as `optimizer.state.0`. */
function listTorch(source: ByteSource): Listing {
  const tensors: ListedTensor[] = [];
  const others: Record<string, unknown> = {};
  const seen = new Set<object>();
  const visit = (value: unknown, path: string): void => {
    const below = (key: unknown): string => (path === "" ? String(key) : `${path}.${String(key)}`);
    if (value instanceof TensorInFile) tensors.push(inFile(path || "tensor", value));
    else if (typeof value !== "object" || value === null) others[path || "value"] = value;
    else {
      // What stands in several places is listed at the first.
      if (seen.has(value)) return;
      seen.add(value);
      const entries: Iterable<[unknown, unknown]> =
        value instanceof Map || Array.isArray(value) ? value.entries() : Object.entries(value);
      for (const [key, inner] of entries) visit(inner, below(key));
    }
  };
  visit(
    readTorch(source, (t) => t),
    "",
  );
  return { format: "PyTorch", tensors, others };
}

/** The state dict in a value: the value itself, or what stands under a usual name. */
export function findStateDict(value: unknown): ReadonlyMap<string, Tensor> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  if (entries.length > 0 && entries.every(([k, v]) => typeof k === "string" && v instanceof Tensor))
    return new Map(entries as [string, Tensor][]);
  const usual = ["state_dict", "model_state_dict", "model", "net"];
  for (const [key, inner] of entries as [unknown, unknown][])
    if (usual.includes(String(key))) return findStateDict(inner);
  return undefined;
}
