// # Evidence
//
// What the chapters on single networks share: numbers are looked up in the text of the statement,
// and networks are run on images so small that it takes no time.

import assert from "node:assert/strict";
import { type nn, noGrad, type Shape, zeros } from "convnotes";
import { readChapters } from "../statements.js";
import { closedNetwork } from "./networks.js";

/** Fails unless the statement shows all these numbers, in every language. */
export function expectShown(label: string, ...numbers: readonly number[]): void {
  const stated = readChapters().flatMap((c) => c.statements.filter((s) => s.label === label));
  assert.equal(stated.length, 2, `${label} is stated in two languages`);
  for (const { body, file } of stated) {
    const shown = [...body.replaceAll("\\,", ",").matchAll(/\d[\d,]*(?:\.\d+)?/g)].map(([text]) =>
      Number(text.replaceAll(",", "")),
    );
    for (const n of numbers) assert.ok(shown.includes(n), `${file}: ${label} does not show ${n}`);
  }
}

/** Fails unless the network, run on an image of that shape, has the formulas' sizes throughout. */
export function expectRun(model: nn.Module, image: Shape): void {
  const { layers } = closedNetwork(model, image);
  const byPath = new Map(model.namedModules());
  const seen = new Map<string, Shape>();
  const handles = layers.map(({ path }) =>
    byPath.get(path)!.registerForwardHook((_, __, y) => void seen.set(path, y.shape)),
  );
  noGrad(() => model.eval().call(zeros([1, ...image])));
  for (const handle of handles) handle.remove();
  for (const { path, output } of layers) assert.deepEqual(seen.get(path), [1, ...output], path);
}

export const total = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
