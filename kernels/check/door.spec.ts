// # No call can crash the process
//
// door.run.ts knocks; here is the process that it may crash, and what it finds only now and then.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

const place = `${process.platform}-${process.arch}`;
const built =
  process.env.CONVNOTES_ADDON ?? join(import.meta.dirname, "..", "build", place, "convnotes.node");

describe("the addon's door", function () {
  this.timeout(120_000);
  this.slow(30_000);

  it("computes or throws, whatever is passed", () => {
    const file = join(import.meta.dirname, "door.run.ts");
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ["--import=tsx", file, "3000"],
      { encoding: "utf8" },
    );
    assert.equal(signal ?? status, 0, stderr);
    const [, computed, refused] = /^(\d+) calls computed, (\d+) refused/.exec(stdout) ?? [];
    // Neither is all refused at once, nor is nothing.
    assert(Number(computed) > 500 && Number(refused) > 1000, stdout);
  });

  it("says so where the system gives no threads, and works with fewer", function () {
    if (spawnSync("prlimit", ["--version"]).status !== 0) this.skip();
    const program = `
      const addon = require(process.argv[1]);
      const { readFileSync } = require("node:fs");
      const pages = Number(readFileSync("/proc/self/statm", "latin1").split(" ")[0]);
      const room = pages * 4096 + 2 ** 27;
      require("node:child_process").spawnSync("prlimit", ["--pid", process.pid, "--as=" + room]);
      try {
        addon.start({ threads: 128 });
      } catch (error) {
        console.log(error.message);
      }
      addon.start({ threads: 2 });
      const y = new Float32Array(2);
      addon.run(addon.describe().kernels.indexOf("relu"), [new Float32Array([-1, 2]), [2]], [y, [2]], {});
      console.log(y.join());
    `;
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["-e", program, built], {
      encoding: "utf8",
    });
    assert.equal(signal ?? status, 0, stderr);
    assert.match(stdout, /^the system gives no more threads; ask for fewer .*\n0,2\n$/);
  });

  // Results are chosen that would be other numbers in range where they lie, so no fault crashes here.
  describe("uses the numbers that it has checked", () => {
    const addon = createRequire(import.meta.url)(built) as {
      describe(): { kernels: string[] };
      run(kernel: number, inputs: unknown[], outputs: unknown[], options: object): void;
    };
    const run = (name: string, inputs: unknown[], outputs: unknown[], options: object) =>
      addon.run(addon.describe().kernels.indexOf(name), inputs, outputs, options);

    it("where images are written over their indices", () => {
      const images = new Uint8Array(8).fill(255, 4);
      const y = new Float32Array(8);
      const indices = new BigInt64Array(y.buffer, 0, 2);
      indices.set([0n, 1n]);
      run("gather_images", [images, [2, 2, 2], indices, [2]], [y, [2, 1, 2, 2]], {});
      assert.deepEqual([...y], [0, 0, 0, 0, 1, 1, 1, 1]);
    });

    it("where gradients are written over labels", () => {
      const dx = new Float32Array(8);
      const labels = new BigInt64Array(dx.buffer, 0, 2);
      labels.set([0n, 2n]);
      const dy = new Float32Array([0, 1]);
      const inputs = [dy, [2], new Float32Array(8), [2, 4], labels, [2], null, null];
      run("cross_entropy_backward_input", inputs, [dx, [2, 4]], { reduction: "none" });
      assert.deepEqual([...dx.subarray(4)], [0.25, 0.25, -0.75, 0.25]);
    });
  });
});
