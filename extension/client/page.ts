// # The page of a panel
//
// Nothing runs in it but its own script, and nothing is fetched: pictures are data, styles are a file.

import * as vscode from "vscode";

/** A panel that shows `dist/panel/NAME.js`. */
export function createPanel(
  context: vscode.ExtensionContext,
  name: string,
  title: string,
): vscode.WebviewPanel {
  const folder = (part: string) => vscode.Uri.joinPath(context.extensionUri, ...part.split("/"));
  const panel = vscode.window.createWebviewPanel(
    `convnotes.${name}`,
    title,
    { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
    {
      enableScripts: true,
      retainContextWhenHidden: true,
      localResourceRoots: [folder("dist/panel"), folder("media")],
    },
  );
  panel.iconPath = folder("media/network.svg");
  const { webview } = panel;
  const script = webview.asWebviewUri(folder(`dist/panel/${name}.js`)).toString();
  const style = webview.asWebviewUri(folder("media/panel.css")).toString();
  const nonce = Array.from({ length: 24 }, () => Math.floor(Math.random() * 36).toString(36));
  const policy = [
    "default-src 'none'",
    `img-src data: blob:`,
    `style-src ${webview.cspSource}`,
    `script-src 'nonce-${nonce.join("")}'`,
  ].join("; ");
  webview.html = `<!doctype html>
<html lang="${vscode.env.language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${style}">
<title>${title.replaceAll(/[<>&"]/g, "")}</title>
</head>
<body><main></main><script nonce="${nonce.join("")}" src="${script}"></script></body>
</html>`;
  return panel;
}
