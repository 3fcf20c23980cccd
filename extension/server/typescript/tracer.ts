// # Somebody who runs TypeScript
//
// Each question is a process of its own, which is ended with all that it started when it takes too long, or
// when the text it was about has changed.

import { type ChildProcess, fork } from "node:child_process";
import { dirname, join } from "node:path";
import { type Said, saidBy, say } from "convnotes";
import { ownFolder } from "../files.js";
import { BEGUN, type Traced, type TraceQuestion } from "./question.js";

/**
 * How long it may take until the file begins, which on a busy machine is long; and what the file itself may take:
 * to be looked at, and to compute its outputs. Units: ms.
 */
const [BEGIN_MS, LOOK_MS, COMPUTE_MS] = [60_000, 10_000, 180_000];

/** Units: MB. */
const MEMORY_MB = 2048;

/** The process under way, by what it was asked. */
const running = new Map<string, ChildProcess>();

/** Null when it was given up for a newer question. */
export function trace(question: TraceQuestion): Promise<Traced | null> {
  const key = `${question.path}\n${question.outputs?.network ?? ""}`;
  end(running.get(key));
  const child = fork(join(ownFolder(), "trace.cjs"), {
    cwd: dirname(question.path),
    execArgv: [`--max-old-space-size=${MEMORY_MB}`],
    // What the user's program prints would break the protocol.
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
    detached: process.platform !== "win32",
  });
  running.set(key, child);
  const limit = question.outputs ? COMPUTE_MS : LOOK_MS;
  return new Promise<Traced | null>((resolve) => {
    const failed = (message: Said): Traced => {
      const range = { file: question.source.file, start: 0, end: 0 };
      const finding = { severity: "note", code: "unknown", message, range, related: [] } as const;
      return { networks: [], findings: [finding] };
    };
    const giveUp = (why: Said) => () => {
      resolve(failed(why));
      end(child);
    };
    const late = say`it does not begin within ${BEGIN_MS / 1000} seconds; its models are not shown`;
    const long = say`it runs for more than ${limit / 1000} seconds; its models are not shown`;
    let timer = setTimeout(giveUp(late), BEGIN_MS);
    child.once("message", (begun) => {
      clearTimeout(timer);
      if (begun !== BEGUN) return resolve(begun as Traced);
      timer = setTimeout(giveUp(long), limit);
      child.once("message", (traced) => resolve(traced as Traced));
    });
    child.once("error", (error) => resolve(failed(saidBy(error))));
    child.once("exit", (_, signal) => {
      clearTimeout(timer);
      const mine = running.get(key) === child;
      if (mine) running.delete(key);
      resolve(mine && signal === null ? failed(say`its process ended early`) : null);
    });
    child.send(question);
  });
}

/** Ends whatever is under way. */
export function endTraces(): void {
  for (const child of running.values()) end(child);
}

function end(child: ChildProcess | undefined): void {
  if (child?.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(process.platform === "win32" ? child.pid : -child.pid, "SIGKILL");
  } catch {
    // It is gone.
  }
}
