// # Reductions
//
// Every result combines the terms of many elements. Where the innermost axis goes, one warp = one part of
// one result: its lanes read neighbours. Where the innermost axis stays, one thread = one part of one
// result: neighbouring threads read neighbours. Parts hold a fixed number of terms, whatever the
// device, and are combined the same way until one is left; so the bits depend on the shape alone.
//
// Depth of a sum of n terms: along, min(⌈n/32⌉, 32) + 5; across, min(n, 128); and for p > 1 parts that
// of a sum across of p terms more.
// Bytes: 4 for each element of each tensor that a term reads, once; partial results add less than a
// hundredth. Neither shared memory nor barriers: warps exchange by shuffles.

#pragma once

#include "axes.h"

namespace convnotes::gpu_rooms {

constexpr int REDUCE_THREADS = 256;
constexpr int ALONG_PART = 1024, ACROSS_PART = 128;

struct Adding {
  using Value = float;
  static constexpr float start = 0;
  __device__ __forceinline__ static float join(float a, float b) { return a + b; }
  __device__ __forceinline__ static float fromLane(float x, int lanes) {
    return __shfl_xor_sync(0xffffffff, x, lanes);
  }
};

/** The larger one; NaN if one of them is. */
struct Larger {
  using Value = float;
  static constexpr float start = -INFINITY;
  __device__ __forceinline__ static float join(float a, float b) {
    return b > a || b != b ? b : a;
  }
  __device__ __forceinline__ static float fromLane(float x, int lanes) {
    return __shfl_xor_sync(0xffffffff, x, lanes);
  }
};

/** Two sums at once. */
struct AddingPairs {
  using Value = float2;
  static constexpr float2 start{0, 0};
  __device__ __forceinline__ static float2 join(float2 a, float2 b) {
    return make_float2(a.x + b.x, a.y + b.y);
  }
  __device__ __forceinline__ static float2 fromLane(float2 x, int lanes) {
    return make_float2(__shfl_xor_sync(0xffffffff, x.x, lanes),
                       __shfl_xor_sync(0xffffffff, x.y, lanes));
  }
};

/** The same in all lanes. */
template <class Join>
__device__ __forceinline__ typename Join::Value joinWarp(typename Join::Value x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x = Join::join(x, Join::fromLane(x, lanes));
  return x;
}

/** A term as it is for one result: `of` is asked once for each. */
template <class Term>
__device__ __forceinline__ auto termOf(const Term& term, int result) {
  if constexpr (requires { term.of(result); })
    return term.of(result);
  else
    return term;
}

template <class Join, class Term, class Finish>
GPU_KERNEL(REDUCE_THREADS)
reduceAlongKernel(Term term, Finish finish, Nest kept, Nest gone, int results, int count, int parts,
                  typename Join::Value* partial) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  const int result = static_cast<int>(warp / parts), part = static_cast<int>(warp % parts);
  if (result >= results) return;
  const Offsets base = kept.at(result);
  const auto one = termOf(term, result);
  const int begin = part * ALONG_PART, end = min(count - begin, ALONG_PART) + begin;
  typename Join::Value total = Join::start;
#pragma unroll 4
  for (int k = begin + lane; k < end; k += 32) {
    const Offsets at = gone.at(k);
    total = Join::join(total, one(Offsets{base.a + at.a, base.b + at.b}, result));
  }
  total = joinWarp<Join>(total);
  if (lane > 0) return;
  if (parts == 1)
    finish(result, total);
  else
    partial[int64_t{part} * results + result] = total;
}

template <class Join, class Term, class Finish>
GPU_KERNEL(REDUCE_THREADS)
reduceAcrossKernel(Term term, Finish finish, Nest kept, Nest gone, int results, int count,
                   int parts, typename Join::Value* partial) {
  const int64_t thread = int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  const int part = static_cast<int>(thread / results), result = static_cast<int>(thread % results);
  if (part >= parts) return;
  const Offsets base = kept.at(result);
  const auto one = termOf(term, result);
  const int begin = part * ACROSS_PART, end = min(count - begin, ACROSS_PART) + begin;
  typename Join::Value total = Join::start;
#pragma unroll 4
  for (int k = begin; k < end; k++) {
    const Offsets at = gone.at(k);
    total = Join::join(total, one(Offsets{base.a + at.a, base.b + at.b}, result));
  }
  if (parts == 1)
    finish(result, total);
  else
    partial[int64_t{part} * results + result] = total;
}

/** A term that is an element of the tensor that the nests' first steps belong to. */
struct Element {
  const float* x;
  __device__ __forceinline__ float operator()(Offsets at, int) const { return x[at.a]; }
};

/** A partial result. */
template <class Value>
struct Partial {
  const Value* x;
  __device__ __forceinline__ Value operator()(Offsets at, int) const { return x[at.a]; }
};

/** A finish that divides. */
struct Quotient {
  float* y;
  float divisor;
  __device__ __forceinline__ void operator()(int result, float total) const {
    y[result] = total / divisor;
  }
};

inline bool runsAlong(const Nest& gone) { return gone.axes > 0 && gone.a[gone.axes - 1] == 1; }

inline int64_t partsOf(int64_t count, int64_t part) {
  return count > part ? (count + part - 1) / part : 1;
}

/** Numbers of scratch memory that `reduce` needs, where one is a result. */
inline size_t reduceFloats(const Nest& kept, const Nest& gone) {
  int64_t parts = partsOf(gone.count(), runsAlong(gone) ? ALONG_PART : ACROSS_PART);
  size_t floats = 0;
  for (; parts > 1; parts = partsOf(parts, ACROSS_PART)) floats += parts * kept.count();
  return floats;
}

/** Joins the partial results, [part][result], that lie in `scratch`, and hands what comes to `finish`. */
template <class Join, class Finish>
void reduceParts(const Call& call, Queue& queue, int64_t results, int64_t parts,
                 const Finish& finish, typename Join::Value* scratch) {
  using Rest = Partial<typename Join::Value>;
  Nest columns;
  columns.add(results, 1, 0);
  while (parts > 1) {
    const int64_t fewer = partsOf(parts, ACROSS_PART);
    Nest down;
    down.add(parts, results, 0);
    typename Join::Value* next = scratch + parts * results;
    enqueue(queue, reduceAcrossKernel<Join, Rest, Finish>, call.name,
            blocksFor(results * fewer, REDUCE_THREADS), REDUCE_THREADS, Rest{scratch}, finish,
            columns, down, static_cast<int>(results), static_cast<int>(parts),
            static_cast<int>(fewer), next);
    scratch = next;
    parts = fewer;
  }
}

/** Hands the joined `term`s of every result to `finish`. */
template <class Join, class Term, class Finish>
void reduce(const Call& call, Queue& queue, const Nest& kept, const Nest& gone, const Term& term,
            const Finish& finish, typename Join::Value* scratch) {
  const int64_t results = kept.count(), count = gone.count();
  if (results == 0) return;
  const bool along = runsAlong(gone);
  const int64_t parts = partsOf(count, along ? ALONG_PART : ACROSS_PART);
  require(results * parts < int64_t{1} << 31, "there are too many results to reduce to");
  if (along)
    enqueue(queue, reduceAlongKernel<Join, Term, Finish>, call.name,
            blocksFor(results * parts * 32, REDUCE_THREADS), REDUCE_THREADS, term, finish, kept,
            gone, static_cast<int>(results), static_cast<int>(count), static_cast<int>(parts),
            scratch);
  else
    enqueue(queue, reduceAcrossKernel<Join, Term, Finish>, call.name,
            blocksFor(results * parts, REDUCE_THREADS), REDUCE_THREADS, term, finish, kept, gone,
            static_cast<int>(results), static_cast<int>(count), static_cast<int>(parts), scratch);
  reduceParts<Join>(call, queue, results, parts, finish, scratch);
}

/** y = Σ x / divisor along the axes that go. */
inline void reduceSum(const Call& call, Queue& queue, const Operand& x, const Operand& y,
                      float divisor) {
  const Reduction r(call, x, y);
  float* scratch = static_cast<float*>(queue.scratch(reduceFloats(r.kept, r.gone) * 4));
  reduce<Adding>(call, queue, r.kept, r.gone, Element{x.floats()}, Quotient{y.floats(), divisor},
                 scratch);
}

// ## Back again

GPU_KERNEL(REDUCE_THREADS)
spreadKernel(Nest whole, const float* dy, float* dx, float divisor, int count) {
  const int i = static_cast<int>(blockIdx.x) * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  if (i < count) dx[i] = dy[whole.at(i).b] / divisor;
}

/** dx = dy / divisor, where every element of dx goes to one of dy. */
inline void spread(const Call& call, Queue& queue, const Operand& dy, const Operand& dx,
                   float divisor) {
  const Nest whole = Reduction(call, dx, dy).whole;
  if (dx.size() == 0) return;
  enqueue(queue, spreadKernel, call.name, blocksFor(dx.size(), REDUCE_THREADS), REDUCE_THREADS,
          whole, dy.floats(), dx.floats(), divisor, static_cast<int>(dx.size()));
}

}  // namespace convnotes::gpu_rooms
