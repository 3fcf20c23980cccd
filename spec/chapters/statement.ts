// # A test of a statement
//
// `statement("kernel-size", "has the support 2Δ+1 exactly", () => …)` is mocha's `it` with the label
// before the title. A label that no chapter has is refused when the file is loaded, so that no test
// can hang in the air.

import { readChapters } from "../statements.js";

export interface StatementTest {
  readonly label: string;
  readonly title: string;
  readonly body: () => void;
}

const labels = new Set(readChapters().flatMap((c) => c.statements.map((s) => s.label)));

/** Every test that was declared so far; the mutants run them again without mocha. */
export const declared: StatementTest[] = [];

/**
 * Declares a test that holds the statement `label` to account.
 *
 * Throws: RangeError for a label that no chapter has.
 */
export function statement(label: string, title: string, body: () => void): void {
  if (!labels.has(label))
    throw new RangeError(`"${label}: ${title}" tests a statement that no chapter in spec/ has`);
  declared.push({ label, title, body });
  it(`${label}: ${title}`, body);
}
