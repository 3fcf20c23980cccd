// # convnotes summary, plan, devices and models
//
// What there is, and what a network is made of, without computing anything.

import type { Command } from "commander";
import { backendOf, defaultDevice, devices, openFamilies, uncomputed } from "../backend.js";
import { zeros } from "../create.js";
import { imageShape } from "../data/loader.js";
import { kernelStatus } from "../kernels.js";
import { models, modelNamed } from "../models/index.js";
import { formatSummary, showBytes, type Summary, summarize } from "../summary.js";
import { noGrad } from "../tape.js";
import type { StepImages } from "../train/batches.js";
import { makeOptimizer } from "../train/loop.js";
import { type OptimizerSettings, recipes } from "../train/recipes.js";
import { traceStep } from "../train/step.js";
import { oneOf, sizes, UsageError, wholeNumber } from "./flags.js";
import { type TypeScriptName, typeScriptModule, typeScriptName } from "./typescript.js";
import { formatNetwork, networksOf, sourceName, type SourceName, tableOf } from "./source.js";

export function addSummary(program: Command): void {
  program
    .command("summary")
    .summary("layers, shapes, parameters and cost of a network")
    .argument("<model>", "a network's name (`convnotes models`), or FILE:ENTRY of source")
    .option("--input <sizes>", "shape of the input, such as 1,1,28,28", sizes)
    .option("--json", "print the table as JSON")
    .action(async (name: string, flags: { input?: number[]; json?: boolean }) => {
      const source = sourceName(name);
      if (source !== null) {
        await summarizeSource(source, flags);
        return;
      }
      const program = typeScriptName(name);
      const summary = await (program === null
        ? summaryOf(name, flags.input)
        : summaryOfProgram(program, flags.input));
      console.log(
        flags.json
          ? JSON.stringify(summary, null, 2)
          : formatSummary(summary, { width: process.stdout.columns }),
      );
      if (summary.error !== undefined) process.exitCode = 1;
    });
}

function summaryOf(name: string, input?: readonly number[]): Summary {
  const model = modelNamed(name);
  return summarize(model.create, input ?? [1, ...model.inputShape]);
}

/** A file of TypeScript is run, once. */
async function summaryOfProgram(name: TypeScriptName, input?: readonly number[]): Promise<Summary> {
  if (input === undefined)
    throw new UsageError(`summary: say what ${name.entry} takes, such as --input 1,1,28,28`);
  const module = (await typeScriptModule(name))();
  return summarize(() => module.to("meta"), input);
}

async function summarizeSource(
  source: SourceName,
  { input, json }: { input?: number[]; json?: boolean },
): Promise<void> {
  const { document, networks } = await networksOf(source, input);
  if (json) {
    const tables = networks.map((network) => tableOf(document, network, input?.[0] ?? 1));
    console.log(JSON.stringify(source.entry === null ? tables : tables[0], null, 2));
  } else console.log(networks.map((network) => formatNetwork(document, network)).join("\n\n"));
  if (networks.some(({ failed }) => failed !== null)) process.exitCode = 1;
}

export function addPlan(program: Command): void {
  program
    .command("plan")
    .summary("how a step of a network runs as a program: fusions, layouts, memory")
    .argument("<model>", "a network's name; `convnotes models` lists them")
    .option("--batch <n>", "images in a step", wholeNumber(1), 32)
    .option("--optimizer <name>", "adam, adamw or sgd", oneOf("adam", "adamw", "sgd"), "sgd")
    .option("--eval", "without gradients and update")
    .option("--device <name>", "where to compute", "cpu")
    .option("--json", "print the plan as JSON")
    .action((name: string, flags: PlanFlags) => {
      const { create, inputShape } = modelNamed(name);
      const backend = backendOf(flags.device);
      if (backend.compile === undefined)
        throw new Error(`the device "${flags.device}" runs operations one by one, without a plan`);
      const model = create().to(flags.device).train(!flags.eval);
      const program = uncomputed(() => {
        const images = stepImages(name, flags, inputShape);
        const labels = zeros([flags.batch], { device: flags.device, dtype: "int64" });
        const optimizer = flags.eval
          ? null
          : makeOptimizer(model, { name: flags.optimizer, lr: 0.01, momentum: 0, weightDecay: 0 });
        const step = () => backend.compile?.(traceStep(model, optimizer, images, labels));
        return flags.eval ? noGrad(step) : step();
      });
      console.log(flags.json ? JSON.stringify(program?.plan, null, 2) : String(program));
    });
}

/** What a step of `train` is given: a batch, or a list of places where the device has the data set. */
function stepImages(
  name: string,
  { batch, device }: PlanFlags,
  inputShape: readonly number[],
): StepImages {
  const recipe = recipes.get(modelNamed(name).name);
  if (backendOf(device).storage === undefined || recipe === undefined)
    return zeros([batch, ...inputShape], { device });
  const { count, height, width } = fashionMnist;
  const [, newHeight, newWidth] = imageShape(fashionMnist, recipe.pipeline);
  return {
    images: zeros([count, height, width], { device, dtype: "uint8" }),
    indices: zeros([batch], { device, dtype: "int64" }),
    options: { size: [newHeight, newWidth] },
  };
}

/** Images to train on. Units: pixels. */
const fashionMnist = { count: 60000, height: 28, width: 28 };

interface PlanFlags {
  readonly batch: number;
  readonly optimizer: OptimizerSettings["name"];
  readonly eval?: boolean;
  readonly device: string;
  readonly json?: boolean;
}

export function addDevices(program: Command): void {
  program
    .command("devices")
    .summary("where this machine can compute")
    .option("--json", "print the list as JSON")
    .action((flags: { json?: boolean }) => {
      const kernels = kernelStatus();
      // Only now are GPUs looked for, so that nobody else has to wait for a driver.
      const absent = Object.fromEntries(openFamilies());
      const list = devices().map((name) => {
        const hardware = backendOf(name).describe?.();
        return { name, standard: name === defaultDevice(), ...(hardware && { hardware }) };
      });
      if (flags.json) {
        console.log(JSON.stringify({ devices: list, absent, kernels }, null, 2));
        return;
      }
      const speed = kernels.available
        ? `fast kernels: ${kernels.isa}, ${kernels.threads} thread${kernels.threads > 1 ? "s" : ""}`
        : "plain loops, as on reference";
      for (const { name, standard, hardware } of list) {
        const about =
          name === "cpu"
            ? speed
            : hardware &&
              `${hardware.name}, compute capability ${hardware.major}.${hardware.minor}, ` +
                `${showBytes(hardware.freeBytes)} free of ${showBytes(hardware.totalBytes)}`;
        console.log(`${name}${standard ? " (default)" : ""}${about ? `: ${about}` : ""}`);
      }
      if (!kernels.available) console.log(`\nThere are no fast kernels: ${kernels.reason}`);
      for (const reason of Object.values(absent)) console.log(reason);
    });
}

export function addModels(program: Command): void {
  program
    .command("models")
    .summary("the networks of the notes and how they are trained")
    .option("--json", "print the list as JSON")
    .action((flags: { json?: boolean }) => {
      if (flags.json) {
        console.log(JSON.stringify(models.map((m) => ({ ...m, recipe: recipes.get(m.name) }))));
        return;
      }
      const width = Math.max(...models.map((m) => m.name.length));
      for (const { name, title, inputShape } of models) {
        const recipe = recipes.get(name);
        const how =
          recipe &&
          `, ${recipe.epochs} epochs, ${recipe.optimizer.name} ${recipe.optimizer.lr}, ` +
            `batch ${recipe.batchSize}`;
        console.log(`${name.padEnd(width)}  ${title} (${inputShape.join("×")}${how ?? ""})`);
      }
    });
}
