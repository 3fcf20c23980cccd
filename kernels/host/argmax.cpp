// # Position of the maximum
//
// The index along an axis (or of all elements in a row) of the first largest element; the first
// NaN counts as largest. Exact. Bytes: 4 for each element.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 14 %: numbers come one by one.

#include <cmath>

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void argmax(Call& call) {
  const Operand& x = call.input(0);
  require(call.outputs.size() == 1 && call.outputs[0].present &&
              call.outputs[0].dtype == DType::int64,
          "the output must be int64");
  const Operand& y = call.outputs[0];
  Reduction r(call, x, y);
  if (y.size() == 0) return;
  require(r.count > 0, "there is no largest of no elements: " + x.show());
  const Nest::Axis along = r.gone.inner();
  require(r.gone.axes.empty(), "dim must be one axis, or all");
  const float* from = x.floats();
  int64_t* to = static_cast<int64_t*>(y.data);
  split(call.pool, y.size(), r.count, [&](int64_t begin, int64_t end) {
    r.kept.walk(begin, end, [&](int64_t i, int64_t p, int64_t) {
      int64_t best = 0;
      for (int64_t k = 1; k < along.size; k++) {
        const float v = from[p + k * along.a], most = from[p + best * along.a];
        if (v > most || (v != v && most == most)) best = k;
      }
      to[i] = best;
    });
  });
}

}  // namespace convnotes::CN_ISA
