// # The worker
//
// Computes outputs in a thread of its own; see `calculator.ts`.

import { parentPort } from "node:worker_threads";
import { frontEnd, weightsOf } from "./files.js";
import { outputsOf, type OutputsQuestion } from "./outputs.js";

const front = frontEnd();

parentPort!.on("message", (question: OutputsQuestion) => {
  const answer = async () => {
    const weights = weightsOf(question.document.file, question.network);
    parentPort!.postMessage(outputsOf(await front, question, weights));
  };
  void answer();
});
