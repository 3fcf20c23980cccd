// # Ends
//
// The addon's threads keep no process alive and hold none up: a worker may be ended in the middle of a
// step while others go on, and the process may exit or be interrupted at any moment. Each case is a
// process of its own, and how it ends is what is looked at.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Takes steps of LeNet for ever; `done` after each. */
const steps = `
  import * as convnotes from "convnotes";
  import { loadKernels } from ${JSON.stringify(join(import.meta.dirname, "..", "backend.ts"))};
  import { isMainThread, parentPort, Worker } from "node:worker_threads";

  export function makeStep() {
    const model = new convnotes.LeNet();
    const optimizer = new convnotes.optim.SGD(model.parameters(), { lr: 0.1 });
    const step = new convnotes.TrainingStep(model, optimizer, "cpu");
    const x = convnotes.rand([64, 1, 28, 28]);
    const labels = convnotes.fromData(BigInt64Array.from({ length: 64 }, (_, i) => BigInt(i % 10)));
    return () => step.run(x, labels).loss;
  }
  if (!loadKernels(convnotes, { threads: 2 }).available) process.exit(9);
  if (!isMainThread) {
    const step = makeStep();
    for (;;) {
      step();
      parentPort.postMessage("done");
    }
  }
  /** A worker that has taken a step and is in the middle of others. */
  export const busyWorker = () =>
    new Promise((resolve, reject) => {
      // tsx is not inherited by a worker's own loader, so it is named.
      const worker = new Worker(new URL("worker.mjs", import.meta.url));
      worker.once("message", () => resolve(worker));
      worker.once("error", reject);
    });
`;

describe("the addon", function () {
  this.timeout(120_000);
  this.slow(20_000);

  let folder: string;
  before(() => {
    folder = mkdtempSync(join(import.meta.dirname, "..", "build", "shutdown-"));
    writeFileSync(join(folder, "steps.ts"), steps);
    writeFileSync(
      join(folder, "worker.mjs"),
      `import { register } from "tsx/esm/api";
       register();
       await import("./steps.ts");`,
    );
  });
  after(() => rmSync(folder, { recursive: true }));

  /** How a program ends, and what it prints; `interrupt` is sent once it says that it is busy. */
  async function ending(body: string, interrupt?: NodeJS.Signals) {
    const file = join(folder, "main.ts");
    writeFileSync(file, `import { busyWorker, makeStep } from "./steps.ts";\n${body}`);
    const child = spawn(process.execPath, ["--import=tsx", file], { stdio: "pipe" });
    let words = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        words += chunk.toString();
        if (interrupt && words.includes("busy")) child.kill(interrupt);
      });
    const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
      child.once("close", (...end) => resolve(end)),
    );
    clearTimeout(late);
    return { code, signal, words };
  }

  it("lets a process end by itself", async () => {
    const { code, words } = await ending(`console.log(makeStep()() > 0 ? "right" : "wrong");`);
    assert.equal(code, 0, words);
    assert.match(words, /right/);
  });

  it("goes on when a worker is ended in the middle of a step", async () => {
    const { code, words } = await ending(`
      const [one, other] = [await busyWorker(), await busyWorker()];
      const step = makeStep();
      const first = step();
      await one.terminate();
      for (let i = 0; i < 20; i++) step();
      await other.terminate();
      let last = NaN;
      for (let i = 0; i < 20; i++) last = step();
      console.log(last < first ? "learned" : "wrong");
    `);
    assert.equal(code, 0, words);
    assert.match(words, /learned/);
  });

  it("lets a process exit while a worker computes", async () => {
    const { code, signal, words } = await ending(`await busyWorker(); process.exit(7);`);
    assert.deepEqual([code, signal], [7, null], words);
  });

  it("lets a process exit with an uncaught error in the middle of training", async () => {
    const { code, words } = await ending(`
      const step = makeStep();
      setTimeout(() => { throw new Error("on purpose"); }, 50);
      const go = () => { step(); setImmediate(go); };
      go();
    `);
    assert.equal(code, 1, words);
    assert.match(words, /on purpose/);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const)
    it(`ends at once on ${signal} in the middle of training`, async () => {
      const end = await ending(
        `const step = makeStep(); step(); console.log("busy"); for (;;) step();`,
        signal,
      );
      assert.equal(end.signal, signal, end.words);
    });

  it("gives the event loop its turn between two steps", async () => {
    const { code, words } = await ending(`
      const step = makeStep();
      step();
      let ticks = 0;
      const ticking = setInterval(() => ticks++, 1);
      for (let i = 0; i < 100; i++) {
        step();
        await new Promise(setImmediate);
      }
      clearInterval(ticking);
      console.log(ticks > 10 ? "ticked" : "stood still");
    `);
    assert.equal(code, 0, words);
    assert.match(words, /ticked/);
  });
});
