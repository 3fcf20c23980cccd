// # npm run experiment NAME
//
// Trains the variants of one experiment over its seeds, prints the table, and writes the page and
// the plot to `docs/experiments`.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { backendOf } from "convnotes";
import { loadFashionMnist, loadKernels } from "convnotes/node";
import { projectRoot } from "../statements.js";
import { type Outcome, runOnce, type Settings } from "./experiment.js";
import { experiments } from "./experiments.js";
import { epochTable, page, summaryTable } from "./page.js";
import { plotSvg } from "./plot.js";

const usage = `npm run experiment NAME -- [options]

${[...experiments.values()].map((e) => `  ${e.name.padEnd(18)}${e.claim}`).join("\n")}

  --images N     so many training images instead of the experiment's own number
  --epochs N     so many epochs
  --seeds 0,1    these seeds
  --data DIR     the folder with Fashion-MNIST
  --device D     where to compute (default: cpu)

Trains each variant with every seed, prints the table, and writes docs/experiments/NAME.md and .svg.`;

/** A whole number from the command line. Throws: RangeError for anything else. */
function whole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
    throw new RangeError(`--${flag} ${text}: expected a whole number of at least ${least}`);
  return value;
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      images: text,
      epochs: text,
      seeds: text,
      data: text,
      device: text,
    },
  });
  if (values.help || positionals.length === 0) {
    console.log(usage);
    return;
  }
  const [name] = positionals;
  const experiment = experiments.get(name);
  if (experiment === undefined || positionals.length > 1)
    throw new RangeError(
      `there is no experiment "${positionals.join(" ")}"; ` +
        `expected one of ${[...experiments.keys()].join(", ")}`,
    );

  const { images, epochs, seeds, device = "cpu" } = values;
  const changed: Partial<Settings> = {
    ...(images !== undefined && { images: whole("images", images, 1) }),
    ...(epochs !== undefined && { epochs: whole("epochs", epochs, 1) }),
    ...(seeds !== undefined && { seeds: seeds.split(",").map((s) => whole("seeds", s, 0)) }),
  };
  const own = Object.keys(changed).length === 0 && device === "cpu";
  const settings = own ? experiment.settings : { ...experiment.settings, ...changed };
  await loadKernels();
  backendOf(device);
  const data = await loadFashionMnist({ dataDir: values.data });
  console.log(`data: ${data.source}`);

  const outcomes: Outcome[] = [];
  for (const [label, create] of experiment.variants) {
    const parameters = [...create().parameters()].reduce((sum, p) => sum + p.size, 0);
    const runs = settings.seeds.map((seed) =>
      runOnce(create, settings, data, {
        seed,
        device,
        onEpoch: ({ epoch, loss, validationAccuracy }) =>
          console.log(
            `${label}, seed ${seed}, epoch ${epoch}/${settings.epochs}: ` +
              `loss ${loss.toFixed(4)}, validation accuracy ${validationAccuracy.toFixed(4)}`,
          ),
      }),
    );
    outcomes.push({ label, parameters, runs });
  }
  console.log(`\n${summaryTable(outcomes, experiment.threshold)}\n\n${epochTable(outcomes)}\n`);

  const flags = (["images", "epochs", "seeds", "device"] as const).flatMap((flag) =>
    values[flag] === undefined ? [] : [`--${flag} ${values[flag]}`],
  );
  const command = ["npm run experiment", name, ...(flags.length > 0 ? ["--", ...flags] : [])];
  const folder = join(projectRoot, "docs", "experiments");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.svg`), plotSvg(experiment.title, outcomes));
  writeFileSync(
    join(folder, `${name}.md`),
    page({
      experiment,
      settings,
      outcomes,
      command: command.join(" "),
      data: data.train.name,
      device,
    }),
  );
  console.log(`docs/experiments/${name}.md`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
