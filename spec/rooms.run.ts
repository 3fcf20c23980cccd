// `npm run room STEM` lists the doors of a room.

import { didYouMean } from "convnotes";
import { doors, stems } from "./rooms.js";

const stem = process.argv[2] ?? "";
if (!stems.includes(stem)) {
  const near = stem === "" ? "" : `there is no room "${stem}".${didYouMean(stem, stems)}\n`;
  console.error(`${near}usage: npm run room STEM, one of: ${stems.join(", ")}`);
  process.exitCode = 1;
} else {
  for (const { path, what, state } of doors(stem))
    console.log(
      `${state === "there" ? "✔" : "✘"} ${path.padEnd(36)} ${what}${state === "there" ? "" : ` (${state})`}`,
    );
}
