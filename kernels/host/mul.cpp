// # Multiplication
//
// y = a·b, element by element, axes of size 1 repeated: one rounding. The gradient of a factor is
// dy times the other factor, added up where the factor was repeated: sums of products in the
// order of reduce.h, one after another where the other factor stands in the way of vectors.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 102 %, gradients 118 to 123
// %.

#include "elementwise.h"
#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

namespace {

void gradient(const Call& call) {
  const Operand &dy = call.input(0), &other = call.input(1), &dx = call.output(0);
  if (dx.size() == dy.size() && dx.axes == dy.axes)
    return pairwise(call, dy, other, dx, [](V a, V b) { return a * b; });
  const std::vector<int64_t> dySteps = stepsOf(dy), otherSteps = broadcastSteps(other, dy);
  const std::vector<int64_t> dxSteps = broadcastSteps(dx, dy);
  // Axes along which dx stands still are added up.
  Nest kept, gone;
  for (int i = 0; i < dy.axes; i++)
    (dxSteps[i] ? kept : gone).add(dy.shape[i], dySteps[i], otherSteps[i]);
  if (dy.size() == 0) return std::fill(dx.floats(), dx.floats() + dx.size(), 0.0f);
  require(kept.size() == dx.size(), "output has shape " + dx.show() + ", which does not repeat to " +
                                        dy.show());
  const Nest::Axis inner = gone.inner();
  const float *g = dy.floats(), *x = other.floats();
  float* to = dx.floats();
  split(call.pool, kept.size(), gone.size() * inner.size, [&](int64_t begin, int64_t end) {
    kept.walk(begin, end, [&](int64_t i, int64_t p, int64_t q) {
      float total = 0;
      gone.walk(0, gone.size(), [&](int64_t, int64_t a, int64_t b) {
        const float *gs = g + p + a, *xs = x + q + b;
        if (inner.a == 1 && inner.b <= 1) {
          total += sumTerms(inner.size, [&](int64_t k, int width) {
            return take(gs + k, width) * (inner.b ? take(xs + k, width) : all(xs[0]));
          });
        } else {
          float part = 0;
          for (int64_t k = 0; k < inner.size; k++) part += gs[k * inner.a] * xs[k * inner.b];
          total += part;
        }
      });
      to[i] = total;
    });
  });
}

}  // namespace

void mul(Call& call) {
  pairwise(call, call.input(0), call.input(1), call.output(0), [](V a, V b) { return a * b; });
}

void mul_backward_input(Call& call) { gradient(call); }
void mul_backward_other(Call& call) { gradient(call); }

}  // namespace convnotes::CN_ISA
