// # A package that comes built
//
// What is published carries the addon. Here it is packed and laid out as an installation with scripts
// switched off leaves it: kernels load from `prebuilt`, and one of another build, or that is none, is
// refused with words that say what to do.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const kernels = dirname(import.meta.dirname);
const place = `${process.platform}-${process.arch}`;

describe("a package that comes built", function () {
  this.timeout(120_000);
  this.slow(20_000);

  let folder: string;
  let addon: string;
  before(() => {
    folder = mkdtempSync(join(kernels, "build", "packed-"));
    const pack = spawnSync("npm", ["pack", "--json", "--ignore-scripts"], {
      ...{ cwd: kernels, encoding: "utf8" },
      env: { ...process.env, npm_config_pack_destination: folder },
    });
    const [{ filename }] = JSON.parse(pack.stdout) as { filename: string }[];
    const unpacked = spawnSync("tar", ["-xzf", join(folder, filename), "-C", folder]);
    assert.equal(unpacked.status, 0, String(unpacked.stderr));
    addon = join(folder, "package", "prebuilt", place, "convnotes.node");
    mkdirSync(dirname(addon), { recursive: true });
  });
  beforeEach(() => copyFileSync(join(kernels, "build", place, "convnotes.node"), addon));
  after(() => rmSync(folder, { recursive: true }));

  /** What the package finds, without a compiler. */
  function status(): { available: boolean; reason?: string } {
    const program = `
      import * as convnotes from "convnotes";
      import { loadKernels } from ${JSON.stringify(join(folder, "package", "dist", "backend.js"))};
      console.log(JSON.stringify(loadKernels(convnotes)));`;
    const env = { ...process.env, CONVNOTES_ADDON: "" };
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      ...{ cwd: kernels, encoding: "utf8", env },
    });
    return JSON.parse(run.stdout) as { available: boolean; reason?: string };
  }

  it("has kernels though nothing was compiled", () => {
    assert.equal(status().available, true);
  });

  it("compiles nothing on installing", () => {
    const build = join(folder, "package", "addon", "build.mjs");
    const { stderr } = spawnSync(process.execPath, [build], { encoding: "utf8" });
    assert.equal(stderr, "");
    assert.equal(status().available, true);
  });

  it("refuses an addon of another build", () => {
    const bytes = readFileSync(addon);
    const ours = /"([0-9a-f]{16})"/.exec(
      spawnSync(
        process.execPath,
        ["-p", `JSON.stringify(require(${JSON.stringify(addon)}).describe().sources)`],
        { encoding: "utf8" },
      ).stdout,
    )![1];
    const at = bytes.indexOf(ours);
    assert(at > 0);
    bytes.write("0123456789abcdef", at);
    writeFileSync(addon, bytes);
    const { available, reason } = status();
    assert.equal(available, false);
    assert.match(reason!, /built from other sources \(0123456789abcdef\).*npm run build/);
  });

  it("refuses what is no addon", () => {
    writeFileSync(addon, "no addon");
    const { available, reason } = status();
    assert.equal(available, false);
    assert.match(reason!, /convnotes\.node does not load: /);
  });

  it("says how to build what is not there", () => {
    rmSync(addon);
    rmSync(join(folder, "package", "build"), { recursive: true, force: true });
    const { available, reason } = status();
    assert.equal(available, false);
    assert.match(reason!, /^the kernels are not built; run: node .*build\.mjs$/);
  });
});
