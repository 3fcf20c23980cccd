// # Narrow
//
// A run of neighbours along one axis; exact. One thread = one element (elementwise.h). As the gradient of a
// concatenation it can go on with an activation's (epilogue.h), whose result is input 1. Bytes: 8 for each
// element of the result, 12 with a gate.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void narrow(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  const int dim = axisOf(x, call.options.whole("dim", 0, -MAX_AXES));
  const int64_t size = x.shape[dim];
  const int64_t start = call.options.whole("start", 0, -size);
  const int64_t length = call.options.whole("length", 0, 0);
  const int64_t first = start < 0 ? start + size : start;
  require(first + length <= size, "the elements do not lie in " + x.show());
  std::vector<int64_t> shape(x.shape, x.shape + x.axes);
  shape[dim] = length;
  call.want(y, shape, "output");
  const int64_t inner = x.size(dim + 1, x.axes);
  Nest nest;
  nest.add(x.size(0, dim), size * inner, length * inner);
  nest.add(length * inner, 1, 1);
  copyNest(call, queue, nest, x.floats() + first * inner, y.floats(), gateAt(call, 1));
}

}  // namespace convnotes::gpu_rooms
