// # The command
//
// `convnotes train|verify|eval|predict|summary|plan|profile|devices|models|bench|inspect|convert|lsp`. Each command is
// a file of its own; here they are put together, and whatever goes wrong is said in one line rather
// than a stack.

import { Command } from "commander";
import { loadKernels } from "../kernels.js";
import { version } from "../version.js";
import { addBench } from "./bench.js";
import { addEval, addPredict } from "./evaluate.js";
import { addConvert, addInspect } from "./files.js";
import { addDevices, addModels, addPlan, addSummary } from "./look.js";
import { addLsp } from "./lsp.js";
import { addProfile } from "./profile.js";
import { addTrain } from "./train.js";
import { addVerify } from "./verify.js";

const program = new Command("convnotes")
  .description(
    "Convolutional networks, from the formula on the page to verified training.\n" +
      "Start with: convnotes train lenet",
  )
  .version(version)
  .showSuggestionAfterError()
  .configureHelp({ sortSubcommands: false });

addTrain(program);
addVerify(program);
addEval(program);
addPredict(program);
addSummary(program);
addPlan(program);
addProfile(program);
addDevices(program);
addModels(program);
addBench(program);
addInspect(program);
addConvert(program);
addLsp(program);

// A reader that has seen enough, such as `head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await loadKernels();
  await program.parseAsync();
} catch (error) {
  const { code, path, message, stack } = error as NodeJS.ErrnoException;
  // What the system says of files, in words.
  const words: Readonly<Record<string, string>> = {
    ENOENT: `there is no file ${path}`,
    ENOTDIR: `${path} lies in no folder`,
    EACCES: `${path} may not be opened or written by this user`,
  };
  const known = path !== undefined && code !== undefined ? words[code] : undefined;
  const folder = code === "EISDIR" ? "a folder was given where a file is wanted" : undefined;
  console.error(`convnotes: ${known ?? folder ?? message}`);
  if (process.env.CONVNOTES_DEBUG) console.error(stack);
  process.exitCode = 1;
}
