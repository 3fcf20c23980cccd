// # Fenced memory
//
// Runs the kernels the way a suspicious reader would: every tensor is copied between guard words, at an
// odd place, outputs are filled with NaN first, and afterwards nothing but the outputs may have
// changed. What a kernel leaves out stays NaN; what it writes beside its output is found here, with
// the name of the kernel.

import * as convnotes from "convnotes";
import { type Backend, type Primitive, registerBackend, Tensor } from "convnotes";
import { type KernelOptions, loadKernels } from "../backend.js";

const GUARD_BYTES = 64;
const GUARD = 0xa5;

type Data = Tensor["data"];

interface Fenced {
  readonly tensor: Tensor;
  readonly original: Tensor;
  readonly bytes: Uint8Array;
  readonly begin: number;
}

/** A copy of `tensor` between guards, `shift` elements off the place where arrays begin. */
function fence(tensor: Tensor, shift: number, poison: boolean): Fenced {
  const { data } = tensor;
  const begin = GUARD_BYTES + shift * data.BYTES_PER_ELEMENT;
  const bytes = new Uint8Array(begin + data.byteLength + GUARD_BYTES).fill(GUARD);
  const Kind = data.constructor as new (b: ArrayBufferLike, at: number, n: number) => Data;
  const inside = new Kind(bytes.buffer, begin, data.length);
  if (!poison) inside.set(data as never);
  else if (inside instanceof Float32Array) inside.fill(NaN);
  else bytes.fill(0x7f, begin, begin + data.byteLength);
  const storage = { data: inside, version: 0 };
  return {
    tensor: new Tensor(tensor.shape, tensor.dtype, "cpu", storage),
    original: tensor,
    bytes,
    begin,
  };
}

/** Throws: Error that names the kernel, the tensor and the first byte that was touched. */
function checkGuards(kernel: string, name: string, { bytes, begin, tensor }: Fenced): void {
  const end = begin + tensor.data.byteLength;
  bytes.forEach((byte, i) => {
    if ((i < begin || i >= end) && byte !== GUARD)
      throw new Error(
        `${kernel} wrote ${i < begin ? begin - i : i - end + 1} bytes beside ${name}`,
      );
  });
}

const sameBytes = (a: Data, b: Data) =>
  Buffer.compare(
    Buffer.from(a.buffer, a.byteOffset, a.byteLength),
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  ) === 0;

/** How a backend runs; checks can put themselves in between. */
type Run = Backend["run"];

function guarded(run: Run): Run {
  let calls = 0;
  return (primitive, inputs, outputs, options) => {
    const fences = new Map<Tensor, Fenced>();
    const add = (t: Tensor | null, poison: boolean) => {
      if (t === null) return null;
      if (!fences.has(t)) fences.set(t, fence(t, calls++ % 5, poison));
      return fences.get(t)!.tensor;
    };
    const inside = inputs.map((t) => add(t, false));
    const results = outputs.map((t) => add(t, true));
    run(primitive, inside, results, options);
    for (const fenced of fences.values()) {
      const { original, tensor } = fenced;
      const at = outputs.indexOf(original);
      const name =
        at >= 0
          ? primitive.outputs[at]
          : (primitive.inputs[inputs.indexOf(original)] ?? primitive.inputs[0]);
      checkGuards(primitive.name, name, fenced);
      if (at >= 0) original.data.set(tensor.data as never);
      else if (!sameBytes(original.data, tensor.data))
        throw new Error(`${primitive.name} changed its input ${name}`);
    }
  };
}

export interface Checked {
  readonly isa: string;
  readonly threads: number;
  /** The kernels that ran so far. */
  readonly ran: ReadonlySet<string>;
}

/**
 * Lets `cpu` compute with fenced kernels, and with nothing else: what would go to the reference is an
 * error. Threads share out everything, however small. `between` may put a fault in.
 *
 * Throws: Error when there are no kernels.
 */
export function checkKernels(
  options: KernelOptions = {},
  between = (run: Run): Run => run,
): Checked {
  const ran = new Set<string>();
  const status = loadKernels(
    {
      registerBackend: (backend) =>
        registerBackend({ ...backend, run: guarded(between(backend.run.bind(backend))) }),
      CannotCompile: convnotes.CannotCompile,
      isComputing: convnotes.isComputing,
      // Only the host is checked here.
      registerFamily: () => {},
      runReference: (primitive) => {
        throw new Error(`${primitive.name} has no kernel for these tensors`);
      },
    },
    { grain: 0, ...options },
  );
  if (!status.available) throw new Error(status.reason);
  const counting = convnotes.backendOf("cpu");
  const run: Run = (primitive, ...rest) => {
    ran.add(primitive.name);
    counting.run(primitive, ...rest);
  };
  registerBackend({ ...counting, run });
  return { ...status, ran };
}

/** The kernels as a program uses them, or the reference where there are none. */
export function restoreKernels(): void {
  const status = loadKernels(convnotes);
  if (!status.available)
    registerBackend({ device: "cpu", host: true, run: convnotes.runReference });
}

/** Instruction sets of this processor, the fastest first. */
export function instructionSets(): string[] {
  const candidates = process.arch === "x64" ? ["avx512", "avx2", "sse2"] : ["neon"];
  const found = candidates.filter((isa) => {
    try {
      return loadKernels(convnotes, { isa }).available;
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
  });
  restoreKernels();
  return found;
}

export type { Primitive, Run };
