// # Addition
//
// y = a + b, element by element, axes of size 1 repeated. One rounding. An activation can follow, or, with its
// result as input 2, its gradient (epilogue.h); then nothing is repeated.
// One thread = four elements, or one where an operand is repeated (elementwise.h). Bytes: 12 for each
// element, 16 with a gate.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Sum2 {
  __device__ float operator()(float a, float b) const { return a + b; }
};

GPU_KERNEL(ELEMENT_THREADS)
addThen(const float* a, const float* b, float* y, int count, int fours, Epilogue then) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i < fours) {
    const float4 v = reinterpret_cast<const float4*>(a)[i];
    const float4 w = reinterpret_cast<const float4*>(b)[i];
    const float4 g = then.gate ? reinterpret_cast<const float4*>(then.gate)[i] : v;
    reinterpret_cast<float4*>(y)[i] =
        make_float4(then(v.x + w.x, 0, {0, g.x}), then(v.y + w.y, 0, {0, g.y}),
                    then(v.z + w.z, 0, {0, g.z}), then(v.w + w.w, 0, {0, g.w}));
  } else if (i < count - 3 * fours) {
    const int k = i + 3 * fours;
    y[k] = then(a[k] + b[k], 0, then.read(k));
  }
}

}  // namespace

void add(Call& call, Queue& queue) {
  const Operand &a = call.input(0), &b = call.input(1), &y = call.output(0);
  const Epilogue then = gateAt(call, 2);
  if (then.activation == Activation::none) return pairwise(call, queue, a, b, y, Sum2{});
  call.wantSame(a, y, "input");
  call.wantSame(b, y, "other");
  if (y.size() == 0) return;
  const bool whole =
      aligned(a.data) && aligned(b.data) && aligned(y.data) && aligned(then.gate);
  const int64_t count = y.size(), fours = whole ? count / 4 : 0;
  enqueue(queue, addThen, call.name, blocksFor(count - 3 * fours, ELEMENT_THREADS), ELEMENT_THREADS,
          a.floats(), b.floats(), y.floats(), static_cast<int>(count), static_cast<int>(fours), then);
}

}  // namespace convnotes::gpu_rooms
