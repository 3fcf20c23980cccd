// # Devices with memory of their own
//
// `cuda:0`, `cuda:1`, … and `emulated`: one library of kernels each, opened when such a device is first asked
// for. Tensors lie in the device's memory and come to JavaScript when someone looks at their numbers.
// Operations run one by one, or as whole steps by the host's own planner, with fusions of their own; what has
// no kernel, the reference computes on copies.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type {
  CannotCompile,
  Device,
  DType,
  isComputing,
  MemoryNeeds,
  Primitive,
  registerBackend,
  registerFamily,
  runReference,
  Shape,
  Storage,
  Tensor,
  TracedStep,
} from "convnotes";
import type { NamesOf } from "./check/call.js";
import type { Held } from "./check/cut.js";
import type { Sampler } from "./check/sampler.js";
import { watched } from "./check/watch.js";
import { gpuKernels } from "./plan/fuse.js";
import { type Call, type Plan, suits } from "./plan/plan.js";
import { type CompileOptions, compileStep, type HostProgram, NoProgram } from "./plan/program.js";

// ## The addon's half

type Data = NonNullable<Storage["data"]>;

interface Memory {
  upload(data: Data): void;
  download(data: Data): void;
  copy(from: Memory): void;
  release(): void;
}

interface Gpu {
  kind(): string;
  has(kernel: string): boolean;
  describe(): GpuDescription;
  configure(settings: string): void;
  precision(name: Precision): void;
  run(
    kernel: string,
    inputs: readonly unknown[],
    outputs: readonly unknown[],
    options: object,
  ): void;
}

const precisions = ["tf32", "bf16", "fp32"] as const;
/** How factors are rounded before they are multiplied; `fp32`: not at all. `bf16` needs compute capability 8. */
export type Precision = (typeof precisions)[number];

/** Throws: RangeError for a precision in the environment that is none. */
function precisionOf(options: GpuOptions): Precision {
  if (options.precision !== undefined) return options.precision;
  const asked = process.env.CONVNOTES_PRECISION ?? "tf32";
  const known = precisions.find((name) => name === asked);
  if (known === undefined)
    throw new RangeError(`CONVNOTES_PRECISION is "${asked}"; it can be ${precisions.join(", ")}`);
  return known;
}

/** What `convnotes devices` shows of a device. */
export interface GpuDescription {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
  readonly multiprocessors: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** What `addon/gpu.cpp` exports. */
export interface GpuAddon {
  readonly Gpu: {
    new (file: string, device: number): Gpu;
    count(file: string, settings: string): { readonly count: number; readonly why: string };
  };
  readonly GpuMemory: new (gpu: Gpu, bytes: number) => Memory;
  readonly GpuProgram: new (
    gpu: Gpu,
    description: object,
  ) => {
    run(
      bound: readonly unknown[],
      numbers: Float64Array,
      times: Float64Array | null,
      watch?: object,
    ): boolean;
    workBytes(): number;
  };
}

export interface GpuLibrary {
  readonly registerBackend: typeof registerBackend;
  readonly registerFamily: typeof registerFamily;
  readonly runReference: typeof runReference;
  readonly isComputing: typeof isComputing;
  readonly CannotCompile: typeof CannotCompile;
}

export interface GpuOptions extends CompileOptions {
  readonly sampler?: Sampler;
  /** How factors are rounded before they are multiplied. Default: what CONVNOTES_PRECISION says, or `tf32`. */
  readonly precision?: Precision;
  /**
   * Of the emulated device, such as "order=random seed=7 asynchrony=late". Default: what the environment
   * variable CONVNOTES_EMULATED_SETTINGS says.
   */
  readonly settings?: string;
}

// ## Tensors

const arrays = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array } as const;

const arrayOf = (dtype: DType, length: number): Data =>
  new (dtype === "uint8" ? Uint8Array : arrays[dtype])(length);

/**
 * Numbers that lie on the device, on the host, or on both. Whoever asks for `data` may write to it, so
 * that it goes to the device again before the next kernel.
 */
class DeviceStorage implements Storage {
  version = 0;
  #host: Data | null = null;
  #memory: Memory | null = null;
  #newer: "host" | "device" = "host";
  readonly #dtype: DType;
  readonly #length: number;
  readonly #device: OpenDevice;

  constructor(device: OpenDevice, dtype: DType, length: number) {
    this.#device = device;
    this.#dtype = dtype;
    this.#length = length;
  }

  /** Throws: CannotCompile while a step is only traced and the numbers are not there yet. */
  get data(): Data {
    const { library } = this.#device;
    if (this.#host === null && this.#memory === null && !library.isComputing())
      throw new library.CannotCompile("the step looks at the numbers of a tensor that it computes");
    this.#host ??= arrayOf(this.#dtype, this.#length);
    if (this.#newer === "device") this.#memory!.download(this.#host);
    this.#newer = "host";
    return this.#host;
  }

  make(): Data {
    this.#host ??= arrayOf(this.#dtype, this.#length);
    this.#newer = "host";
    return this.#host;
  }

  /** Bytes that it has yet to be given there. */
  get missingBytes(): number {
    return this.#memory === null ? this.#length * arrayOf(this.#dtype, 0).BYTES_PER_ELEMENT : 0;
  }

  /** On the device, with the newest numbers. */
  get memory(): Memory {
    const isNew = this.#memory === null;
    this.#memory ??= this.#device.allocate(this.#dtype, this.#length);
    if (this.#newer === "host")
      if (this.#host !== null) this.#memory.upload(this.#host);
      else if (isNew) this.#memory.upload(arrayOf(this.#dtype, this.#length));
    // Whoever holds the array may still write to it; who asks again gets it from the device.
    this.#newer = "device";
    return this.#memory;
  }

  /** On the device, to be written as a whole. */
  get target(): Memory {
    this.#memory ??= this.#device.allocate(this.#dtype, this.#length);
    this.#newer = "device";
    return this.#memory;
  }

  /** Copies the newest numbers to `to`. What has no memory on the device needs none. */
  send(to: Memory): void {
    if (this.#memory !== null) to.copy(this.memory);
    else to.upload(this.data);
  }

  /** Takes the numbers that `from` has; into the device's memory, if this has any there. */
  receive(from: Memory): void {
    if (this.#memory !== null) {
      this.target.copy(from);
      return;
    }
    this.#host ??= arrayOf(this.#dtype, this.#length);
    from.download(this.#host);
    this.#newer = "host";
  }
}

function storageOn(device: OpenDevice, tensor: Tensor): DeviceStorage {
  if (tensor.storage instanceof DeviceStorage) return tensor.storage;
  throw new TypeError(`${String(tensor)} does not lie on ${device.name}`);
}

interface OpenDevice {
  readonly name: Device;
  readonly library: GpuLibrary;
  allocate(dtype: DType, length: number): Memory;
}

// ## Calls

const refused = (error: unknown) =>
  error instanceof TypeError && "code" in error && error.code === "CONVNOTES_REFUSED";

const heldCopy = (t: Tensor | null): Held | null =>
  t && { data: t.data.slice(), shape: t.shape, layout: "plain" };

// ## Opening

/** The library of a kind, and its devices by name. */
interface Kind {
  readonly prefix: string;
  readonly files: readonly string[];
  readonly missing: string;
  /** By number. */
  readonly nameOf: (i: number) => Device;
}

const kinds = (home: string): readonly Kind[] => {
  const place = `${process.platform}-${process.arch}`;
  return [
    {
      prefix: "cuda",
      files: process.env.CONVNOTES_CUDA
        ? [process.env.CONVNOTES_CUDA]
        : ["prebuilt", "build"].map((folder) => join(home, folder, place, "convnotes-cuda.so")),
      missing:
        "the kernels for CUDA are not built; with NVIDIA's compiler nvcc installed, " +
        "run: npm run build:gpu cuda",
      nameOf: (i) => `cuda:${i}`,
    },
    {
      prefix: "emulated",
      files: [process.env.CONVNOTES_EMULATED ?? join(home, "build", "emulated", "kernels-900.so")],
      missing: "the emulated device is not built; run: npm run build:gpu emulated",
      nameOf: () => "emulated",
    },
  ];
};

const settingsOf = ({ settings }: GpuOptions): string =>
  settings ?? process.env.CONVNOTES_EMULATED_SETTINGS ?? "";

/** Has GPUs and the emulated device looked for when they are first asked for. */
export function offerGpus(
  library: GpuLibrary,
  addon: GpuAddon,
  home: string,
  options: GpuOptions,
): void {
  for (const { prefix, files, missing, nameOf } of kinds(home))
    library.registerFamily(prefix, () => {
      const file = files.find((path) => existsSync(path));
      if (file === undefined) throw new Error(`there is no device "${prefix}": ${missing}`);
      const { count, why } = addon.Gpu.count(
        file,
        prefix === "emulated" ? settingsOf(options) : "",
      );
      if (count === 0)
        throw new Error(`there is no device "${prefix}": ${why}; what there is says: nvidia-smi`);
      for (let i = 0; i < count; i++) register(library, addon, file, i, nameOf(i), options);
    });
}

/** By library and number. Tensors stay where they are when kernels are loaded anew. */
const opened = new Map<string, Gpu>();

function register(
  library: GpuLibrary,
  addon: GpuAddon,
  file: string,
  index: number,
  name: Device,
  options: GpuOptions,
): void {
  let mine: Gpu | null = null;
  const gpu = (): Gpu => {
    if (mine) return mine;
    const key = `${file} ${index}`;
    const found = opened.get(key) ?? new addon.Gpu(file, index);
    opened.set(key, found);
    if (name === "emulated") found.configure(settingsOf(options));
    found.precision(precision);
    mine = found;
    return mine;
  };
  const device: OpenDevice = {
    ...{ name, library },
    allocate(dtype, length) {
      const memory = new addon.GpuMemory(gpu(), length * arrayOf(dtype, 0).BYTES_PER_ELEMENT);
      passing?.push(memory);
      return memory;
    },
  };
  /** Of the arena that all programs share. */
  let arenaBytes = 0;
  /** What is allocated while `scoped` runs. */
  let passing: Memory[] | null = null;
  const { sampler } = options;
  const precision = precisionOf(options);
  const factors = precision === "fp32" ? "float32" : precision;
  const forward = new Map<string, Primitive>();
  const namesOf: NamesOf = (stem) => forward.get(stem)!;

  const flat = (tensors: readonly (Tensor | null)[], written: boolean) =>
    tensors.flatMap((t): (Memory | DType | Shape | null)[] => {
      if (t === null) return [null, null, null];
      const storage = storageOn(device, t);
      return [written ? storage.target : storage.memory, t.dtype, t.shape];
    });

  library.registerBackend({
    device: name,
    host: true,
    storage: (dtype, length) => new DeviceStorage(device, dtype, length),
    run(primitive, inputs, outputs, settings) {
      const isKernel =
        gpu().has(primitive.name) &&
        suits(primitive, inputs, outputs) &&
        [...inputs, ...outputs].every((t) => t === null || t.size > 0);
      if (!isKernel) return library.runReference(primitive, inputs, outputs, settings);
      const looking = sampler?.due ?? false;
      const before = looking ? inputs.map(heldCopy) : [];
      if (sampler) forward.set(primitive.name, primitive);
      try {
        // What an operation changes in place, it reads as well.
        const inPlace = outputs.some((t) => t !== null && inputs.includes(t));
        const read = flat(inputs, false);
        gpu().run(primitive.name, read, flat(outputs, !inPlace), settings);
      } catch (error) {
        if (!refused(error)) throw error;
        // What does not fit, the reference says in the words of the operation; what only exceeds a
        // kernel's limits, it computes.
        return library.runReference(primitive, inputs, outputs, settings);
      }
      if (looking)
        sampler!.timed(() =>
          sampler!.judge(
            {
              ...{ primitive, inputs: before, outputs: outputs.map(heldCopy) },
              ...{ options: settings, path: "" },
            },
            namesOf,
            factors,
          ),
        );
    },
    compile(step) {
      for (const { primitive, name: called } of step.graph.nodes)
        if (primitive !== "view") forward.set(called, primitive);
      const names = [...forward.keys(), ...gpuKernels];
      const kernels = new Set(names.filter((kernel) => gpu().has(kernel)));
      let workBytes = 0;
      class Program implements InstanceType<HostProgram> {
        readonly #program: InstanceType<GpuAddon["GpuProgram"]>;
        readonly #slots: Slot[] = [];
        readonly #arenaBytes: number;

        constructor(description: object) {
          this.#program = new addon.GpuProgram(gpu(), description);
          workBytes = this.#program.workBytes();
          this.#arenaBytes = (description as { arenaBytes: number }).arenaBytes + workBytes;
        }

        run(
          bound: readonly unknown[],
          numbers: Float64Array,
          times: Float64Array | null,
          watch?: object,
        ): boolean {
          const lent = (bound as readonly Lent[]).map((b, i) => {
            this.#slots[i] ??= new Slot(device);
            return this.#slots[i].take(b);
          });
          const finished = this.#program.run(lent, numbers, times, watch);
          arenaBytes = Math.max(arenaBytes, this.#arenaBytes);
          (bound as readonly Lent[]).forEach((b, i) => this.#slots[i].giveBack(b));
          return finished;
        }
      }
      const lend = (tensor: Tensor, written: boolean): Lent => ({
        ...{ storage: storageOn(device, tensor), written },
        ...{ dtype: tensor.dtype, length: tensor.size },
      });
      try {
        const host = { kernels, lend, target: "gpu" } as const;
        const needing = (program: ReturnType<typeof compileStep>) =>
          Object.assign(program, {
            needs(): MemoryNeeds {
              const { freeBytes, totalBytes } = gpu().describe();
              const parts = partsOf(program.plan, step, workBytes);
              // All programs take turns in one arena.
              return { parts, freeBytes: freeBytes + arenaBytes, totalBytes };
            },
          });
        if (!sampler) return needing(compileStep({ ...host, Program }, step, options));
        const { Program: Watched, known } = watched(Program, step.graph, sampler, namesOf, factors);
        const program = compileStep({ ...host, Program: Watched }, step, options);
        known.plan = program.plan;
        return needing(program);
      } catch (error) {
        if (error instanceof NoProgram || refused(error))
          throw new library.CannotCompile((error as Error).message);
        throw error;
      }
    },
    scoped(body) {
      const outer = passing;
      const mine: Memory[] = [];
      passing = mine;
      try {
        return body();
      } finally {
        passing = outer;
        for (const memory of mine) memory.release();
      }
    },
    describe: () => ({ ...gpu().describe(), factors }),
  });
}

// ## What a step takes

/** By what it is for, the memory that is not there yet. */
function partsOf(plan: Plan, { graph }: TracedStep, workBytes: number): MemoryNeeds["parts"] {
  const tensors = new Map<number, Tensor>();
  for (const { source, storage } of graph.values) if (source) tensors.set(storage, source);
  const updates = plan.calls.filter(({ kernel }) => kernel === "sgd" || kernel === "adam");
  const storagesOf = (places: Call["inputs"]) =>
    places.flatMap((b) => (b === null ? [] : [plan.memories[plan.buffers[b].memory].storage]));
  const states = new Set(updates.flatMap(({ inputs }) => storagesOf(inputs.slice(2))));
  const gradients = new Set(updates.map(({ inputs }) => plan.buffers[inputs[1]!].memory));
  const bytes = { data: 0, parameters: 0, states: 0, batch: 0, gradients: 0 };
  plan.memories.forEach((memory, i) => {
    if (memory.storage === null) {
      if (gradients.has(i)) bytes.gradients += memory.bytes;
      return;
    }
    const tensor = tensors.get(memory.storage);
    const own = tensor?.storage;
    const missing = own instanceof DeviceStorage ? own.missingBytes : memory.bytes;
    if (tensor?.dtype === "uint8") bytes.data += missing;
    else if (states.has(memory.storage)) bytes.states += missing;
    else if (tensor?.requiresGrad) bytes.parameters += missing;
    else bytes.batch += missing;
  });
  return [
    { what: "the data set", bytes: bytes.data },
    { what: "parameters", bytes: bytes.parameters },
    { what: "the optimiser's states", bytes: bytes.states },
    { what: "gradients of parameters", bytes: bytes.gradients },
    { what: "what else arises within a step", bytes: plan.arenaBytes - bytes.gradients },
    { what: "the batch, results and statistics", bytes: bytes.batch },
    { what: "what kernels work in", bytes: workBytes },
  ].filter((part) => part.bytes > 0);
}

// ## What is bound
//
// A captured step finds its tensors where they were. Parameters stay where they are; a batch and results are
// others at each run, so that from the second one on they have a place of the program's own, and what comes
// from the host or goes there is allocated nothing.

interface Lent {
  readonly storage: DeviceStorage;
  readonly written: boolean;
  readonly dtype: DType;
  readonly length: number;
}

class Slot {
  readonly #device: OpenDevice;
  #first: DeviceStorage | null = null;
  #own: Memory | null = null;

  constructor(device: OpenDevice) {
    this.#device = device;
  }

  take({ storage, written, dtype, length }: Lent): Memory {
    this.#first ??= storage;
    if (this.#own === null && storage === this.#first) return storage.memory;
    this.#own ??= this.#device.allocate(dtype, length);
    if (!written) storage.send(this.#own);
    return this.#own;
  }

  giveBack({ storage, written }: Lent): void {
    if (this.#own !== null && written) storage.receive(this.#own);
  }
}
