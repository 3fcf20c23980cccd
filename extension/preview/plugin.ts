// # Networks and statements in rendered Markdown
//
// A plugin for markdown-it, for VS Code's preview and for the site. Beneath a block of Python that holds a
// network stands its layer table; the notes' statements become sections that links by label reach.

import { container } from "@mdit/plugin-container";
import type { Analysis, Network } from "convnotes/pytorch";
import type MarkdownIt from "markdown-it";
import { inLanguage, type Language, words } from "../server/show.js";

export interface PluginOptions {
  /** Null while the parser is not there yet. */
  readonly analyse: (text: string) => Analysis | null;
  /** Of the tables' words. Default: English. */
  readonly language?: Language;
}

export function convnotesPlugin(md: MarkdownIt, options: PluginOptions): MarkdownIt {
  statements(md);
  networkTables(md, options);
  return md;
}

// ## Statements
//
//     ::: statement channels
//     **A kernel is as deep as its input.** …
//     operations: conv2d
//     :::

const opening = /^statement\s+([a-z0-9-]+)\s*$/;

function statements(md: MarkdownIt): void {
  md.use(container, {
    name: "statement",
    validate: (parameters: string) => opening.test(parameters.trim()),
    openRender: (tokens, i) => {
      const label = opening.exec(tokens[i].info.trim())![1];
      return (
        `<section class="convnotes-statement" id="${label}">` +
        `<a class="convnotes-label" href="#${label}">${label}</a>\n`
      );
    },
    closeRender: () => "</section>\n",
  });
  // The field lines at the end are for programs; people read them small.
  md.core.ruler.push("convnotes-fields", ({ tokens }) => {
    tokens.forEach((token, i) => {
      const isFields = /^(erratum|operations|source): /.test(token.content);
      if (token.type === "inline" && isFields && tokens[i - 1]?.type === "paragraph_open")
        tokens[i - 1].attrJoin("class", "convnotes-fields");
    });
  });
}

// ## Tables

/** The tables that one document gets. */
const MOST_TABLES = 50;

function networkTables(md: MarkdownIt, { analyse, language = "en" }: PluginOptions): void {
  md.core.ruler.push("convnotes-networks", (state) => {
    const isPython = ({ type, info }: { type: string; info: string }) =>
      type === "fence" && /^(python|py)\b/.test(info.trim());
    if (!state.tokens.some(isPython)) return;
    const networks = analyse(state.src)?.networks ?? [];
    if (networks.length === 0) return;
    const starts = [0];
    for (let at = state.src.indexOf("\n"); at >= 0; at = state.src.indexOf("\n", at + 1))
      starts.push(at + 1);
    let left = MOST_TABLES;
    state.tokens = state.tokens.flatMap((token) => {
      if (!isPython(token) || token.map === null) return [token];
      const from = starts[token.map[0]];
      const to = starts[token.map[1]] ?? state.src.length;
      const inside = networks
        .filter(({ range, calls }) => from <= range.start && range.start < to && calls.length > 0)
        .slice(0, left);
      left -= inside.length;
      return [
        token,
        ...inside.map((network) => {
          const table = new state.Token("html_block", "", 0);
          table.content = networkTable(network, language, md.utils.escapeHtml);
          return table;
        }),
      ];
    });
  });
}

const shape = (dims: readonly (number | string)[] | null): string =>
  dims === null ? "?" : dims.length === 0 ? "()" : dims.join("×");

const count = (n: number): string => n.toLocaleString("en-US");

/** A table of HTML; all that comes from the document is escaped. */
function networkTable(
  network: Network,
  language: Language,
  escape: (text: string) => string,
): string {
  const { name, input, calls, totals, failed } = network;
  const t = words[language];
  const cell = (text: string, kind = "") => `<td${kind && ` class="${kind}"`}>${escape(text)}</td>`;
  const rows = calls.map((c) => {
    const place = cell(c.path, "path") + cell(c.className) + cell(shape(c.output), "shape");
    const parameters = c.parameters > 0 && !c.shared ? count(c.parameters) : "";
    const products = c.multiplyAdds > 0 ? count(c.multiplyAdds) : "";
    return `<tr>${place}${cell(parameters, "number")}${cell(products, "number")}</tr>`;
  });
  const head = ["", "", shape(input.shape), t.parameters, t.multiplyAdds];
  const failure =
    failed === null
      ? ""
      : `<p class="failed">${escape(inLanguage(failed.message, language))}</p>\n`;
  return (
    `<details class="convnotes-network" open>\n<summary><code>${escape(name)}</code> ` +
    `${count(totals.parameters)} ${t.counted.parameters} · ` +
    `${count(totals.multiplyAdds)} ${t.counted.multiplyAdds}</summary>\n` +
    `<table>\n<thead><tr>${head.map((h) => `<th>${escape(h)}</th>`).join("")}</tr></thead>\n` +
    `<tbody>\n${rows.join("\n")}\n</tbody>\n</table>\n${failure}</details>\n`
  );
}
