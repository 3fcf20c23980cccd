// # Products are made of the instructions that they are meant to be made of
//
// Where NVIDIA's compiler is: tensor cores where factors are rounded, asynchronous copies, and nothing that
// the compiler had to take apart (spilled registers, wgmma one after another).

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Counts, instructionsOf } from "./instructions.js";

const nvcc = process.env.NVCC ?? "nvcc";

/** The kernels of a room, compiled for one architecture. */
function compiled(
  room: string,
  architecture: string,
): { kernels: Map<string, Counts>; said: string } {
  const folder = mkdtempSync(join(tmpdir(), "convnotes-"));
  try {
    const cubin = join(folder, "room.cubin");
    const { status, stderr, stdout } = spawnSync(
      nvcc,
      [
        ...["-std=c++20", "-O3", "-fmad=false", "-cubin", `-arch=sm_${architecture}`],
        ...["-Xptxas", "-v", `kernels/cuda/${room}.cu`, "-o", cubin],
      ],
      { encoding: "utf8" },
    );
    assert.equal(status, 0, stderr);
    return { kernels: instructionsOf(readFileSync(cubin)), said: stderr + stdout };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("instructions of products", function () {
  this.timeout(300_000);
  this.slow(30_000);

  it("refuses what is no compiled file", () => {
    assert.throws(() => instructionsOf(Buffer.alloc(64)), /expected an ELF file of 64 bits/);
  });

  if (spawnSync(nvcc, ["--version"]).status !== 0) {
    it("are those that are meant (no nvcc here)");
    return;
  }

  /** Of the kernels whose name has all these parts; there must be some. */
  const those = (kernels: Map<string, Counts>, ...parts: string[]) => {
    const found = [...kernels].filter(([name]) => parts.every((part) => name.includes(part)));
    assert(
      found.length > 0,
      `there is no kernel ${parts.join(" ")} in ${[...kernels.keys()].join(" ")}`,
    );
    return found.map(([, counts]) => counts);
  };
  const has = (counts: Counts, ...names: string[]) => {
    for (const name of names)
      assert((counts[name] ?? 0) > 0, `${name} in ${JSON.stringify(counts)}`);
  };
  const hasNo = (counts: Counts, ...names: string[]) => {
    for (const name of names)
      assert.equal(counts[name] ?? 0, 0, `${name} in ${JSON.stringify(counts)}`);
  };
  // As enum Precision counts them.
  const [tf32, bf16, fp32] = ["PrecisionE0", "PrecisionE1", "PrecisionE2"];

  for (const room of ["conv2d", "linear"])
    it(`${room} for sm_90a multiplies by wgmma, and never one after another`, () => {
      const { kernels, said } = compiled(room, "90a");
      assert.doesNotMatch(said, /C75\d\d/);
      assert.doesNotMatch(said, / [1-9]\d* bytes spill/);
      // The loop is written out for two steps: two products of 8 terms each, or one of 16.
      for (const counts of those(kernels, "warpgroup", tf32)) assert.equal(counts.HGMMA, 4);
      for (const counts of those(kernels, "warpgroup", bf16)) assert.equal(counts.HGMMA, 2);
      for (const counts of those(kernels, "warpgroup")) {
        has(counts, "LDGSTS");
        hasNo(counts, "HMMA", "LDL", "STL");
      }
      const packed = room === "conv2d" ? "warpgroupSlide" : "warpgroupMatrix";
      for (const counts of those(kernels, packed)) has(counts, "UTMALDG");
    });

  for (const program of ["cuda/probes.cu", "emulated/models.cu"])
    it(`${program}, which asks the hardware, compiles for it`, () => {
      const { status, stderr } = spawnSync(
        nvcc,
        [
          ...["-std=c++20", "-O3", "-fmad=false", "--Werror", "all-warnings", "-arch=sm_90a"],
          ...["-c", join("kernels", program), "-o", "/dev/null"],
        ],
        { encoding: "utf8" },
      );
      assert.equal(status, 0, stderr);
    });

  it("conv2d for sm_80 multiplies by mma.sync, or in float32 if it is told to", () => {
    const { kernels, said } = compiled("conv2d", "80");
    assert.doesNotMatch(said, / [1-9]\d* bytes spill/);
    for (const kernel of ["11slideKernel", "15correlateKernel"])
      for (const precision of [tf32, bf16, fp32])
        for (const counts of those(kernels, kernel, precision)) {
          has(counts, "LDGSTS");
          hasNo(counts, "HGMMA", "LDL", "STL");
          if (precision === fp32) hasNo(counts, "HMMA");
          else has(counts, "HMMA");
        }
  });
});
