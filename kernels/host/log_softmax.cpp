// # Logarithm of softmax
//
// y = (x − a) − log Σ e^(x − a) along an axis, a the largest; dx = dy − e^y · Σ dy. Order and depth:
// lines.h. The logarithm is taken in float64 and rounded once.
// Bytes: 12 for each element forward, 16 backward.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 29 %, which exponentials
// bind, backward 50 %.

#include "lines.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void log_softmax(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const Lines s = linesOf(call, x);
  const float* from = x.floats();
  float* to = y.floats();
  eachLine(call.pool, s, [&](int64_t offset, int width) {
    const V most = lineMax(s, offset, width, from);
    float lane[L];
    store(lane, lineSum(s, offset, width, [&](int64_t i, int w) {
            return exponential(take(from + i, w) - most);
          }));
    for (int i = 0; i < width; i++)
      lane[i] = static_cast<float>(std::log(static_cast<double>(lane[i])));
    const V log = s.step == 1 ? all(lane[0]) : load(lane);
    along(s, offset, width,
          [&](int64_t i, int w) { put(to + i, (take(from + i, w) - most) - log, w); });
  });
}

void log_softmax_backward_input(Call& call) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(dy, y, "dy");
  call.wantSame(dx, y, "output");
  const Lines s = linesOf(call, y);
  const float *gradient = dy.floats(), *result = y.floats();
  float* to = dx.floats();
  eachLine(call.pool, s, [&](int64_t offset, int width) {
    const V total =
        lineSum(s, offset, width, [&](int64_t i, int w) { return take(gradient + i, w); });
    along(s, offset, width, [&](int64_t i, int w) {
      put(to + i, take(gradient + i, w) - exponential(take(result + i, w)) * total, w);
    });
  });
}

}  // namespace convnotes::CN_ISA
