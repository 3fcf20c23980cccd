// # The host's kernels as a backend
//
// Finds the addon, and lets it compute what it can on the device `cpu`: primitives in float32 that
// have a kernel. Whatever is left (float64, integers, an operation without a kernel) stays with the
// reference, so that nothing depends on whether there is an addon.
//
// The library is handed in rather than imported, so that kernels work for the very copy of it that a
// program runs.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Primitive, Shape, Tensor } from "convnotes";
import { sourcesOf } from "./addon/sources.mjs";
import type { NamesOf } from "./check/call.js";
import type { Held } from "./check/cut.js";
import { watched } from "./check/watch.js";
import { type GpuAddon, type GpuLibrary, type GpuOptions, offerGpus } from "./gpu.js";
import { suits } from "./plan/plan.js";
import { compileStep, type HostProgram, NoProgram } from "./plan/program.js";

// ## The addon

/** What `addon/addon.cpp` exports. */
interface Addon extends GpuAddon {
  start(options: KernelOptions): void;
  describe(): {
    isa: string;
    isas: string[];
    threads: number;
    kernels: string[];
    fused: string[];
    sources?: string;
  };
  readonly Program: HostProgram;
  /** Data and shape in turn, null and null where one is left out. */
  run(
    kernel: number,
    inputs: readonly unknown[],
    outputs: readonly unknown[],
    options: object,
  ): void;
}

export interface KernelOptions extends GpuOptions {
  /** `avx512`, `avx2` or `sse2` on x86, `neon` on arm64. Default: the fastest there is. */
  readonly isa?: string;
  /** Default: one for each processor. */
  readonly threads?: number;
  /** Elements of work that are not shared out among threads. Default: some ten microseconds'. */
  readonly grain?: number;
}

/** Whether there are kernels, and if not, why not and what to install. */
export type KernelStatus =
  | { readonly available: true; readonly isa: string; readonly threads: number }
  | { readonly available: false; readonly reason: string };

/** The folder with `addon`, `build` and `prebuilt`: this one, or that above `dist`. */
function home(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return existsSync(join(here, "ops.def")) ? here : dirname(here);
}

/** Put in when this file is bundled: what the addon of the same build is compiled from. */
declare const CONVNOTES_SOURCES: string | undefined;

/** Throws: Error for an addon of another build, whose kernels may do other things than are planned. */
function checkBuild(addon: Addon): void {
  const ours = typeof CONVNOTES_SOURCES === "string" ? CONVNOTES_SOURCES : sourcesOf(home());
  const { sources = "older ones" } = addon.describe();
  if (sources !== ours)
    throw new Error(
      `it was built from other sources (${sources}) than what plans for it (${ours}); ` +
        "build both anew: npm run build (or, of an installed package: npm rebuild convnotes-kernels)",
    );
}

/** The addon that was built here, or that came with the package; or why there is none. */
function findAddon(): Addon | string {
  const place = `${process.platform}-${process.arch}`;
  const candidates = process.env.CONVNOTES_ADDON
    ? [process.env.CONVNOTES_ADDON]
    : ["build", "prebuilt"].map((folder) => join(home(), folder, place, "convnotes.node"));
  const reasons: string[] = [];
  for (const file of candidates.filter((path) => existsSync(path)))
    try {
      const addon = createRequire(import.meta.url)(file) as Addon;
      checkBuild(addon);
      return addon;
    } catch (error) {
      reasons.push(
        `${file} does not load: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  if (reasons.length > 0) return reasons.join("; ");
  if (process.env.CONVNOTES_ADDON)
    return `there is no ${process.env.CONVNOTES_ADDON}, which CONVNOTES_ADDON names`;
  const record = join(home(), "build", place, "status.json");
  if (!existsSync(record))
    return `the kernels are not built; run: node ${join(home(), "addon", "build.mjs")}`;
  return (JSON.parse(readFileSync(record, "utf8")) as { reason?: string }).reason ?? "no reason";
}

// ## What a kernel gets

/** Data and shape in turn. */
function flat(tensors: readonly (Tensor | null)[]): unknown[] {
  const list: (Tensor["data"] | Shape | null)[] = [];
  for (const t of tensors) list.push(t && t.data, t && t.shape);
  return list;
}

/** As it is now: kernels may write where they read. */
const heldCopy = (t: Tensor | null): Held | null =>
  t && { data: t.data.slice(), shape: t.shape, layout: "plain" };

const refused = (error: unknown) =>
  error instanceof TypeError && "code" in error && error.code === "CONVNOTES_REFUSED";

// ## Loading

/**
 * Makes `cpu` compute with kernels, where they are built, and says whether it does.
 *
 * Without options the environment decides: `CONVNOTES_ISA`, `CONVNOTES_THREADS`,
 * `CONVNOTES_WINOGRAD` (`off` for no tiles), `CONVNOTES_PRECISION` (on GPUs: `tf32`, `bf16` or `fp32`) and
 * `CONVNOTES_ADDON` (the file to load). Called again, it starts over with other options.
 *
 * Throws: TypeError for an instruction set that the processor has not, or an impossible number
 * of threads.
 */
export function loadKernels(library: GpuLibrary, settings: KernelOptions = {}): KernelStatus {
  const addon = findAddon();
  if (typeof addon === "string") return { available: false, reason: addon };
  const { CONVNOTES_ISA: isa, CONVNOTES_THREADS: threads, CONVNOTES_WINOGRAD: tiles } = process.env;
  const options: KernelOptions = {
    ...(isa ? { isa } : {}),
    ...(threads ? { threads: Number(threads) } : {}),
    ...(tiles === "off" ? { winograd: false } : {}),
    // What is left open stays open.
    ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)),
  };
  addon.start(options);
  const about = addon.describe();
  const places = new Map(about.kernels.map((name, i) => [name, i]));
  const kernels = new Set([...about.kernels, ...about.fused]);
  const { sampler } = options;
  /** What operations call their operands: a gradient comes after the operation itself. */
  const forward = new Map<string, Primitive>();
  const namesOf: NamesOf = (stem) => forward.get(stem)!;

  library.registerBackend({
    device: "cpu",
    host: true,
    run(primitive, inputs, outputs, settings) {
      const kernel = places.get(primitive.name);
      if (kernel === undefined || !suits(primitive, inputs, outputs)) {
        library.runReference(primitive, inputs, outputs, settings);
        return;
      }
      const looking = sampler?.due ?? false;
      const before = looking ? inputs.map(heldCopy) : [];
      if (sampler) forward.set(primitive.name, primitive);
      try {
        addon.run(kernel, flat(inputs), flat(outputs), settings);
        if (looking)
          sampler!.timed(() =>
            sampler!.judge(
              {
                ...{ primitive, inputs: before, outputs: outputs.map(heldCopy) },
                ...{ options: settings, path: "" },
              },
              namesOf,
            ),
          );
      } catch (error) {
        if (!refused(error)) throw error;
        // What does not fit, the reference says in the words of the operation; what only exceeds
        // a kernel's limits, it computes.
        library.runReference(primitive, inputs, outputs, settings);
      }
    },
    compile(step) {
      try {
        if (!sampler) return compileStep({ Program: addon.Program, kernels }, step, options);
        for (const { primitive, name } of step.graph.nodes)
          if (primitive !== "view") forward.set(name, primitive);
        const { Program, known } = watched(addon.Program, step.graph, sampler, namesOf);
        const program = compileStep({ Program, kernels }, step, options);
        known.plan = program.plan;
        return program;
      } catch (error) {
        if (error instanceof NoProgram || refused(error))
          throw new library.CannotCompile((error as Error).message);
        throw error;
      }
    },
  });
  offerGpus(library, addon, home(), options);
  return { available: true, isa: about.isa, threads: about.threads };
}
