// # The extension
//
// Starts the language server and gives its commands a face. What the server says, VS Code shows by
// itself: hints, hovers, lenses, diagnostics, fixes.

import { join } from "node:path";
import * as vscode from "vscode";
import { LanguageClient, TransportKind } from "vscode-languageclient/node.js";

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const module = context.asAbsolutePath(join("dist", "server.cjs"));
  const run = { module, transport: TransportKind.ipc };
  client = new LanguageClient(
    "convnotes",
    "convnotes",
    { run, debug: run },
    {
      documentSelector: [
        { language: "python" },
        { language: "markdown" },
        { notebook: "jupyter-notebook", language: "python" },
      ],
      synchronize: { configurationSection: "convnotes" },
    },
  );
  const ask = (command: string, args: unknown[]) =>
    client!.sendRequest<unknown>("workspace/executeCommand", { command, arguments: args });

  context.subscriptions.push(
    vscode.commands.registerCommand("convnotes.summary", async (file?: string, name?: string) => {
      if (file === undefined || name === undefined) return;
      const content = await ask("convnotes.server.summary", [file, name]);
      if (typeof content !== "string") return;
      const document = await vscode.workspace.openTextDocument({ language: "markdown", content });
      await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
    }),
    vscode.commands.registerCommand(
      "convnotes.chooseInput",
      async (file?: string, name?: string, now?: string) => {
        if (file === undefined || name === undefined) return;
        const value = await vscode.window.showInputBox({
          title: vscode.l10n.t("Input of {0}, without the batch", name),
          prompt: vscode.l10n.t("Channels, height and width, such as 1×28×28; empty: find out"),
          value: now ?? "",
          validateInput: (text) =>
            sizesOf(text) ? null : vscode.l10n.t("Whole numbers, separated by × or ,"),
        });
        const sizes = value === undefined ? null : sizesOf(value);
        if (sizes) await ask("convnotes.server.input", [file, name, sizes]);
      },
    ),
  );
  await client.start();
}

/** `1×28×28`, `1, 28, 28` or nothing; null for anything else. */
function sizesOf(text: string): number[] | null {
  if (text.trim() === "") return [];
  const sizes = text.split(/[×x,]/).map(Number);
  return sizes.every((d) => Number.isSafeInteger(d) && d >= 1) && sizes.length <= 4 ? sizes : null;
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}
