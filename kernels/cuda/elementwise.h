// # Element by element
//
// One thread = four neighbouring elements, which is one access of 16 bytes to each tensor, or one
// element where a tensor does not begin at a multiple of 16 bytes or the operands are repeated.
//
// Bytes: 4 for each element of each tensor, once; nothing is shared between threads. With a few
// operations for each element the roof is the memory's: at 16 bytes a thread and 2048 threads on a
// multiprocessor, 32 to 96 KB are on their way at any time, more than latency times bandwidth asks for.

#pragma once

#include "axes.h"
#include "epilogue.h"

namespace convnotes::gpu_rooms {

constexpr int ELEMENT_THREADS = 256;

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// ## One operand

template <class F>
GPU_KERNEL(ELEMENT_THREADS) mapKernel(F f, const float* x, float* y, int count, int fours) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i < fours) {
    const float4 v = reinterpret_cast<const float4*>(x)[i];
    reinterpret_cast<float4*>(y)[i] = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
  } else if (i < count - 3 * fours) {
    const int k = i + 3 * fours;
    y[k] = f(x[k]);
  }
}

/** y = f(x), of the same shape. */
template <class F>
void map(Call& call, Queue& queue, const F& f) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const int64_t count = y.size(), fours = aligned(x.data) && aligned(y.data) ? count / 4 : 0;
  if (count == 0) return;
  enqueue(queue, mapKernel<F>, call.name, blocksFor(count - 3 * fours, ELEMENT_THREADS),
          ELEMENT_THREADS, f, x.floats(), y.floats(), static_cast<int>(count),
          static_cast<int>(fours));
}

// ## Two operands

template <class F>
GPU_KERNEL(ELEMENT_THREADS)
zipKernel(F f, const float* a, const float* b, float* y, int count, int fours) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i < fours) {
    const float4 v = reinterpret_cast<const float4*>(a)[i];
    const float4 w = reinterpret_cast<const float4*>(b)[i];
    reinterpret_cast<float4*>(y)[i] =
        make_float4(f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w));
  } else if (i < count - 3 * fours) {
    const int k = i + 3 * fours;
    y[k] = f(a[k], b[k]);
  }
}

template <class F>
GPU_KERNEL(ELEMENT_THREADS)
broadcastKernel(F f, Nest nest, const float* a, const float* b, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const Offsets at = nest.at(i);
  y[i] = f(a[at.a], b[at.b]);
}

/** y = f(a, b), all of one shape. */
template <class F>
void zip(const Call& call, Queue& queue, const Operand& a, const Operand& b, const Operand& y,
         const F& f) {
  const bool whole = aligned(a.data) && aligned(b.data) && aligned(y.data);
  const int64_t count = y.size(), fours = whole ? count / 4 : 0;
  if (count == 0) return;
  enqueue(queue, zipKernel<F>, call.name, blocksFor(count - 3 * fours, ELEMENT_THREADS),
          ELEMENT_THREADS, f, a.floats(), b.floats(), y.floats(), static_cast<int>(count),
          static_cast<int>(fours));
}

/** y = f(a, b), axes of size 1 repeated. */
template <class F>
void pairwise(const Call& call, Queue& queue, const Operand& a, const Operand& b, const Operand& y,
              const F& f) {
  const std::vector<int64_t> aSteps = broadcastSteps(a, y), bSteps = broadcastSteps(b, y);
  Nest nest;
  for (int i = 0; i < y.axes; i++) {
    require(y.shape[i] == 1 || aSteps[i] != 0 || bSteps[i] != 0 || y.size() == 0,
            "output has shape " + y.show() + ", which " + a.show() + " and " + b.show() +
                " do not make");
    nest.add(y.shape[i], aSteps[i], bSteps[i]);
  }
  if (y.size() == 0) return;
  if (nest.isFlat()) return zip(call, queue, a, b, y, f);
  enqueue(queue, broadcastKernel<F>, call.name, blocksFor(y.size(), ELEMENT_THREADS),
          ELEMENT_THREADS, f, nest, a.floats(), b.floats(), y.floats(),
          static_cast<int>(y.size()));
}

// ## Copies
//
// One thread = one element. Where a tensor's innermost axis is not read or written in order, up to 32 bytes
// are moved for each 4 that nothing finds in a cache.

GPU_KERNEL(ELEMENT_THREADS)
copyKernel(Nest nest, const float* from, float* to, int count, Epilogue then) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const Offsets at = nest.at(i);
  to[at.b] = then(from[at.a], 0, then.read(at.b));
}

/** Copies the elements of a nest from its first tensor to its second, and has something follow. */
inline void copyNest(const Call& call, Queue& queue, const Nest& nest, const float* from, float* to,
                     const Epilogue& then = {}) {
  const int64_t count = nest.count();
  if (count == 0) return;
  enqueue(queue, copyKernel, call.name, blocksFor(count, ELEMENT_THREADS), ELEMENT_THREADS, nest,
          from, to, static_cast<int>(count), then);
}

}  // namespace convnotes::gpu_rooms
