// # Hyperbolic tangent
//
// y = tanh x, off by less than 5u of y; dx = dy·(1 − y²), where 1 − y² is taken with one rounding
// after the square's, so that it may be off by u·y² itself.
// Bytes: 8 for each element forward, 12 backward.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 60 %, backward 106 %.

#include "loops.h"
#include "math.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void tanh(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const float* from = x.floats();
  float* to = y.floats();
  vectors(call.pool, y.size(),
          [=](int64_t i, int width) { put(to + i, hyperbolicTangent(take(from + i, width)), width); });
}

void tanh_backward_input(Call& call) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  const float *gradient = dy.floats(), *result = y.floats();
  float* to = dx.floats();
  vectors(call.pool, dx.size(), [=](int64_t i, int width) {
    const V s = take(result + i, width);
    put(to + i, take(gradient + i, width) * (all(1.0f) - s * s), width);
  });
}

}  // namespace convnotes::CN_ISA
