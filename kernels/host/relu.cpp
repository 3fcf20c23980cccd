// # Rectified linear unit
//
// y = max(x, 0), and dx = dy where y > 0, else 0. Exact: comparisons and copies; NaN stays NaN.
// Bytes: 8 for each element forward, 12 backward; bound by memory.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 117 %, backward 104 %.

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void relu(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const float* from = x.floats();
  float* to = y.floats();
  vectors(call.pool, y.size(), [=](int64_t i, int width) {
    const V v = take(from + i, width);
    put(to + i, pick(v < zero(), zero(), v), width);
  });
}

void relu_backward_input(Call& call) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  const float *gradient = dy.floats(), *result = y.floats();
  float* to = dx.floats();
  vectors(call.pool, dx.size(), [=](int64_t i, int width) {
    const V g = take(gradient + i, width);
    put(to + i, pick(take(result + i, width) <= zero(), zero(), g), width);
  });
}

}  // namespace convnotes::CN_ISA
