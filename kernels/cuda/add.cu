// # Addition
//
// y = a + b, element by element, axes of size 1 repeated. One rounding.
// One thread = four elements, or one where an operand is repeated (elementwise.h). Bytes: 12 for each.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Sum2 {
  __device__ float operator()(float a, float b) const { return a + b; }
};

}  // namespace

void add(Call& call, Queue& queue) {
  pairwise(call, queue, call.input(0), call.input(1), call.output(0), Sum2{});
}

}  // namespace convnotes::gpu_rooms
