// # Position of the maximum
//
// The index along an axis (or of all elements in a row) of the first largest element; the first
// NaN counts as largest. Exact. One warp = one line: each lane keeps the best of its elements, and
// the better of two is found by value, then by place. Bytes: 4 for each element.

#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

/** Whether v at k goes before `most` at `best`. */
__device__ __forceinline__ bool isBetter(float v, int k, float most, int best) {
  if (v != v || most != most) return v != v && (most == most || k < best);
  return v > most || (v == most && k < best);
}

GPU_KERNEL(REDUCE_THREADS)
findLargest(Nest kept, const float* x, int64_t* y, int results, int count, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  if (warp >= results) return;
  const float* line = x + kept.at(static_cast<int>(warp)).a;
  // The last place of all loses against every element.
  float most = -INFINITY;
  int best = count;
  for (int k = lane; k < count; k += 32)
    if (isBetter(line[k * step], k, most, best)) {
      most = line[k * step];
      best = k;
    }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const float otherMost = __shfl_xor_sync(0xffffffff, most, lanes);
    const int other = __shfl_xor_sync(0xffffffff, best, lanes);
    if (isBetter(otherMost, other, most, best)) {
      most = otherMost;
      best = other;
    }
  }
  if (lane == 0) y[warp] = best;
}

}  // namespace

void argmax(Call& call, Queue& queue) {
  const Operand& x = call.input(0);
  require(call.outputs.size() == 1 && call.outputs[0].present &&
              call.outputs[0].dtype == DType::int64,
          "the output must be int64");
  const Operand& y = call.outputs[0];
  const Reduction r(call, x, y);
  if (y.size() == 0) return;
  require(r.count > 0, "there is no largest of no elements: " + x.show());
  require(r.gone.axes <= 1, "dim must be one axis, or all");
  enqueue(queue, findLargest, call.name, blocksFor(y.size() * 32, REDUCE_THREADS), REDUCE_THREADS,
          r.kept, x.floats(), static_cast<int64_t*>(y.data), static_cast<int>(y.size()),
          static_cast<int>(r.count), r.gone.axes ? r.gone.a[0] : 0);
}

}  // namespace convnotes::gpu_rooms
