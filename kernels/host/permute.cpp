// # Permute
//
// y is x with its axes in another order; exact. Where the innermost axis of y is another one than that of
// x, blocks of 16 × 16 are transposed. Bytes: 8 for each element.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 53 %, channels last.

#include "loops.h"
#include "ops.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

void permute(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  const std::vector<int64_t> dims = call.options.list("dims"), steps = stepsOf(x);
  std::vector<int64_t> shape;
  std::vector<bool> named(x.axes, false);
  require(static_cast<int>(dims.size()) == x.axes, "dims must name each axis of " + x.show());
  // From x, in the order of y: sizes, steps of x, steps of y.
  Nest nest;
  for (int64_t dim : dims) {
    const int axis = axisOf(x, dim);
    require(!named[axis], "dims names an axis twice");
    named[axis] = true;
    shape.push_back(x.shape[axis]);
  }
  call.want(y, shape, "output");
  if (y.size() == 0) return;
  const std::vector<int64_t> to = stepsOf(y);
  for (int i = 0; i < y.axes; i++) nest.add(shape[i], steps[axisOf(x, dims[i])], to[i]);
  const Nest::Axis inner = nest.inner();
  const float* from = x.floats();
  float* out = y.floats();

  if (inner.a == 1 || nest.axes.empty()) {
    split(call.pool, nest.size(), inner.size, [&](int64_t begin, int64_t end) {
      nest.walk(begin, end, [&](int64_t, int64_t p, int64_t q) {
        std::copy_n(from + p, inner.size, out + q);
      });
    });
    return;
  }
  // Some other axis of y has step 1 in x: its rows are columns of the innermost.
  size_t turned = 0;
  while (nest.axes[turned].a != 1) turned++;
  const Nest::Axis other = nest.axes[turned];
  nest.axes.erase(nest.axes.begin() + static_cast<ptrdiff_t>(turned));
  const int64_t pieces = (other.size + L - 1) / L;
  split(call.pool, nest.size() * pieces, L * inner.size, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; piece++) {
      const int64_t j = piece % pieces * L;
      const int rows = static_cast<int>(std::min<int64_t>(L, other.size - j));
      nest.walk(piece / pieces, piece / pieces + 1, [&](int64_t, int64_t p, int64_t q) {
        for (int64_t i = 0; i < inner.size; i += L)
          scatterColumns(from + p + i * inner.a + j, inner.a, rows,
                         static_cast<int>(std::min<int64_t>(L, inner.size - i)),
                         out + q + i + j * other.b, other.b);
      });
    }
  });
}

}  // namespace convnotes::CN_ISA
