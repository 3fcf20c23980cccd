// # Sigmoid
//
// y = 1/(1 + e⁻ˣ), off by less than 8u of y, or by less than 2⁻¹²⁶ where y is smaller; dx = dy·y·(1 − y),
// three roundings.
// Bytes: 8 for each element forward, 12 backward.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 99 %, backward 97 %.

#include "loops.h"
#include "math.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void sigmoid(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const float* from = x.floats();
  float* to = y.floats();
  vectors(call.pool, y.size(),
          [=](int64_t i, int width) { put(to + i, logistic(take(from + i, width)), width); });
}

void sigmoid_backward_input(Call& call) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(y, dy, "y");
  call.wantSame(dx, dy, "output");
  const float *gradient = dy.floats(), *result = y.floats();
  float* to = dx.floats();
  vectors(call.pool, dx.size(), [=](int64_t i, int width) {
    const V s = take(result + i, width);
    put(to + i, take(gradient + i, width) * s * (all(1.0f) - s), width);
  });
}

}  // namespace convnotes::CN_ISA
