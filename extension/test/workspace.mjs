// # The user's files
//
// A copy of `workspace/` with what a user of the library has installed: the library, and esbuild.

import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The path of a new folder; whoever asks for it removes it. */
export function makeWorkspace() {
  const workspace = mkdtempSync(join(tmpdir(), "convnotes-workspace-"));
  cpSync(join("extension", "test", "workspace"), workspace, { recursive: true });
  const packages = join(workspace, "node_modules");
  mkdirSync(packages);
  symlinkSync(resolve("reference"), join(packages, "convnotes"), "junction");
  symlinkSync(resolve("node_modules", "esbuild"), join(packages, "esbuild"), "junction");
  return workspace;
}
