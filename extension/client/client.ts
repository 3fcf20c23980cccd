// # The extension on a desktop
//
// Starts the language server as a program of its own. What the server says, VS Code shows by itself: hints,
// hovers, lenses, diagnostics, fixes; the rest is in `begin.ts`.

import { join } from "node:path";
import * as vscode from "vscode";
import { LanguageClient, TransportKind } from "vscode-languageclient/node.js";
import { begin, clientOptions, type Exports } from "./begin.js";
import { registerTraining } from "./training.js";

let client: LanguageClient | undefined;

export function activate(context: vscode.ExtensionContext): Exports {
  const module = context.asAbsolutePath(join("dist", "server.cjs"));
  const run = { module, transport: TransportKind.ipc };
  client = new LanguageClient("convnotes", "convnotes", { run, debug: run }, clientOptions());
  registerTraining(context);
  return begin(context, client);
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}
