// # VS Code's Markdown preview
//
// VS Code asks for the plugin at once, the parser takes a moment: what was rendered without it is rendered
// again. A preview that is still opening does not hear of that, so it is said until it does.

import type MarkdownIt from "markdown-it";
import type { FrontEnd } from "convnotes/pytorch";
import * as vscode from "vscode";
import { convnotesPlugin } from "../preview/plugin.js";

/** Documents beyond this get no tables. Units: UTF-16 code units. */
const LARGEST = 1_000_000;

/** How often previews are asked to render again, the longer apart the later. */
const MOST_REFRESHES = 10;

export function previewPlugin(context: vscode.ExtensionContext): (md: MarkdownIt) => MarkdownIt {
  const parser: { frontEnd: FrontEnd | null; asked: boolean; used: boolean } = {
    ...{ frontEnd: null, asked: false, used: false },
  };
  const load = async () => {
    const wasm = (name: string) =>
      vscode.workspace.fs.readFile(
        vscode.Uri.joinPath(context.extensionUri, "dist", "wasm", `${name}.wasm`),
      );
    // Nothing of it is needed to begin.
    const { createFrontEnd } = await import("convnotes/pytorch");
    parser.frontEnd = await createFrontEnd({
      runtime: await wasm("web-tree-sitter"),
      python: await wasm("tree-sitter-python"),
    });
    for (let i = 1; i <= MOST_REFRESHES && !parser.used; i++) {
      await vscode.commands.executeCommand("markdown.preview.refresh");
      await new Promise((later) => setTimeout(later, 100 * i));
    }
  };
  const analyse = (text: string) => {
    if (!vscode.workspace.getConfiguration("convnotes").get<boolean>("preview", true)) return null;
    if (text.length > LARGEST) return null;
    if (!parser.asked) {
      parser.asked = true;
      load().catch((error: unknown) => console.error("convnotes: no tables in previews:", error));
    }
    if (parser.frontEnd === null) return null;
    parser.used = true;
    return parser.frontEnd.analyse({ file: "preview", language: "markdown", text });
  };
  const language = vscode.env.language.toLowerCase().startsWith("zh") ? "zh" : "en";
  return (md) => convnotesPlugin(md, { analyse, language });
}
