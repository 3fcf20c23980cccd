// # Mean and variance, part by part
//
// A channel is cut into parts of 64 values, in order of images and pixels. A part's mean m' = Σ x / n' comes
// first; then, of what is at hand, r = Σ (x − m') and q = Σ (x − m')². With exact sums r would be 0; with rounded
// ones
//
//     Σ (x − c) = 0 at c = m' + r/n',      Σ (x − c)² = q − r²/n',
//
// so c is off by rounding in deviations and not in x, however far from 0 a channel lies (Chan, Golub and
// LeVeque 1983, their corrected two-pass algorithm). Parts are joined in float64, without cancellation:
//
//     n = n₁ + n₂,  d = c₂ − c₁,  c = c₁ + d·n₂/n,  S = S₁ + S₂ + d²·n₁·n₂/n.
//
// ## What that errs
//
// Each of the three sums is eight sums of every eighth value, joined in a tree, whoever adds: eight lanes, or one
// thread. So whoever leaves a part leaves the same bits, and depth is 10: at most 7 additions and 3.
// Let δ = c − m' be how far the first mean is off, |δ| ≤ γ₁₁·Σ|x|/n'; differences x − m' are rounded once. Then
//
//     |error of c| ≤ γ₁₁·Σ|x − m'|/n' ≤ γ₁₁·(Σ|x − c|/n' + |δ|),
//     |error of S| ≤ γ₁₃·(S + n'δ²) + 2·|δ|·γ₁₁·Σ|x − m'|:
//
// a rounding of deviations, where without r the mean would be off by δ, a rounding of x, and S by n'δ². Joining
// adds 2·e·d·n₁n₂/n for an error e of a part's c, a rounding of d. So the whole stays within the bound of a sum
// in turn, γ_n·v plus the square of the mean's error (spec/ops/batch_norm.md), and within a closer one that
// hardly knows how far from 0 the channel lies (emulated/statistics.spec.ts).
//
// ## Who leaves parts
//
// Four numbers for each: m', r, q, n', 16 bytes for 256. Whoever writes a result can leave its parts while the
// values are at hand (conv2d.cu, linear.cu), as they are written, and as they are after all repairs. What nobody has left is found in a pass over the input: one
// warp = 16 parts of a channel, 32 values in each lane's registers; or, where a channel has one value in each
// image, one thread = one part, which the first-level cache still has when it is read again.

#pragma once

#include "reduce.h"

namespace convnotes::gpu_rooms {

constexpr int PART = 64, SUMS = 8, PARTS_OF_WARP = ALONG_PART / PART;

/** m', r, q and n' of one part. */
using Part = float4;

inline int64_t partsOfChannel(int64_t values) { return (values + PART - 1) / PART; }

// ## One part

/** The same in eight neighbouring lanes. */
__device__ __forceinline__ float joinEight(float x) {
#pragma unroll
  for (int lanes = SUMS / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffff, x, lanes);
  return x;
}
__device__ __forceinline__ float joinEight(const float (&x)[SUMS]) {
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/**
 * By eight lanes: `value(k)`, of which each is asked twice, is a lane's k-th, number lane + 8·k of `count`. So many
 * are read at a time as UNROLL says: registers may be short.
 */
template <int UNROLL, class Value>
__device__ __forceinline__ Part partOfLanes(int count, const Value& value) {
  const int lane = static_cast<int>(threadIdx.x) % SUMS;
  float sum = 0, residue = 0, squares = 0;
#pragma unroll UNROLL
  for (int k = 0; k < PART / SUMS; k++) sum += k * SUMS + lane < count ? value(k) : 0;
  const float mean = joinEight(sum) / static_cast<float>(count);
#pragma unroll UNROLL
  for (int k = 0; k < PART / SUMS; k++) {
    const float d = k * SUMS + lane < count ? value(k) - mean : 0;
    residue += d;
    squares += d * d;
  }
  residue = joinEight(residue);
  return {mean, residue, joinEight(squares), static_cast<float>(count)};
}

/** By one thread: `value(i)` is asked twice. */
template <class Value>
__device__ __forceinline__ Part partOfThread(int count, const Value& value) {
  float sums[SUMS] = {}, residues[SUMS] = {}, squares[SUMS] = {};
#pragma unroll 1
  for (int i = 0; i < count; i += SUMS)
#pragma unroll
    for (int k = 0; k < SUMS; k++) sums[k] += i + k < count ? value(i + k) : 0;
  const float mean = joinEight(sums) / static_cast<float>(count);
#pragma unroll 1
  for (int i = 0; i < count; i += SUMS)
#pragma unroll
    for (int k = 0; k < SUMS; k++) {
      const float d = i + k < count ? value(i + k) - mean : 0;
      residues[k] += d;
      squares[k] += d * d;
    }
  return {mean, joinEight(residues), joinEight(squares), static_cast<float>(count)};
}

// ## All parts

/** Of some values: their mean, the sum of squared deviations from it, and how many they are. */
struct Moments {
  double mean, squares;
  int count;
};

struct JoiningMoments {
  using Value = Moments;
  static constexpr Moments start{0, 0, 0};
  __device__ __forceinline__ static Moments join(const Moments& a, const Moments& b) {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const int count = a.count + b.count;
    const double d = b.mean - a.mean, part = static_cast<double>(b.count) / count;
    return {a.mean + d * part, a.squares + b.squares + d * d * part * a.count, count};
  }
  __device__ __forceinline__ static Moments fromLane(const Moments& x, int lanes) {
    return {__shfl_xor_sync(0xffffffff, x.mean, lanes),
            __shfl_xor_sync(0xffffffff, x.squares, lanes),
            __shfl_xor_sync(0xffffffff, x.count, lanes)};
  }
};

/** The moments that a part stands for. */
struct PartMoments {
  const Part* parts;

  __device__ __forceinline__ Moments operator()(Offsets at, int) const {
    const Part p = parts[at.a];
    const double n = static_cast<double>(p.w), residue = static_cast<double>(p.y), r = residue / n;
    const double corrected = static_cast<double>(p.z) - r * residue;
    // Only rounding can make it negative; a NaN stays one.
    return {static_cast<double>(p.x) + r, corrected < 0 ? 0 : corrected, static_cast<int>(p.w)};
  }
};

/** Numbers of scratch memory that `joinParts` needs, in `Moments`. */
inline size_t joinMoments(int64_t channels, int64_t parts) {
  Nest kept, gone;
  kept.add(channels, parts, 0);
  gone.add(parts, 1, 0);
  return reduceFloats(kept, gone);
}

/** Hands every channel's moments to `finish`, of parts that lie as [channel][part]. */
template <class Finish>
void joinParts(const Call& call, Queue& queue, const Part* parts, int64_t channels, int64_t count,
               const Finish& finish, Moments* scratch) {
  Nest kept, gone;
  kept.add(channels, count, 0);
  gone.add(count, 1, 0);
  reduce<JoiningMoments>(call, queue, kept, gone, PartMoments{parts}, finish, scratch);
}

// ## The pass over what nobody has left parts of

GPU_KERNEL(REDUCE_THREADS)
partsAlong(const float* x, Nest kept, Nest gone, int channels, int count, int warps, int parts,
           Part* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / SUMS;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  const int c = static_cast<int>(warp / warps);
  const int first = static_cast<int>(warp % warps) * PARTS_OF_WARP;
  if (c >= channels) return;
  const float* channel = x + kept.at(c).a;
  constexpr int TURNS = PARTS_OF_WARP * SUMS / 32;
  float values[TURNS][PART / SUMS];
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++)
#pragma unroll
    for (int k = 0; k < PART / SUMS; k++) {
      const int i = (first + turn * (32 / SUMS) + group) * PART + k * SUMS + lane % SUMS;
      values[turn][k] = i < count ? channel[gone.at(i).a] : 0;
    }
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int part = first + turn * (32 / SUMS) + group;
    const Part found = partOfLanes<PART / SUMS>(min(count - part * PART, PART),
                                                [&](int k) { return values[turn][k]; });
    if (lane % SUMS == 0 && part < parts) to[int64_t{c} * parts + part] = found;
  }
}

GPU_KERNEL(REDUCE_THREADS)
partsAcross(const float* x, Nest kept, Nest gone, int channels, int count, int parts, Part* to) {
  const int64_t thread = int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  const int part = static_cast<int>(thread / channels), c = static_cast<int>(thread % channels);
  if (part >= parts) return;
  const float* channel = x + kept.at(c).a;
  const int begin = part * PART;
  to[int64_t{c} * parts + part] = partOfThread(
      min(count - begin, PART), [&](int i) { return channel[gone.at(begin + i).a]; });
}

/** Finds all parts of channels that begin as `kept` says, with elements as `gone` says. */
inline void findParts(const Call& call, Queue& queue, const float* x, const Nest& kept,
                      const Nest& gone, Part* to) {
  const int64_t channels = kept.count(), count = gone.count(), parts = partsOfChannel(count);
  require(channels * parts < int64_t{1} << 31, "there are too many channels");
  const auto whole = [](int64_t n) { return static_cast<int>(n); };
  if (runsAlong(gone)) {
    const int64_t warps = (parts + PARTS_OF_WARP - 1) / PARTS_OF_WARP;
    enqueue(queue, partsAlong, call.name, blocksFor(channels * warps * 32, REDUCE_THREADS),
            REDUCE_THREADS, x, kept, gone, whole(channels), whole(count), whole(warps),
            whole(parts), to);
  } else {
    enqueue(queue, partsAcross, call.name, blocksFor(channels * parts, REDUCE_THREADS),
            REDUCE_THREADS, x, kept, gone, whole(channels), whole(count), whole(parts), to);
  }
}

/** Where parts of `channels` with `values` values each are to be left: operand [channels, parts, 4], or null. */
inline Part* partsIn(const Call& call, const Operand& t, int64_t channels, int64_t values) {
  if (!t) return nullptr;
  call.want(t, {channels, partsOfChannel(values), 4}, "the statistics' parts");
  require(reinterpret_cast<uintptr_t>(t.data) % sizeof(Part) == 0,
          "the statistics' parts must begin at a multiple of 16 bytes");
  return static_cast<Part*>(t.data);
}

}  // namespace convnotes::gpu_rooms
