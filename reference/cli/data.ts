// # Where a command's images come from
//
// The flags that every command with data shares, and the search behind them.

import type { Command } from "commander";
import { builtInDataset } from "../data/built_in.js";
import type { TrainingData } from "../data/dataset.js";
import { loadFashionMnist } from "../data/fashion_mnist.js";
import type { DataFlags } from "../train/run_folder.js";
import { report, type Report } from "./progress.js";

export function dataOptions(command: Command): Command {
  return command
    .option(
      "--data <folder>",
      "folder with the four Fashion-MNIST files (default: the environment variable " +
        "CONVNOTES_DATA, then the download cache, then a download, then built-in drawings)",
    )
    .option("--built-in", "use the small data set that the program draws itself");
}

/** The images that the flags ask for. Throws: DataError when a named folder is not usable. */
export async function loadData(flags: DataFlags): Promise<TrainingData> {
  if (flags.builtIn) return builtInDataset();
  let bar: Report | undefined;
  let received = 0;
  try {
    return await loadFashionMnist({
      dataDir: flags.data,
      onProgress({ file, receivedBytes, totalBytes }) {
        bar ??= report("download, bytes", totalBytes);
        bar.advance(receivedBytes - received, file);
        received = receivedBytes;
      },
    });
  } finally {
    bar?.end();
  }
}
