// # npm run bench:files
//
// How much memory it takes to load, save and look into a file of 500 MB: `resident` is the most that
// the process ever held, beyond what it held before. The numbers alone are 500 MB.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { listTensors, zeros } from "convnotes";
import { load, save, withFile } from "convnotes/node";

const TENSORS = 10;
const EACH = 12_500_000;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

const [task = "all", path = ""] = process.argv.slice(2);

function fresh(): Map<string, ReturnType<typeof zeros>> {
  return new Map(Array.from({ length: TENSORS }, (_, i) => [`w${i}`, zeros([EACH]).fill_(i)]));
}

if (task === "all") {
  const folder = mkdtempSync(join(tmpdir(), "convnotes-memory-"));
  const file = join(folder, "large.pth");
  for (const name of ["save", "load", "inspect"]) {
    const args = [...process.execArgv, process.argv[1], name, file];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    process.stdout.write(stdout + stderr);
  }
  rmSync(folder, { recursive: true });
} else {
  const before = process.resourceUsage().maxRSS * 1024;
  const started = performance.now();
  if (task === "save") save(fresh(), path);
  if (task === "load") load(path);
  if (task === "inspect")
    withFile(path, (source) => {
      for (const t of listTensors(source).tensors) t.numbers();
    });
  const more = process.resourceUsage().maxRSS * 1024 - before;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${task}: ${mebibytes(4 * TENSORS * EACH)} of numbers, resident ${mebibytes(more)}, ${seconds} s`,
  );
}
