// # The language server
//
// Everything but panels, over the language server protocol: any editor can use it. It knows neither VS
// Code nor Node; the connection, the parser and the neighbouring files are handed in.

import {
  type Connection,
  DidChangeWatchedFilesNotification,
  type InitializeResult,
  NotebookDocuments,
  TextDocuments,
  TextDocumentSyncKind,
} from "vscode-languageserver";
import { TextDocument } from "vscode-languageserver-textdocument";
import { say } from "convnotes";
import type { Analysis, Document, FrontEnd } from "convnotes/pytorch";
import type { Calculator, Outputs } from "./calculator.js";
import {
  codeActions,
  codeLenses,
  diagnostics,
  hover,
  inlayHints,
  layersAt,
  networkViews,
} from "./features.js";
import { LARGEST, neighboursOf } from "./neighbours.js";
import type { OwnImage } from "./outputs.js";
import {
  ANALYSED,
  type ClientOptions,
  NETWORKS,
  type NetworkView,
  OUTPUTS,
  type OutputsAnswer,
  type OutputsRequest,
  TRUSTED,
} from "./protocol.js";
import { type Language, networkMarkdown, outputMarkdown, outputsText } from "./show.js";
import { type CitedStatement, statementMarkdown } from "./statements.js";
import { Sheet } from "./text.js";
import { moved } from "./typescript/moved.js";
import type { Traced, TraceQuestion } from "./typescript/question.js";

export interface Host {
  readonly frontEnd: Promise<FrontEnd>;
  readonly calculator: Calculator;
  readonly statements: readonly CitedStatement[];
  /** Told what the client says of itself when it begins. */
  begun?(options: unknown): void;
  /**
   * The text of a file in the folder of the document `of` or below, null where there is none. A promise
   * where somebody must be asked for it: whatever else that gives is no text, and it need not come.
   */
  read(uri: string, of: string): string | null | Promise<unknown>;
  /** Runs a TypeScript file to see its models; absent where nothing can be run. */
  readonly trace?: (question: Omit<TraceQuestion, "path">) => Promise<Traced | null>;
}

interface Settings {
  readonly hints: boolean;
  readonly notes: boolean;
  readonly outputs: boolean;
  readonly batchSize: number;
}

/** What is not set, or set to nonsense, has its default. */
function settingsOf(value: unknown): Settings {
  const given = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const batch = given.batchSize;
  return {
    hints: given.hints !== false,
    notes: given.notes !== false,
    outputs: given.outputs !== false,
    batchSize: Number.isSafeInteger(batch) && Number(batch) >= 1 ? Number(batch) : 1,
  };
}

/** Long enough for a typist, short enough for a reader. Units: ms. */
const PAUSE_MS = 15;

/** How often, and how far apart. Units of the second: ms. */
const [REHEARSALS, REST_MS] = [12, 60];

/** A program is not run for each key. Units: ms. */
const PAUSE_TO_RUN_MS = 250;

/** So many files are asked for on behalf of one document. */
const MOST_ASKED = 256;

/** A hover waits so long for a layer's output. Units: ms. */
const HOVER_MS = 700;

/** The networks whose outputs are kept. */
const MOST_KEPT = 8;

interface Analysed {
  readonly sheet: Sheet;
  readonly analysis: Analysis;
  readonly beside: Texts;
}

/** Files that an analysis looked for, by URI; null where there was none. */
type Texts = ReadonlyMap<string, string | null>;

const usesModels = (text: string): boolean =>
  /\bfrom\s+["']convnotes["']/.test(text) || /\bextends\s+(?:nn\.)?Module\b/.test(text);

const notHere = () => ({ unavailable: say`TypeScript is run in a process of its own` });

/** Serves `connection` until it closes. */
export function serve(connection: Connection, host: Host): void {
  const documents = new TextDocuments(TextDocument);
  const notebooks = new NotebookDocuments(documents);
  const results = new Map<string, Analysed>();
  const timers = new Map<string, NodeJS.Timeout>();
  const inputs = new Map<string, Map<string, readonly number[]>>();
  let frontEnd: FrontEnd | null = null;
  let settings = settingsOf(null);
  let language: Language = "en";
  let client: ClientOptions = {};
  const can = { configuration: false, watch: false, refreshHints: false, refreshLenses: false };

  // ## Analysing

  /** What is analysed together with the document: itself, or its notebook. */
  function sheetOf(uri: string): Sheet | null {
    const cell = notebooks.findNotebookDocumentForCell(uri);
    if (cell) {
      const cells = cell.cells.flatMap(({ document }) => {
        const text = notebooks.getCellTextDocument({ kind: 2, document });
        return text?.languageId === "python" ? [text] : [];
      });
      return Sheet.ofCells(cell.uri, cells);
    }
    const document = documents.get(uri);
    return document ? Sheet.ofDocument(document) : null;
  }

  function analyse(sheet: Sheet): void {
    const { source } = sheet;
    if (frontEnd === null || source.text.length > LARGEST) return;
    if (source.language === "typescript") {
      void traced(sheet);
      return;
    }
    const { analysis, beside } = analysisOf(source, frontEnd);
    take(sheet, analysis, beside);
    if (analysis.networks.length > 0) rehearse();
  }

  function analysisOf(source: Document, front: FrontEnd): { analysis: Analysis; beside: Texts } {
    const chosen = inputs.get(source.file);
    const beside = new Map<string, string | null>();
    const neighbour = neighboursOf(source.file, (uri) => {
      const known = beside.get(uri);
      const text = known === undefined ? textOf(uri, source.file) : known;
      beside.set(uri, text);
      return text;
    });
    const analysis = front.analyse(source, {
      ...{ neighbour, batch: settings.batchSize },
      ...(chosen && { inputs: chosen }),
    });
    // What was looked for while an import was being typed is of no use.
    const texts = asked.get(source.file);
    for (const uri of texts?.keys() ?? []) if (!beside.has(uri)) texts!.delete(uri);
    return { analysis, beside };
  }

  // ### Neighbours
  //
  // A document that is open is as the user sees it. Others the host reads, or asks for: until an answer comes
  // there is no such file, and when it comes the document is analysed anew.

  const asked = new Map<string, Map<string, string | null | Promise<unknown>>>();

  function textOf(uri: string, of: string): string | null {
    const open = documents.get(uri);
    if (open) return open.getText();
    const texts = asked.get(of) ?? new Map<string, string | null | Promise<unknown>>();
    const known = texts.get(uri);
    if (known !== undefined) return typeof known === "string" ? known : null;
    if (texts.size >= MOST_ASKED) return null;
    const answer = host.read(uri, of);
    if (answer === null || typeof answer === "string") return answer;
    asked.set(of, texts.set(uri, answer));
    const arrived = (text: unknown) => {
      // By now the document may be closed, or the file have been changed.
      if (asked.get(of)?.get(uri) !== answer) return;
      const all = [...texts.values()].filter((known) => typeof known === "string");
      const room = LARGEST - all.reduce((sum, { length }) => sum + length, 0);
      texts.set(uri, typeof text === "string" && text.length <= room ? text : null);
      if (texts.get(uri) !== null) again(of);
    };
    answer.then(arrived, () => arrived(null));
    return null;
  }

  /** Analyses anew what has looked for this file. */
  function changed(uri: string): void {
    for (const [of, { beside }] of results) {
      if (!beside.has(uri)) continue;
      asked.get(of)?.delete(uri);
      again(of);
    }
  }

  const again = (file: string) => {
    for (const { uri } of results.get(file)?.sheet.documents ?? []) soon(uri);
  };

  let rehearsals = REHEARSALS;
  let rehearsing = false;

  /** Code that has seldom run is slow. What is open is analysed anew while its reader reads. */
  function rehearse(): void {
    if (rehearsing || rehearsals === 0) return;
    rehearsing = true;
    setTimeout(() => {
      rehearsing = false;
      rehearsals--;
      const source = [...results.values()].at(-1)?.sheet.source;
      if (timers.size === 0 && frontEnd && source && source.language !== "typescript")
        analysisOf(source, frontEnd);
      rehearse();
    }, REST_MS);
  }

  /** From now on this is what is known of the sheet. */
  function take(sheet: Sheet, analysis: Analysis, beside: Texts): void {
    results.set(sheet.source.file, { sheet, analysis, beside });
    for (const [uri, list] of diagnostics(sheet, analysis, settings.notes, language))
      void connection.sendDiagnostics({ uri, diagnostics: list });
    if (can.refreshHints) void connection.languages.inlayHint.refresh();
    if (can.refreshLenses) connection.sendRequest("workspace/codeLens/refresh").catch(() => {});
    if (client.panels)
      for (const { uri } of sheet.documents) void connection.sendNotification(ANALYSED, { uri });
  }

  // TypeScript is known by running it, in a process of its own.

  const tracing = new Map<string, { text: string; done: Promise<void> }>();

  const questionOf = ({ file, text }: Sheet["source"]): Omit<TraceQuestion, "path"> => ({
    source: { file, text },
    inputs: Object.fromEntries(inputs.get(file) ?? []),
    batch: settings.batchSize,
  });

  /** Resolves when the text is known; what only uses no model is not run. */
  function traced(sheet: Sheet): Promise<void> {
    const { file, text } = sheet.source;
    const known = tracing.get(file);
    if (known?.text === text) return known.done;
    const run = host.trace;
    if (client.trusted !== true || run === undefined || !usesModels(text)) return Promise.resolve();
    const done = run(questionOf(sheet.source)).then((answer) => {
      if (tracing.get(file)?.text !== text) return;
      tracing.delete(file);
      if (answer === null) return;
      const before = results.get(file);
      const networks = answer.networks.map((network) => ({ ...network, build: notHere }));
      const kept =
        answer.unfinished && before ? moved(before.analysis, before.sheet.source.text, text) : null;
      const analysis = {
        networks: kept?.networks ?? networks,
        findings: answer.findings,
        blocks: [{ file, start: 0, end: text.length }],
      };
      take(sheet, analysis, new Map());
    });
    tracing.set(file, { text, done });
    return done;
  }

  function soon(uri: string): void {
    const sheet = sheetOf(uri);
    if (sheet === null) return;
    const { file, language } = sheet.source;
    clearTimeout(timers.get(file));
    const again = () => {
      timers.delete(file);
      // By now it may be gone, or have been changed once more.
      const now = sheetOf(uri);
      if (now) analyse(now);
    };
    timers.set(file, setTimeout(again, language === "typescript" ? PAUSE_TO_RUN_MS : PAUSE_MS));
  }

  /** The analysis of the text as it is now. */
  async function current(uri: string): Promise<Analysed | null> {
    const sheet = sheetOf(uri);
    if (sheet === null) return null;
    const { file, text, language } = sheet.source;
    if (results.get(file)?.sheet.source.text !== text) {
      if (language === "typescript") {
        await traced(sheet);
        return results.get(file)?.sheet.source.text === text ? results.get(file)! : null;
      }
      clearTimeout(timers.get(file));
      timers.delete(file);
      analyse(sheet);
    }
    return results.get(file) ?? null;
  }

  const everything = () => {
    for (const { uri } of documents.all()) soon(uri);
    for (const file of results.keys()) again(file);
  };

  // ## Outputs

  const kept = new Map<string, { question: string; outputs: Promise<Outputs> }>();

  /** The outputs of a network as its text is now, for the image chosen last. */
  function outputsFor(now: Analysed, network: string, image?: number | OwnImage) {
    const { source } = now.sheet;
    const key = `${source.file}\n${network}`;
    if (image !== undefined) images.set(key, image);
    const chosen = images.get(key);
    const input = inputs.get(source.file)?.get(network);
    const named = typeof chosen === "object" ? chosen.name : chosen;
    const found = [...now.beside].filter((file): file is [string, string] => file[1] !== null);
    const beside = Object.fromEntries(found);
    const question = JSON.stringify([source.text, beside, input, named]);
    const known = kept.get(key);
    if (known?.question === question && image === undefined) return known.outputs;
    const outputs =
      source.language === "typescript"
        ? tracedOutputs(source, network, chosen)
        : host.calculator.ask({
            ...{ document: source, beside, network },
            ...(input && { input }),
            ...(chosen !== undefined && { image: chosen }),
          });
    kept.delete(key);
    kept.set(key, { question, outputs });
    const [oldest] = kept.keys();
    if (kept.size > MOST_KEPT) kept.delete(oldest);
    return outputs;
  }
  const images = new Map<string, number | OwnImage>();

  async function tracedOutputs(
    source: Sheet["source"],
    network: string,
    image: number | OwnImage | undefined,
  ): Promise<Outputs> {
    const outputs = { network, ...(image !== undefined && { image }) };
    const answer = await host.trace?.({ ...questionOf(source), outputs });
    return answer?.outputs ?? { unavailable: say`the source has changed` };
  }

  /** Null when it takes longer than a reader waits. */
  const promptly = (outputs: Promise<Outputs>): Promise<Outputs | null> =>
    Promise.race([
      outputs,
      new Promise<null>((resolve) => void setTimeout(() => resolve(null), HOVER_MS)),
    ]);

  // ## The protocol

  connection.onInitialize(({ capabilities, initializationOptions, locale }): InitializeResult => {
    can.configuration = capabilities.workspace?.configuration === true;
    can.watch = capabilities.workspace?.didChangeWatchedFiles?.dynamicRegistration === true;
    can.refreshHints = capabilities.workspace?.inlayHint?.refreshSupport === true;
    can.refreshLenses = capabilities.workspace?.codeLens?.refreshSupport === true;
    language = locale?.toLowerCase().startsWith("zh") ? "zh" : "en";
    settings = settingsOf(initializationOptions);
    client = (initializationOptions ?? {}) as ClientOptions;
    host.begun?.(initializationOptions);
    return {
      serverInfo: { name: "convnotes" },
      capabilities: {
        textDocumentSync: TextDocumentSyncKind.Incremental,
        notebookDocumentSync: {
          notebookSelector: [{ notebook: "*", cells: [{ language: "python" }] }],
        },
        inlayHintProvider: true,
        hoverProvider: true,
        codeLensProvider: {},
        codeActionProvider: { codeActionKinds: ["quickfix"] },
        executeCommandProvider: {
          commands: ["convnotes.server.summary", "convnotes.server.input"],
        },
      },
    };
  });

  connection.onInitialized(() => {
    const begin = async () => {
      if (can.configuration)
        settings = settingsOf(await connection.workspace.getConfiguration("convnotes"));
      if (can.watch)
        void connection.client.register(DidChangeWatchedFilesNotification.type, {
          watchers: [{ globPattern: "**/*.py" }],
        });
      frontEnd = await host.frontEnd;
      everything();
    };
    begin().catch((error: unknown) => {
      connection.console.error(
        `convnotes: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
  });

  connection.onDidChangeConfiguration(({ settings: sent }) => {
    const change = async () => {
      const found: unknown = can.configuration
        ? await connection.workspace.getConfiguration("convnotes")
        : (sent as { convnotes?: unknown } | null)?.convnotes;
      settings = settingsOf(found);
      everything();
    };
    change().catch(() => {});
  });

  const closed = (file: string) => {
    results.delete(file);
    asked.delete(file);
    frontEnd?.forget(file);
  };
  documents.onDidChangeContent(({ document: { uri } }) => {
    soon(uri);
    changed(uri);
  });
  documents.onDidClose(({ document: { uri } }) => {
    closed(uri);
    changed(uri);
    void connection.sendDiagnostics({ uri, diagnostics: [] });
  });
  connection.onDidChangeWatchedFiles(({ changes }) => changes.forEach(({ uri }) => changed(uri)));
  notebooks.onDidOpen(({ cells }) => cells.slice(0, 1).forEach((c) => soon(c.document)));
  notebooks.onDidChange(({ notebookDocument: { cells } }) =>
    cells.slice(0, 1).forEach((c) => soon(c.document)),
  );
  notebooks.onDidClose(({ uri }) => closed(uri));

  connection.languages.inlayHint.on(async ({ textDocument: { uri }, range }) => {
    const now = settings.hints ? await current(uri) : null;
    return now ? inlayHints(now.sheet, now.analysis, uri, range) : [];
  });
  connection.onHover(async ({ textDocument: { uri }, position }) => {
    const now = await current(uri);
    if (now === null) return null;
    const layers = layersAt(now.sheet, now.analysis, uri, position);
    const known = new Map<string, Outputs | null>();
    if (settings.outputs)
      for (const { network } of layers)
        if (!known.has(network.name))
          known.set(network.name, await promptly(outputsFor(now, network.name)));
    const pictures = client.pictures === true;
    return hover(now.sheet, layers, language, ({ network, call }) => {
      const { className } = network.calls[call];
      const linked = client.chapters === true;
      const outputs = known.get(network.name);
      return {
        statement: statementMarkdown(className, host.statements, language, linked),
        output: outputs === undefined ? "" : outputMarkdown(outputs, call, language, pictures),
      };
    });
  });
  connection.onCodeLens(async ({ textDocument: { uri } }) => {
    const now = await current(uri);
    if (now === null) return [];
    const { batchSize: batch } = settings;
    const panels = client.panels === true;
    return codeLenses(now.sheet, now.analysis, uri, { batch, language, panels });
  });
  connection.onCodeAction(async ({ textDocument: { uri }, range }) => {
    const now = await current(uri);
    return now ? codeActions(now.sheet, now.analysis, uri, range, language) : [];
  });

  connection.onRequest(NETWORKS, async ({ uri }: { uri: string }): Promise<NetworkView[]> => {
    const now = await current(uri);
    return now ? networkViews(now.sheet, now.analysis, settings.batchSize, language) : [];
  });
  connection.onRequest(
    OUTPUTS,
    async ({ file, network, image }: OutputsRequest): Promise<OutputsAnswer | null> => {
      const [document] = results.get(file)?.sheet.documents ?? [];
      const now = (document as TextDocument | undefined) ? await current(document.uri) : null;
      if (now === null) return null;
      const views = networkViews(now.sheet, now.analysis, settings.batchSize, language);
      const view = views.find(({ name }) => name === network);
      if (!view) return null;
      return { view, outputs: outputsText(await outputsFor(now, network, image), language) };
    },
  );
  connection.onNotification(TRUSTED, () => {
    client = { ...client, trusted: true };
    everything();
  });
  connection.onShutdown(() => host.calculator.stop());

  connection.onExecuteCommand(({ command, arguments: args = [] }) => {
    const [file, name, sizes] = args as [unknown, unknown, unknown];
    if (typeof file !== "string" || typeof name !== "string") return null;
    if (command === "convnotes.server.summary") {
      const network = results.get(file)?.analysis.networks.find((n) => n.name === name);
      return network ? networkMarkdown(network, language) : null;
    }
    if (command === "convnotes.server.input" && Array.isArray(sizes)) {
      const known = inputs.get(file) ?? new Map<string, readonly number[]>();
      const valid = sizes.every((d) => Number.isSafeInteger(d) && Number(d) >= 1);
      if (sizes.length === 0) known.delete(name);
      else if (valid && sizes.length <= 4) known.set(name, sizes as number[]);
      inputs.set(file, known);
      const [first] = results.get(file)?.sheet.documents ?? [];
      if ((first as TextDocument | undefined) !== undefined) {
        results.delete(file);
        soon(first.uri);
      }
    }
    return null;
  });

  documents.listen(connection);
  notebooks.listen(connection);
  connection.listen();
}
