// # Padding
//
// The input inside a border of one value; negative borders cut off. Exact. Bytes: 4 for each element
// read and written.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 52 % around images, 90 % around
// channels.

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void pad(Call& call) {
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
  bool empty = false;
  for (int axis = 0; axis < x.axes; axis++) {
    const size_t at = 2 * static_cast<size_t>(x.axes - 1 - axis);
    const int64_t before = at < padding.size() ? padding[at] : 0;
    const int64_t after = at < padding.size() ? padding[at + 1] : 0;
    require(x.shape[axis] + before + after >= 0, "padding takes away more than there is");
    shape.push_back(x.shape[axis] + before + after);
    const int64_t kept = x.shape[axis] + std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    empty = empty || kept <= 0;
    nest.add(std::max<int64_t>(kept, 0), from[axis], to[axis]);
    a += std::max<int64_t>(-before, 0) * from[axis];
    b += std::max<int64_t>(before, 0) * to[axis];
  }
  call.want(y, shape, "output");
  vectors(call.pool, y.size(),
          [&](int64_t i, int width) { put(y.floats() + i, all(value), width); });
  if (empty) return;
  const Nest::Axis inner = nest.inner();
  split(call.pool, nest.size(), inner.size, [&](int64_t begin, int64_t end) {
    nest.walk(begin, end, [&](int64_t, int64_t p, int64_t q) {
      const float* source = x.floats() + a + p;
      float* target = y.floats() + b + q;
      // Only where the last axis keeps one element, neighbours are not side by side.
      if (inner.a == 1 && inner.b == 1)
        std::copy_n(source, inner.size, target);
      else
        for (int64_t k = 0; k < inner.size; k++) target[k * inner.b] = source[k * inner.a];
    });
  });
}

}  // namespace convnotes::CN_ISA
