// # Errors
//
// Every refusal in this library says who refuses, what was given, what is allowed, and how to
// mend it. Two helpers keep that promise cheap: an error class that an editor can act on, and
// the search for the name that was probably meant.

import { type Said, say, spoken } from "./words.js";

/**
 * Sizes that do not fit together.
 *
 * The operation that refuses prefixes its own name to the message, and each module on the way
 * out prefixes its path once, so that a reader sees `classification.0 (Linear): linear: …`; what
 * is `said` stays without them.
 * `argument`, `expected` and `actual` are for programs: the editor underlines the argument and
 * offers the expected number.
 */
export class ShapeError extends RangeError {
  override readonly name = "ShapeError";
  /** The operation that refused, such as `conv2d`. */
  operation?: string;
  /** The path of the module inside which it happened, such as `classification.0`. */
  path?: string;

  readonly said: Said;

  constructor(
    refusal: Said | string,
    readonly argument?: string,
    readonly expected?: number,
    readonly actual?: number,
  ) {
    const said = typeof refusal === "string" ? say`${refusal}` : refusal;
    super(spoken(said));
    this.said = said;
  }
}

/**
 * The candidate nearest to `name`, or undefined when none is near.
 *
 * Near means: at most a third of its letters have to be inserted, deleted or replaced
 * (Levenshtein's distance), case aside.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) [best, bestDistance] = [candidate, d];
  }
  return best;
}

function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(
        above[j] + 1,
        row[j - 1] + 1,
        above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    above = row;
  }
  return above[b.length];
}

/** `didYouMean("lenett", ["lenet"])` is ` Did you mean "lenet"?`, or `""` when nothing is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const near = nearest(name, candidates);
  return near === undefined ? "" : ` Did you mean "${near}"?`;
}
