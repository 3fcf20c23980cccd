// # What every kind of VS Code gets
//
// Commands, panels and the tree, for a server that runs wherever it runs.

import * as vscode from "vscode";
import type { BaseLanguageClient, LanguageClientOptions } from "vscode-languageclient";
import { type ClientOptions, TRUSTED } from "../server/protocol.js";
import { chosenNetwork } from "./networks.js";
import { registerOutputs } from "./outputs.js";
import { previewPlugin } from "./preview.js";
import { registerTree } from "./tree.js";

export const clientOptions = (more: object = {}): LanguageClientOptions => {
  const trusted = vscode.workspace.isTrusted;
  const own: ClientOptions = { panels: true, pictures: true, chapters: true, trusted };
  return {
    documentSelector: [
      { language: "python" },
      { language: "markdown" },
      { language: "typescript", scheme: "file" },
      { notebook: "jupyter-notebook", language: "python" },
    ],
    synchronize: { configurationSection: "convnotes" },
    initializationOptions: { ...own, ...more },
    // A hover can open a chapter, and nothing else.
    markdown: { isTrusted: { enabledCommands: ["convnotes.chapter"] } },
  };
};

/** What Markdown's preview, and tests, take from the extension. */
export interface Exports {
  readonly extendMarkdownIt: ReturnType<typeof previewPlugin>;
}

/** Does not wait for the server: whatever asks it something does. */
export function begin(context: vscode.ExtensionContext, client: BaseLanguageClient): Exports {
  const ask = (command: string, args: unknown[]) =>
    client.sendRequest<unknown>("workspace/executeCommand", { command, arguments: args });

  context.subscriptions.push(
    vscode.commands.registerCommand("convnotes.summary", async (file?: string, name?: string) => {
      const network = await chosenNetwork(client, file, name);
      if (network === null) return;
      const content = await ask("convnotes.server.summary", [network.file, network.name]);
      if (typeof content !== "string") return;
      const document = await vscode.workspace.openTextDocument({ language: "markdown", content });
      await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
    }),
    vscode.commands.registerCommand(
      "convnotes.chooseInput",
      async (file?: string, name?: string, now?: string) => {
        const network = await chosenNetwork(client, file, name);
        if (network === null) return;
        const value = await vscode.window.showInputBox({
          title: vscode.l10n.t("Input of {0}, without the batch", network.name),
          prompt: vscode.l10n.t("Channels, height and width, such as 1×28×28; empty: find out"),
          value: now ?? "",
          validateInput: (text) =>
            sizesOf(text) ? null : vscode.l10n.t("Whole numbers, separated by × or ,"),
        });
        const sizes = value === undefined ? null : sizesOf(value);
        if (sizes) await ask("convnotes.server.input", [network.file, network.name, sizes]);
      },
    ),
    vscode.commands.registerCommand("convnotes.chapter", openChapter(context)),
  );
  context.subscriptions.push(
    vscode.workspace.onDidGrantWorkspaceTrust(() => void client.sendNotification(TRUSTED)),
  );
  registerOutputs(context, client);
  registerTree(context, client);
  client
    .start()
    .catch((error: unknown) => vscode.window.showErrorMessage(`convnotes: ${String(error)}`));
  return { extendMarkdownIt: previewPlugin(context) };
}

/** `1×28×28`, `1, 28, 28` or nothing; null for anything else. */
function sizesOf(text: string): number[] | null {
  if (text.trim() === "") return [];
  const sizes = text.split(/[×x,]/).map(Number);
  return sizes.every((d) => Number.isSafeInteger(d) && d >= 1) && sizes.length <= 4 ? sizes : null;
}

/** Opens a chapter of the notes, as it comes with the extension, at one of its statements. */
const openChapter =
  (context: vscode.ExtensionContext) =>
  async (chapter?: unknown, label?: unknown): Promise<void> => {
    if (typeof chapter !== "string" || !/^\d\d-[a-z0-9-]+(\.zh)?$/.test(chapter)) return;
    const fragment = typeof label === "string" && /^[a-z0-9-]+$/.test(label) ? label : "";
    const uri = vscode.Uri.joinPath(context.extensionUri, "dist", "chapters", `${chapter}.md`);
    await vscode.commands.executeCommand("markdown.showPreviewToSide", uri.with({ fragment }));
  };
