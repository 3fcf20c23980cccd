// # Permute
//
// y is x with its axes in another order; exact. One thread = one element of y (elementwise.h): writes are
// of neighbours, reads come from where the axes put them. Bytes: 8 for each element where the
// innermost axis stays, up to 36 where it does not.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

void permute(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  const std::vector<int64_t> dims = call.options.list("dims"), steps = stepsOf(x);
  std::vector<int64_t> shape;
  std::vector<bool> named(x.axes, false);
  require(static_cast<int>(dims.size()) == x.axes, "dims must name each axis of " + x.show());
  for (int64_t dim : dims) {
    const int axis = axisOf(x, dim);
    require(!named[axis], "dims names an axis twice");
    named[axis] = true;
    shape.push_back(x.shape[axis]);
  }
  call.want(y, shape, "output");
  const std::vector<int64_t> to = stepsOf(y);
  Nest nest;
  for (int i = 0; i < y.axes; i++) nest.add(shape[i], steps[axisOf(x, dims[i])], to[i]);
  copyNest(call, queue, nest, x.floats(), y.floats());
}

}  // namespace convnotes::gpu_rooms
