// # The tree of modules
//
// The networks of the open file, and what each is made of: nested by path, as PyTorch prints it.

import * as vscode from "vscode";
import type { BaseLanguageClient } from "vscode-languageclient";
import { ANALYSED, type LayerView, type NetworkView } from "../server/protocol.js";
import { openNetworks, reveal } from "./networks.js";

interface Item {
  readonly label: string;
  readonly description: string;
  readonly tooltip: string;
  readonly place: NetworkView["place"];
  readonly icon: string;
  readonly children: Item[];
}

export function registerTree(context: vscode.ExtensionContext, client: BaseLanguageClient): void {
  const changed = new vscode.EventEmitter<void>();
  const provider: vscode.TreeDataProvider<Item> = {
    onDidChangeTreeData: changed.event,
    getChildren: async (item) => item?.children ?? (await openNetworks(client)).map(networkItem),
    getTreeItem: ({ label, description, tooltip, place, icon, children }) => {
      const state =
        children.length === 0
          ? vscode.TreeItemCollapsibleState.None
          : vscode.TreeItemCollapsibleState.Expanded;
      const item = new vscode.TreeItem(label, state);
      Object.assign(item, { description, tooltip, iconPath: new vscode.ThemeIcon(icon) });
      if (place) item.command = { command: "convnotes.reveal", title: label, arguments: [place] };
      return item;
    },
  };
  context.subscriptions.push(
    changed,
    vscode.window.registerTreeDataProvider("convnotes.networks", provider),
    vscode.window.onDidChangeActiveTextEditor((editor) => {
      // A panel that gets the focus leaves the tree as it is.
      if (editor) changed.fire();
    }),
    client.onNotification(ANALYSED, () => changed.fire()),
    vscode.commands.registerCommand("convnotes.reveal", (place?: NetworkView["place"]) =>
      reveal(place ?? null),
    ),
  );
}

function networkItem(network: NetworkView): Item {
  const { name, totals, place, layers, failed } = network;
  return {
    ...{ label: name, description: totals, tooltip: failed ?? totals, place },
    icon: failed ? "error" : "type-hierarchy",
    children: nested(layers),
  };
}

/** `features.0` and `features.1` stand below `features`. */
function nested(layers: readonly LayerView[]): Item[] {
  const roots: Item[] = [];
  const groups = new Map<string, Item>();
  const groupOf = (path: string): Item[] => {
    if (path === "") return roots;
    const known = groups.get(path);
    if (known) return known.children;
    const dot = path.lastIndexOf(".");
    const group: Item = {
      ...{ label: path.slice(dot + 1), description: "", tooltip: path, place: null },
      ...{ icon: "symbol-namespace", children: [] },
    };
    groups.set(path, group);
    groupOf(path.slice(0, Math.max(0, dot))).push(group);
    return group.children;
  };
  for (const { path, className, output, printed, place } of layers) {
    const dot = path.lastIndexOf(".");
    groupOf(path.slice(0, Math.max(0, dot))).push({
      label: path.slice(dot + 1) || className,
      description: `${className} → ${output}`,
      ...{ tooltip: printed, place, icon: "symbol-field", children: [] },
    });
  }
  return roots;
}
