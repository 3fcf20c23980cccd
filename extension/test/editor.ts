// # An editor without windows
//
// Starts the language server as `convnotes lsp` and speaks to it over its input and output, as a client does
// that knows the protocol and nothing else.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import {
  createMessageConnection,
  type MessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-languageserver/node.js";
import type {
  CodeLens,
  Diagnostic,
  Hover,
  InlayHint,
  MarkupContent,
  PublishDiagnosticsParams,
} from "vscode-languageserver";
import type { ClientOptions } from "../server/protocol.js";

export class Editor {
  readonly #process: ChildProcess;
  readonly #connection: MessageConnection;
  readonly diagnostics = new Map<string, readonly Diagnostic[]>();
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#process = spawn(process.execPath, [join("reference", "cli", "convnotes.js"), "lsp"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#connection = createMessageConnection(
      new StreamMessageReader(this.#process.stdout!),
      new StreamMessageWriter(this.#process.stdin!),
    );
    this.#connection.onNotification(
      "textDocument/publishDiagnostics",
      ({ uri, diagnostics }: PublishDiagnosticsParams) => {
        this.diagnostics.set(uri, diagnostics);
        for (const wake of this.#waiting.splice(0)) wake();
      },
    );
    this.#connection.listen();
    // Whoever waits for an answer is told that none will come.
    this.#process.once("exit", () => this.#connection.dispose());
  }

  async begin(locale = "en", options: ClientOptions = {}): Promise<void> {
    await this.ask("initialize", {
      processId: process.pid,
      rootUri: null,
      capabilities: {},
      locale,
      initializationOptions: options,
    });
    await this.tell("initialized", {});
  }

  ask<T>(method: string, params: object): Promise<T> {
    return this.#connection.sendRequest<T>(method, params);
  }

  tell(method: string, params: object): Promise<void> {
    return this.#connection.sendNotification(method, params);
  }

  /** Opens a document and waits until it has been analysed. */
  async open(uri: string, text: string, languageId = "python"): Promise<readonly Diagnostic[]> {
    const analysed = this.#analysed(uri);
    await this.tell("textDocument/didOpen", {
      textDocument: { uri, languageId, version: 1, text },
    });
    return analysed;
  }

  async change(uri: string, version: number, text: string): Promise<readonly Diagnostic[]> {
    const analysed = this.#analysed(uri);
    await this.tell("textDocument/didChange", {
      textDocument: { uri, version },
      contentChanges: [{ text }],
    });
    return analysed;
  }

  async #analysed(uri: string): Promise<readonly Diagnostic[]> {
    this.diagnostics.delete(uri);
    while (!this.diagnostics.has(uri))
      await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    return this.diagnostics.get(uri)!;
  }

  async hints(uri: string): Promise<string[]> {
    const range = { start: { line: 0, character: 0 }, end: { line: 1e6, character: 0 } };
    const hints = await this.ask<InlayHint[]>("textDocument/inlayHint", {
      textDocument: { uri },
      range,
    });
    return hints
      .sort(
        (a, b) => a.position.line - b.position.line || a.position.character - b.position.character,
      )
      .map(({ position, label }) => `${position.line + 1} ${label as string}`);
  }

  async hover(uri: string, line: number, character: number): Promise<string> {
    const hover = await this.ask<Hover | null>("textDocument/hover", {
      textDocument: { uri },
      position: { line: line - 1, character },
    });
    return (hover?.contents as MarkupContent | undefined)?.value ?? "";
  }

  async lenses(uri: string): Promise<string[]> {
    const lenses = await this.ask<CodeLens[]>("textDocument/codeLens", { textDocument: { uri } });
    return lenses.map(({ range, command }) => `${range.start.line + 1} ${command!.title}`);
  }

  async end(): Promise<number | null> {
    const exit = new Promise<number | null>((resolve) => this.#process.once("exit", resolve));
    await this.ask("shutdown", {});
    await this.tell("exit", {});
    return exit;
  }
}
