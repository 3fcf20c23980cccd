// # npm run check:trajectories
//
// All eight networks train with kernels, and at each step the reference computes the loss from the same
// state: 200 steps of the networks that it can follow quickly, three of the others (or as many as
// are asked for, of those that are named: `npm run check:trajectories -- 200 alexnet resnet`). Prints the largest difference, and the largest
// share of the derived bound that it takes up; fails where that is above 1.

import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { all, restarted, small } from "./restart.js";

const [count, ...names] = process.argv.slice(2);
const asked = process.argv.length > 2 ? Number(count) : undefined;
if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1)) {
  console.error(`the number of steps must be a whole number from 1, got ${count}`);
  process.exit(2);
}
const strange = names.find((name) => !all.includes(name));
if (strange !== undefined) {
  console.error(`there is no network ${strange}; there are ${all.join(", ")}`);
  process.exit(2);
}
const status = loadKernels(convnotes);
if (!status.available) {
  console.error(status.reason);
  process.exit(2);
}
console.log(`${status.isa}, ${status.threads} threads`);
console.log("network        steps   loss from       to  largest difference  ÷ bound  seconds");
for (const name of names.length > 0 ? names : all) {
  const started = performance.now();
  const seen = [...restarted(name, asked ?? (small.includes(name) ? 200 : 3))];
  const differences = seen.map(({ loss, expected }) => Math.abs(loss - expected));
  const shares = seen.map(({ bound }, i) => differences[i] / bound);
  const share = Math.max(...shares);
  // A loss that is not a number agrees with nothing.
  if (!(share <= 1)) process.exitCode = 1;
  console.log(
    name.padEnd(14) +
      String(seen.length).padStart(6) +
      seen[0].loss.toFixed(6).padStart(12) +
      seen[seen.length - 1].loss.toFixed(6).padStart(9) +
      Math.max(...differences)
        .toExponential(1)
        .padStart(20) +
      share.toExponential(1).padStart(9) +
      ((performance.now() - started) / 1000).toFixed(1).padStart(9),
  );
}
