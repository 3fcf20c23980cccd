// # npm run check:overhead
//
// What `train --verify` costs: the same network takes steps with and without a sampler in turn, for half a
// second each, so that neither a busy machine nor a clock that changes favours one of them. Beside the
// median of the ratios stands the share of its time that the sampler spent by its own clock. Names of
// networks may be given; default: those of 28 × 28 pixels and ResNet.

import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";
import { Sampler } from "./sampler.js";

const SHARE = 0.02;
const TURN_MS = 500;
const TURNS = 24;

/** Images in a step. */
const sizes: Readonly<Record<string, number>> = { lenet: 256, lenet_bn: 256 };

function stepsOf(name: string): () => void {
  const { create, inputShape } = convnotes.modelNamed(name);
  const images = sizes[name] ?? 16;
  convnotes.manualSeed(0);
  const model = create();
  const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01 });
  const step = new convnotes.TrainingStep(model, optimizer, "cpu");
  const x = convnotes.rand([images, ...inputShape]);
  const labels = convnotes.fromData(
    BigInt64Array.from({ length: images }, (_, i) => BigInt(i % 10)),
  );
  step.run(x, labels);
  return () => step.run(x, labels);
}

const names = process.argv.slice(2);
console.log("network       plain, ms   looked at, ms   overhead   by its clock   looks");
for (const name of names.length > 0 ? names : ["lenet", "lenet_bn", "resnet"]) {
  const status = loadKernels(convnotes);
  if (!status.available) {
    console.error(status.reason);
    process.exit(2);
  }
  const plain = stepsOf(name);
  // Its clock stands still while the other has its turn.
  let [clock, started, running] = [0, 0, false];
  const now = () => clock + (running ? performance.now() - started : 0);
  const sampler = new Sampler({ share: SHARE, seed: 1, now });
  loadKernels(convnotes, { sampler });
  const watched = stepsOf(name);
  const turn = (step: () => void) => {
    const begin = performance.now();
    let steps = 0;
    for (; performance.now() - begin < TURN_MS; steps++) step();
    return (performance.now() - begin) / steps;
  };
  const times: { plain: number; watched: number }[] = [];
  for (let i = 0; i < TURNS; i++) {
    const one = turn(plain);
    [started, running] = [performance.now(), true];
    const other = turn(watched);
    [clock, running] = [now(), false];
    times.push({ plain: one, watched: other });
  }
  const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
  const ratio = middle(times.map((t) => t.watched / t.plain));
  const looks = [...sampler.tallies.values()].reduce((sum, { calls }) => sum + calls, 0);
  console.log(
    name.padEnd(12) +
      middle(times.map((t) => t.plain))
        .toFixed(2)
        .padStart(11) +
      middle(times.map((t) => t.watched))
        .toFixed(2)
        .padStart(16) +
      `${(100 * (ratio - 1)).toFixed(1)} %`.padStart(11) +
      `${((100 * sampler.spentMs) / clock).toFixed(1)} %`.padStart(15) +
      String(looks).padStart(8),
  );
}
