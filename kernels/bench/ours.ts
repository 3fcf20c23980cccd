// # Our side of the comparison
//
// Steps of one network, timed for peer.ts, which asks for them line by line, as peer.py does in PyTorch.
// Arguments: model, images in a batch, threads, train or infer.

import { createInterface } from "node:readline";
import * as convnotes from "convnotes";
import { loadKernels } from "../backend.js";

const [name, images, threads, work] = process.argv.slice(2);
const status = loadKernels(convnotes, { threads: Number(threads) });
if (!status.available) throw new Error(status.reason);

const { create, inputShape } = convnotes.modelNamed(name);
convnotes.manualSeed(0);
const model = create();
const x = convnotes.rand([Number(images), ...inputShape]);
const labels = convnotes.fromData(
  BigInt64Array.from({ length: Number(images) }, (_, i) => BigInt(i % 10)),
);
const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.01 });
const steps =
  work === "infer"
    ? new convnotes.EvaluationStep(model.eval(), "cpu")
    : new convnotes.TrainingStep(model, optimizer, "cpu");

let loss = NaN;
function step(): number {
  const begin = performance.now();
  ({ loss } = steps.run(x, labels));
  return performance.now() - begin;
}

step();
console.log(JSON.stringify({ loss }));
for (let i = 0; i < 2; i++) step();
for await (const line of createInterface({ input: process.stdin })) {
  const times = [step(), step()];
  while (times.reduce((a, b) => a + b) < Number(line)) times.push(step());
  console.log(JSON.stringify(times));
}
console.log(JSON.stringify(process.resourceUsage().maxRSS * 1024));
