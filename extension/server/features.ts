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
import type { Analysis, Dim, Finding, Network, SourceRange } from "convnotes/pytorch";
import type { NetworkView } from "./protocol.js";
import {
  hintText,
  inLanguage,
  inputText,
  type Language,
  layerMarkdown,
  layerTitle,
  moreText,
  networkText,
  shapeText,
} from "./show.js";
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
  for (const { calls } of analysis.networks)
    for (const { definition, call, output } of calls) {
      note(definition, output);
      // A Sequential is called once for many layers; its hint is what comes out last.
      const known = found.get(call.end);
      if (known && call.end !== definition.end) known.outputs.splice(0, Infinity, output);
      else if (call.end !== definition.end) note(call, output);
    }
  // An assignment of what a layer gives, or a Sequential, says nothing new.
  const ofLayers = new Set(found.keys());
  for (const { values } of analysis.networks)
    for (const { range, shape } of values) if (!ofLayers.has(range.end)) note(range, shape);
  return [...found.values()].flatMap(({ place, outputs }): InlayHint[] => {
    const where = sheet.rangeOf(place);
    if (where?.uri !== uri) return [];
    const { end } = where.range;
    if (before(end, range.start) || before(range.end, end)) return [];
    const label = hintText(outputs);
    return [{ position: end, label, kind: InlayHintKind.Type, paddingLeft: true }];
  });
}

/** A layer of a network: a place in its calls. */
export interface Target {
  readonly network: Network;
  readonly call: number;
  readonly place: SourceRange;
}

/** The innermost layer at a place; several when a loop, or one line, calls more than one. */
export function layersAt(
  sheet: Sheet,
  analysis: Analysis,
  uri: string,
  position: Position,
): Target[] {
  const offset = sheet.offsetAt(uri, position);
  if (offset === null) return [];
  const inside = ({ file, start, end }: SourceRange) =>
    file === sheet.source.file && start <= offset && offset <= end;
  const candidates = analysis.networks.flatMap((network) =>
    network.calls.flatMap(({ definition, call }, i) =>
      [definition, call].filter(inside).map((place): Target => ({ network, call: i, place })),
    ),
  );
  const size = ({ start, end }: SourceRange) => end - start;
  const best = Math.min(...candidates.map(({ place }) => size(place)));
  return candidates.filter(({ place }) => size(place) === best);
}

/** The most layers that one hover speaks of. */
const MOST_SHOWN = 4;

/** Tables of the layers; `more` adds what is known of one beside its shape: its output, the notes. */
export function hover(
  sheet: Sheet,
  layers: readonly Target[],
  language: Language,
  more: (layer: Target) => { readonly output: string; readonly statement: string },
): Hover | null {
  if (layers.length === 0) return null;
  const shown = layers.slice(0, MOST_SHOWN).map((layer) => {
    const call = layer.network.calls[layer.call];
    const { output, statement } = more(layer);
    const parts = [layerTitle(call), output, layerMarkdown(call, language), statement];
    return parts.filter((part) => part !== "").join("\n\n");
  });
  if (layers.length > MOST_SHOWN) shown.push(moreText(layers.length - MOST_SHOWN, language));
  const where = sheet.rangeOf(layers[0].place);
  return {
    contents: { kind: MarkupKind.Markdown, value: shown.join("\n\n---\n\n") },
    ...(where && { range: where.range }),
  };
}

const lensWords = {
  en: { summary: "Summary", choose: "Choose input", outputs: "Open outputs", train: "Train" },
  zh: { summary: "概要", choose: "选择输入", outputs: "查看输出", train: "训练" },
} as const;

/** Above each network: what it costs, and which input that is for. */
export function codeLenses(
  sheet: Sheet,
  analysis: Analysis,
  uri: string,
  { batch, language, panels }: { batch: number; language: Language; panels: boolean },
): CodeLens[] {
  return analysis.networks.flatMap((network): CodeLens[] => {
    const where = sheet.rangeOf(network.range);
    if (where?.uri !== uri) return [];
    const { range } = where;
    const args = [sheet.source.file, network.name];
    const { summary, choose, outputs, train } = lensWords[language];
    const lens = (title: string, command: string, ...more: string[]): CodeLens => ({
      range,
      command: { title, command: `convnotes.${command}`, arguments: [...args, ...more] },
    });
    return [
      lens(networkText(network, batch, language), "summary"),
      lens(summary, "summary"),
      ...(panels ? [lens(outputs, "outputs")] : []),
      ...(panels ? [lens(train, "train")] : []),
      lens(choose, "chooseInput", shapeText(network.input.shape.slice(1))),
    ];
  });
}

/** The networks as panels and trees show them. */
export function networkViews(
  sheet: Sheet,
  analysis: Analysis,
  batch: number,
  language: Language,
): NetworkView[] {
  return analysis.networks.map((network) => ({
    file: sheet.source.file,
    name: network.name,
    place: sheet.rangeOf(network.range),
    input: inputText(network, language),
    totals: networkText(network, batch, language),
    failed: network.failed && inLanguage(network.failed.message, language),
    layers: network.calls.map((call) => ({
      path: call.path,
      className: call.className,
      printed: call.printed,
      output: shapeText(call.output),
      parameters: call.shared ? 0 : call.parameters,
      multiplyAdds: call.multiplyAdds,
      place: sheet.rangeOf(call.definition),
    })),
  }));
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
  language: Language,
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
      message: inLanguage(finding.message, language),
      relatedInformation: finding.related.flatMap(({ range, message }) => {
        const place = sheet.rangeOf(range);
        const location = place && { uri: place.uri, range: place.range };
        return location ? [{ location, message: inLanguage(message, language) }] : [];
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
  language: Language,
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
    const title = inLanguage(fix.title, language);
    return [{ title, kind, isPreferred: true, edit: { changes } }];
  });
}
