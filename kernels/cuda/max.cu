// # Maximum
//
// y = max x along the axes that go, NaN where one of them is; exact. The gradient is shared by all
// that are equal to the maximum: dx = dy / t for each of t, one rounding. Forward as in reduce.h;
// backward one warp = one result, whose elements are read twice.
// Bytes: 4 for each element forward, 12 backward.

#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

GPU_KERNEL(REDUCE_THREADS)
shareAmongLargest(Nest kept, Nest gone, const float* dy, const float* x, const float* y, float* dx,
                  int results, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  if (warp >= results) return;
  const int result = static_cast<int>(warp), base = kept.at(result).a;
  const float most = y[result];
  float ties = 0;
  for (int k = lane; k < count; k += 32) ties += x[base + gone.at(k).a] == most;
  ties = joinWarp<Adding>(ties);
  // No element equals NaN: each gets 0/0.
  const float part = dy[result] / ties;
  for (int k = lane; k < count; k += 32) {
    const int at = base + gone.at(k).a;
    dx[at] = x[at] == most ? part : 0 / ties;
  }
}

}  // namespace

void max(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  const Reduction r(call, x, y);
  if (y.size() == 0) return;
  require(r.count > 0, "there is no largest of no elements: " + x.show());
  float* scratch = static_cast<float*>(queue.scratch(reduceFloats(r.kept, r.gone) * 4));
  reduce<Larger>(call, queue, r.kept, r.gone, Element{x.floats()}, Quotient{y.floats(), 1}, scratch);
}

void max_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &x = call.input(1), &y = call.input(2);
  const Operand& dx = call.output(0);
  call.wantSame(dx, x, "output");
  call.wantSame(dy, y, "dy");
  const Reduction r(call, x, y);
  if (dx.size() == 0) return;
  enqueue(queue, shareAmongLargest, call.name, blocksFor(y.size() * 32, REDUCE_THREADS),
          REDUCE_THREADS, r.kept, r.gone, dy.floats(), x.floats(), y.floats(), dx.floats(),
          static_cast<int>(y.size()), static_cast<int>(r.count));
}

}  // namespace convnotes::gpu_rooms
