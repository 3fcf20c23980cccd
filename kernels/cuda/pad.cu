// # Padding
//
// The input inside a border of one value; negative borders cut off. Exact. One thread = one element, first
// of the result, which is filled, then of what is kept of the input. Bytes: 4 for each element
// read, and for each written, twice inside the border.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

GPU_KERNEL(ELEMENT_THREADS) fillKernel(float* y, float value, int count) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i < count) y[i] = value;
}

}  // namespace

void pad(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  const std::vector<int64_t> padding = call.options.list("padding");
  require(padding.size() % 2 == 0 && padding.size() <= 2 * static_cast<size_t>(x.axes),
          "padding must hold two numbers for each axis to pad");
  const float value = static_cast<float>(call.options.number("value", 0));
  std::vector<int64_t> shape;
  Nest nest;
  const std::vector<int64_t> from = stepsOf(x), to = stepsOf(y);
  require(x.axes == y.axes, "output has shape " + y.show());
  int64_t a = 0, b = 0;
  for (int axis = 0; axis < x.axes; axis++) {
    // The last axis comes first.
    const size_t at = 2 * static_cast<size_t>(x.axes - 1 - axis);
    const int64_t before = at < padding.size() ? padding[at] : 0;
    const int64_t after = at < padding.size() ? padding[at + 1] : 0;
    require(x.shape[axis] + before + after >= 0, "padding takes away more than there is");
    shape.push_back(x.shape[axis] + before + after);
    const int64_t kept =
        x.shape[axis] + std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    nest.add(std::max<int64_t>(kept, 0), from[axis], to[axis]);
    a += std::max<int64_t>(-before, 0) * from[axis];
    b += std::max<int64_t>(before, 0) * to[axis];
  }
  call.want(y, shape, "output");
  if (y.size() == 0) return;
  enqueue(queue, fillKernel, call.name, blocksFor(y.size(), ELEMENT_THREADS), ELEMENT_THREADS,
          y.floats(), value, static_cast<int>(y.size()));
  copyNest(call, queue, nest, x.floats() + a, y.floats() + b);
}

}  // namespace convnotes::gpu_rooms
