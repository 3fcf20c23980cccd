// # npm start
//
// Sets up what is missing and trains LeNet; whatever stands after `--` goes to the command:
// `npm start -- --epochs 2`.

import { spawn } from "node:child_process";
import { setUp } from "./setup.mjs";

setUp();
const { status } = await new Promise((resolve) => {
  const command = ["reference/dist/cli/main.js", "train", "lenet", ...process.argv.slice(2)];
  const child = spawn(process.execPath, command, { stdio: "inherit" });
  // Ctrl-C reaches the command as well, which saves its work; this process only waits for it.
  process.on("SIGINT", () => {});
  child.on("exit", (code) => resolve({ status: code ?? 1 }));
});
process.exitCode = status;
