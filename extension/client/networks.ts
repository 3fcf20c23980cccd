// # Which network is meant
//
// A lens names its network; a command from the palette means one of the file that is open.

import * as vscode from "vscode";
import type { BaseLanguageClient } from "vscode-languageclient";
import { NETWORKS, type NetworkView } from "../server/protocol.js";

/** The networks of the document that is open, or of the notebook cell that is. */
export async function openNetworks(client: BaseLanguageClient): Promise<NetworkView[]> {
  const uri = vscode.window.activeTextEditor?.document.uri.toString();
  if (uri === undefined) return [];
  return client.sendRequest<NetworkView[]>(NETWORKS, { uri });
}

/** The one that is named, else the only one, else the one that the user picks. */
export async function chosenNetwork(
  client: BaseLanguageClient,
  file?: unknown,
  name?: unknown,
): Promise<{ file: string; name: string } | null> {
  if (typeof file === "string" && typeof name === "string") return { file, name };
  const networks = await openNetworks(client);
  if (networks.length === 0) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t("There is no network in the open file: open PyTorch source first."),
    );
    return null;
  }
  if (networks.length === 1) return networks[0];
  const picked = await vscode.window.showQuickPick(
    networks.map((network) => ({
      label: network.name,
      description: network.totals,
      network,
    })),
    { title: vscode.l10n.t("Which network?") },
  );
  return picked?.network ?? null;
}

/** Shows a place in an editor, in the group where its document already is. */
export async function reveal(place: NetworkView["place"]): Promise<void> {
  if (place === null) return;
  const uri = vscode.Uri.parse(place.uri);
  const { start, end } = place.range;
  const open = vscode.window.visibleTextEditors.find(
    ({ document }) => document.uri.toString() === uri.toString(),
  );
  const document = open?.document ?? (await vscode.workspace.openTextDocument(uri));
  await vscode.window.showTextDocument(document, {
    viewColumn: open?.viewColumn ?? vscode.ViewColumn.One,
    selection: new vscode.Range(start.line, start.character, end.line, end.character),
  });
}
