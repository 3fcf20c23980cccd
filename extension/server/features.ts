// # What the editor is told
//
// From the analysis of a sheet to hints, hovers, lenses, diagnostics and fixes of the language server
// protocol. Each is a plain function of the analysis, so that a test can call it.

import {
  type CodeAction,
  CodeActionKind,
  type CodeLens,
  type Diagnostic,
  DiagnosticSeverity,
  type Hover,
  type InlayHint,
  InlayHintKind,
  MarkupKind,
  type Position,
  type Range,
  type TextEdit,
} from "vscode-languageserver";
import type { Analysis, Dim, Finding, SourceRange } from "convnotes/pytorch";
import { hintText, type Language, layerMarkdown, networkText, shapeText } from "./show.js";
import type { Sheet } from "./text.js";

const before = (a: Position, b: Position): boolean =>
  a.line < b.line || (a.line === b.line && a.character < b.character);

/** The shape behind each layer, where it is made and where it is called, and behind assignments. */
export function inlayHints(sheet: Sheet, analysis: Analysis, uri: string, range: Range) {
  const found = new Map<number, { place: SourceRange; outputs: (readonly Dim[] | null)[] }>();
  const note = (place: SourceRange, output: readonly Dim[] | null) => {
    const known = found.get(place.end);
    if (known) known.outputs.push(output);
    else found.set(place.end, { place, outputs: [output] });
  };
  for (const { calls, values } of analysis.networks) {
    for (const { definition, call, output } of calls) {
      note(definition, output);
      // A Sequential is called once for many layers; its hint is what comes out last.
      const known = found.get(call.end);
      if (known && call.end !== definition.end) known.outputs.splice(0, Infinity, output);
      else if (call.end !== definition.end) note(call, output);
    }
    for (const { range, shape } of values) if (!found.has(range.end)) note(range, shape);
  }
  return [...found.values()].flatMap(({ place, outputs }): InlayHint[] => {
    const where = sheet.rangeOf(place);
    if (where?.uri !== uri) return [];
    const { end } = where.range;
    if (before(end, range.start) || before(range.end, end)) return [];
    const label = hintText(outputs);
    return [{ position: end, label, kind: InlayHintKind.Type, paddingLeft: true }];
  });
}

/** The innermost layer at a place. */
export function hover(
  sheet: Sheet,
  analysis: Analysis,
  uri: string,
  position: Position,
  language: Language,
): Hover | null {
  const offset = sheet.offsetAt(uri, position);
  if (offset === null) return null;
  const inside = ({ file, start, end }: SourceRange) =>
    file === sheet.source.file && start <= offset && offset <= end;
  const candidates = analysis.networks.flatMap(({ calls }) =>
    calls.flatMap((call) =>
      [call.definition, call.call].filter(inside).map((place) => ({ call, place })),
    ),
  );
  const size = ({ start, end }: SourceRange) => end - start;
  const best = Math.min(...candidates.map(({ place }) => size(place)));
  const chosen = candidates.filter(({ place }) => size(place) === best);
  if (chosen.length === 0) return null;
  // A loop calls one layer several times; a Sequential is one call of many layers.
  const shown = chosen.slice(0, 4).map(({ call }) => layerMarkdown(call, language));
  if (chosen.length > 4) shown.push(`… ${chosen.length - 4} more`);
  const where = sheet.rangeOf(chosen[0].place);
  return {
    contents: { kind: MarkupKind.Markdown, value: shown.join("\n\n---\n\n") },
    ...(where && { range: where.range }),
  };
}

/** Above each network: what it costs, and which input that is for. */
export function codeLenses(
  sheet: Sheet,
  analysis: Analysis,
  uri: string,
  batch: number,
  language: Language,
): CodeLens[] {
  return analysis.networks.flatMap((network): CodeLens[] => {
    const where = sheet.rangeOf(network.range);
    if (where?.uri !== uri) return [];
    const { range } = where;
    const args = [sheet.source.file, network.name];
    const summary = language === "zh" ? "概要" : "Summary";
    const choose = language === "zh" ? "选择输入" : "Choose input";
    return [
      {
        range,
        command: {
          title: networkText(network, batch, language),
          command: "convnotes.summary",
          arguments: args,
        },
      },
      { range, command: { title: summary, command: "convnotes.summary", arguments: args } },
      {
        range,
        command: {
          title: choose,
          command: "convnotes.chooseInput",
          arguments: [...args, shapeText(network.input.shape.slice(1))],
        },
      },
    ];
  });
}

const severities = {
  error: DiagnosticSeverity.Error,
  warning: DiagnosticSeverity.Warning,
  note: DiagnosticSeverity.Information,
} as const;

/** By document: what is wrong, and what is odd unless `notes` is off. */
export function diagnostics(
  sheet: Sheet,
  analysis: Analysis,
  notes: boolean,
): Map<string, Diagnostic[]> {
  const all = new Map<string, Diagnostic[]>(sheet.documents.map(({ uri }) => [uri, []]));
  for (const finding of analysis.findings) {
    if (finding.severity !== "error" && !notes) continue;
    const where = sheet.rangeOf(finding.range);
    if (where === null) continue;
    all.get(where.uri)?.push({
      range: where.range,
      severity: severities[finding.severity],
      code: finding.code,
      source: "convnotes",
      message: finding.message,
      relatedInformation: finding.related.flatMap(({ range, message }) => {
        const place = sheet.rangeOf(range);
        return place ? [{ location: { uri: place.uri, range: place.range }, message }] : [];
      }),
    });
  }
  return all;
}

/** The fixes of findings that touch `range`. */
export function codeActions(
  sheet: Sheet,
  analysis: Analysis,
  uri: string,
  range: Range,
): CodeAction[] {
  const touches = (finding: Finding) => {
    const where = sheet.rangeOf(finding.range);
    return (
      where?.uri === uri &&
      !before(range.end, where.range.start) &&
      !before(where.range.end, range.start)
    );
  };
  return analysis.findings.filter(touches).flatMap(({ fix }): CodeAction[] => {
    if (fix === undefined) return [];
    const changes: Record<string, TextEdit[]> = {};
    for (const { range, text } of fix.edits) {
      const where = sheet.rangeOf(range);
      if (where === null) return [];
      (changes[where.uri] ??= []).push({ range: where.range, newText: text });
    }
    const kind = CodeActionKind.QuickFix;
    return [{ title: fix.title, kind, isPreferred: true, edit: { changes } }];
  });
}
