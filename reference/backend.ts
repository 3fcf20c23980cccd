// # Backends
//
// A backend runs primitive operations on the tensors of one device. The reference itself is a
// backend, and so is `meta`, which runs nothing; host and CUDA kernels register themselves here
// when they are loaded. Nothing else in the library knows how many there are.

import { didYouMean } from "./errors.js";
import type { Device, DType, Shape, Storage, Tensor } from "./tensor.js";
import type { Graph } from "./trace.js";

/** An input as a reference loop sees it: its sizes, and its numbers as JavaScript numbers. */
export interface Values {
  readonly shape: Shape;
  readonly data: Float32Array | Float64Array | Uint8Array;
}

/**
 * One step that a backend can run: a forward operation, a gradient, or an optimiser's update.
 *
 * `run` is the reference: it reads `inputs` (null where an optional one was left out) and fills
 * `outputs`, which arrive as zeros in float64 and are rounded once to the result's own type.
 */
export interface Primitive {
  /** `conv2d`, `conv2d_backward_weight`: the name of its kernel as well. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  run(
    inputs: readonly (Values | null)[],
    outputs: readonly (Float64Array | null)[],
    outputShapes: readonly (Shape | null)[],
    options: object,
  ): void;
  /** Products that are added up: the usual measure of a layer's work. */
  multiplyAdds(
    inputs: readonly (Shape | null)[],
    outputs: readonly (Shape | null)[],
    options: object,
  ): number;
  /** For operations on images: which input pixels an output pixel sees. */
  window?:
    | ((
        inputs: readonly (Shape | null)[],
        outputs: readonly (Shape | null)[],
        options: object,
      ) => ReceptiveWindow)
    | undefined;
}

/** The window that an output pixel sees, per axis `[rows, columns]`; for receptive fields. */
export interface ReceptiveWindow {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
}

export interface Backend {
  readonly device: Device;
  /** Whether JavaScript can see its numbers. */
  readonly host: boolean;
  /**
   * Storage of zeros in memory of the device's own, for one that has it. Its `data` is a copy for
   * JavaScript, to be asked for anew after each step.
   */
  storage?(dtype: DType, length: number): Storage;
  run(
    primitive: Primitive,
    inputs: readonly (Tensor | null)[],
    outputs: readonly (Tensor | null)[],
    options: object,
  ): void;
  /**
   * Turns a traced step into a program, where the backend can.
   *
   * Throws: CannotCompile, with the reason, for a step that has to be run operation by operation.
   */
  compile?(step: TracedStep): Program;
  /**
   * Runs `body`, and gives back the device's memory of all tensors that it made: none may be used
   * afterwards. JavaScript's collector takes its time, and knows little of a device's memory.
   */
  scoped?<T>(body: () => T): T;
  /** What people may know of a device with memory of its own. */
  describe?(): DeviceDescription;
}

/** A device with memory of its own. Units: bytes. */
export interface DeviceDescription {
  readonly name: string;
  /** The compute capability. */
  readonly major: number;
  readonly minor: number;
  readonly multiprocessors: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** How factors are rounded before they are multiplied. */
  readonly factors: "tf32" | "bf16" | "float32";
}

// ## Whole steps
//
// A backend may run a traced step as one program: it sees everything that is to be computed before
// anything is, so it can fuse operations and place memory. Parameters, optimiser states and running
// statistics are read and written where they are; what arises in between has no tensor.

/** A step that was traced (with `uncomputed`, so that nothing has happened yet). */
export interface TracedStep {
  readonly graph: Graph;
  /** Tensors whose numbers are handed in anew at each run: images, labels. */
  readonly inputs: readonly Tensor[];
  /** Tensors whose numbers are wanted after each run: loss, scores. */
  readonly outputs: readonly Tensor[];
  /**
   * One of the outputs. Where it is not finite the run ends: nothing that is computed from it is
   * done, and no parameter is touched.
   */
  readonly guard?: Tensor;
}

/** Memory that a step takes beside what is taken already, by what it is for. Units: bytes. */
export interface MemoryNeeds {
  readonly parts: readonly { readonly what: string; readonly bytes: number }[];
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** A call of a program. */
export interface ProgramCall {
  readonly kernel: string;
  /** The steps of the graph that it does. */
  readonly nodes: readonly number[];
  /** What its operands hold: the least that it has to move. Units: bytes. */
  readonly bytes: number;
}

/** A step that runs as a whole. */
export interface Program {
  /**
   * Runs once, on `inputs` of the shapes that were traced, and writes `outputs`. `options` has
   * the options of steps (by their place in the graph) that differ from those traced: a learning
   * rate, the number of the step.
   *
   * Returns: whether the guard was finite, so that the step was done.
   */
  run(
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    options: ReadonlyMap<number, object>,
  ): boolean;
  /** How it was planned, as data; `String(program)` says it to people. */
  readonly plan: object;
  /** What it calls, in turn. */
  readonly calls: readonly ProgramCall[];
  /** What it takes of the memory of a device that has its own. */
  needs?(): MemoryNeeds;
  /** Once set to a number for each call, each run adds the time that the call took. Units: ns. */
  times: Float64Array | null;
  toString(): string;
}

/** Why a step cannot become a program. */
export class CannotCompile extends Error {
  override readonly name = "CannotCompile";
}

// ## The reference as a backend

/** Integers come as float64, exact up to $2^{53}$. */
function values(tensor: Tensor): Values {
  const { shape, data } = tensor;
  return { shape, data: data instanceof BigInt64Array ? Float64Array.from(data, Number) : data };
}

/** Runs `primitive`'s own loops in float64 and rounds each result once. */
export function runReference(
  primitive: Primitive,
  inputs: readonly (Tensor | null)[],
  outputs: readonly (Tensor | null)[],
  options: object,
): void {
  const results = outputs.map((y) => y && new Float64Array(y.size));
  primitive.run(
    inputs.map((x) => x && values(x)),
    results,
    outputs.map((y) => y && y.shape),
    options,
  );
  outputs.forEach((y, k) => {
    if (y === null) return;
    if (y.data instanceof BigInt64Array) y.data.set(Array.from(results[k]!, BigInt));
    else y.data.set(results[k]!);
  });
}

const backends = new Map<Device, Backend>([
  ["cpu", { device: "cpu", host: true, run: runReference }],
  ["reference", { device: "reference", host: true, run: runReference }],
  ["meta", { device: "meta", host: false, run: () => {} }],
]);

/** Devices that are looked for when they are first asked for, by what their names begin with. */
const families = new Map<string, () => void>();

/**
 * Has `open` look for devices, and register them, as soon as one is asked for whose name begins with
 * `prefix`. Looking may be slow, or say why there is none by throwing.
 */
export function registerFamily(prefix: string, open: () => void): void {
  families.set(prefix, open);
  // What an earlier one has found is looked for again.
  for (const device of [...backends.keys()]) if (device.startsWith(prefix)) backends.delete(device);
}

/** Looks for all devices there may be; returns why there are none, by what names begin with. */
export function openFamilies(): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  for (const [prefix, open] of families) {
    try {
      open();
    } catch (error) {
      reasons.set(prefix, error instanceof Error ? error.message : String(error));
    }
  }
  return reasons;
}

/** Makes a device available, or replaces the one of that name. */
export function registerBackend(backend: Backend): void {
  backends.set(backend.device, backend);
}

/** The names of all devices that can compute or trace now. */
export const devices = (): Device[] => [...backends.keys()];

/**
 * Throws: RangeError for a device that is not there, with the nearest name; Error where it could be
 * there but is not, with the reason.
 */
export function backendOf(device: Device): Backend {
  const known = backends.get(device);
  if (known !== undefined) return known;
  for (const [prefix, open] of families) if (device.startsWith(prefix)) open();
  const backend = backends.get(device);
  if (backend === undefined)
    throw new RangeError(
      `there is no device "${device}".${didYouMean(device, backends.keys())} ` +
        `Available here: ${devices().join(", ")}`,
    );
  return backend;
}

// ## Looking ahead
//
// To trace a step before it is done, operations are called with nothing computed: shapes are
// checked, the tape is written, results have a shape and, if someone should look, zeros.

let computing = true;

/** Whether operations compute now; `uncomputed` switches it off. */
export const isComputing = (): boolean => computing;

/** Runs `body` without computing: no tensor that was there before is changed. */
export function uncomputed<T>(body: () => T): T {
  const before = computing;
  computing = false;
  try {
    return body();
  } finally {
    computing = before;
  }
}

// ## The device that new tensors go to

let current: Device = "cpu";

/** Where new tensors go: `cpu`, unless `withDevice` says otherwise. */
export const defaultDevice = (): Device => current;

/**
 * Runs `body` with `device` as the place of every new tensor, as `with torch.device(…)` does.
 *
 * `withDevice("meta", () => new LeNet())` builds a network that has shapes and no numbers.
 */
export function withDevice<T>(device: Device, body: () => T): T {
  backendOf(device);
  const before = current;
  current = device;
  try {
    return body();
  } finally {
    current = before;
  }
}
