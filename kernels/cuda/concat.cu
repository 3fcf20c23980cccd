// # Concatenation
//
// Blocks of the tensors in turn; exact. One thread = one element (elementwise.h), one launch for each
// tensor. Bytes: 8 for each element.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void concat(Call& call, Queue& queue) {
  const Operand& y = call.output(0);
  require(!call.inputs.empty(), "needs at least one tensor");
  const int dim = axisOf(y, call.options.whole("dim", 0, -MAX_AXES));
  int64_t along = 0;
  for (size_t i = 0; i < call.inputs.size(); i++) {
    const Operand& x = call.input(i);
    require(x.axes == y.axes, "tensors have shapes " + x.show() + " and " + y.show());
    for (int axis = 0; axis < y.axes; axis++)
      require(axis == dim || x.shape[axis] == y.shape[axis],
              "tensors have shapes " + x.show() + " and " + y.show());
    along += x.shape[dim];
  }
  require(along == y.shape[dim], "output has shape " + y.show() + ", which the tensors do not fill");
  const int64_t outer = y.size(0, dim), inner = y.size(dim + 1, y.axes);
  int64_t at = 0;
  for (const Operand& x : call.inputs) {
    const int64_t block = x.shape[dim] * inner;
    Nest nest;
    nest.add(outer, block, y.shape[dim] * inner);
    nest.add(block, 1, 1);
    copyNest(call, queue, nest, x.floats(), y.floats() + at);
    at += block;
  }
}

}  // namespace convnotes::gpu_rooms
