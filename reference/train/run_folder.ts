// # The run folder
//
// One folder a run: its settings, the log as JSON lines, both curves, a page that shows them, the
// checkpoint and the weights. The log holds no times, so that an interrupted and resumed run
// leaves the same bytes as one that was not.

import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";
import { WriteError, writeAtomically, writing } from "../files/atomic.js";
import { encodeSafetensors } from "../files/safetensors.js";
import { encodeCheckpoint, restoreCheckpoint, type Run, storedState } from "./checkpoint.js";
import { curveSvg, type History, runPage } from "./curves.js";
import type { Precision } from "../kernels.js";
import type { EpochEvent, StepEvent } from "./loop.js";
import type { Recipe } from "./recipes.js";

/** Which images were asked for: a folder, the built-in ones, or whatever is found. */
export interface DataFlags {
  data?: string;
  builtIn?: boolean;
}

/** What determines a run, as `run.json` keeps it. */
export interface RunSettings {
  readonly convnotes: string;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly device: string;
  /** How a GPU rounds factors. Left out: as kernels do unless told otherwise. */
  readonly precision?: Precision | undefined;
  /** The line that says which images were used. */
  readonly data: string;
  /** The flags that chose them, so that a resumed run finds them again. */
  readonly dataFlags: DataFlags;
  readonly trainImages: number;
  readonly maxBatches?: number;
}

const names = {
  settings: "run.json",
  log: "log.jsonl",
  checkpoint: "checkpoint.safetensors",
  weights: "weights.safetensors",
  page: "index.html",
} as const;

/** The folder of one run: what determines it, and what it leaves. */
export class RunFolder {
  #logBytes = 0;
  readonly #steps: StepEvent[] = [];
  readonly #epochs: EpochEvent[] = [];

  private constructor(
    readonly path: string,
    readonly settings: RunSettings,
  ) {}

  // ## Beginning and resuming

  /**
   * A new run in `path`, or, left out, in the first free of `runs/lenet-1`, `runs/lenet-2`, ….
   *
   * Throws: WriteError when the folder holds a run already or cannot be written.
   */
  static create(
    settings: RunSettings,
    path = freePath(settings.recipe.model.replace(/^.*[/\\]/, "").replace(/[^\w.-]+/g, "-")),
  ): RunFolder {
    if (existsSync(join(path, names.settings)))
      throw new WriteError(
        `${path} holds a run already: go on with it by --resume ${path}, or name another folder`,
      );
    writing(path, () => mkdirSync(path, { recursive: true }));
    writeAtomically(join(path, names.settings), `${JSON.stringify(settings, null, 2)}\n`);
    writeAtomically(join(path, names.log), "");
    return new RunFolder(path, settings);
  }

  /** The run in `path`. Throws: Error when there is none. */
  static open(path: string): RunFolder {
    const file = join(path, names.settings);
    if (!existsSync(file))
      throw new Error(
        `${path} is no run folder: it has no ${names.settings}. ` +
          `Give the folder that "convnotes train" named when it began`,
      );
    let settings: Partial<RunSettings> | null;
    try {
      settings = JSON.parse(readFileSync(file, "utf8")) as Partial<RunSettings> | null;
    } catch (error) {
      throw new Error(`${file} is not JSON (${(error as Error).message})`, { cause: error });
    }
    if (typeof settings?.recipe?.model !== "string")
      throw new Error(`${file} holds no settings of a run: it names no recipe`);
    return new RunFolder(path, settings as RunSettings);
  }

  /** Whether there is a checkpoint to resume from. */
  get hasCheckpoint(): boolean {
    return existsSync(join(this.path, names.checkpoint));
  }

  /**
   * Puts `run` where its last checkpoint left it and cuts off what was logged later; a run that was
   * stopped before its first checkpoint begins anew.
   */
  restore(run: Run): void {
    const file = join(this.path, names.checkpoint);
    this.#logBytes = this.hasCheckpoint ? restoreCheckpoint(readFileSync(file), file, run) : 0;
    const log = join(this.path, names.log);
    writing(log, () => truncateSync(log, this.#logBytes));
    for (const line of readFileSync(log, "utf8").split("\n"))
      if (line !== "") this.#remember(JSON.parse(line) as StepEvent | EpochEvent);
  }

  // ## While it runs

  /** Appends one line to the log. */
  log(event: StepEvent | EpochEvent): void {
    const line = `${JSON.stringify(event)}\n`;
    const file = join(this.path, names.log);
    writing(file, () => appendFileSync(file, line));
    this.#logBytes += Buffer.byteLength(line);
    this.#remember(event);
  }

  #remember(event: StepEvent | EpochEvent): void {
    if (event.type === "step") this.#steps.push(event);
    else this.#epochs.push(event);
  }

  /** Saves everything that is needed to go on. */
  saveCheckpoint(run: Run): void {
    writeAtomically(join(this.path, names.checkpoint), encodeCheckpoint(run, this.#logBytes));
  }

  /** Saves the weights alone, under the names of the model's state dict. */
  saveWeights({ name, model }: Run): void {
    const file = join(this.path, names.weights);
    writeAtomically(file, encodeSafetensors(storedState(model), { model: name }));
  }

  /** Draws the curves and the page from what has been logged. */
  draw(): void {
    const { recipe, seed, device, precision, data, trainImages, maxBatches } = this.settings;
    const batches = Math.ceil(trainImages / recipe.batchSize);
    const history: History = {
      steps: this.#steps,
      epochs: this.#epochs,
      stepsPerEpoch: Math.min(batches, maxBatches ?? batches),
    };
    const { optimizer, pipeline } = recipe;
    const pageSettings: [string, string][] = [
      ["data", data],
      ["optimiser", `${optimizer.name}, learning rate ${optimizer.lr}`],
      ["batch size", String(recipe.batchSize)],
      [
        "image size",
        pipeline.resize === undefined ? "as stored" : `${String(pipeline.resize)} pixels`,
      ],
      ["seed", String(seed)],
      ["device", precision === undefined ? device : `${device}, factors in ${precision}`],
    ];
    for (const which of ["loss", "accuracy"] as const)
      writeAtomically(join(this.path, `${which}.svg`), curveSvg(history, which));
    const title = `${recipe.model}, ${recipe.epochs} epoch${recipe.epochs === 1 ? "" : "s"}`;
    writeAtomically(join(this.path, names.page), runPage(title, pageSettings, history));
  }

  /** The file with the run's weights, or its checkpoint while there are none. */
  get weightsFile(): string {
    return join(this.path, names.weights);
  }

  get pageFile(): string {
    return join(this.path, names.page);
  }
}

function freePath(model: string): string {
  const taken = existsSync("runs") ? new Set(readdirSync("runs")) : new Set<string>();
  let k = 1;
  while (taken.has(`${model}-${k}`)) k++;
  return join("runs", `${model}-${k}`);
}
