// # The outputs panel
//
// A network layer by layer, with what each puts out. It follows the source as it is typed.

import * as vscode from "vscode";
import type { BaseLanguageClient } from "vscode-languageclient";
import { ANALYSED, OUTPUTS, type OutputsAnswer, type OutputsRequest } from "../server/protocol.js";
import type { FromOutputsPanel, OutputsWords, ToOutputsPanel } from "../panel/messages.js";
import { chosenNetwork, reveal } from "./networks.js";
import { createPanel } from "./page.js";

/** What has been typed is shown when the typist pauses. Units: ms. */
const PAUSE_MS = 400;

export function registerOutputs(
  context: vscode.ExtensionContext,
  client: BaseLanguageClient,
): void {
  const open = new Map<string, vscode.WebviewPanel>();
  const refresh = new Set<() => void>();
  context.subscriptions.push(
    client.onNotification(ANALYSED, () => refresh.forEach((again) => again())),
    vscode.commands.registerCommand("convnotes.outputs", async (file?: string, name?: string) => {
      const network = await chosenNetwork(client, file, name);
      if (network === null) return;
      const key = `${network.file}\n${network.name}`;
      const known = open.get(key);
      if (known) return known.reveal(undefined, true);
      const title = vscode.l10n.t("Outputs of {0}", network.name);
      const panel = createPanel(context, "outputs", title);
      open.set(key, panel);
      const again = show(client, panel, { file: network.file, network: network.name });
      refresh.add(again);
      panel.onDidDispose(() => {
        open.delete(key);
        refresh.delete(again);
      });
    }),
  );
}

/** Keeps the panel up to date; what is returned is to be called when the source may have changed. */
function show(
  client: BaseLanguageClient,
  panel: vscode.WebviewPanel,
  network: { readonly file: string; readonly network: string },
): () => void {
  let timer: NodeJS.Timeout | undefined;
  let latest = 0;
  let answer: OutputsAnswer | null = null;
  let shown = "";
  const post = (message: ToOutputsPanel) => void panel.webview.postMessage(message);
  const update = async (image?: OutputsRequest["image"]) => {
    const turn = ++latest;
    post({ kind: "busy" });
    try {
      const request: OutputsRequest = { ...network, ...(image !== undefined && { image }) };
      const found = await client.sendRequest<OutputsAnswer | null>(OUTPUTS, request);
      if (turn !== latest) return;
      answer = found ?? answer;
      const text = JSON.stringify(found);
      if (found && text !== shown) post({ kind: "outputs", answer: found, words: words() });
      else post({ kind: "same", gone: found === null });
      shown = text;
    } catch (error) {
      post({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
    }
  };
  panel.webview.onDidReceiveMessage((message: FromOutputsPanel) => {
    if (message.kind === "ready") void update();
    else if (message.kind === "image") void update(message.image);
    else void reveal(answer?.view.layers[message.layer]?.place ?? null);
  });
  panel.onDidDispose(() => clearTimeout(timer));
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => void update(), PAUSE_MS);
  };
}

const words = (): OutputsWords => ({
  mean: vscode.l10n.t("mean"),
  std: vscode.l10n.t("std"),
  zeros: vscode.l10n.t("zeros"),
  notFinite: vscode.l10n.t("not finite"),
  parameters: vscode.l10n.t("parameters"),
  maps: vscode.l10n.t("the first {0} of {1} maps"),
  input: vscode.l10n.t("input"),
  ownImage: vscode.l10n.t("Own image…"),
  drop: vscode.l10n.t("or drop one here"),
  computing: vscode.l10n.t("Computing…"),
  gone: vscode.l10n.t("The network is no longer in the source."),
  noOutput: vscode.l10n.t("No output:"),
});
