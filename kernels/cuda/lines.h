// # Lines along an axis
//
// Softmax and its logarithm work on lines of `count` elements that are `step` apart. Where the step is
// 1, one warp = one line, and lanes read neighbours; otherwise one thread = one line, and neighbouring
// threads read neighbours.
//
// Order of summation: a warp each lane every 32nd element, then the lanes, depth ⌈n/32⌉ + 5; a thread one
// after another, depth n. A line is read two or three times and comes from a cache after the first.

#pragma once

#include "reduce.h"

namespace convnotes::gpu_rooms {

struct Lines {
  int count, step, lines;
};

inline Lines linesOf(const Call& call, const Operand& t) {
  const int dim = axisOf(t, call.options.whole("dim", 0, -MAX_AXES));
  const int64_t step = t.size(dim + 1, t.axes);
  return {static_cast<int>(t.shape[dim]), static_cast<int>(step),
          static_cast<int>(t.size(0, dim) * step)};
}

/** A line as one of its threads sees it. */
template <int LANES>
struct Line {
  int begin, count, step, lane;

  /** Runs `body(offset)` for the thread's elements. */
  template <class Body>
  __device__ __forceinline__ void each(const Body& body) const {
    for (int k = lane; k < count; k += LANES) body(begin + k * step);
  }
  /** Joins `term(offset)` over the whole line. */
  template <class Join, class Term>
  __device__ __forceinline__ float join(const Term& term) const {
    float total = Join::start;
    each([&](int at) { total = Join::join(total, term(at)); });
    if constexpr (LANES > 1) total = joinWarp<Join>(total);
    return total;
  }
};

template <int LANES, class Work>
GPU_KERNEL(REDUCE_THREADS) lineKernel(Work work, Lines s) {
  const int64_t thread = int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  if (thread / LANES >= s.lines) return;
  const int line = static_cast<int>(thread / LANES);
  const int begin = line / s.step * s.count * s.step + line % s.step;
  work(Line<LANES>{begin, s.count, s.step, static_cast<int>(thread % LANES)});
}

/** Has every line worked on by `work(line)`. */
template <class Work>
void eachLine(const Call& call, Queue& queue, const Lines& s, const Work& work) {
  if (s.lines == 0) return;
  const bool warps = s.step == 1;
  enqueue(queue, warps ? lineKernel<32, Work> : lineKernel<1, Work>, call.name,
          blocksFor(int64_t{s.lines} * (warps ? 32 : 1), REDUCE_THREADS), REDUCE_THREADS, work, s);
}

}  // namespace convnotes::gpu_rooms
