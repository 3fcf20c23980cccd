// # npm start, npm run bench
//
// Sets up what is missing and runs the command: `train lenet`, or the subcommand that is named
// first. Whatever stands after `--` goes to it: `npm start -- --epochs 2`.

import { spawn } from "node:child_process";
import { setUp } from "./setup.mjs";

setUp();
const { status } = await new Promise((resolve) => {
  const given = process.argv.slice(2);
  const words = given[0] === "bench" ? given : ["train", "lenet", ...given];
  const command = ["reference/dist/cli/main.js", ...words];
  const child = spawn(process.execPath, command, { stdio: "inherit" });
  // Ctrl-C reaches the command as well, which saves its work; this process only waits for it.
  process.on("SIGINT", () => {});
  child.on("exit", (code) => resolve({ status: code ?? 1 }));
});
process.exitCode = status;
