// # Narrow
//
// A run of neighbours along one axis; exact. Bytes: 8 for each element of the result.

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void narrow(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  const int dim = axisOf(x, call.options.whole("dim", 0, -MAX_AXES));
  const int64_t size = x.shape[dim];
  const int64_t start = call.options.whole("start", 0, -size), length = call.options.whole("length", 0, 0);
  const int64_t first = start < 0 ? start + size : start;
  require(first + length <= size, "the elements do not lie in " + x.show());
  std::vector<int64_t> shape(x.shape, x.shape + x.axes);
  shape[dim] = length;
  call.want(y, shape, "output");
  const int64_t inner = x.size(dim + 1, x.axes);
  split(call.pool, x.size(0, dim), length * inner, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++)
      std::copy_n(x.floats() + (n * size + first) * inner, length * inner,
                  y.floats() + n * length * inner);
  });
}

}  // namespace convnotes::CN_ISA
