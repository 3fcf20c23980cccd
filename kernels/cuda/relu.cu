// # Rectified linear unit
//
// y = max(x, 0), and dx = dy where y > 0, else 0. Exact: comparisons and copies; NaN stays NaN.
// One thread = four elements (elementwise.h). Bytes: 8 for each element forward, 12 backward.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Relu {
  __device__ float operator()(float x) const { return x < 0 ? 0.0f : x; }
};

struct ReluGradient {
  __device__ float operator()(float dy, float y) const { return y <= 0 ? 0.0f : dy; }
};

}  // namespace

void relu(Call& call, Queue& queue) { map(call, queue, Relu{}); }

void relu_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &y = call.inputApart(1), &dx = call.outputApart(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  zip(call, queue, dy, y, dx, ReluGradient{});
}

}  // namespace convnotes::gpu_rooms
