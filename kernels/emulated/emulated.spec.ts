// # The emulated device reports slips
//
// faults.cu has a kernel for each kind of slip, and its correct twin; models.cu tries each
// instruction against its documentation. Both run here in several schedules, in the plain build and
// in the one that judges every access.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { seed } from "../../spec/seed.js";
import { buildEmulated, canEmulate, type Emulated } from "./build.js";

const here = dirname(fileURLToPath(import.meta.url));
const lines = readFileSync(join(here, "faults.cu"), "utf8").split("\n");

const forward = "order=forward asynchrony=eager";
const reverse = "order=reverse asynchrony=eager";
const late = "order=forward asynchrony=late";
const random = [1, 2, 3].map((i) => `order=random asynchrony=random seed=${seed + i}`);

interface Slip {
  /** What the judging build says, in every schedule. */
  readonly says: RegExp;
  /** What stands in the line that it names. */
  readonly where?: string;
  /** In which schedules the plain build sees it, by a message or a wrong result. */
  readonly seen: readonly string[];
}

const always = [forward, reverse, late];
const race = /race: .*with no barrier between$/;
const raceOrEarly = /with no barrier between$|which nothing has written$/;
const copyRace = /a copy of thread .* is missing$/;
const outOfBounds = /thread \(\d+, 0, 0\): out of bounds: /;

const slips: Readonly<Record<string, Slip>> = {
  tree: { says: race, where: "s[t] += s[t + half]", seen: always },
  reuse: { says: race, where: "sum += s[size - 1 - t]", seen: always },
  leftNeighbour: { says: raceOrEarly, where: "s[t - 1]", seen: [reverse] },
  warpTree: { says: race, where: "s[t] += s[t + half]", seen: always },
  bothWrite: { says: race, where: "threadIdx.x == 77", seen: [] },
  shuffleNoBarrier: { says: race, where: "its = s[other]", seen: [] },
  copyNoWait: { says: copyRace, where: "sum += shared[i]", seen: [late] },
  copyNoBarrier: {
    says: /with no|has written$|missing$/,
    where: "+= shared",
    seen: [forward, late],
  },
  copyOneGroupLess: { says: copyRace, where: "s[0][t] += s[1][t]", seen: [late] },
  copyNoCommit: { says: /returned with a cp.async that it never committed$/, seen: always },
  staticOverrun: { says: outOfBounds, where: "threadIdx.x == 5", seen: always },
  dynamicOverrun: { says: outOfBounds, where: "threadIdx.x == 5", seen: always },
  writePastEnd: { says: outOfBounds, where: "y[gridDim.x] = 7", seen: always },
  writeIntoGap: { says: outOfBounds, where: "count[1] = 7", seen: always },
  useAfterFree: {
    says: /reads offset \d+ of a freed allocation of 512 bytes/,
    where: "freed[threadIdx.x]",
    seen: always,
  },
  writeBeforeStart: { says: outOfBounds, where: "y[-1] = 7", seen: always },
  readPastEnd: { says: outOfBounds, where: "x[next]", seen: always },
  copyPastEnd: { says: outOfBounds, where: "broken ? 4 : 0", seen: always },
  misaligned: { says: /misaligned: uses offset 4 of an allocation/, where: "float4*", seen: [] },
  hostMemory: { says: /reads an address outside the device's memory/, where: "*host", seen: [] },
  unwrittenShared: { says: /has written$/, where: "sum += shared[i]", seen: always },
  unwrittenOutput: { says: /^download: nothing wrote offset 8 of an alloc/, seen: always },
  unwrittenDevice: { says: /has written$/, where: "before = broken", seen: always },
  blocksCount: { says: /orders the blocks of a launch$/, where: "*count += 1", seen: [] },
  blockReadsBlock: {
    says: /orders the blocks of a launch$|which nothing has written$/,
    where: "y[blockIdx.x - 1]",
    seen: [],
  },
  divergentBarrier: { says: /came to __syncthreads/, where: "__syncthreads()", seen: always },
  namedBarrier: {
    says: /: deadlock, thread \(0, 0, 0\) and 95 more wait in __syncthreads at faults.cu:\d+, and thread \(32, 0, 0\) and 31 more wait in bar.sync at faults.cu:\d+$/,
    seen: always,
  },
  divergentShuffle: { says: /: deadlock, .* in __shfl_down_sync at faults.cu/, seen: always },
  wrongMask: { says: /has the mask 0x7fffffff, in which its own lane 31 is not$/, seen: always },
  halfWarpMultiplies: { says: /: deadlock, .* in mma.m16n8k8.tf32 at faults.cu/, seen: always },
  tooMuchShared: { says: /has 52000 bytes of shared variables; 49152 are/, seen: always },
  loadNoWait: { says: /an asynchronous load .* is missing$/, where: "sum += shared", seen: [late] },
  loadTooManyBytes: { says: /: deadlock, .* wait in mbarrier.try_wait at faults.cu/, seen: always },
  barrierNotSeen: { says: raceOrEarly, where: "mbar_wait(&landed", seen: [reverse] },
  barrierNotFenced: { says: /an mbar_init_fence is missing/, where: "tma_load_2d", seen: always },
  loadTooEarly: {
    // The next load is seen when it lands, or by who still reads what it has overwritten.
    says: /: deadlock, .* wait in mbarrier.try_wait|race: an asynchronous load writes|which an asynchronous load wrote/,
    seen: always,
  },
  productNoFence: {
    says: /by an ordinary store; a fence_proxy_async after it is missing$/,
    where: "wgmma_m64n64k8_tf32",
    seen: [],
  },
  matrixMisaligned: {
    says: /a matrix begins at a multiple of 16 bytes/,
    where: "return gpu::wgmma_desc",
    seen: always,
  },
  matrixMidPattern: {
    says: /within 64 bytes, a matrix begins in the first row after a multiple of 512, not 256 /,
    where: "wgmma_desc(bytes",
    seen: always,
  },
  productNoArrive: { says: /no wgmma_arrive since/, where: "wgmma_m64n64k8_tf32", seen: always },
  productNoWait: {
    says: /uses the accumulators of a product at faults.cu:\d+ before it has waited for it$/,
    where: "= d[0]",
    seen: [late],
  },
  operandTooEarly: {
    says: /a product of warpgroup 0 read .* is missing$/,
    where: "a[placeInOperand",
    seen: [late],
  },
  factorTooEarly: {
    says: /writes over a factor of a product at faults.cu:\d+ before it has waited for it$/,
    where: "a[0] = 0",
    seen: [late],
  },
};

const programs = {
  faults: ["faults.cu", "faults.cpp"],
  models: ["models.cu"],
  refusals: ["refusals.cu"],
};

const build = (name: keyof typeof programs, options: Pick<Emulated, "checks" | "architecture">) =>
  buildEmulated({ name, sources: programs[name].map((file) => join(here, file)), ...options });

interface Said {
  readonly settings: string;
  readonly kernel: string;
  readonly version: string;
  readonly said: string;
}

const runFaults = (program: string, settings: readonly string[]): Said[] =>
  execFileSync(program, settings, { encoding: "utf8" })
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [settings, kernel, version, said] = line.split("\t");
      return { settings, kernel, version, said };
    });

const runProgram = (program: string, settings: string) =>
  spawnSync(program, [settings], { encoding: "utf8" }).stdout.trimEnd().split("\n");

describe("the emulated device", function () {
  this.timeout(120_000);

  if (!canEmulate) {
    it("says where it runs", () =>
      assert.rejects(build("models", { checks: false }), /runs on Linux on x86-64 only; this is/));
    return;
  }

  let plain: Said[] = [];
  let judged: Said[] = [];
  const models: string[] = [];
  before(async () => {
    plain = runFaults(await build("faults", { checks: false }), [...always, ...random]);
    judged = runFaults(await build("faults", { checks: true }), [...always, ...random]);
    for (const checks of [false, true]) models.push(await build("models", { checks }));
  });

  it("does what the documentation of each instruction says, in every order", () => {
    for (const program of models)
      for (const settings of [...always, ...random])
        for (const line of runProgram(program, settings)) assert.match(line, /\tok$/, settings);
  });

  it("has nothing to say about correct kernels", () => {
    for (const { settings, kernel, version, said } of [...plain, ...judged])
      if (version === "correct") assert.equal(said, "", `${kernel}, ${settings}`);
  });

  it("knows all kernels with a slip", () => {
    const kernels = new Set(judged.map(({ kernel }) => kernel));
    assert.deepEqual([...kernels].sort(), Object.keys(slips).sort());
  });

  for (const [kernel, { says, where, seen }] of Object.entries(slips)) {
    it(`judges ${kernel} wherever it runs`, () => {
      const broken = judged.filter((s) => s.kernel === kernel && s.version === "broken");
      assert.equal(broken.length, always.length + random.length);
      for (const { settings, said } of broken) {
        assert.match(said, says, settings);
        if (!said.startsWith("download"))
          assert.match(said, new RegExp(`^kernel ${kernel}, block \\([0-3], 0, 0\\)[:,]`));
        if (where === undefined) continue;
        const line = Number(/faults\.cu:(\d+)/.exec(said)?.[1]);
        assert.ok(lines[line - 1]?.includes(where), `${said}\nline ${line}: ${lines[line - 1]}`);
      }
    });

    it(`sees ${kernel} ${seen.length === 3 ? "in any schedule" : seen.length > 0 ? "in some schedules" : "only when it judges"}`, () => {
      const found = plain
        .filter((s) => s.kernel === kernel && s.version === "broken" && s.said !== "")
        .map(({ settings }) => settings);
      assert.deepEqual(
        found.filter((settings) => always.includes(settings)),
        seen,
      );
    });
  }

  it("says where a plain build's fault was", () => {
    const { said } = plain.find((s) => s.kernel === "writePastEnd" && s.version === "broken")!;
    assert.match(
      said,
      /^kernel writePastEnd, block \(3, 0, 0\), thread \(1, 0, 0\): access out of bounds, at offset 16 of an allocation of 16 bytes at faults\.cu:\d+$/,
    );
  });

  it("has what an older architecture has", async () => {
    const program = await build("models", { checks: false, architecture: 750 });
    const stdout = runProgram(program, forward).join("\n");
    assert.match(
      stdout,
      /^mma\.m16n8k8\.tf32\tkernel multiplyTf32, .*: mma\.m16n8k8\.tf32 at models\.cu:\d+ needs sm_80; the emulated device is sm_75$/m,
    );
    // What can be done without, is.
    for (const model of ["cp.async", "shuffles, votes and reductions"])
      assert.ok(stdout.includes(`\n${model}\tok`), stdout);
  });

  it("refuses what its host must not ask for", async () => {
    const lines = runProgram(await build("refusals", { checks: false }), forward);
    assert.deepEqual(Object.fromEntries(lines.map((line) => line.split("\t"))), {
      "more than it has": "no memory",
      "after all was freed": "memory",
      "free in the middle":
        "free: a live allocation must begin there, but it is offset 4 of an allocation of 16 bytes",
      "free twice":
        "free: a live allocation must begin there, but it is offset 0 of a freed allocation of 16 bytes",
      "upload too much": "upload of 20 bytes at offset 0 of an allocation of 16 bytes",
      "download from nowhere": "download of 4 bytes at an address outside the device's memory",
      "download while capturing": "download: the stream is being captured",
      "synchronize while capturing": "synchronize: the stream is being captured",
      "capture twice": "begin_capture: the stream is being captured already",
      "end what was not begun": "end_capture: the stream is not being captured",
      "capture the default stream": "begin_capture: the default stream cannot be captured",
      "ask for memory while capturing": "no memory",
      "end what asked for memory":
        "end_capture: memory was asked for while the stream was being captured",
      "free while capturing": "free: a stream is being captured",
      "end what gave memory back":
        "end_capture: memory was given back while the stream was being captured",
      "a map of nothing": "tensor map: each axis of a tensor has 1 to 2^32 elements",
      "a map that is not aligned": "tensor map: the tensor must begin at a multiple of 16 bytes",
      "a map of odd rows": "tensor map: strides must be multiples of 16 bytes, and less than 2^40",
      "a box that is too large": "tensor map: a box has 1 to 256 elements an axis",
      "a box longer than its swizzle":
        "tensor map: the innermost axis of a box is longer than what is swizzled",
      "too many threads":
        "kernel add: blocks of 32 × 33 × 1 threads; 1 to 1024 are allowed, at most 64 in z",
      "no blocks":
        "kernel add: a grid of 0 × 1 × 1 blocks; 1 to 2147483647 × 65535 × 65535 are allowed",
      "too much shared memory":
        "kernel add: 300000 bytes of dynamic shared memory; sm_90 has 232448",
      "late, from another stream": "nan",
      "late, from its own stream": "3",
      "another device": "there is one emulated device, number 0",
    });
  });

  it("refuses settings that it does not know", () => {
    assert.throws(
      () => execFileSync(models[0], ["order=sideways"], { encoding: "utf8", stdio: "pipe" }),
      /the emulated device does not know "order=sideways"; it knows order=forward\|reverse\|random, asynchrony=eager\|late\|random, seed=number, memory=bytes, architecture=number, driver=number, lostAt=launch, largeTiles=bySize\|always, wideTiles=bySize\|always and warpgroups=bySize\|always/,
    );
  });
});
