// The experiments themselves take minutes; here each is built and takes one step, and what turns
// runs into verdicts, tables and plots is held to made-up histories.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { builtInDataset, type EpochEvent } from "convnotes";
import fc from "fast-check";
import { projectRoot } from "../statements.js";
import { firstStepBelow, judge, type Outcome, read, runningMean, runOnce } from "./experiment.js";
import { experiments } from "./experiments.js";
import { epochTable, page, spread, summaryTable } from "./page.js";
import { pathThrough, plotSvg } from "./plot.js";

const epoch = (number: number, loss: number, validationAccuracy: number): EpochEvent => ({
  type: "epoch",
  epoch: number,
  loss,
  accuracy: 0.5,
  validationLoss: loss,
  validationAccuracy,
});

/** Two variants, two seeds, two epochs of one step each. */
const outcomes: readonly Outcome[] = [
  {
    label: "slow & steady",
    parameters: 1234,
    runs: [
      { seed: 0, losses: [2, 1.5], epochs: [epoch(1, 2, 0.25), epoch(2, 1.5, 0.5)] },
      { seed: 1, losses: [2, 1], epochs: [epoch(1, 2, 0.5), epoch(2, 1, 0.75)] },
    ],
  },
  {
    label: "fast",
    parameters: 7,
    runs: [
      { seed: 0, losses: [2, 0], epochs: [epoch(1, 2, 0.25), epoch(2, 0, 0.75)] },
      { seed: 1, losses: [0.5, 0], epochs: [epoch(1, 0.5, 0.5), epoch(2, 0, 1)] },
    ],
  },
];

describe("experiments", () => {
  const data = builtInDataset({ train: 8, test: 8 });
  for (const { name, variants, settings, expectations } of experiments.values()) {
    it(`${name}: every variant is built and takes a step`, () => {
      const tiny = { ...settings, images: 8, validationImages: 8, batchSize: 8, epochs: 1 };
      for (const create of variants.values()) {
        const run = runOnce(create, tiny, data, { seed: 0 });
        assert.equal(run.losses.length, 1);
        assert.equal(run.epochs.length, 1);
        assert.deepEqual(runOnce(create, tiny, data, { seed: 0 }), run);
      }
    });

    it(`${name}: expects something of variants that it has`, () => {
      assert.notEqual(expectations.length, 0);
      for (const { of, than } of expectations)
        for (const label of [of, than]) assert.ok(variants.has(label), `no variant "${label}"`);
    });
  }

  for (const { name, claim, reach, reading } of experiments.values())
    it(`${name}: the committed page is of its own settings, with its own words`, () => {
      const text = readFileSync(join(projectRoot, "docs", "experiments", `${name}.md`), "utf8");
      assert.notEqual(reading, "");
      for (const part of [claim, reach, reading, `npm run experiment ${name}\n`])
        assert.ok(text.includes(part), `${name}.md lacks: ${part}`);
    });

  it("compares networks of about the same size where the claim is about their form", () => {
    const sizes = [...experiments.get("vgg-alexnet")!.variants.values()].map((create) =>
      [...create().parameters()].reduce((sum, p) => sum + p.size, 0),
    );
    assert.deepEqual(sizes, [42354, 42914]);
  });
});

describe("experiments: what is read off", () => {
  it("the running mean spans ten losses, and fewer at the start", () => {
    const losses = Array.from({ length: 12 }, (_, i) => i);
    assert.deepEqual(runningMean(losses), [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5.5, 6.5]);
  });

  it("the first step below the threshold is counted from 1, and may never come", () => {
    assert.equal(firstStepBelow([4, 2, 0], 3), 3);
    assert.equal(firstStepBelow([1], 3), 1);
    assert.equal(firstStepBelow([4, 2], 3), Infinity);
    assert.deepEqual(read(outcomes[1], "steps", 1.25), [2, 1]);
    assert.deepEqual(read(outcomes[0], "validationAccuracy", 1), [0.5, 0.75]);
  });

  it("a verdict needs every seed on its side", () => {
    assert.equal(judge("higher", [2, 3], [0, 1]), "seen");
    assert.equal(judge("higher", [0, 1], [2, 3]), "contradicted");
    assert.equal(judge("higher", [1, 3], [0, 2]), "undecided");
    assert.equal(judge("lower", [0, 1], [2, Infinity]), "seen");
    assert.equal(judge("lower", [2, 3], [0, 1]), "contradicted");
    assert.equal(judge("lower", [Infinity], [Infinity]), "undecided");
    assert.equal(judge("not higher", [1, 3], [0, 2]), "seen");
    assert.equal(judge("not higher", [2, 3], [0, 1]), "contradicted");
  });
});

describe("experiments: the page", () => {
  it("a spread is the mean and half of the range, of those that got there", () => {
    assert.equal(spread([1, 2], 2), "1.50 ± 0.50");
    assert.equal(spread([1], 0), "1");
    assert.equal(spread([4, Infinity], 0), "4 (1 of 2 seeds never)");
    assert.equal(spread([Infinity, Infinity], 0), "never");
  });

  it("the tables have a row for each variant, and for each of its epochs", () => {
    assert.equal(
      summaryTable(outcomes, 1.25),
      `| variant | parameters | first step below 1.25 nats | last loss | last accuracy |
| --- | ---: | ---: | ---: | ---: |
| slow & steady | 1,234 | never | 1.250 ± 0.250 | 0.625 ± 0.125 |
| fast | 7 | 2 ± 1 | 0.000 ± 0.000 | 0.875 ± 0.125 |`,
    );
    assert.equal(
      epochTable(outcomes.slice(1)),
      `| variant | epoch | training loss | validation accuracy |
| --- | ---: | ---: | ---: |
| fast | 1 | 1.250 ± 0.750 | 0.375 ± 0.125 |
| fast | 2 | 0.000 ± 0.000 | 0.875 ± 0.125 |`,
    );
  });

  it("says what was seen, and keeps what was written about other settings to itself", () => {
    const experiment = {
      ...experiments.get("pooling")!,
      reading: "Written about the own settings.",
      expectations: [
        {
          says: "Fast ends higher",
          measure: "validationAccuracy",
          of: "fast",
          is: "higher",
          than: "slow & steady",
        },
      ],
    } as const;
    const report = { experiment, outcomes, command: "run it", data: "images", device: "cpu" };
    const own = page({ ...report, settings: experiment.settings });
    const other = page({ ...report, settings: { ...experiment.settings, images: 8 } });
    assert.match(own, /Fast ends higher\. \*\*Undecided/);
    assert.match(own, /fast, 0\.875 ± 0\.125; slow & steady, 0\.625 ± 0\.125/);
    assert.ok(own.includes(experiment.reading));
    assert.ok(!other.includes(experiment.reading));
  });

  it("a line of many points is drawn by those that can be seen", () => {
    const point = fc.tuple(fc.double({ min: 0, max: 3, noNaN: true }), fc.nat(300));
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 300 }), (points) => {
        points.sort(([a], [b]) => a - b);
        const drawn = pathThrough(points)
          .split(/[ML]/)
          .slice(1)
          .map((p) => Number(p.split(" ")[1]));
        assert.deepEqual([drawn[0], drawn.at(-1)], [points[0][1], points.at(-1)![1]]);
        // Each column reaches as far as before, so the whole does.
        for (const most of [Math.min, Math.max])
          assert.equal(most(...drawn), most(...points.map(([, y]) => y)));
      }),
    );
    const many = Array.from({ length: 4000 }, (_, i) => [i / 1000, Math.sin(i) * 100] as const);
    assert.equal(pathThrough(many).match(/[ML]/g)!.length, 4 * 4);
  });

  it("the plot has a line for each seed and their mean, in both panels, and finite numbers", () => {
    const svg = plotSvg("A & B", outcomes);
    assert.equal(svg.match(/<path class="seed"/g)?.length, 8);
    assert.equal(svg.match(/<path class="mean"/g)?.length, 4 + 2);
    assert.ok(svg.includes("slow &amp; steady") && !svg.includes("slow & steady"));
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  });

  it("the plot refuses more variants than it has colours", () => {
    const seven = Array.from({ length: 7 }, () => outcomes[0]);
    assert.throws(() => plotSvg("seven", seven), {
      message: "plotSvg: 7 variants, expected 1 to 6, a colour each",
    });
  });
});
