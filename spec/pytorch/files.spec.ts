// # Model files, as PyTorch sees them
//
// Real files in many styles. What PyTorch says of them, run on real tensors, is what the front end must
// say of them, which runs nothing.

import { readFileSync, readdirSync } from "node:fs";
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { spoken } from "convnotes/pytorch";
import { frontEnd, modelFile, neighbour } from "./front_end.js";

interface Expected {
  readonly file: string;
  readonly entry: string;
  readonly input: readonly number[];
  readonly parameters: number;
  readonly printed: string;
  readonly calls: readonly (readonly [
    path: string,
    className: string,
    input: readonly number[],
    output: readonly number[],
  ])[];
  readonly output: readonly number[];
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/pytorch_source.json", import.meta.url), "utf8"),
) as { networks: readonly Expected[] };

/** With a batch of two, as PyTorch was given. */
const sized = (shape: readonly (number | string)[] | null | undefined) =>
  shape?.map((dim) => {
    const match = /^N(?:·(\d+))?$/.exec(String(dim));
    return match === null ? dim : 2 * Number((match[1] as string | undefined) ?? 1);
  });

describe("PyTorch source", () => {
  for (const { file, entry, input, ...expected } of fixture.networks)
    it(`${file}: ${entry} is what PyTorch makes of it`, () => {
      const network = frontEnd.analyseEntry(modelFile(file), entry, {
        inputs: new Map([[entry, input]]),
        neighbour,
      });
      strictEqual(network.failed, null);
      strictEqual(network.totals.complete, true);
      strictEqual(network.printed, expected.printed);
      strictEqual(network.totals.parameters, expected.parameters);
      deepStrictEqual(sized(network.output), expected.output);
      deepStrictEqual(
        network.calls.map((c) => [c.path, c.className, sized(c.inputs[0]), sized(c.output)]),
        expected.calls,
      );
    });

  it("raises no false alarm, and notes only what is so", () => {
    const notes: string[] = [];
    for (const file of readdirSync(new URL("./files/", import.meta.url))) {
      const { networks, findings } = frontEnd.analyse(modelFile(file), { neighbour });
      deepStrictEqual(
        findings
          .filter(({ severity }) => severity !== "note")
          .map((f) => `${file}: ${spoken(f.message)}`),
        [],
      );
      notes.push(...findings.map(({ code }) => `${file} ${code}`));
      if (networks.length === 0) throw new Error(`${file}: no network was found`);
      for (const { name, totals } of networks)
        if (!totals.complete) throw new Error(`${file}: ${name} is not known in all its parts`);
    }
    deepStrictEqual(
      [...new Set(notes)],
      [
        "lazy_net.py bias-before-batch-norm",
        "lenet_bn.py bias-before-batch-norm",
        "lstm_ocr.py bias-before-batch-norm",
        "notes_example.py odd-size",
        "optional_paths.py unused-layer",
        "resnet_notes.py bias-before-batch-norm",
        "unet_nested.py bias-before-batch-norm",
        "vgg_cfg.py bias-before-batch-norm",
        "wide_resnet.py bias-before-batch-norm",
      ],
    );
  });
});
