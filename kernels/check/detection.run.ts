// # npm run check:detection
//
// The share of faults that judges notice (detection.ts), by the length of the sum, on this machine's
// kernels.

import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { detection } from "./detection.js";

const status = loadKernels(convnotes);
if (!status.available) {
  console.error(status.reason);
  process.exit(2);
}
console.log("| products | γₙ | in chunks | whole numbers |\n| ---: | ---: | ---: | ---: |");
for (const terms of [25, 150, 576, 1152, 2304, 4608, 9216]) {
  const seen = detection(terms, 4000);
  const shares = [seen.byAdditions, seen.inChunks, seen.onWholeNumbers];
  console.log(
    `| ${terms} | ${shares.map((share) => `${(100 * share).toFixed(1)} %`).join(" | ")} |`,
  );
  if (seen.falseAlarms > 0 || seen.onWholeNumbers < 1) process.exitCode = 1;
}
