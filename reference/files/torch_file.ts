// # PyTorch's files
//
// What `torch.save` writes and `torch.load` reads: a pickle of the value, in which every tensor
// points to a storage, and the storages' numbers beside it. Since PyTorch 1.6 both are entries of a
// zip archive; before, they followed one another in one file, which is read here as well.
//
// Storages are what tensors share. Tensors that overlap in memory are written into one storage and
// come back sharing their numbers; strided views, which have no place here, are copied.

import { fromData } from "../create.js";
import { Module, Parameter } from "../nn/module.js";
import { isFloat, showShape, sizeOf, type Storage, strides, Tensor } from "../tensor.js";
import type { TensorData } from "../tensor.js";
import {
  Call,
  Global,
  type Names,
  Persistent,
  pickle,
  Tuple,
  tuple,
  tupleOf,
  unpickle,
} from "./pickle.js";
import { type ByteSource, bytesSource, FileFormatError, readBytes } from "./source.js";
import { bytesOf, expectLittleEndian, RawTensor, readNumbers } from "./stored.js";
import { storedTypes, type StoredType, typeBy } from "./stored.js";
import { type StorageInFile, TensorInFile } from "./tensor_in_file.js";
import { crc32, expectChecksum, expectStored, isZip, joined } from "./zip.js";
import { readDirectory, readEntry, zipPieces } from "./zip.js";

export { Dict, Tuple, tuple } from "./pickle.js";

// ## Reading

export interface TorchOptions {
  /**
   * Whether tensors of a type that no tensor here has (such as bfloat16) come as `RawTensor`,
   * which is written back as it was. Default: false; they are widened.
   */
  readonly keepTypes?: boolean;
}

/**
 * The value in a PyTorch file. Nothing in it is executed, and every tensor is read from the source
 * straight into its place.
 *
 * None becomes null, a list an array, a tuple a `Tuple`, an OrderedDict a Map, a dict an object (a
 * `Dict` where an object could not keep its keys or their order), integers beyond 2⁵³ bigint.
 * Throws: FileFormatError for any other class, by name; for whole modules; for what is damaged.
 */
export function decodeTorch(from: Uint8Array | ByteSource, options: TorchOptions = {}): unknown {
  const loaded = new Map<StorageInFile, TensorData>();
  const shared = new Map<string, Storage>();
  const numbers = (t: TensorInFile): TensorData => {
    let data = loaded.get(t.storage);
    if (data === undefined) loaded.set(t.storage, (data = readStorage(t)));
    return data;
  };
  const made = (t: TensorInFile): Tensor => {
    const whole = numbers(t);
    const part = whole.subarray(t.offset, t.offset + t.span);
    const data = t.contiguous ? part : t.gather(part);
    const tensor = fromData(data, t.shape, "cpu");
    if (!t.contiguous) return tensor;
    // Views of the same numbers share the storage, and with it the version that the tape compares.
    const key = `${t.storage.offset} ${data.byteOffset} ${data.length}`;
    const storage = shared.get(key) ?? tensor.storage;
    shared.set(key, storage);
    return new Tensor(t.shape, tensor.dtype, tensor.device, storage);
  };
  return readTorch(from, (t) => {
    const { dtype } = storedTypes[t.dtype];
    if (options.keepTypes && t.dtype !== dtype) return t.readRaw();
    const tensor = made(t);
    if (!isFloat(dtype)) return tensor;
    const result = t.isParameter ? new Parameter(tensor) : tensor;
    result.requiresGrad = t.requiresGrad;
    return result;
  });
}

/** All numbers of the storage that `t` looks at, held against the archive's checksum. */
function readStorage({ source, storage, dtype }: TensorInFile): TensorData {
  let crc = 0;
  const data = readNumbers(source, storage.offset, dtype, storage.count, (part) => {
    if (storage.entry !== undefined) crc = crc32(part, crc);
  });
  if (storage.entry !== undefined) expectChecksum(source, storage.entry, crc);
  return data;
}

/** The value in a PyTorch file, with `make` deciding what becomes of each tensor. */
export function readTorch(
  from: Uint8Array | ByteSource,
  make: (tensor: TensorInFile) => unknown,
): unknown {
  expectLittleEndian();
  const source = from instanceof Uint8Array ? bytesSource(from) : from;
  return isZip(source) ? readZip(source, make) : readLegacy(source, make);
}

/** A file that PyTorch 1.6 or a newer one wrote. */
function readZip(source: ByteSource, make: (tensor: TensorInFile) => unknown): unknown {
  const entries = readDirectory(source);
  const pickleName = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickleName === undefined) {
    const script = [...entries.keys()].some((name) => name.includes("/code/"));
    throw new FileFormatError(
      `${source.name}: is a zip archive, but has no data.pkl as torch.save writes it` +
        (script ? "; it holds TorchScript, whose state_dict() can be saved and read here" : ""),
    );
  }
  const folder = pickleName.slice(0, -"data.pkl".length);
  if (entries.has(`${folder}constants.pkl`))
    throw new FileFormatError(
      `${source.name}: holds TorchScript, that is a program; save its state_dict() instead`,
    );
  const order = entries.get(`${folder}byteorder`);
  if (order !== undefined && order.size < 16) {
    const text = new TextDecoder().decode(readEntry(source, order));
    if (text !== "little")
      throw new FileFormatError(
        `${source.name}: its byte order is "${text}"; only "little" is read here`,
      );
  }
  const storages = new Map<string, StorageInFile>();
  const names = torchNames(source, make, (key, count, width) => {
    let storage = storages.get(key);
    if (storage === undefined) {
      const entry = entries.get(`${folder}data/${key}`);
      if (entry === undefined)
        throw new FileFormatError(`${source.name}: has no entry "${folder}data/${key}"`);
      storage = { count: entry.size / width, offset: expectStored(source, entry), entry };
      storages.set(key, storage);
    }
    if (storage.count !== count)
      throw new FileFormatError(
        `${source.name}: storage "${key}" has ${storage.count} elements, ` +
          `but the pickle says ${count}`,
      );
    return storage;
  });
  const program = entries.get(pickleName)!;
  expectStored(source, program);
  return unpickle(readEntry(source, program), 0, names, source.name).value;
}

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;

/**
 * A file of an older PyTorch: a magic number, a version, facts of the machine, the value, the keys
 * of the storages, each a pickle; then the storages, a count and the numbers. Only the keys say
 * where the storages are, so the value is run through twice.
 */
function readLegacy(source: ByteSource, make: (tensor: TensorInFile) => unknown): unknown {
  const refuse = (why: string): never => {
    throw new FileFormatError(`${source.name}: ${why}`);
  };
  const unknown = "is no file of torch.save, neither the zip archive of today nor the older form";
  const head = readBytes(source, 0, Math.min(source.size, 15));
  if (head.length < 15 || head[0] !== 0x80 || head[2] !== 0x8a) return refuse(unknown);
  const nothing: Names = {
    call: () => refuse(unknown),
    knows: () => false,
    persistent: () => refuse(unknown),
  };
  const counts = new Map<string, { count: number; width: number }>();
  const counting = torchNames(
    source,
    () => null,
    (key, count, width) => {
      const { count: before } = counts.get(key) ?? { count };
      if (before !== count) refuse(`storage "${key}" has two sizes, ${before} and ${count}`);
      counts.set(key, { count, width });
      return { count, offset: 0 };
    },
  );
  const bytes = pickles(source, (part) => {
    const magic = unpickle(part, 0, nothing, source.name);
    if (magic.value !== LEGACY_MAGIC) refuse(unknown);
    const version = unpickle(part, magic.end, nothing, source.name);
    if (version.value !== 1001) refuse(`its format is ${String(version.value)}, readable is 1001`);
    const machine = unpickle(part, version.end, nothing, source.name);
    if ((machine.value as { little_endian?: unknown }).little_endian !== true)
      refuse("was written on a big-endian machine");
    const value = unpickle(part, machine.end, counting, source.name);
    const keys = unpickle(part, value.end, nothing, source.name);
    return { start: machine.end, keys: keys.value, end: keys.end, part };
  });
  if (!Array.isArray(bytes.keys)) return refuse("its list of storages is damaged");
  const storages = new Map<string, StorageInFile>();
  let at = bytes.end;
  for (const key of bytes.keys as unknown[]) {
    const known = counts.get(String(key));
    if (known === undefined) return refuse(`no tensor names the storage "${String(key)}"`);
    const count = Number(new DataView(readBytes(source, at, 8).buffer).getBigInt64(0, true));
    if (count !== known.count)
      refuse(`storage "${String(key)}" has ${count} elements, but the pickle says ${known.count}`);
    storages.set(String(key), { count, offset: at + 8 });
    at += 8 + count * known.width;
    if (at > source.size) refuse(`storage "${String(key)}" is truncated`);
  }
  const names = torchNames(
    source,
    make,
    (key) => storages.get(key) ?? refuse(`has no storage "${key}"`),
  );
  return unpickle(bytes.part, bytes.start, names, source.name).value;
}

/** Runs `body` on as much of the source's beginning as it needs. */
function pickles<T>(source: ByteSource, body: (part: Uint8Array) => T): T {
  for (let length = 1 << 20; ; length *= 8) {
    const part = readBytes(source, 0, Math.min(length, source.size));
    try {
      return body(part);
    } catch (error) {
      if (part.length === source.size || !(error instanceof FileFormatError)) throw error;
    }
  }
}

// ## The names that a file of tensors needs

/** Copies of strided views may take this many bytes for each of the file's, and a bit. */
const COPIES_PER_BYTE = 16;
const FREE_COPY_BYTES = 1 << 26;

/** What stands in a pickle for a storage, until a tensor looks at it. */
class StorageId {
  constructor(
    readonly type: StoredType | null,
    readonly key: string,
    readonly count: number,
  ) {}
}

/** What stands in a pickle for a tensor, while it may still become a parameter. */
function torchNames(
  source: ByteSource,
  make: (tensor: TensorInFile) => unknown,
  find: (key: string, count: number, width: number) => StorageInFile,
): Names {
  const refuse = (why: string): never => {
    throw new FileFormatError(`${source.name}: ${why}`);
  };
  const views = new Map<unknown, TensorInFile>();
  let copied = 0;

  const sizes = (value: unknown, what: string): number[] => {
    const ok = (d: unknown): d is number => Number.isSafeInteger(d) && (d as number) >= 0;
    if (!(value instanceof Tuple) || !value.every(ok) || value.length > 64)
      return refuse(`${what} of a tensor is not a tuple of whole numbers`);
    return [...value] as number[];
  };
  const tensor = (args: readonly unknown[], dtype?: Global): unknown => {
    const [id, offset, size, stride, requiresGrad] = args;
    if (!(id instanceof StorageId)) return refuse("a tensor has no storage");
    const named = dtype?.name.slice("torch.".length) as StoredType | undefined;
    const type = id.type ?? named ?? refuse(`storage "${id.key}" has no element type`);
    const width = storedTypes[type].bytes;
    // The size of an untyped storage is given in bytes.
    const count = id.type === null ? id.count / width : id.count;
    const shape = sizes(size, "the size");
    const steps = sizes(stride, "the stride");
    const storage = find(id.key, count, width);
    const view = new TensorInFile(
      source,
      storage,
      type,
      shape,
      steps,
      Number.isSafeInteger(offset) ? (offset as number) : -1,
      requiresGrad === true,
      false,
    );
    if (
      steps.length !== shape.length ||
      view.offset < 0 ||
      !(view.offset + view.span <= storage.count)
    )
      refuse(
        `a tensor of ${showShape(shape)} with strides ${showShape(steps)} at ${String(offset)} ` +
          `does not fit its storage of ${storage.count} elements`,
      );
    if (!view.contiguous) {
      copied += sizeOf(shape) * 8;
      if (!(copied <= COPIES_PER_BYTE * source.size + FREE_COPY_BYTES))
        refuse(
          `strided views such as ${showShape(shape)} would take ${copied} bytes, out of all ` +
            `proportion to the file's ${source.size}; save them with contiguous()`,
        );
    }
    return keep(view);
  };
  const keep = (view: TensorInFile): unknown => {
    const value = make(view);
    if (typeof value === "object" && value !== null) views.set(value, view);
    return value;
  };
  const parameter = ([data, requiresGrad]: readonly unknown[]): unknown => {
    if (data === null) return null;
    const t = views.get(data) ?? refuse("a parameter has no tensor");
    return keep(
      new TensorInFile(
        t.source,
        t.storage,
        t.dtype,
        t.shape,
        t.strides,
        t.offset,
        requiresGrad === true,
        true,
      ),
    );
  };

  return {
    knows(name) {
      if (/^(torch\.nn\.(?!parameter\.)|__main__\.)/.test(name))
        return refuse(
          `holds a whole module ("${name}"), which only its own Python code can open. Load it in ` +
            `PyTorch and save what it learned: torch.save(model.state_dict(), path)`,
        );
      return (
        calls.has(name) || storageType(name) !== undefined || untypedOnly.includes(name.slice(6))
      );
    },
    call(name, args) {
      switch (name) {
        case "torch._utils._rebuild_tensor":
        case "torch._utils._rebuild_tensor_v2":
          return tensor(args);
        case "torch._utils._rebuild_tensor_v3":
          return args[6] instanceof Global ? tensor(args, args[6]) : refuse("a tensor has no type");
        case "torch._utils._rebuild_parameter":
          return parameter(args);
        case "torch.Size":
          return args[0] instanceof Tuple ? args[0] : refuse("torch.Size takes a tuple");
        default:
          return refuse(`"${name}" cannot be called`);
      }
    },
    persistent(id) {
      const [tag, kind, key, , count, view]: unknown[] = id instanceof Tuple ? id : [];
      if (tag === "module") refuse("holds a whole module; save its state_dict() instead");
      const type = kind instanceof Global ? storageType(kind.name) : undefined;
      if (
        tag !== "storage" ||
        type === undefined ||
        typeof key !== "string" ||
        !Number.isSafeInteger(count) ||
        (count as number) < 0
      )
        return refuse("a storage is not described as torch.save does it");
      if (view !== undefined && view !== null)
        refuse("has views of storages, as PyTorch before 0.4 wrote them; save it with a newer one");
      return new StorageId(type, key, count as number);
    },
  };
}

const calls = new Set([
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_tensor_v3",
  "torch._utils._rebuild_parameter",
  "torch.Size",
]);

/** Types that PyTorch has no class of storage for. */
const untypedOnly = ["uint16", "uint32", "uint64"];

/** The type of a class of storages; null for the untyped one, undefined for any other class. */
function storageType(name: string): StoredType | null | undefined {
  if (name === "torch.storage.UntypedStorage") return null;
  return name.startsWith("torch.") ? typeBy("storage", name.slice(6)) : undefined;
}

// ## Writing

/**
 * The bytes of a file that `torch.load(…, weights_only=True)` reads.
 *
 * Tensors, parameters, `RawTensor`, numbers, text, booleans and null, in arrays, `Tuple`, Map (an
 * OrderedDict), `Dict` and plain objects (dicts; keys that are whole numbers become integers).
 * Numbers without a fraction become integers. The same value gives the same bytes.
 * Throws: TypeError for anything else, with its place; RangeError for values that contain
 * themselves.
 */
export const encodeTorch = (value: unknown): Uint8Array => joined(torchPieces(value));

/** The same bytes in pieces, in which the tensors' own numbers are not copied. */
export function torchPieces(value: unknown): Uint8Array[] {
  expectLittleEndian();
  // What is to be stored is found by a first run, which writes a pickle that nobody reads.
  const bytes = new Map<Tensor | RawTensor, Uint8Array>();
  pickle(value, (object) => {
    if (object instanceof Module)
      throw new TypeError(
        `save: a whole module (${object.getName()}) is a program; ` +
          `save what it learned: save(model.stateDict(), path)`,
      );
    if (!isTensor(object)) return undefined;
    bytes.set(object, bytesIn(object));
    return new Tuple();
  });
  const storages = sharedRuns(bytes);
  const data = pickle(value, (object) =>
    isTensor(object) ? rebuilt(object, bytes.get(object)!, storages) : undefined,
  );
  const entries: [string, Uint8Array][] = [
    ["data.pkl", data],
    [".format_version", ascii("1")],
    [".storage_alignment", ascii(String(ALIGNMENT))],
    ["byteorder", ascii("little")],
    ...storages.runs.map((run, i): [string, Uint8Array] => [`data/${i}`, run]),
    ["version", ascii("3\n")],
  ];
  entries.push([".data/serialization_id", ascii(fingerprint(entries))]);
  return zipPieces(
    entries.map(([name, contents]) => [`archive/${name}`, contents]),
    ALIGNMENT,
  );
}

const ALIGNMENT = 64;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Forty digits that are others when names or contents are others. */
function fingerprint(entries: readonly (readonly [string, Uint8Array])[]): string {
  const names = ascii(entries.map(([name]) => name).join("\n"));
  const sums = ascii(entries.map(([, contents]) => crc32(contents)).join("\n"));
  return [names, sums].map((part) => String(crc32(part)).padStart(20, "0")).join("");
}

const isTensor = (object: object): object is Tensor | RawTensor =>
  object instanceof Tensor || object instanceof RawTensor;

const bytesIn = (object: Tensor | RawTensor): Uint8Array =>
  object instanceof RawTensor
    ? object.bytes
    : bytesOf(object.storage.data ?? object.detach().to("cpu").data);

interface Runs {
  readonly runs: readonly Uint8Array[];
  /** The run that holds these bytes, and where in it. */
  find(bytes: Uint8Array): { key: number; offset: number };
}

/**
 * The runs of memory that are to be written: what overlaps becomes one run, in the order in which
 * it first came. Neighbours stay apart, so nothing is written that no tensor holds.
 */
function sharedRuns(all: ReadonlyMap<Tensor | RawTensor, Uint8Array>): Runs {
  // Numbers of one memory and one type may overlap; a RawTensor's are its own.
  const groups = new Map<ArrayBufferLike | RawTensor, Map<string, Uint8Array[]>>();
  for (const [tensor, bytes] of all) {
    const memory = tensor instanceof RawTensor ? tensor : bytes.buffer;
    const types = groups.get(memory) ?? new Map<string, Uint8Array[]>();
    groups.set(memory, types);
    const parts = types.get(tensor.dtype) ?? [];
    types.set(tensor.dtype, parts);
    parts.push(bytes);
  }
  const runOf = new Map<Uint8Array, Uint8Array>();
  for (const parts of [...groups.values()].flatMap((types) => [...types.values()])) {
    const { buffer } = parts[0];
    const sorted = [...parts].sort((a, b) => a.byteOffset - b.byteOffset);
    for (let i = 0; i < sorted.length;) {
      const start = sorted[i].byteOffset;
      let end = start + sorted[i].length;
      let next = i + 1;
      while (next < sorted.length && sorted[next].byteOffset < end) {
        end = Math.max(end, sorted[next].byteOffset + sorted[next].length);
        next++;
      }
      const run = new Uint8Array(buffer, start, end - start);
      for (; i < next; i++) runOf.set(sorted[i], run);
    }
  }
  const keys = new Map<Uint8Array, number>();
  for (const bytes of all.values()) {
    const run = runOf.get(bytes)!;
    if (!keys.has(run)) keys.set(run, keys.size);
  }
  return {
    runs: [...keys.keys()],
    find(bytes) {
      const run = runOf.get(bytes)!;
      return { key: keys.get(run)!, offset: bytes.byteOffset - run.byteOffset };
    },
  };
}

/** The call with which PyTorch makes the tensor again. */
function rebuilt(object: Tensor | RawTensor, bytes: Uint8Array, storages: Runs): Call {
  const { key, offset } = storages.find(bytes);
  const { bytes: width, storage } = storedTypes[object.dtype];
  if (storage === null)
    throw new TypeError(
      `save: PyTorch has no storage of ${object.dtype}; convert it with toTensor() to int64`,
    );
  const count = storages.runs[key].length / width;
  const id = tuple("storage", new Global(`torch.${storage}`), String(key), "cpu", count);
  const isParameter = object instanceof Parameter;
  const call = new Call(
    "torch._utils._rebuild_tensor_v2",
    tuple(
      new Persistent(id),
      offset / width,
      tupleOf(object.shape),
      tupleOf(strides(object.shape)),
      object instanceof Tensor && !isParameter && object.requiresGrad && object.isLeaf,
      new Map(),
    ),
  );
  if (!isParameter) return call;
  return new Call("torch._utils._rebuild_parameter", tuple(call, object.requiresGrad, new Map()));
}
