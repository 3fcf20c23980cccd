// # npm run test:electron
//
// The tests that run inside of VS Code, in desktop VS Code. VSCODE_EXECUTABLE names one; else it is
// downloaded. Where neither can be had it says so and has tested nothing, which is a failure where
// CONVNOTES_VSCODE_REQUIRED is set.

import { downloadAndUnzipVSCode, runTests } from "@vscode/test-electron";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildExtension } from "../build.mjs";
import { makeWorkspace } from "./workspace.mjs";

const extension = resolve(dirname(fileURLToPath(import.meta.url)), "..");

function without(why) {
  console.log(`SKIPPED: no desktop VS Code: ${why}. Name one by VSCODE_EXECUTABLE.`);
  process.exit(process.env.CONVNOTES_VSCODE_REQUIRED ? 1 : 0);
}

let vscodeExecutablePath = process.env.VSCODE_EXECUTABLE;
if (vscodeExecutablePath !== undefined) {
  if (!existsSync(vscodeExecutablePath)) {
    console.error(`VSCODE_EXECUTABLE names ${vscodeExecutablePath}, which is not there`);
    process.exit(1);
  }
} else {
  const { DISPLAY, WAYLAND_DISPLAY } = process.env;
  if (process.platform === "linux" && !DISPLAY && !WAYLAND_DISPLAY)
    without("there is no display (run it under xvfb-run)");
  try {
    vscodeExecutablePath = await downloadAndUnzipVSCode({ version: "stable" });
  } catch (error) {
    without(`it could not be downloaded (${error.message})`);
  }
}

await buildExtension();
const workspace = makeWorkspace();
const results = join(workspace, "results.json");
try {
  await runTests({
    vscodeExecutablePath,
    extensionDevelopmentPath: extension,
    extensionTestsPath: join(extension, "dist", "test", "run.cjs"),
    launchArgs: [workspace, "--disable-extensions"],
    extensionTestsEnv: { CONVNOTES_RESULTS: results },
  });
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
if (existsSync(results))
  for (const { state, title, error } of JSON.parse(readFileSync(results, "utf8")).lines)
    console.log(`${state} ${title}${error ? `\n${error}` : ""}`);
rmSync(workspace, { recursive: true, force: true });
