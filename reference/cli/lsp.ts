// # convnotes lsp
//
// Starts the language server of the editor extension, for any editor that speaks the protocol. It comes
// with the build as a program of its own.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";

/** Beside the built command; inside of the extension it lies one folder up. */
const places = ["../lsp/server.cjs", "../server.cjs"];

export function addLsp(program: Command): void {
  program
    .command("lsp")
    .summary("start the language server for an editor")
    .description(
      "Speaks the language server protocol over standard input and output: shapes, parameters,\n" +
        "costs, outputs and errors of PyTorch source in Python, notebooks and Markdown.\n" +
        "The README shows how Helix and Neovim are set up.",
    )
    .option("--stdio", "over standard input and output, which is the only way (default)")
    .action(() => {
      const server = places
        .map((place) => fileURLToPath(new URL(place, import.meta.url)))
        .find((path) => existsSync(path));
      if (server === undefined)
        throw new Error("lsp: the language server is not built; build it with: npm run build");
      const child = spawn(process.execPath, [server, "--stdio"], { stdio: "inherit" });
      for (const signal of ["SIGINT", "SIGTERM"] as const)
        process.on(signal, () => child.kill(signal));
      child.on("exit", (code) => process.exit(code ?? 1));
    });
}
