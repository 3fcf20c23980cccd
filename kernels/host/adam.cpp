// # Adam
//
// m' = m + (1 − β₁)(g − m);  v' = β₂v + (1 − β₂)g²;  p' = p − η/(1 − β₁ᵗ) · m' / (√v'/√(1 − β₂ᵗ) + ε).
// Weight decay λ adds λp to g or, decoupled, first shrinks p by 1 − ηλ. The corrections are computed in
// float64 and rounded; everything else rounds operation by operation.
// Bytes: 28 for each element; bound by memory, the root and the two divisions hidden behind it.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 152 %; a copy also reads what it
// overwrites.

#include <cmath>

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void adam(Call& call) {
  const Operand &param = call.input(0), &grad = call.input(1);
  const Operand &mean = call.input(2), &square = call.input(3);
  const Operand &next = call.output(0), &nextMean = call.output(1), &nextSquare = call.output(2);
  for (const Operand* t : {&grad, &mean, &square, &next, &nextMean, &nextSquare})
    call.wantSame(*t, param, "what belongs to param");
  const Options& o = call.options;
  const double lr = o.number("lr", NAN), step = o.number("step", NAN);
  const double beta1 = o.number("beta1", 0.9), beta2 = o.number("beta2", 0.999);
  const double decay = o.number("weightDecay", 0);
  const bool decoupled = o.flag("decoupled", false);
  const auto constant = [](double x) { return all(static_cast<float>(x)); };
  const V minusStep = constant(-lr / (1 - std::pow(beta1, step)));
  const V correction = constant(std::sqrt(1 - std::pow(beta2, step)));
  const V fresh1 = constant(1 - beta1), keep2 = constant(beta2), fresh2 = constant(1 - beta2);
  const V eps = constant(o.number("eps", 1e-8));
  const V shrink = constant(decoupled ? 1 - lr * decay : 1), pull = constant(decay);
  const bool pulls = !decoupled && decay != 0;
  const float *p = param.floats(), *g = grad.floats(), *m = mean.floats(), *v = square.floats();
  float *to = next.floats(), *toMean = nextMean.floats(), *toSquare = nextSquare.floats();
  vectors(call.pool, param.size(), [=](int64_t i, int width) {
    const V x = take(p + i, width);
    // Without decay an infinite parameter leaves its moments alone.
    const V raw = take(g + i, width), gradient = pulls ? fma(pull, x, raw) : raw;
    const V oldMean = take(m + i, width);
    const V newMean = fma(fresh1, gradient - oldMean, oldMean);
    const V newSquare = fma(keep2, take(v + i, width), fresh2 * gradient * gradient);
    put(toMean + i, newMean, width);
    put(toSquare + i, newSquare, width);
    const V divisor = root(newSquare) / correction + eps;
    put(to + i, fma(minusStep, newMean / divisor, x * shrink), width);
  });
}

}  // namespace convnotes::CN_ISA
