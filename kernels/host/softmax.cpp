// # Softmax
//
// y = e^(x − a) / Σ e^(x − a) along an axis, a the largest; dx = y·(dy − Σ dy·y). Order and depth:
// lines.h. The exponential is off by less than a unit of the last place (math.h).
// Bytes: 12 for each element forward (the exponentials are kept in y), 16 backward.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 34 %, which exponentials
// bind, backward 87 %.

#include "lines.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void softmax(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const Lines s = linesOf(call, x);
  const float* from = x.floats();
  float* to = y.floats();
  eachLine(call.pool, s, [&](int64_t offset, int width) {
    const V most = lineMax(s, offset, width, from);
    const V total = lineSum(s, offset, width, [&](int64_t i, int w) {
      const V e = exponential(take(from + i, w) - most);
      put(to + i, e, w);
      return e;
    });
    along(s, offset, width, [&](int64_t i, int w) { put(to + i, take(to + i, w) / total, w); });
  });
}

void softmax_backward_input(Call& call) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(dy, y, "dy");
  call.wantSame(dx, y, "output");
  const Lines s = linesOf(call, y);
  const float *gradient = dy.floats(), *result = y.floats();
  float* to = dx.floats();
  eachLine(call.pool, s, [&](int64_t offset, int width) {
    const V mean = lineSum(s, offset, width, [&](int64_t i, int w) {
      return take(gradient + i, w) * take(result + i, w);
    });
    along(s, offset, width, [&](int64_t i, int w) {
      put(to + i, take(result + i, w) * (take(gradient + i, w) - mean), w);
    });
  });
}

}  // namespace convnotes::CN_ISA
