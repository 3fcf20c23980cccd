// # Adaptive average pooling
//
// Part i of H' along an axis of H pixels reaches from ⌊iH/H'⌋ to before ⌈(i+1)H/H'⌉; y is the mean of each
// part, dx hands dy back in equal shares. Order and depth: spans.h. Bytes: 4 for each element of x
// and of y.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 50 %, backward 46 %.

#include "ops.h"
#include "spans.h"

namespace convnotes::CN_ISA {

namespace {

std::vector<Span> parts(int64_t size, int64_t count) {
  std::vector<Span> spans;
  for (int64_t i = 0; i < count; i++) {
    const int64_t begin = i * size / count, end = ((i + 1) * size + count - 1) / count;
    spans.push_back({begin, end, end - begin});
  }
  return spans;
}

void check(const Call& call, const Operand& x, const Operand& y) {
  call.wantAxes(x, 4, "input");
  int64_t size[2];
  call.options.pair("outputSize", 0, 1, size);
  require(size[0] >= 1 && size[1] >= 1, "outputSize is missing");
  call.want(y, {x.shape[0], x.shape[1], size[0], size[1]}, "output");
}

}  // namespace

void adaptive_avg_pool2d(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  check(call, x, y);
  meanOfSpans(call, x, y, parts(x.shape[2], y.shape[2]), parts(x.shape[3], y.shape[3]));
}

void adaptive_avg_pool2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &dx = call.output(0);
  check(call, dx, dy);
  spreadOverSpans(call, dy, dx, parts(dx.shape[2], dy.shape[2]), parts(dx.shape[3], dy.shape[3]));
}

}  // namespace convnotes::CN_ISA
