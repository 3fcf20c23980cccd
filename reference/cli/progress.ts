// # Progress
//
// A bar with examples per second and time left on a terminal; a plain line now and then where the
// output is a file or a pipe.

import { SingleBar } from "cli-progress";

/** Seconds between two plain lines. */
const PLAIN_INTERVAL_S = 10;

export interface Report {
  /** Counts `examples` more as done and shows `note` beside the bar. */
  advance(examples: number, note: string): void;
  /** Clears the bar away. */
  end(): void;
}

/** `1 min 05 s`, for a number of seconds. */
export function showDuration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}

/**
 * Shows how far `total` examples have come, of which `done` were done before.
 */
export function report(label: string, total: number, done = 0): Report {
  const start = performance.now();
  let count = done;
  const rate = () => {
    const seconds = (performance.now() - start) / 1000;
    const perSecond = (count - done) / Math.max(seconds, 1e-3);
    const speed = perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1);
    return { speed, left: showDuration((total - count) / Math.max(perSecond, 1e-3)) };
  };

  if (!process.stdout.isTTY) {
    let last = start;
    return {
      advance(examples, note) {
        count += examples;
        if (performance.now() - last < PLAIN_INTERVAL_S * 1000) return;
        last = performance.now();
        const { speed, left } = rate();
        console.log(`${label}: ${count}/${total}, ${note}, ${speed} examples/s, ${left} left`);
      },
      end: () => {},
    };
  }

  const bar = new SingleBar({
    format: `{label} {bar} {percentage}% | {note} | {speed} examples/s | {left} left`,
    barCompleteChar: "━",
    barIncompleteChar: "─",
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stdout,
    gracefulExit: false,
  });
  bar.start(total, done, { label, note: "…", speed: "–", left: "–" });
  return {
    advance(examples, note) {
      count += examples;
      bar.update(count, { note, ...rate() });
    },
    end: () => bar.stop(),
  };
}
