// # No call can crash the process
//
// door.run.ts knocks; here is only the process that it may crash.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

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
});
