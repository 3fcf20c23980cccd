// # Softmax
//
// y = e^(x − a) / Σ e^(x − a) along an axis, a the largest; dx = y·(dy − Σ dy·y). Threads, order and
// depth: lines.h. The exponential is CUDA's expf, off by at most one unit of the last place.
// Bytes: 8 for each element forward, 12 backward, where a line stays in a cache; the exponentials are
// kept in y by the thread that reads them again.

#include "lines.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Softmax {
  const float* x;
  float* y;

  template <class Line>
  __device__ __forceinline__ void operator()(const Line& line) const {
    const float most = line.template join<Larger>([&](int i) { return x[i]; });
    const float total = line.template join<Adding>([&](int i) { return y[i] = expf(x[i] - most); });
    line.each([&](int i) { y[i] = y[i] / total; });
  }
};

struct SoftmaxGradient {
  const float *dy, *y;
  float* dx;

  template <class Line>
  __device__ __forceinline__ void operator()(const Line& line) const {
    const float mean = line.template join<Adding>([&](int i) { return dy[i] * y[i]; });
    line.each([&](int i) { dx[i] = y[i] * (dy[i] - mean); });
  }
};

}  // namespace

void softmax(Call& call, Queue& queue) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  eachLine(call, queue, linesOf(call, x), Softmax{x.floats(), y.floats()});
}

void softmax_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &y = call.input(1), &dx = call.output(0);
  call.wantSame(dy, y, "dy");
  call.wantSame(dx, y, "output");
  eachLine(call, queue, linesOf(call, y), SoftmaxGradient{dy.floats(), y.floats(), dx.floats()});
}

}  // namespace convnotes::gpu_rooms
