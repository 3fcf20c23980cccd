// # Stochastic gradient descent
//
// g' = g + λp;  b' = μb + (1 − τ)g', or g' at the first step;  p' = p − η·b', with Nesterov p − η(g' + μb'),
// without momentum p − η·g'. Each operation rounds once; products go into their sums unrounded.
//
// One thread = four elements, or one where a tensor is not aligned to 16 bytes. The learning rate, and
// whether this is the first step, are read from device memory. Bytes: 12 for each element, 20 with
// momentum; bound by memory.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Descent {
  const double *lr, *first;
  float decay, keep, fresh;
  bool momentum, nesterov;

  /** Moves one parameter on; `buffer` is read after the first step and written, with momentum. */
  __device__ __forceinline__ float operator()(float x, float g, float* buffer, float minusRate,
                                              bool starts) const {
    const float gradient = fmaf(decay, x, g);
    float direction = gradient;
    if (momentum) {
      const float sum = starts ? gradient : fmaf(keep, *buffer, fresh * gradient);
      *buffer = sum;
      direction = nesterov ? fmaf(keep, sum, gradient) : sum;
    }
    return fmaf(minusRate, direction, x);
  }
};

template <int PIECE>
GPU_KERNEL(ELEMENT_THREADS)
descend(Descent d, const float* p, const float* g, const float* buffer, float* to, float* toBuffer,
        int count) {
  const int64_t begin =
      (int64_t{blockIdx.x} * ELEMENT_THREADS + static_cast<int>(threadIdx.x)) * PIECE;
  const float minusRate = static_cast<float>(-*d.lr);
  const bool starts = *d.first != 0;
  if (PIECE == 4 && begin + 4 <= count) {
    const float4 x = *reinterpret_cast<const float4*>(p + begin);
    const float4 gradient = *reinterpret_cast<const float4*>(g + begin);
    float4 sum = d.momentum && !starts ? *reinterpret_cast<const float4*>(buffer + begin)
                                       : make_float4(0, 0, 0, 0);
    const float4 next = make_float4(d(x.x, gradient.x, &sum.x, minusRate, starts),
                                    d(x.y, gradient.y, &sum.y, minusRate, starts),
                                    d(x.z, gradient.z, &sum.z, minusRate, starts),
                                    d(x.w, gradient.w, &sum.w, minusRate, starts));
    if (d.momentum) *reinterpret_cast<float4*>(toBuffer + begin) = sum;
    *reinterpret_cast<float4*>(to + begin) = next;
    return;
  }
  for (int64_t i = begin; i < min(begin + PIECE, int64_t{count}); i++) {
    float sum = d.momentum && !starts ? buffer[i] : 0;
    const float next = d(p[i], g[i], &sum, minusRate, starts);
    if (d.momentum) toBuffer[i] = sum;
    to[i] = next;
  }
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
  if (param.size() == 0) return;
  const Descent d{queue.varying(call, "lr"),
                  queue.varying(call, "first"),
                  static_cast<float>(o.number("weightDecay", 0)),
                  static_cast<float>(momentum),
                  static_cast<float>(1 - o.number("dampening", 0)),
                  momentum != 0,
                  o.flag("nesterov", false)};
  const bool fours = aligned(param.data) && aligned(grad.data) && aligned(next.data) &&
                     aligned(buffer.data) && aligned(nextBuffer.data);
  enqueue(queue, fours ? descend<4> : descend<1>, call.name,
          blocksFor(fours ? (param.size() + 3) / 4 : param.size(), ELEMENT_THREADS),
          ELEMENT_THREADS, d, param.floats(), grad.floats(), buffer.floats(), next.floats(),
          nextBuffer.floats(), static_cast<int>(param.size()));
}

}  // namespace convnotes::gpu_rooms
