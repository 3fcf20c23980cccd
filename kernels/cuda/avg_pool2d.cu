// # Average pooling
//
// y = Σ x / d over the pixels of each window, where d counts its taps inside the padded image or, without
// countIncludePad, inside the image; dx hands dy/d back to each of them. Threads, order, depth and
// bytes: spans.h.

#include "../host/window.h"
#include "rooms.h"
#include "spans.h"

namespace convnotes::gpu_rooms {

namespace {

BothSpans spansOf(const Call& call, const Operand& x, const Operand& y) {
  call.wantAxes(x, 4, "input");
  int64_t kernel[2], stride[2], padding[2], out[2];
  call.options.pair("kernelSize", 0, 1, kernel);
  require(kernel[0] >= 1 && kernel[1] >= 1, "kernelSize is missing");
  call.options.pair("stride", 0, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  const bool ceilMode = call.options.flag("ceilMode", false);
  const bool includePad = call.options.flag("countIncludePad", true);
  std::vector<Spans> spans;
  for (int axis = 0; axis < 2; axis++) {
    require(2 * padding[axis] <= kernel[axis], "padding exceeds half of kernelSize");
    int64_t step = call.options.find("stride") ? stride[axis] : kernel[axis];
    const Window w{x.shape[2 + axis], 0, kernel[axis], step, 1, padding[axis]};
    out[axis] = places(w, ceilMode);
    // One place is never left.
    if (out[axis] == 1) step = 1;
    spans.push_back({w.in, out[axis], w.taps, step, w.padding, includePad});
  }
  call.want(y, {x.shape[0], x.shape[1], out[0], out[1]}, "output");
  return {spans[0], spans[1]};
}

}  // namespace

void avg_pool2d(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &y = call.outputApart(0);
  const BothSpans s = spansOf(call, x, y);
  meanOfSpans(call, queue, x, y, s.rows, s.columns);
}

void avg_pool2d_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &dx = call.output(0);
  const BothSpans s = spansOf(call, dx, dy);
  spreadOverSpans(call, queue, dy, dx, s.rows, s.columns);
}

}  // namespace convnotes::gpu_rooms
