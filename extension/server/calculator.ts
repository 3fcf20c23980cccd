// # Somebody who computes
//
// Outputs take seconds, hints must not wait. So a worker computes them, started when it is first needed:
// one question after the other. A question about a network that is being computed for an older text
// takes its place.

import { type Said, say } from "convnotes";
import type { NetworkOutputs, NoOutputs, OutputsQuestion } from "./outputs.js";

/** A worker, of whatever kind. */
export interface Worker {
  ask(question: OutputsQuestion): void;
  /** What it answers, in the order of the questions; null when it is gone. */
  listen(answer: (outputs: NetworkOutputs | NoOutputs | null) => void): void;
  stop(): void;
}

export type Outputs = NetworkOutputs | NoOutputs;

/** A network that takes longer is given up. Units: ms. */
const PATIENCE_MS = 180_000;

interface Job {
  readonly question: OutputsQuestion;
  readonly answer: (outputs: Outputs) => void;
}

/** Asks workers that `start` makes, one at a time. */
export class Calculator {
  readonly #start: () => Worker;
  readonly #queue: Job[] = [];
  #worker: Worker | null = null;
  #running: Job | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(start: () => Worker) {
    this.#start = start;
  }

  ask(question: OutputsQuestion): Promise<Outputs> {
    const same = (job: Job | null) =>
      job?.question.document.file === question.document.file &&
      job.question.network === question.network;
    const replaced = { unavailable: say`the source has changed` };
    for (const job of this.#queue.filter(same)) {
      this.#queue.splice(this.#queue.indexOf(job), 1);
      job.answer(replaced);
    }
    if (same(this.#running)) this.#giveUp(replaced.unavailable);
    return new Promise((answer) => {
      this.#queue.push({ question, answer });
      this.#next();
    });
  }

  stop(): void {
    this.#queue.splice(0);
    this.#giveUp(say`the server has ended`);
  }

  #next(): void {
    if (this.#running) return;
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#running = job;
    if (this.#worker === null) {
      const worker = this.#start();
      this.#worker = worker;
      worker.listen((outputs) => {
        if (this.#worker !== worker) return;
        if (outputs === null) this.#giveUp(say`its computation broke off`);
        else this.#done(outputs);
      });
    }
    this.#timer = setTimeout(
      () => this.#giveUp(say`it takes more than ${PATIENCE_MS / 1000} seconds`),
      PATIENCE_MS,
    );
    this.#worker.ask(job.question);
  }

  #done(outputs: Outputs): void {
    clearTimeout(this.#timer);
    this.#running?.answer(outputs);
    this.#running = null;
    this.#next();
  }

  #giveUp(why: Said): void {
    this.#worker?.stop();
    this.#worker = null;
    this.#done({ unavailable: why });
  }
}
