// # npm start, npm run bench
//
// Sets up what is missing and runs the command: `train lenet`, or the subcommand that is named
// first. Whatever stands after `--` goes to it: `npm start -- --epochs 2`.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, setUp } from "./setup.mjs";

setUp({ tools: false });
const given = process.argv.slice(2);
const command = join(root, "reference", "cli", "convnotes.js");
const words = given[0] === "bench" ? given : ["train", "lenet", ...given];
process.argv.splice(1, process.argv.length, command, ...words);
await import(pathToFileURL(command).href);
