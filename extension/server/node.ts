// # The server as a program
//
// `node dist/server.cjs --stdio`: speaks the language server protocol over its input and output, or, when
// VS Code starts it, over what VS Code says.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { createConnection, ProposedFeatures } from "vscode-languageserver/node.js";
import { Calculator } from "./calculator.js";
import { frontEnd, ownFolder, read, statements, weightsOf } from "./files.js";
import type { NetworkOutputs, NoOutputs } from "./outputs.js";
import { serve } from "./server.js";
import { endTraces, trace } from "./typescript/tracer.js";

const calculator = new Calculator(() => {
  const worker = new Worker(join(ownFolder(), "worker.cjs"));
  // A question under way keeps nobody from leaving.
  worker.unref();
  return {
    ask: (question) => worker.postMessage(question),
    listen(answer) {
      worker.on("message", (outputs: NetworkOutputs | NoOutputs) => answer(outputs));
      worker.on("error", () => answer(null));
    },
    stop: () => void worker.terminate(),
  };
});

const connection = createConnection(ProposedFeatures.all);
// What a library prints would break the protocol.
console.log = (...words: unknown[]) => connection.console.log(words.join(" "));

serve(connection, {
  ...{ frontEnd: frontEnd(), read, calculator, statements: statements() },
  trace: (question) => {
    const { outputs, source } = question;
    if (!source.file.startsWith("file:")) return Promise.resolve(null);
    const path = fileURLToPath(source.file);
    const weights = outputs ? weightsOf(source.file, outputs.network) : null;
    return trace({ ...question, path, ...(outputs && { outputs: { ...outputs, weights } }) });
  },
});
process.once("exit", endTraces);
