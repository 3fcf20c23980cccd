// # Slips in the pipeline for Hopper are seen
//
// warpgroup.h keeps copies, barriers, fences and products in step. No GPU has to be there to know that a slip in
// it would be noticed: here each kind is planted into a copy, and the emulated device must report it, or its
// product must be wrong. The copies are compiled as one file, since most of what they take is alike.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seed } from "../../spec/seed.js";
import { buildEmulated, canEmulate } from "./build.js";

interface Slip {
  readonly what: string;
  /** What stands in warpgroup.h, wherever it does, and what takes its place. */
  readonly at: string;
  readonly by: string;
  /** By which way it is tried, and what is said, whatever the schedule. */
  readonly way: string;
  readonly says: RegExp;
}

const ways = ["Fetched", "Stored"].flatMap((way) =>
  ["tf32", "bf16"].map((precision) => `try${way}<Precision::${precision}>`),
);
const [fetched, fetchedBf16, stored] = ways;
const wrong = /^wrong result$/;

const slips: readonly Slip[] = [
  {
    what: "ordinary stores that no fence shows to tensor cores",
    at: "    gpu::fence_proxy_async();\n",
    by: "",
    way: stored,
    says: /by an ordinary store; a fence_proxy_async after it is missing$/,
  },
  {
    what: "a barrier that no fence shows to TMA",
    at: "    gpu::mbar_init_fence();\n",
    by: "",
    way: fetched,
    says: /an mbar_init_fence is missing/,
  },
  {
    what: "fewer bytes announced than land",
    at: "Stage::BYTES);\n    gpu::tma",
    by: "Stage::BYTES / 2);\n    gpu::tma",
    way: fetched,
    says: /deadlock, .* wait in mbarrier.try_wait/,
  },
  {
    what: "a load that is not waited for",
    at: "    packed.wait(step);\n",
    by: "",
    way: fetched,
    says: /race: a product .* which an asynchronous load wrote/,
  },
  {
    what: "a wait for the other parity",
    at: "step / WG_STAGES % 2",
    by: "(step / WG_STAGES + 1) % 2",
    way: fetched,
    says: /deadlock, .* wait in mbarrier.try_wait|which an asynchronous load wrote/,
  },
  {
    what: "a stage that is written while others still read it",
    at: "    __syncthreads();\n    fetch(step",
    by: "    fetch(step",
    way: fetched,
    says: /race: |which nothing has written$/,
  },
  {
    what: "a stage that is written while a product reads it",
    at: "gpu::wgmma_wait<1>();",
    by: "gpu::wgmma_wait<2>();",
    way: fetched,
    says: /which a product of warpgroup 0 read|writes over a factor of a product/,
  },
  {
    what: "copies that are in no group",
    at: "    gpu::cp_async_commit();\n",
    by: "",
    way: fetched,
    says: /a copy of thread .* is missing$/,
  },
  {
    what: "a group of copies that is waited for too late",
    at: "gpu::cp_async_wait<WG_STAGES - 3>()",
    by: "gpu::cp_async_wait<WG_STAGES - 2>()",
    way: fetched,
    says: /a copy of thread .* is missing$/,
  },
  {
    what: "products that are in no group",
    at: "    gpu::wgmma_commit();\n",
    by: "",
    way: fetched,
    says: /which a product of warpgroup 0 read|writes over a factor of a product/,
  },
  {
    what: "sums that are read before they are there",
    at: "  gpu::wgmma_wait<0>(sums);\n",
    by: "",
    way: fetched,
    says: /uses the accumulators of a product/,
  },
  {
    what: "sums and factors that are not handed over",
    at: "    gpu::wgmma_arrive();\n",
    by: "",
    way: fetched,
    says: /no wgmma_arrive since/,
  },
  {
    what: "factors that are loaded over those in use",
    at: "  Fragments<P> even, odd;\n",
    by: "  Fragments<P> even;\n  Fragments<P>& odd = even;\n",
    way: fetched,
    says: /writes over a factor of a product/,
  },
  {
    what: "half the distance between groups of eight rows",
    at: "16, 8 * Stage::ROW",
    by: "16, 4 * Stage::ROW",
    way: fetched,
    says: wrong,
  },
  {
    what: "half the distance between two products",
    at: "packedAt(step) + 32 * i",
    by: "packedAt(step) + 16 * i",
    way: fetched,
    says: wrong,
  },
  {
    what: "a tensor map that does not swizzle",
    at: "MAP_SWIZZLE = IS_TF32 ? 2 : 1",
    by: "MAP_SWIZZLE = 0",
    way: fetched,
    says: wrong,
  },
  {
    what: "a descriptor that does not swizzle",
    at: "SWIZZLE = IS_TF32 ? 2 : 3;",
    by: "SWIZZLE = 0;",
    way: fetched,
    says: wrong,
  },
  {
    what: "threads that do not swizzle",
    at: "(at ^ ((at >> 7 & Stage::MIXED) << 4))",
    by: "at",
    way: stored,
    says: wrong,
  },
  {
    what: "stages that begin in the middle of eight rows that are swizzled",
    at: "BYTES = S::M * ROW;",
    by: "BYTES = S::M * ROW + 128;",
    way: stored,
    says: /swizzled within 64 bytes, a matrix begins in the first row/,
  },
  {
    what: "terms of BF16 in the order of memory",
    at: "k / 16 * 16 + k % 16 / 8 * 8 + k % 8 / 2;",
    by: "k;",
    way: fetchedBf16,
    says: wrong,
  },
];

const folder = join("kernels", "build", "planted");
const source = readFileSync(join("kernels", "cuda", "warpgroup.h"), "utf8");

/** The program of all copies, the first without a slip; written only where it has changed, to be kept. */
async function build(): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const namespace = "namespace convnotes::gpu_rooms {";
  const calls: string[] = [];
  const copies = [{ at: "", by: "", way: ways }, ...slips].map(({ at, by, way }, i) => {
    assert.ok(source.includes(at) && source.includes(namespace), `warpgroup.h has no ${at}`);
    const planted = at === "" ? source : source.replaceAll(at, by);
    write(
      `warpgroup${i}.h`,
      planted
        .replace('"tile.h"', '"../../cuda/tile.h"')
        .replace(namespace, `namespace convnotes::planted${i} {\nusing namespace gpu_rooms;`),
    );
    for (const w of [way].flat())
      calls.push(`    say(*settings, ${i}, convnotes::planted${i}::${w}());`);
    return `#include "warpgroup${i}.h"
#define PLANTED planted${i}
#include "../../emulated/pipeline.h"
#undef PLANTED
`;
  });
  const main = `void say(const char* settings, int slip, const std::string& said) {
  printf("%s\\t%d\\t%s\\n", settings, slip, said.c_str());
}

int main(int, char** arguments) {
  using convnotes::Precision;
  for (char** settings = arguments + 1; *settings; settings++) {
    if (emulated::configure(*settings)) return 1;
${calls.join("\n")}
  }
}
`;
  const sources = [write("planted.cu", copies.join("") + main), "kernels/host/pool.cpp"];
  return buildEmulated({ name: "planted", sources, checks: true });
}

describe("slips in the pipeline for Hopper", function () {
  this.timeout(300_000);
  this.slow(60_000);
  if (!canEmulate) return;

  const settings = [
    "order=forward asynchrony=eager",
    `order=random asynchrony=random seed=${seed}`,
  ];
  let said: string[][] = [];
  before(async () => {
    said = execFileSync(await build(), settings, { encoding: "utf8" })
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
  });
  const of = (slip: number) => said.filter(([, number]) => Number(number) === slip);

  it("are none in what is not planted", () => {
    const found = of(0);
    assert.equal(found.length, settings.length * ways.length);
    for (const [how, , message] of found) assert.equal(message, "", how);
  });

  slips.forEach(({ what, says }, i) => {
    it(`are seen: ${what}`, () => {
      const found = of(i + 1);
      assert.equal(found.length, settings.length);
      for (const [how, , message] of found) assert.match(message, says, how);
    });
  });
});
