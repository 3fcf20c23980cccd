// # npm start, npm run bench
//
// Sets up what is missing and runs the command: `train lenet`, or the subcommand that is named
// first. Whatever stands after `--` goes to it: `npm start -- --epochs 2`.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, setUp } from "./setup.mjs";

setUp({ tools: process.argv.includes("--peer") });
const given = process.argv.slice(2);
if (given.includes("--peer")) comparePeer();
const command = join(root, "reference", "cli", "convnotes.js");
const words = given[0] === "bench" ? given : ["train", "lenet", ...given];
process.argv.splice(1, process.argv.length, command, ...words);
await import(pathToFileURL(command).href);

/** `npm run bench -- --peer torch`: side by side with PyTorch, see kernels/bench/peer.ts. */
function comparePeer() {
  const file = join(root, "kernels", "bench", "peer.ts");
  const args = ["--import=tsx", file, ...process.argv.slice(3)];
  process.exit(spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status ?? 1);
}
