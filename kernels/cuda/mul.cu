// # Multiplication
//
// y = a·b, element by element, axes of size 1 repeated: one rounding. The gradient of a factor is
// dy times the other factor, added up where the factor was repeated: sums of products in the order of
// reduce.h, each product rounded. One thread = four elements, or as in reduce.h.

#include "elementwise.h"
#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Product2 {
  __device__ float operator()(float a, float b) const { return a * b; }
};

struct ProductTerm {
  const float *dy, *other;
  __device__ float operator()(Offsets at, int) const { return dy[at.a] * other[at.b]; }
};

void gradient(const Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &other = call.input(1), &dx = call.output(0);
  if (dx.size() == dy.size() && dx.axes == dy.axes)
    return pairwise(call, queue, dy, other, dx, Product2{});
  const std::vector<int64_t> dySteps = stepsOf(dy), otherSteps = broadcastSteps(other, dy);
  const std::vector<int64_t> dxSteps = broadcastSteps(dx, dy);
  // Axes along which dx stands still are added up.
  Nest kept, gone;
  for (int i = 0; i < dy.axes; i++)
    (dxSteps[i] ? kept : gone).add(dy.shape[i], dySteps[i], otherSteps[i]);
  require(dy.size() == 0 || kept.count() == dx.size(),
          "output has shape " + dx.show() + ", which does not repeat to " + dy.show());
  if (dy.size() == 0) {
    kept = Nest();
    kept.add(dx.size(), 0, 0);
  }
  float* scratch = static_cast<float*>(queue.scratch(reduceFloats(kept, gone) * 4));
  reduce<Adding>(call, queue, kept, gone, ProductTerm{dy.floats(), other.floats()},
                 Quotient{dx.floats(), 1}, scratch);
}

}  // namespace

void mul(Call& call, Queue& queue) {
  pairwise(call, queue, call.input(0), call.input(1), call.output(0), Product2{});
}

void mul_backward_input(Call& call, Queue& queue) { gradient(call, queue); }
void mul_backward_other(Call& call, Queue& queue) { gradient(call, queue); }

}  // namespace convnotes::gpu_rooms
