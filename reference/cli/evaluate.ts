// # convnotes eval and convnotes predict
//
// Judge a trained network on all validation images, or show what it says of some of them.

import { statSync } from "node:fs";
import type { Command } from "commander";
import { backendOf, withDevice } from "../backend.js";
import { fromData } from "../create.js";
import type { ImageDataset } from "../data/dataset.js";
import { findStateDict, listTensors } from "../files/any.js";
import { load, withFile } from "../files/disk.js";
import { FileFormatError } from "../files/source.js";
import type { Module } from "../nn/module.js";
import { models } from "../models/index.js";
import { noGrad } from "../tape.js";
import { showShape, type Tensor } from "../tensor.js";
import { softmax } from "../ops/index.js";
import { makeBatch, type Pipeline } from "../data/loader.js";
import { evaluate } from "../train/loop.js";
import { recipes } from "../train/recipes.js";
import { type DataFlags, RunFolder } from "../train/run_folder.js";
import { dataOptions, loadData } from "./data.js";
import { UsageError, wholeNumber } from "./flags.js";
import { checkNamed, makeModel } from "./model.js";
import { report } from "./progress.js";

interface Flags extends DataFlags {
  device: string;
  model?: string;
  batchSize: number;
  json?: boolean;
}

const modelHelp = [
  "--model <name>",
  "whose weights they are: a network's name, or FILE:ENTRY of source (default: what they say)",
] as const;

const weightsHelp = "a run folder, or a file with weights (.safetensors, .pth, .npz, .onnx)";

export function addEval(program: Command): void {
  const command = program
    .command("eval")
    .summary("judge a trained network on the validation images")
    .argument("<weights>", weightsHelp)
    .option(...modelHelp)
    .option("--batch-size <n>", "images at a time", wholeNumber(1), 128)
    .option("--device <name>", "where to compute", "cpu")
    .option("--json", "print the result as JSON");
  dataOptions(command).action(async (weights: string, flags: Flags) => {
    const { model, name, pipeline } = await trained(weights, flags);
    const { test, source } = await loadData(flags);
    const bar = flags.json ? undefined : report("validation", test.count);
    let [lossSum, correct] = [0, 0];
    for (const batch of evaluate(model, test, { ...flags, pipeline })) {
      lossSum += batch.loss * batch.examples;
      correct += batch.correct;
      bar?.advance(batch.examples, `acc ${(correct / test.count).toFixed(4)}`);
    }
    bar?.end();
    const [loss, accuracy] = [lossSum / test.count, correct / test.count];
    if (flags.json) console.log(JSON.stringify({ model: name, data: source, loss, accuracy }));
    else {
      console.log(`data: ${source}`);
      console.log(`Validation: loss = ${loss.toFixed(4)} acc = ${accuracy.toFixed(4)}`);
    }
  });
}

export function addPredict(program: Command): void {
  const command = program
    .command("predict")
    .summary("show what a trained network says of single images")
    .argument("<weights>", weightsHelp)
    .argument("[index...]", "positions among the validation images (default: the first ten)")
    .option(...modelHelp)
    .option("--device <name>", "where to compute", "cpu")
    .option("--show", "draw each image in the terminal")
    .option("--json", "print the result as JSON");
  dataOptions(command).action(
    async (weights: string, words: string[], flags: Flags & { show?: boolean }) => {
      const { model, pipeline } = await trained(weights, flags);
      const { test } = await loadData(flags);
      const read = wholeNumber(0);
      const indices = words.length === 0 ? [...Array(10).keys()] : words.map((w) => read(w));
      const predictions = predict(model, test, indices, pipeline, flags.device);
      if (flags.json) {
        console.log(JSON.stringify(predictions));
        return;
      }
      for (const p of predictions) {
        if (flags.show) console.log(drawing(test, p.index));
        const verdict = p.predicted === p.actual ? "right" : `wrong, it is ${p.actual}`;
        const percent = (100 * p.probability).toFixed(1);
        console.log(`${String(p.index).padStart(5)}  ${p.predicted} (${percent} %), ${verdict}`);
      }
    },
  );
}

interface Prediction {
  readonly index: number;
  readonly predicted: string;
  /** The probability that the network gives to its own answer. */
  readonly probability: number;
  readonly actual: string;
}

function predict(
  model: Module,
  dataset: ImageDataset,
  indices: readonly number[],
  pipeline: Pipeline,
  device: string,
): Prediction[] {
  const batch = makeBatch(dataset, indices, pipeline);
  model.eval();
  const probabilities = noGrad(() =>
    softmax(model.call(fromData(batch.x, batch.shape, "cpu").to(device)), { dim: 1 }).to("cpu"),
  );
  const [, classes] = probabilities.shape;
  return indices.map((index, i) => {
    const row = Array.from(probabilities.data.slice(i * classes, (i + 1) * classes), Number);
    const best = row.indexOf(Math.max(...row));
    return {
      index,
      predicted: dataset.classes[best],
      probability: row[best],
      actual: dataset.classes[dataset.labels[index]],
    };
  });
}

/** An image as two rows of pixels a line, in half blocks of grey. */
function drawing({ images, height, width }: ImageDataset, index: number): string {
  const grey = (h: number, w: number) =>
    h < height ? images[(index * height + h) * width + w] : 0;
  const lines: string[] = [];
  for (let h = 0; h < height; h += 2) {
    let line = "";
    for (let w = 0; w < width; w++) {
      const [upper, lower] = [grey(h, w), grey(h + 1, w)];
      line += `\x1b[38;2;${upper};${upper};${upper}m\x1b[48;2;${lower};${lower};${lower}m▀`;
    }
    lines.push(`${line}\x1b[0m`);
  }
  return lines.join("\n");
}

/** The network whose weights `path` holds, and what its images go through. */
async function trained(
  path: string,
  { device, model: named }: Flags,
): Promise<{ model: Module; name: string; pipeline: Pipeline }> {
  backendOf(device);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new UsageError(
      `there is no ${path}; give ${weightsHelp}, as "convnotes train" leaves it`,
    );
  const folder = stats.isDirectory() ? RunFolder.open(path) : undefined;
  const file = folder?.weightsFile ?? path;
  if (folder !== undefined && !statSync(file, { throwIfNoEntry: false }))
    throw new UsageError(
      `${path} has no weights yet: the run is not finished. ` +
        `Finish it with: convnotes train --resume ${path}`,
    );
  const { state, name: written } = weightsIn(file);
  const name = named ?? written ?? modelOf(state, file);
  if (named === undefined) checkNamed(name, path, `--model ${name}`);
  const model = (await makeModel(name, 0)).to(device);
  model.loadStateDict(state);
  const pipeline = (folder?.settings.recipe ?? recipes.get(name))?.pipeline ?? {};
  return { model, name, pipeline };
}

/** The state dict in a file of any format, and the model that it says it is of. */
function weightsIn(file: string): { state: ReadonlyMap<string, Tensor>; name?: string } {
  const { format, tensors, name } = withFile(file, (source) => {
    const listing = listTensors(source);
    const isTorch = listing.format === "PyTorch";
    const read = isTorch
      ? []
      : listing.tensors.map((t) => [t.name, fromData(t.numbers(), t.shape, "cpu")] as const);
    const { model } = listing.others;
    return {
      format: listing.format,
      tensors: new Map(read),
      name: typeof model === "string" ? model : undefined,
    };
  });
  if (format !== "PyTorch") return { state: tensors, name };
  const state = findStateDict(load(file));
  if (state === undefined)
    throw new FileFormatError(
      `${file}: holds no state dict; save one with torch.save(model.state_dict(), path)`,
    );
  return { state };
}

/** The network whose state has these names and shapes. */
function modelOf(state: ReadonlyMap<string, Tensor>, file: string): string {
  const shapes = (s: ReadonlyMap<string, Tensor>): string =>
    [...s]
      .map(([name, t]) => `${name} ${showShape(t.shape)}`)
      .filter((line) => !line.includes("num_batches_tracked"))
      .sort()
      .join("\n");
  const wanted = shapes(state);
  const found = models.find(
    ({ create }) => withDevice("meta", () => shapes(create().stateDict())) === wanted,
  );
  if (found === undefined)
    throw new FileFormatError(
      `${file}: does not say of which model it holds the weights, and none has just these names; ` +
        `say it with --model`,
    );
  return found.name;
}
