// # Sum
//
// y = Σ x along the axes that go; dx = dy for each of them, which is exact. One warp or one thread = one
// part of a result, in the order of reduce.h. Bytes: 4 for each element read, 4 for each written.

#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void sum(Call& call, Queue& queue) { reduceSum(call, queue, call.input(0), call.output(0), 1); }

void sum_backward_input(Call& call, Queue& queue) {
  spread(call, queue, call.input(0), call.output(0), 1);
}

}  // namespace convnotes::gpu_rooms
