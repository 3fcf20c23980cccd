// # Which sources
//
// A short fingerprint of everything that the addon is compiled from. The addon carries that of its own
// sources, and whoever loads it compares: a planner and kernels of different ages would compute nonsense.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function sourcesOf(root) {
  const hash = createHash("sha256");
  for (const name of ["ops.def", "fused.def", "cuda/library.h"])
    hash.update(readFileSync(join(root, name)));
  for (const part of ["host", "addon"])
    for (const name of readdirSync(join(root, part)).sort())
      if (/\.(cpp|h)$/.test(name)) hash.update(name).update(readFileSync(join(root, part, name)));
  return hash.digest("hex").slice(0, 16);
}
