// # Stochastic gradient descent
//
// g' = g + λp;  b' = μb + (1 − τ)g', or g' at the first step;  p' = p − η·b', with Nesterov p − η(g' + μb'),
// without momentum p − η·g'. Each operation rounds once; products go into their sums unrounded.
//
// One thread = four elements, and one launch = all parameters of a captured step (many.h). The learning
// rate, and whether this is the first step, are read from device memory. Bytes: 12 for each element,
// 20 with momentum; bound by memory.

#include "many.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Descent {
  float decay, keep, fresh;
  bool momentum, nesterov;

  bool operator==(const Descent&) const = default;
};

/** in: parameter, gradient, buffer; out: parameter, buffer; numbers: learning rate, first step. */
GPU_KERNEL(ELEMENT_THREADS) descend(GPU_LARGE(Many<Descent>) many) {
  if (many.isHalted()) return;
  const int which = many.of(static_cast<int>(blockIdx.x));
  const Parameter& t = many.parameters[which];
  const Descent& d = many.options;
  const int64_t i = int64_t{static_cast<int>(blockIdx.x) - many.first[which]} * MANY_ELEMENTS +
                    static_cast<int>(threadIdx.x) * 4;
  const float minusRate = static_cast<float>(-*t.numbers[0]);
  const bool starts = *t.numbers[1] != 0;
  float p[4], g[4], sum[4] = {};
  readFour(t, t.in[0], i, p);
  readFour(t, t.in[1], i, g);
  if (d.momentum && !starts) readFour(t, t.in[2], i, sum);
#pragma unroll
  for (int k = 0; k < 4; k++) {
    // Without decay an infinite parameter leaves the gradient alone.
    const float gradient = d.decay == 0 ? g[k] : fmaf(d.decay, p[k], g[k]);
    float direction = gradient;
    if (d.momentum) {
      sum[k] = starts ? gradient : fmaf(d.keep, sum[k], d.fresh * gradient);
      direction = d.nesterov ? fmaf(d.keep, sum[k], gradient) : sum[k];
    }
    p[k] = fmaf(minusRate, direction, p[k]);
  }
  if (d.momentum) writeFour(t, t.out[1], i, sum);
  writeFour(t, t.out[0], i, p);
}

}  // namespace

void sgd(Call& call, Queue& queue) {
  const Operand &param = call.input(0), &grad = call.input(1), &next = call.output(0);
  const Operand &buffer = call.optional(2), &nextBuffer = call.optionalOutput(1);
  call.wantSame(grad, param, "grad");
  call.wantSame(next, param, "output");
  const Options& o = call.options;
  const double momentum = o.number("momentum", 0);
  require(o.find("lr") != nullptr, "lr is missing");
  o.number("lr", NAN);
  o.flag("first", false);
  require(momentum == 0 || (buffer && nextBuffer), "momentum needs a momentum_buffer");
  call.wantSame(buffer, param, "momentum_buffer");
  call.wantSame(nextBuffer, param, "momentum_buffer");
  const Descent d{static_cast<float>(o.number("weightDecay", 0)), static_cast<float>(momentum),
                  static_cast<float>(1 - o.number("dampening", 0)), momentum != 0,
                  o.flag("nesterov", false)};
  Parameter t{};
  t.in[0] = param.floats();
  t.in[1] = grad.floats();
  t.in[2] = buffer.floats();
  t.out[0] = next.floats();
  t.out[1] = nextBuffer.floats();
  t.numbers[0] = queue.varying(call, "lr");
  t.numbers[1] = queue.varying(call, "first");
  t.count = static_cast<int>(param.size());
  together(call, queue, descend, d, t);
}

}  // namespace convnotes::gpu_rooms
