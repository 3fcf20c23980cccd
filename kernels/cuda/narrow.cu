// # Narrow
//
// A run of neighbours along one axis; exact. One thread = one element (elementwise.h). Bytes: 8 for each element
// of the result. In a program whose readers take slices (plan/slices.ts) it does not run at all.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void narrow(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &y = call.output(0);
  const int dim = axisOf(x, call.options.whole("dim", 0, -MAX_AXES));
  const int64_t size = x.shape[dim];
  const int64_t start = call.options.whole("start", 0, -size);
  const int64_t length = call.options.whole("length", 0, 0);
  const int64_t first = start < 0 ? start + size : start;
  require(first + length <= size, "the elements do not lie in " + x.show());
  std::vector<int64_t> shape(x.shape, x.shape + x.axes);
  shape[dim] = length;
  call.want(y, shape, "output");
  const std::vector<int64_t> from = stepsOf(x), to = stepsOf(y);
  Nest nest;
  for (int i = 0; i < y.axes; i++) nest.add(y.shape[i], from[i], to[i]);
  copyNest(call, queue, nest, x.floats() + first * from[dim], y.floats());
}

}  // namespace convnotes::gpu_rooms
