// # Stochastic gradient descent
//
// g' = g + λp;  b' = μb + (1 − τ)g', or g' at the first step;  p' = p − η·b', with Nesterov p − η(g' + μb'),
// without momentum p − η·g'. Each operation rounds once; products go into their sums unrounded.
// Bytes: 12 for each element, 20 with momentum; bound by memory.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 155 %, with momentum 145 %; a copy
// also reads what it overwrites.

#include "loops.h"
#include "ops.h"
#include "sgd.h"

namespace convnotes::CN_ISA {

void sgd(Call& call) {
  const Operand &param = call.input(0), &grad = call.input(1), &next = call.output(0);
  const Operand &buffer = call.optional(2), &nextBuffer = call.optionalOutput(1);
  call.wantSame(grad, param, "grad");
  call.wantSame(next, param, "output");
  const SgdStep step(call.options);
  require(!step.hasMomentum() || (buffer && nextBuffer), "momentum needs a momentum_buffer");
  call.wantSame(buffer, param, "momentum_buffer");
  call.wantSame(nextBuffer, param, "momentum_buffer");
  const float *p = param.floats(), *g = grad.floats(), *b = buffer.floats();
  float *to = next.floats(), *toBuffer = nextBuffer.floats();
  vectors(call.pool, param.size(), [=](int64_t i, int width) {
    step(p + i, take(g + i, width), b ? b + i : nullptr, to + i,
         toBuffer ? toBuffer + i : nullptr, width);
  });
}

}  // namespace convnotes::CN_ISA
