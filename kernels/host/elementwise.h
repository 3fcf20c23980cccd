// # Two tensors, element by element
//
// y = f(a, b) with broadcasting. The innermost axis runs in vectors, in which either operand may
// stand still.

#pragma once

#include "loops.h"

namespace convnotes::CN_ISA {

template <class F>
void pairwise(const Call& call, const Operand& a, const Operand& b, const Operand& y, const F& f) {
  const std::vector<int64_t> aSteps = broadcastSteps(a, y), bSteps = broadcastSteps(b, y);
  Nest nest;
  for (int i = 0; i < y.axes; i++) {
    require(y.shape[i] == 1 || aSteps[i] != 0 || bSteps[i] != 0 || y.size() == 0,
            "output has shape " + y.show() + ", which " + a.show() + " and " + b.show() +
                " do not make");
    nest.add(y.shape[i], aSteps[i], bSteps[i]);
  }
  const Nest::Axis inner = nest.inner();
  const float *from = a.floats(), *other = b.floats();
  float* to = y.floats();
  // A step is 0 or 1 here: what lies behind the innermost axis that is not repeated is of size 1.
  const auto run = [&](int64_t i, int64_t p, int64_t q, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k += L) {
      const int width = static_cast<int>(std::min<int64_t>(L, end - k));
      const V x = inner.a ? take(from + p + k, width) : all(from[p]);
      const V z = inner.b ? take(other + q + k, width) : all(other[q]);
      put(to + i * inner.size + k, f(x, z), width);
    }
  };
  if (nest.axes.empty()) {
    if (inner.size == 0) return;
    split(call.pool, (inner.size + L - 1) / L, L, [&](int64_t begin, int64_t end) {
      run(0, 0, 0, begin * L, std::min(inner.size, end * L));
    });
  } else {
    split(call.pool, nest.size(), inner.size, [&](int64_t begin, int64_t end) {
      nest.walk(begin, end,
                [&](int64_t i, int64_t p, int64_t q) { run(i, p, q, 0, inner.size); });
    });
  }
}

}  // namespace convnotes::CN_ISA
