// # Checking while it runs
//
// Verified training: now and then one kernel call of the real computation is looked at, with the
// numbers that it really had, and a part of its output is held to the law of its operation. The
// time that this takes is kept below a share of the whole, whatever the network and the machine:
// a call is only looked at when there is time to spare.
//
// What comes out is a certificate. What is off ends the run, with all that is needed to see it again.

import {
  type Arithmetic,
  arithmeticWith,
  type Factors,
  float32,
  inChunks,
  winograd,
} from "../../spec/rounding.js";
import { type Continuation, hasLaw, judgeCall, type KernelCall, type NamesOf } from "./call.js";
import { cutCall, drawCut, type Held, keptPlaces } from "./cut.js";

/** A call of a kernel, as it lies in memory. */
export interface HeldCall {
  readonly primitive: KernelCall["primitive"];
  readonly inputs: readonly (Held | null)[];
  readonly outputs: readonly (Held | null)[];
  readonly options: object;
  readonly then?: readonly HeldContinuation[] | undefined;
  /** Whether its results came by Winograd's tiles. Default: no. */
  readonly tiled?: boolean;
  /** The module that was running. */
  readonly path: string;
}

/** As `Continuation`, with what it reads besides as it lies in memory. */
export interface HeldContinuation extends Omit<Continuation, "inputs"> {
  readonly inputs: readonly (Held | null)[];
}

/** Sums of products that the host's kernels cut into chunks. */
const cut = new Set(["conv2d", "conv2d_backward_input", "linear", "matmul"]);

/** On the host, or on a GPU with factors like these, where only sums of products run on tensor cores. */
function arithmeticOf(primitive: string, factors: Factors | "host"): Arithmetic {
  if (factors === "host") return cut.has(primitive) ? inChunks : float32;
  const [stem, input] = primitive.split("_backward_");
  const isProduct = ["conv2d", "linear", "matmul"].includes(stem) && input !== "bias";
  return isProduct ? arithmeticWith[factors] : float32;
}

/** What was seen of one operation. */
export interface Tally {
  calls: number;
  elements: number;
  /** The largest error ÷ bound. */
  worst: number;
  /** Shapes of the first outputs. */
  readonly shapes: Set<string>;
}

/** A kernel's result was outside of what rounding can do to it. */
export class VerificationError extends Error {
  override readonly name = "VerificationError";
  /** Filled in by whoever stops the run: what makes the call happen again, as JSON. */
  readonly replay: object;

  constructor(message: string, replay: object) {
    super(message);
    this.replay = replay;
  }
}

export interface SamplerOptions {
  /** The most that checking may take of all time, from 0 to 1. */
  readonly share: number;
  readonly seed: number;
  /** Milliseconds. Default: the process's clock. */
  readonly now?: () => number;
}

/** Numbers from 0 to 1, of which only variety is asked (a linear congruential generator). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export class Sampler {
  readonly tallies = new Map<string, Tally>();
  /** Operations that were met and have no law of their own. */
  readonly unchecked = new Set<string>();
  readonly random: () => number;
  readonly #share: number;
  readonly #now: () => number;
  readonly #begun: number;
  #spent = 0;

  constructor({ share, seed, now = () => performance.now() }: SamplerOptions) {
    this.#share = share;
    this.#now = now;
    this.#begun = now();
    this.random = generator(seed);
  }

  /** Whether there is time to look at a call now. */
  get due(): boolean {
    return this.#spent <= this.#share * (this.#now() - this.#begun);
  }

  /** Milliseconds spent on checking so far. */
  get spentMs(): number {
    return this.#spent;
  }

  /** Runs `body`, and counts its time as time spent on checking. */
  timed<T>(body: () => T): T {
    const started = this.#now();
    try {
      return body();
    } finally {
      this.#spent += this.#now() - started;
    }
  }

  /** Throws: VerificationError for an element that is off. */
  judge(call: HeldCall, namesOf: NamesOf, factors: Factors | "host" = "host"): void {
    const { primitive, options, then = [] } = call;
    for (const { name } of [primitive, ...then.map((next) => next.primitive)])
      if (!hasLaw(name)) {
        this.unchecked.add(name);
        return;
      }
    const shapes = (list: readonly (Held | null)[]) => list.map((t) => t && t.shape);
    const cut = drawCut(
      primitive.name,
      shapes(call.inputs),
      shapes(call.outputs),
      options,
      this.random,
    );
    const { further, ...parts } = cutCall(
      primitive.name,
      call.inputs,
      call.outputs,
      cut,
      then.map((next) => next.inputs),
    );
    // What is dropped depends on where an element stood.
    const isPart = cut.size > 0 && then.some(({ options }) => "p" in options);
    const places = isPart
      ? { places: keptPlaces(primitive.name, call.outputs[0]!.shape, cut) }
      : {};
    const kernelCall: KernelCall = {
      ...{ primitive, ...parts, options },
      then: then.map((next, i) => ({
        ...{ ...next, inputs: further[i] },
        options: { ...next.options, ...places },
      })),
    };
    const tally = this.tallies.get(primitive.name) ?? {
      ...{ calls: 0, elements: 0, worst: 0 },
      shapes: new Set<string>(),
    };
    this.tallies.set(primitive.name, tally);
    tally.calls++;
    tally.shapes.add(call.outputs[0]?.shape.join("×") ?? "");
    const arithmetic = call.tiled ? winograd : arithmeticOf(primitive.name, factors);
    for (const { output, elements, worst, violation } of judgeCall(
      kernelCall,
      namesOf,
      arithmetic,
    )) {
      tally.elements += elements;
      tally.worst = Math.max(tally.worst, worst);
      if (violation === undefined) continue;
      const { index, value, expected, bound } = violation;
      const where = call.path === "" ? "" : ` in ${call.path}`;
      throw new VerificationError(
        `${primitive.name}${where}: ${output}[${index.join(", ")}] is ${value}, but the formula ` +
          `gives ${expected} ± ${bound}`,
        { ...kernelCall, cut: Object.fromEntries(cut) },
      );
    }
  }
}
