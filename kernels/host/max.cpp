// # Maximum
//
// y = max x along the axes that go, NaN where one of them is; exact. The gradient is shared by all
// that are equal to the maximum: dx = dy / t for each of t, one rounding.
// Bytes: 4 for each element forward, 12 backward.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): over everything 6 %, backward 8 %:
// numbers come one by one.

#include <cmath>

#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

void max(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  Reduction r(call, x, y);
  if (y.size() == 0) return;
  require(r.count > 0, "there is no largest of no elements: " + x.show());
  const Nest::Axis inner = r.gone.inner();
  const float* from = x.floats();
  float* to = y.floats();
  split(call.pool, y.size(), r.count, [&](int64_t begin, int64_t end) {
    r.kept.walk(begin, end, [&](int64_t i, int64_t p, int64_t) {
      float best = -INFINITY;
      r.gone.walk(0, r.gone.size(), [&](int64_t, int64_t q, int64_t) {
        for (int64_t k = 0; k < inner.size; k++) {
          const float v = from[p + q + k * inner.a];
          if (v > best || v != v) best = v;
          if (best != best) return;
        }
      });
      to[i] = best;
    });
  });
}

void max_backward_input(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &y = call.input(2);
  const Operand& dx = call.output(0);
  call.wantSame(dx, x, "output");
  call.wantSame(dy, y, "dy");
  const Reduction r(call, x, y);
  const float *from = x.floats(), *best = y.floats(), *gradient = dy.floats();
  float* to = dx.floats();
  if (dx.size() == 0) return;
  split(call.pool, y.size(), r.count, [&](int64_t begin, int64_t end) {
    r.kept.walk(begin, end, [&](int64_t i, int64_t p, int64_t) {
      float ties = 0;
      r.gone.walk(0, r.count, [&](int64_t, int64_t q, int64_t) {
        if (from[p + q] == best[i]) ties++;
      });
      // No element equals NaN: each gets 0/0.
      const float part = gradient[i] / ties;
      r.gone.walk(0, r.count, [&](int64_t, int64_t q, int64_t) {
        to[p + q] = from[p + q] == best[i] ? part : 0 / ties;
      });
    });
  });
}

}  // namespace convnotes::CN_ISA
