// # Hyperbolic tangent
//
// y = tanh x by CUDA's tanhf, off by at most two units of the last place; dx = dy·(1 − y²), where 1 − y²
// is taken with one rounding after the square's, so that it may be off by u·y² itself.
// One thread = four elements (elementwise.h). Bytes: 8 for each element forward, 12 backward.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Tanh {
  __device__ float operator()(float x) const { return tanhf(x); }
};

struct TanhGradient {
  __device__ float operator()(float dy, float y) const { return dy * (1.0f - y * y); }
};

}  // namespace

void tanh(Call& call, Queue& queue) { map(call, queue, Tanh{}); }

void tanh_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &y = call.inputApart(1), &dx = call.outputApart(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  zip(call, queue, dy, y, dx, TanhGradient{});
}

}  // namespace convnotes::gpu_rooms
