// # The extension in a browser
//
// The same server, in a worker. It reads no files: the parser and the statements are handed to it, and the
// source's neighbours when it asks for them.

import * as vscode from "vscode";
import { LanguageClient } from "vscode-languageclient/browser.js";
import { READ } from "../server/protocol.js";
import type { WebOptions } from "../server/web.js";
import { readBeside } from "./beside.js";
import { begin, clientOptions, type Exports } from "./begin.js";

/** The browser's own; the client knows what to do with the worker. */
declare const Worker: new (url: string) => never;
declare const URL: { createObjectURL(blob: Blob): string };

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<Exports> {
  const file = (...path: string[]) => vscode.Uri.joinPath(context.extensionUri, "dist", ...path);
  const read = async (...path: string[]) => [
    ...(await vscode.workspace.fs.readFile(file(...path))),
  ];
  const own: WebOptions = {
    runtime: await read("wasm", "web-tree-sitter.wasm"),
    python: await read("wasm", "tree-sitter-python.wasm"),
    statements: new TextDecoder().decode(Uint8Array.from(await read("statements.json"))),
  };
  // Not by its address: a worker cannot fetch from where an extension of a remote machine lies.
  const script = Uint8Array.from(await read("web", "server.js"));
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  client = new LanguageClient("convnotes", "convnotes", clientOptions(own), worker);
  client.onRequest(READ, readBeside);
  context.subscriptions.push(
    vscode.commands.registerCommand("convnotes.train", () =>
      vscode.window.showInformationMessage(
        vscode.l10n.t("A browser cannot train: open the folder in VS Code on a computer."),
      ),
    ),
  );
  return begin(context, client);
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}
