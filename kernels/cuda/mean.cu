// # Mean
//
// y = Σ x / m along the axes that go, in the order of reduce.h and one division; dx = dy / m, one
// rounding. Bytes: as for sum.

#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

/** Elements of `whole` for each of `parts`. */
float countOf(const Operand& whole, const Operand& parts) {
  return static_cast<float>(static_cast<double>(whole.size()) / static_cast<double>(parts.size()));
}

}  // namespace

void mean(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  reduceSum(call, queue, x, y, countOf(x, y));
}

void mean_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &dx = call.output(0);
  spread(call, queue, dy, dx, countOf(dx, dy));
}

}  // namespace convnotes::gpu_rooms
