// # npm run check:trajectories
//
// All eight networks train with kernels, in the programs of `train` (with every fusion and tile that large images
// would get), and at each step the reference computes the
// loss from the same state: 200 steps of the networks that it can follow quickly, three of the others (or
// as many as are asked for, of those that are named: `npm run check:trajectories -- 200 alexnet resnet`). One
// call of each step, forward, backward or update, is drawn and held to its law.
//
// Prints how many convolutions forward came by Winograd's tiles, the largest difference, the largest share of
// the derived bound that it takes up, and the same of the calls; fails where either is above 1.

import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { all, restarted, small } from "./restart.js";
import { Sampler } from "./sampler.js";

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
const sampler = new Sampler({ share: 1, seed: 1 });
const status = loadKernels(convnotes, { sampler, rewrite: "always" });
if (!status.available) {
  console.error(status.reason);
  process.exit(2);
}
// Programs are looked into; operations one by one, which only serve the bound, are not.
const looking = convnotes.backendOf("cpu");
loadKernels(convnotes);
convnotes.registerBackend({
  ...convnotes.backendOf("cpu"),
  compile: (step) => looking.compile!(step),
});

console.log(`${status.isa}, ${status.threads} threads`);
console.log(
  "network        steps  tiled   loss from       to  largest difference  ÷ bound  calls  their worst  seconds",
);
const callsSoFar = () => [...sampler.tallies.values()].reduce((sum, { calls }) => sum + calls, 0);
for (const name of names.length > 0 ? names : all) {
  const started = performance.now();
  sampler.tallies.clear();
  const seen = [...restarted(name, asked ?? (small.includes(name) ? 200 : 3))];
  const differences = seen.map(({ loss, expected }) => Math.abs(loss - expected));
  const shares = seen.map(({ bound }, i) => differences[i] / bound);
  const share = Math.max(...shares);
  // A loss that is not a number agrees with nothing.
  if (!(share <= 1)) process.exitCode = 1;
  console.log(
    name.padEnd(14) +
      String(seen.length).padStart(6) +
      String(seen[0].tiled).padStart(7) +
      seen[0].loss.toFixed(6).padStart(12) +
      seen[seen.length - 1].loss.toFixed(6).padStart(9) +
      Math.max(...differences)
        .toExponential(1)
        .padStart(20) +
      share.toExponential(1).padStart(9) +
      String(callsSoFar()).padStart(7) +
      Math.max(...[...sampler.tallies.values()].map(({ worst }) => worst))
        .toFixed(3)
        .padStart(13) +
      ((performance.now() - started) / 1000).toFixed(1).padStart(9),
  );
}
