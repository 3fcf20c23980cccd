// # An editor without windows
//
// Starts the language server as `convnotes lsp` and speaks to it over its input and output, as a client does
// that knows the protocol and nothing else; or as a browser's worker, and speaks to it in messages.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  createMessageConnection,
  type MessageConnection,
  PortMessageReader,
  PortMessageWriter,
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
import { type ClientOptions, READ, type ReadRequest } from "../server/protocol.js";
import type { WebOptions } from "../server/web.js";

/** What a browser's worker calls its own, in a thread of Node's. */
const asInBrowser = `
  const { parentPort, Worker: Thread, workerData } = require("node:worker_threads");
  const { script, prelude, name } = workerData;
  globalThis.self = {
    ...{ name, location: { href: script }, addEventListener() {} },
    set onmessage(hear) { parentPort.on("message", (data) => hear({ data })); },
    postMessage: (message) => parentPort.postMessage(message),
  };
  globalThis.Worker = class {
    constructor(script, { name }) {
      const workerData = { script, prelude, name };
      this.thread = new Thread(prelude, { eval: true, workerData });
      this.thread.on("message", (data) => this.onmessage({ data }));
    }
    postMessage(message) { this.thread.postMessage(message); }
    terminate() { void this.thread.terminate(); }
  };
  (0, eval)(require("node:fs").readFileSync(script, "utf8"));
`;

export class Editor {
  readonly #stop: () => Promise<number | null>;
  readonly #connection: MessageConnection;
  readonly #options: object;
  readonly diagnostics = new Map<string, readonly Diagnostic[]>();
  readonly #waiting: (() => void)[] = [];

  /** `worker` is the script of a browser's worker; without it, the server is a program. */
  constructor(worker?: string) {
    if (worker === undefined) {
      const command = [join("reference", "cli", "convnotes.js"), "lsp"];
      const child = spawn(process.execPath, command, { stdio: ["pipe", "pipe", "inherit"] });
      this.#connection = createMessageConnection(
        new StreamMessageReader(child.stdout),
        new StreamMessageWriter(child.stdin),
      );
      this.#options = {};
      this.#stop = async () => ((await once(child, "exit")) as [number | null])[0];
      // Whoever waits for an answer is told that none will come.
      child.once("exit", () => this.#connection.dispose());
    } else {
      const built = (...path: string[]) => join("reference", "dist", "lsp", ...path);
      const wasm = (name: string) => [...readFileSync(built("wasm", `${name}.wasm`))];
      const workerData = { script: worker, prelude: asInBrowser, name: "" };
      const thread = new Worker(asInBrowser, { eval: true, workerData });
      this.#connection = createMessageConnection(
        new PortMessageReader(thread),
        new PortMessageWriter(thread),
      );
      this.#options = {
        runtime: wasm("web-tree-sitter"),
        python: wasm("tree-sitter-python"),
        statements: readFileSync(built("statements.json"), "utf8"),
      } satisfies WebOptions;
      this.#stop = async () => {
        await thread.terminate();
        return 0;
      };
    }
    this.#connection.onNotification(
      "textDocument/publishDiagnostics",
      ({ uri, diagnostics }: PublishDiagnosticsParams) => {
        this.diagnostics.set(uri, diagnostics);
        for (const wake of this.#waiting.splice(0)) wake();
      },
    );
    this.#connection.listen();
  }

  /** How it answers a server that asks for files. */
  reads(read: (request: ReadRequest) => unknown): void {
    this.#connection.onRequest(READ, read);
  }

  async begin(locale = "en", options: ClientOptions = {}): Promise<void> {
    await this.ask("initialize", {
      processId: process.pid,
      rootUri: null,
      capabilities: {},
      locale,
      initializationOptions: { ...options, ...this.#options },
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
    await this.ask("shutdown", {});
    const stopped = this.#stop();
    await this.tell("exit", {});
    return stopped;
  }
}
