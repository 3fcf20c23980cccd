// # Sigmoid
//
// y = 1/(1 + e⁻ˣ), off by less than 8u of y and 0 where y is below 2⁻¹²⁶; dx = dy·y·(1 − y),
// three roundings. The exponential is CUDA's expf, off by at most one unit of the last place.
// One thread = four elements (elementwise.h). Bytes: 8 for each element forward, 12 backward.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Sigmoid {
  __device__ float operator()(float x) const { return 1.0f / (1.0f + expf(-x)); }
};

struct SigmoidGradient {
  __device__ float operator()(float dy, float y) const { return dy * y * (1.0f - y); }
};

}  // namespace

void sigmoid(Call& call, Queue& queue) { map(call, queue, Sigmoid{}); }

void sigmoid_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &y = call.inputApart(1), &dx = call.outputApart(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  zip(call, queue, dy, y, dx, SigmoidGradient{});
}

}  // namespace convnotes::gpu_rooms
