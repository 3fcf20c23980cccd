#!/usr/bin/env node
// # The command's door
//
// npm links a command when it installs, which is before anything is built.

import { existsSync } from "node:fs";

const command = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(command)) await import(command.href);
else {
  console.error("convnotes: not built yet; in its checkout, run: npm run build");
  process.exitCode = 1;
}
