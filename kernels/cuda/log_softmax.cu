// # Logarithm of softmax
//
// y = (x − a) − log Σ e^(x − a) along an axis, a the largest; dx = dy − e^y · Σ dy. Threads, order and
// depth: lines.h. The exponential is CUDA's expf, off by at most one unit of the last place; the
// logarithm is taken in float64 and rounded once.
// Bytes: 8 for each element forward, 12 backward, where a line stays in a cache.

#include "lines.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct LogSoftmax {
  const float* x;
  float* y;

  template <class Line>
  __device__ __forceinline__ void operator()(const Line& line) const {
    const float most = line.template join<Larger>([&](int i) { return x[i]; });
    const float total = line.template join<Adding>([&](int i) { return expf(x[i] - most); });
    const float logarithm = static_cast<float>(log(static_cast<double>(total)));
    line.each([&](int i) { y[i] = (x[i] - most) - logarithm; });
  }
};

struct LogSoftmaxGradient {
  const float *dy, *y;
  float* dx;

  template <class Line>
  __device__ __forceinline__ void operator()(const Line& line) const {
    const float total = line.template join<Adding>([&](int i) { return dy[i]; });
    line.each([&](int i) { dx[i] = dy[i] - expf(y[i]) * total; });
  }
};

}  // namespace

void log_softmax(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  eachLine(call, queue, linesOf(call, x), LogSoftmax{x.floats(), y.floats()});
}

void log_softmax_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(dy, y, "dy");
  call.wantSame(dx, y, "output");
  eachLine(call, queue, linesOf(call, y), LogSoftmaxGradient{dy.floats(), y.floats(), dx.floats()});
}

}  // namespace convnotes::gpu_rooms
