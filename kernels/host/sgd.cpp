// # Stochastic gradient descent
//
// g' = g + λp;  b' = μb + (1 − τ)g', or g' at the first step;  p' = p − η·b', with Nesterov p − η(g' + μb'),
// without momentum p − η·g'. Each operation rounds once; products go into their sums unrounded.
// Bytes: 12 for each element, 20 with momentum; bound by memory.

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void sgd(Call& call) {
  const Operand &param = call.input(0), &grad = call.input(1), &next = call.output(0);
  const Operand &buffer = call.optional(2), &nextBuffer = call.optionalOutput(1);
  call.wantSame(grad, param, "grad");
  call.wantSame(next, param, "output");
  const Options& o = call.options;
  const double momentum = o.number("momentum", 0);
  const V minusRate = all(static_cast<float>(-o.number("lr", NAN)));
  const V decay = all(static_cast<float>(o.number("weightDecay", 0)));
  const V keep = all(static_cast<float>(momentum));
  const V fresh = all(static_cast<float>(1 - o.number("dampening", 0)));
  const bool nesterov = o.flag("nesterov", false), starts = o.flag("first", false);
  require(momentum == 0 || (buffer && nextBuffer), "momentum needs a momentum_buffer");
  call.wantSame(buffer, param, "momentum_buffer");
  call.wantSame(nextBuffer, param, "momentum_buffer");
  const float *p = param.floats(), *g = grad.floats(), *b = buffer.floats();
  float *to = next.floats(), *toBuffer = nextBuffer.floats();
  vectors(call.pool, param.size(), [=](int64_t i, int width) {
    const V x = take(p + i, width);
    const V gradient = fma(decay, x, take(g + i, width));
    V direction = gradient;
    if (momentum != 0) {
      const V sum = starts ? gradient : fma(keep, take(b + i, width), fresh * gradient);
      put(toBuffer + i, sum, width);
      direction = nesterov ? fma(keep, sum, gradient) : sum;
    }
    put(to + i, fma(minusRate, direction, x), width);
  });
}

}  // namespace convnotes::CN_ISA
