// # Concatenation
//
// Blocks of the tensors in turn; exact. One thread = one element (elementwise.h), one launch for each
// tensor. Bytes: 8 for each element. A program has tensors computed where they belong, as slices of the
// result (plan/slices.ts): those are not copied, and where all are, it does not run at all.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void concat(Call& call, Queue& queue) {
  const Operand& y = call.outputApart(0);
  require(!call.inputs.empty(), "needs at least one tensor");
  const int dim = axisOf(y, call.options.whole("dim", 0, -MAX_AXES));
  int64_t along = 0;
  for (size_t i = 0; i < call.inputs.size(); i++) {
    const Operand& x = call.inputApart(i);
    require(x.axes == y.axes, "tensors have shapes " + x.show() + " and " + y.show());
    for (int axis = 0; axis < y.axes; axis++)
      require(axis == dim || x.shape[axis] == y.shape[axis],
              "tensors have shapes " + x.show() + " and " + y.show());
    along += x.shape[dim];
  }
  require(along == y.shape[dim], "output has shape " + y.show() + ", which the tensors do not fill");
  const std::vector<int64_t> to = stepsOf(y);
  float* at = y.floats();
  for (const Operand& x : call.inputs) {
    const std::vector<int64_t> from = stepsOf(x);
    Nest nest;
    for (int i = 0; i < y.axes; i++) nest.add(x.shape[i], from[i], to[i]);
    if (x.floats() != at) copyNest(call, queue, nest, x.floats(), at);
    at += x.shape[dim] * to[dim];
  }
}

}  // namespace convnotes::gpu_rooms
