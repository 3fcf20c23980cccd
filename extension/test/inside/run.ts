// # The tests that run inside of VS Code
//
// VS Code's extension host calls `run`, in desktop VS Code as in a server of VS Code. What passed, what
// failed and how long the extension took to begin is written to the file that CONVNOTES_RESULTS names, since
// the host's console is not the caller's.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Mocha from "mocha";
import * as vscode from "vscode";

export interface Results {
  readonly activationMs: number;
  readonly lines: readonly Line[];
}

interface Line {
  readonly title: string;
  readonly state: "passed" | "failed" | "pending";
  readonly error?: string;
}

export async function run(): Promise<void> {
  const started = performance.now();
  await vscode.extensions.getExtension("convnotes.convnotes-vscode")!.activate();
  const activationMs = performance.now() - started;
  const mocha = new Mocha({ ui: "bdd", timeout: 60_000 });
  mocha.addFile(join(__dirname, "tests.cjs"));
  const lines: Line[] = [];
  const failures = await new Promise<number>((resolve) => {
    const runner = mocha.run(resolve);
    runner.on("pass", (t) => lines.push({ title: t.fullTitle(), state: "passed" }));
    runner.on("pending", (t) => lines.push({ title: t.fullTitle(), state: "pending" }));
    runner.on("fail", (t, error: unknown) =>
      lines.push({
        ...{ title: t.fullTitle(), state: "failed" },
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    );
  });
  const results = process.env.CONVNOTES_RESULTS;
  if (results !== undefined) {
    const written: Results = { activationMs, lines };
    writeFileSync(results, JSON.stringify(written));
  }
  if (failures > 0) throw new Error(`${failures} tests failed`);
}
