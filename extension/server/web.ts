// # The server in a browser's worker
//
// One script, two workers: the server, and the one that computes for it.

import {
  BrowserMessageReader,
  BrowserMessageWriter,
  createConnection,
} from "vscode-languageserver/browser.js";
import { createFrontEnd, type FrontEnd } from "convnotes/pytorch";
import { Calculator } from "./calculator.js";
import { type NetworkOutputs, type NoOutputs, outputsOf, type OutputsQuestion } from "./outputs.js";
import { READ, type ReadRequest } from "./protocol.js";
import { serve } from "./server.js";
import type { CitedStatement } from "./statements.js";

/** What the client hands over, with what every client says of itself. */
export interface WebOptions {
  /** Bytes. */
  readonly runtime: readonly number[];
  readonly python: readonly number[];
  /** JSON. */
  readonly statements: string;
}

/** The parts of a worker's own scope that are used here. */
interface Scope {
  readonly name: string;
  readonly location: { readonly href: string };
  onmessage: ((event: { data: unknown }) => void) | null;
  postMessage(message: unknown): void;
}
declare const self: Scope;

interface BrowserWorker {
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: (() => void) | null;
  postMessage(message: unknown): void;
  terminate(): void;
}
declare const Worker: new (url: string, options: { name: string }) => BrowserWorker;

const COMPUTES = "convnotes outputs";

const frontEndOf = ({ runtime, python }: WebOptions): Promise<FrontEnd> =>
  createFrontEnd({ runtime: Uint8Array.from(runtime), python: Uint8Array.from(python) });

if (self.name === COMPUTES) compute();
else begin();

/** The first message is the parser, each other one a question. */
function compute(): void {
  let frontEnd: Promise<FrontEnd> | null = null;
  self.onmessage = ({ data }) => {
    if (frontEnd === null) {
      frontEnd = frontEndOf(data as WebOptions);
      return;
    }
    const front = frontEnd;
    const answer = async () =>
      self.postMessage(outputsOf(await front, data as OutputsQuestion, null));
    void answer();
  };
}

function begin(): void {
  const reader = new BrowserMessageReader(self);
  const writer = new BrowserMessageWriter(self);
  const connection = createConnection(reader, writer);
  const { promise, resolve } = deferred<WebOptions>();
  const statements: CitedStatement[] = [];
  let given: WebOptions | null = null;
  void promise.then((options) => {
    given = options;
    statements.push(...(JSON.parse(options.statements) as CitedStatement[]));
  });
  const calculator = new Calculator(() => {
    const worker = new Worker(self.location.href, { name: COMPUTES });
    worker.postMessage(given);
    return {
      ask: (question) => worker.postMessage(question),
      listen(answer) {
        worker.onmessage = ({ data }) => answer(data as NetworkOutputs | NoOutputs);
        worker.onerror = () => answer(null);
      },
      stop: () => worker.terminate(),
    };
  });
  serve(connection, {
    frontEnd: promise.then(frontEndOf),
    read: (uri, of) => connection.sendRequest<unknown>(READ, { uri, of } satisfies ReadRequest),
    calculator,
    statements,
    begun: (options) => resolve(options as WebOptions),
  });
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((take) => (resolve = take));
  return { promise, resolve };
}
