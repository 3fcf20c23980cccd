// # Adaptive average pooling
//
// Part i of H' along an axis of H pixels reaches from ⌊iH/H'⌋ to before ⌈(i+1)H/H'⌉; y is the mean of each
// part, dx hands dy back in equal shares. Threads, order, depth and bytes: spans.h.

#include "rooms.h"
#include "spans.h"

namespace convnotes::gpu_rooms {

namespace {

BothSpans partsOfImage(const Call& call, const Operand& x, const Operand& y) {
  call.wantAxes(x, 4, "input");
  int64_t size[2];
  call.options.pair("outputSize", 0, 1, size);
  require(size[0] >= 1 && size[1] >= 1, "outputSize is missing");
  call.want(y, {x.shape[0], x.shape[1], size[0], size[1]}, "output");
  const auto along = [&](int axis) { return Spans(x.shape[2 + axis], size[axis], 0, 1, 0, true); };
  return {along(0), along(1)};
}

}  // namespace

void adaptive_avg_pool2d(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &y = call.outputApart(0);
  const BothSpans s = partsOfImage(call, x, y);
  meanOfSpans(call, queue, x, y, s.rows, s.columns);
}

void adaptive_avg_pool2d_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &dx = call.output(0);
  const BothSpans s = partsOfImage(call, dx, dy);
  spreadOverSpans(call, queue, dy, dx, s.rows, s.columns);
}

}  // namespace convnotes::gpu_rooms
