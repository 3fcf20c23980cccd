// # The page of an experiment
//
// The claim, the command, the settings, the table, and what the claim let one expect beside what
// was seen: all computed from the runs. Only the last words are written by hand, and they are left
// out when a run had other settings than those that they speak of.

import {
  type Expectation,
  type Experiment,
  judge,
  mean,
  measures,
  type Outcome,
  read,
  RUNNING,
  type Settings,
} from "./experiment.js";

/** `mean ± half of the range`, the mean alone of one value; infinite ones are told of in words. */
export function spread(values: readonly number[], digits: number): string {
  const reached = values.filter(Number.isFinite);
  if (reached.length === 0) return "never";
  const half = (Math.max(...reached) - Math.min(...reached)) / 2;
  const range = reached.length === 1 ? "" : ` ± ${half.toFixed(digits)}`;
  const text = mean(reached).toFixed(digits) + range;
  const missing = values.length - reached.length;
  return missing === 0 ? text : `${text} (${missing} of ${values.length} seeds never)`;
}

/** A Markdown table with numbers to the right of their columns. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [row(head), row(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row)].join(
    "\n",
  );
}

/** A row for every variant and epoch. */
export function epochTable(outcomes: readonly Outcome[]): string {
  return markdownTable(
    ["variant", "epoch", "training loss", "validation accuracy"],
    outcomes.flatMap(({ label, runs }) =>
      runs[0].epochs.map(({ epoch }, k) => [
        label,
        String(epoch),
        spread(
          runs.map((r) => r.epochs[k].loss),
          3,
        ),
        spread(
          runs.map((r) => r.epochs[k].validationAccuracy),
          3,
        ),
      ]),
    ),
  );
}

/** A row for every variant: its size, when it began to learn, and how it ended. */
export function summaryTable(outcomes: readonly Outcome[], threshold: number): string {
  return markdownTable(
    ["variant", "parameters", `first step below ${threshold} nats`, "last loss", "last accuracy"],
    outcomes.map((outcome) => [
      outcome.label,
      outcome.parameters.toLocaleString("en"),
      spread(read(outcome, "steps", threshold), 0),
      spread(read(outcome, "loss", threshold), 3),
      spread(read(outcome, "validationAccuracy", threshold), 3),
    ]),
  );
}

const verdicts = {
  seen: "**Seen.**",
  contradicted: "**Contradicted.**",
  undecided: "**Undecided:** the seeds overlap, or no seed got so far.",
} as const;

function finding(e: Expectation, outcomes: readonly Outcome[], threshold: number): string {
  const values = (label: string) =>
    read(
      outcomes.find((o) => o.label === label)!,
      e.measure,
      threshold,
    );
  const [of, than] = [values(e.of), values(e.than)];
  const digits = e.measure === "steps" ? 0 : 3;
  return (
    `- ${e.says}. ${verdicts[judge(e.is, of, than)]} The ${measures[e.measure]}: ` +
    `${e.of}, ${spread(of, digits)}; ${e.than}, ${spread(than, digits)}.`
  );
}

export interface Report {
  readonly experiment: Experiment;
  /** As they were, which need not be the experiment's own. */
  readonly settings: Settings;
  readonly outcomes: readonly Outcome[];
  /** The command that makes this report again. */
  readonly command: string;
  /** The name of the data set. */
  readonly data: string;
  readonly device: string;
}

/** The report as Markdown. */
export function page({ experiment, settings, outcomes, command, data, device }: Report): string {
  const { name, title, claim, threshold, expectations, reach, reading } = experiment;
  const { optimizer, batchSize, images, validationImages, epochs, imageSize, seeds } = settings;
  const own = settings === experiment.settings && reading !== "";
  return `# ${title}

**The claim of the notes:** ${claim}

\`\`\`sh
${command}
\`\`\`

${data}, the first ${images.toLocaleString("en")} training images and the first ${validationImages.toLocaleString("en")} test images for
validation, at ${imageSize}×${imageSize} pixels. ${epochs} epochs in batches of ${batchSize}, ${optimizer.name} with a learning rate of
${optimizer.lr}, seeds ${seeds.join(" and ")}, on ${device}. Numbers are the mean over the seeds ± half of their range. The running loss
is the mean over ${RUNNING} steps.

![Training loss over the steps and validation accuracy over the epochs](./${name}.svg)

${summaryTable(outcomes, threshold)}

## What it shows

${expectations.map((e) => finding(e, outcomes, threshold)).join("\n")}

${own ? `${reading}\n\n` : ""}**What the size can show:** ${reach}

## Epoch by epoch

${epochTable(outcomes)}
`;
}
