// # convnotes train
//
// Runs a recipe and keeps its folder. The loop itself (train/loop.ts) knows nothing of terminals
// and files; this command prints, logs, draws and saves what the loop tells it.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import { backendOf } from "../backend.js";
import type { TrainingData } from "../data/dataset.js";
import { didYouMean } from "../errors.js";
import { writeAtomically } from "../files/atomic.js";
import {
  kernelStatus,
  loadKernels,
  loadVerifier,
  type Precision,
  type Sampler,
} from "../kernels.js";
import { modelNamed } from "../models/index.js";
import type { Run } from "../train/checkpoint.js";
import {
  beginning,
  checkFinite,
  DivergedError,
  type EpochEvent,
  makeOptimizer,
  train,
} from "../train/loop.js";
import { type OptimizerSettings, type Recipe, recipes } from "../train/recipes.js";
import { type DataFlags, RunFolder } from "../train/run_folder.js";
import { version } from "../version.js";
import { dataOptions, loadData } from "./data.js";
import {
  atLeast,
  checkPrecision,
  fraction,
  type KernelFlags,
  kernelOptions,
  oneOf,
  percent,
  UsageError,
  wholeNumber,
} from "./flags.js";
import { report } from "./progress.js";
import { SharedDevice } from "./sharing.js";
import { checkNamed, isProgram, makeModel } from "./model.js";
import { recipeForSource, sourceName } from "./source.js";
import { recipeForTypeScript, typeScriptName } from "./typescript.js";
import { verdict, writeCertificate } from "./verify.js";

interface Flags extends DataFlags, KernelFlags {
  epochs?: number;
  batchSize?: number;
  lr?: number;
  optimizer?: OptimizerSettings["name"];
  momentum?: number;
  weightDecay?: number;
  resize?: number;
  seed?: number;
  device?: string;
  run?: string;
  resume?: string;
  maxBatches?: number;
  checkpointEvery?: number;
  verify?: number | true;
}

/** Seconds of work that a sudden end may cost, unless --checkpoint-every says otherwise. */
const CHECKPOINT_INTERVAL_S = 30;

/** How much of the time --verify takes at most. */
const VERIFY_PERCENT = 2;

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .summary("train a network on Fashion-MNIST and keep the run in a folder")
    .description(
      "Trains a network by the notes' recipe and leaves a run folder: log, curves, a page that " +
        "shows them, checkpoint and weights. What is left out comes from the recipe.",
    )
    .argument("[model]", "a network's name (`convnotes models`), or FILE:ENTRY of source")
    .option("--epochs <n>", "passes over the training images", wholeNumber(1))
    .option("--batch-size <n>", "images in one step", wholeNumber(1))
    .option("--optimizer <name>", "adam, adamw or sgd", oneOf("adam", "adamw", "sgd"))
    .option("--lr <x>", "learning rate", atLeast(0))
    .option("--momentum <x>", "for sgd", fraction)
    .option("--weight-decay <x>", "shrinks weights in every step", atLeast(0))
    .option("--resize <pixels>", "side of the images that the network sees", wholeNumber(1))
    .option("--seed <n>", "determines weights, order and dropout (default: 0)", wholeNumber(0))
    .option("--device <name>", "where to compute; `convnotes devices` lists them (default: cpu)")
    .option("--run <folder>", "where the run is kept (default: runs/MODEL-1, -2, …)")
    .option("--resume <folder>", "go on with a run that was stopped")
    .option(
      "--max-batches <n>",
      "end each epoch after so many steps, for a quick try",
      wholeNumber(1),
    )
    .option(
      "--checkpoint-every <n>",
      `save after so many steps (default: every ${CHECKPOINT_INTERVAL_S} s and after each epoch)`,
      wholeNumber(1),
    );
  kernelOptions(command).option(
    "--verify [percent]",
    `look at kernel calls of the run, for so much of its time (default: ${VERIFY_PERCENT})`,
    percent,
  );
  dataOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  convnotes train lenet                     the notes' LeNet by its recipe
  convnotes train lenet --epochs 1          one pass over the images
  convnotes train my_net.py:Net             a class in PyTorch source; no Python is run
  convnotes train my_net.ts:Net             a class, or a module, in TypeScript; the file is run
  convnotes train vgg --resize 64 --max-batches 20
  convnotes train --resume runs/lenet-1     go on after Ctrl-C, a crash or a power cut
  convnotes train --resume runs/lenet-1 --epochs 20    …and train longer

Ctrl-C saves a checkpoint and says how to go on; a second Ctrl-C ends at once.`,
    )
    .action((model: string | undefined, flags: Flags) => runTrain(model, flags));
}

async function runTrain(modelName: string | undefined, flags: Flags): Promise<void> {
  const { folder, data, run, recipe, sampler } = await (flags.resume === undefined
    ? begin(modelName, flags)
    : resume(modelName, flags.resume, flags));
  const { maxBatches } = folder.settings;
  const device = flags.device ?? folder.settings.device;
  console.log(`data: ${data.source}`);
  console.log(`run: ${folder.path} (${recipe.model} on ${device}, seed ${folder.settings.seed})`);

  const shared = new SharedDevice(device, folder.path);
  const tellOfOthers = () => {
    for (const line of shared.news()) console.log(line);
  };
  tellOfOthers();
  const interrupt = watchInterrupt();
  const save = () => {
    checkFinite(run.model, run.progress);
    folder.saveCheckpoint(run);
  };
  const images = Math.min(
    data.train.count,
    (maxBatches ?? Number.POSITIVE_INFINITY) * recipe.batchSize,
  );
  const epochReport = () =>
    report(
      `epoch ${run.progress.epoch}/${recipe.epochs}`,
      images,
      run.progress.batch * recipe.batchSize,
    );
  let bar = epochReport();
  let savedAt = performance.now();
  try {
    const events = train({ ...run, recipe, ...data, device, maxBatches });
    for (const event of events) {
      if (event.type === "step") {
        folder.log(event);
        bar.advance(event.examples, `loss ${event.loss.toFixed(4)}`);
        const due =
          flags.checkpointEvery === undefined
            ? performance.now() - savedAt > CHECKPOINT_INTERVAL_S * 1000
            : event.batch % flags.checkpointEvery === 0;
        if (due) {
          save();
          tellOfOthers();
          savedAt = performance.now();
        }
      } else if (event.type === "epoch") {
        bar.end();
        folder.log(event);
        printEpoch(event, recipe.epochs);
        save();
        folder.draw();
        savedAt = performance.now();
        bar = epochReport();
      }
      // Lets signals and the terminal have their turn between two steps.
      await new Promise(setImmediate);
      if (interrupt.requested && event.type !== "validation") {
        bar.end();
        save();
        folder.draw();
        console.log(
          `\nstopped and saved at epoch ${run.progress.epoch}, after batch ${run.progress.batch}.\n` +
            `Go on with: npx ${resumeCommand(folder)}`,
        );
        process.exitCode = 130;
        return;
      }
    }
  } catch (error) {
    bar.end();
    if (error instanceof DivergedError && folder.hasCheckpoint)
      error.message += `. The last good checkpoint is kept in ${folder.path}`;
    if (error instanceof Error && "code" in error && error.code === "CONVNOTES_DEVICE")
      error.message += folder.hasCheckpoint
        ? `. The run is kept in ${folder.path} as of its last checkpoint; once the device is there ` +
          `again, go on with: npx ${resumeCommand(folder)} (or, with --device cpu, ` +
          `without it)`
        : `. No checkpoint had been written to ${folder.path} yet; begin the run anew`;
    if (error instanceof Error && "replay" in error) {
      const file = join(folder.path, "violation.json");
      writeAtomically(file, `${JSON.stringify(error.replay, null, 2)}\n`);
      error.message += `. The call is kept in ${file}`;
    }
    throw error;
  } finally {
    bar.end();
    interrupt.stop();
    shared.leave();
  }
  folder.saveWeights(run);
  folder.draw();
  if (sampler !== null) certify(sampler, folder, device);
  console.log(`weights: ${folder.weightsFile}\ncurves: ${folder.pageFile}`);
}

// ## Looking at kernel calls

/**
 * Loads kernels as the flags say, and with what looks at their calls, if that is asked for.
 *
 * Throws: UsageError where no kernels compute.
 */
async function kernelsFor(
  flags: Flags,
  seed: number,
  device: string,
  precision: Precision | undefined,
): Promise<Sampler | null> {
  const { verify, threads } = flags;
  checkPrecision(flags, device);
  let sampler: Sampler | null = null;
  if (verify !== undefined) {
    if (["reference", "meta"].includes(device))
      throw new UsageError(`train --verify: on "${device}" no kernels compute; leave out --device`);
    const percent = verify === true ? VERIFY_PERCENT : verify;
    sampler = (await loadVerifier()).makeSampler({ share: percent / 100, seed });
  }
  await loadKernels({ threads, precision, ...(sampler && { sampler }) });
  return sampler;
}

function certify(sampler: Sampler, folder: RunFolder, device: string): void {
  const status = kernelStatus();
  if (!status.available) return;
  const certificate = sampler.certificate(`training in ${folder.path}`, device, status);
  const file = join(folder.path, "certificate.json");
  writeCertificate(certificate, file);
  console.log(verdict(certificate, file));
}

function printEpoch(e: EpochEvent, epochs: number): void {
  const line = (loss: number, accuracy: number) =>
    `loss = ${loss.toFixed(4)} acc = ${accuracy.toFixed(4)}`;
  console.log(`epoch ${e.epoch}/${epochs}: ${line(e.loss, e.accuracy)}`);
  console.log(`Validation: ${line(e.validationLoss, e.validationAccuracy)}`);
}

// ## Beginning and resuming

interface Prepared {
  readonly folder: RunFolder;
  readonly data: TrainingData;
  readonly run: Run;
  readonly recipe: Recipe;
  readonly sampler: Sampler | null;
}

async function begin(modelName: string | undefined, flags: Flags): Promise<Prepared> {
  if (modelName === undefined)
    throw new UsageError("train: name a network, such as `convnotes train lenet`");
  const recipe = withFlags(await recipeFor(modelName, flags.resize), flags);
  const device = flags.device ?? "cpu";
  const { seed = 0, precision } = flags;
  const sampler = await kernelsFor(flags, seed, device, precision);
  // A device that cannot compute says so before anything is written.
  backendOf(device).describe?.();
  const data = await loadData(flags);
  const folder = RunFolder.create(
    {
      convnotes: version,
      recipe,
      seed,
      device,
      precision,
      data: data.source,
      dataFlags: flags.builtIn
        ? { builtIn: true }
        : { data: flags.data === undefined ? undefined : resolve(flags.data) },
      trainImages: data.train.count,
      maxBatches: flags.maxBatches,
    },
    flags.run,
  );
  return { folder, data, recipe, run: await freshRun(recipe, seed, device), sampler };
}

/** A program has to be named again. */
const resumeCommand = ({ path, settings: { recipe } }: RunFolder): string =>
  `convnotes train ${isProgram(recipe.model) ? `${recipe.model} ` : ""}--resume ${path}`;

async function resume(
  modelName: string | undefined,
  path: string,
  flags: Flags,
): Promise<Prepared> {
  const folder = RunFolder.open(path);
  const { settings } = folder;
  if (modelName !== undefined && modelName !== settings.recipe.model)
    throw new UsageError(
      `train: ${path} is a run of ${settings.recipe.model}, not of ${modelName}; ` +
        `go on with it by: ${resumeCommand(folder)}`,
    );
  if (modelName === undefined)
    checkNamed(settings.recipe.model, `the run in ${path}`, resumeCommand(folder));
  for (const name of ["batchSize", "lr", "optimizer", "seed", "resize", "run"] as const)
    if (flags[name] !== undefined)
      throw new UsageError(
        `train: --${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} cannot change when a ` +
          `run is resumed; it would no longer be the same run`,
      );
  const recipe = { ...settings.recipe, epochs: flags.epochs ?? settings.recipe.epochs };
  const chosen = flags.data !== undefined || flags.builtIn;
  const data = await loadData(chosen ? flags : settings.dataFlags);
  if (data.train.count !== settings.trainImages)
    throw new UsageError(
      `train: the run was begun on ${settings.trainImages} images (${settings.data}), but now ` +
        `there are ${data.train.count} (${data.source}); give the same data with --data`,
    );
  const device = flags.device ?? settings.device;
  const { precision = settings.precision } = flags;
  const sampler = await kernelsFor(flags, settings.seed, device, precision);
  const run = await freshRun(recipe, settings.seed, device);
  folder.restore(run);
  return { folder, data, recipe, run, sampler };
}

function recipeFor(modelName: string, resize?: number): Recipe | Promise<Recipe> {
  const source = sourceName(modelName);
  if (source !== null) return recipeForSource(modelName, source, resize);
  const program = typeScriptName(modelName);
  return program === null ? recipeOf(modelName) : recipeForTypeScript(modelName, program, resize);
}

function recipeOf(modelName: string): Recipe {
  const { name } = modelNamed(modelName);
  const recipe = recipes.get(name);
  if (recipe === undefined)
    throw new UsageError(
      `train: there is no recipe for ${name}.${didYouMean(name, recipes.keys())} ` +
        `Recipes: ${[...recipes.keys()].join(", ")}`,
    );
  return recipe;
}

async function freshRun(recipe: Recipe, seed: number, device: string): Promise<Run> {
  const model = (await makeModel(recipe.model, seed)).to(device);
  const optimizer = makeOptimizer(model, recipe.optimizer);
  return { name: recipe.model, model, optimizer, progress: beginning() };
}

function withFlags(recipe: Recipe, flags: Flags): Recipe {
  const name = flags.optimizer ?? recipe.optimizer.name;
  return {
    ...recipe,
    epochs: flags.epochs ?? recipe.epochs,
    batchSize: flags.batchSize ?? recipe.batchSize,
    pipeline: flags.resize === undefined ? recipe.pipeline : { resize: flags.resize },
    optimizer: {
      name,
      lr: flags.lr ?? recipe.optimizer.lr,
      momentum: flags.momentum ?? recipe.optimizer.momentum,
      weightDecay: flags.weightDecay ?? recipe.optimizer.weightDecay,
    },
  };
}

function watchInterrupt(): { readonly requested: boolean; stop(): void } {
  const state = { requested: false, stop: () => void process.off("SIGINT", onSignal) };
  const onSignal = () => {
    if (state.requested) process.exit(130);
    state.requested = true;
  };
  process.on("SIGINT", onSignal);
  return state;
}
