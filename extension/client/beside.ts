// # Files for a server that reads none
//
// Python files beside an open document or below, and no others: no links are followed.

import * as vscode from "vscode";
import { LARGEST } from "../server/neighbours.js";
import type { ReadRequest } from "../server/protocol.js";

const isOpen = (uri: string): boolean =>
  [...vscode.workspace.textDocuments, ...vscode.workspace.notebookDocuments].some(
    (document) => document.uri.toString() === uri,
  );

/** The text of the file; null where there is none, or where it is not for the server to see. */
export async function readBeside(request: ReadRequest): Promise<string | null> {
  if (!isOpen(request.of)) return null;
  const { fs } = vscode.workspace;
  const document = vscode.Uri.parse(request.of).with({ query: "", fragment: "" });
  const folder = vscode.Uri.joinPath(document, "..");
  const file = vscode.Uri.parse(request.uri);
  const names = file.path.slice(folder.path.length).split("/").filter(Boolean);
  // Unequal where it lies elsewhere, or gets there by way of "..".
  if (vscode.Uri.joinPath(folder, ...names).toString() !== file.toString()) return null;
  if (!file.path.endsWith(".py")) return null;
  try {
    for (const i of names.slice(1).keys()) {
      const { type } = await fs.stat(vscode.Uri.joinPath(folder, ...names.slice(0, i + 1)));
      if (type !== vscode.FileType.Directory) return null;
    }
    const { type, size } = await fs.stat(file);
    if (type !== vscode.FileType.File || size > LARGEST) return null;
    return new TextDecoder().decode(await fs.readFile(file));
  } catch {
    // Whatever cannot be read is as good as not there.
    return null;
  }
}
