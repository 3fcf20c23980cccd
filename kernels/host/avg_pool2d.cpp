// # Average pooling
//
// y = Σ x / d over the pixels of each window, where d counts its taps inside the padded image or, without
// countIncludePad, inside the image; dx hands dy/d back to each of them. Order and depth: spans.h.
// Bytes: 4 for each element of x and of y.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 27 %, backward 18 %.

#include "ops.h"
#include "spans.h"
#include "window.h"

namespace convnotes::CN_ISA {

namespace {

struct Spans {
  std::vector<Span> rows, columns;
};

Spans spansOf(const Call& call, const Operand& x, const Operand& y) {
  call.wantAxes(x, 4, "input");
  int64_t kernel[2], stride[2], padding[2];
  call.options.pair("kernelSize", 0, 1, kernel);
  require(kernel[0] >= 1 && kernel[1] >= 1, "kernelSize is missing");
  call.options.pair("stride", 0, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  const bool ceilMode = call.options.flag("ceilMode", false);
  const bool includePad = call.options.flag("countIncludePad", true);
  Spans spans;
  int64_t out[2];
  for (int axis = 0; axis < 2; axis++) {
    require(2 * padding[axis] <= kernel[axis], "padding exceeds half of kernelSize");
    const int64_t step = call.options.find("stride") ? stride[axis] : kernel[axis];
    const Window w{x.shape[2 + axis], 0, kernel[axis], step, 1, padding[axis]};
    out[axis] = places(w, ceilMode);
    for (int64_t i = 0; i < out[axis]; i++) {
      const int64_t first = i * step - w.padding;
      Span s{std::max<int64_t>(first, 0), std::min(first + w.taps, w.in), 0};
      s.count = includePad ? std::min(first + w.taps, w.in + w.padding) - first : s.end - s.begin;
      (axis == 0 ? spans.rows : spans.columns).push_back(s);
    }
  }
  call.want(y, {x.shape[0], x.shape[1], out[0], out[1]}, "output");
  return spans;
}

}  // namespace

void avg_pool2d(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  const Spans s = spansOf(call, x, y);
  meanOfSpans(call, x, y, s.rows, s.columns);
}

void avg_pool2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &dx = call.output(0);
  const Spans s = spansOf(call, dx, dy);
  spreadOverSpans(call, dy, dx, s.rows, s.columns);
}

}  // namespace convnotes::CN_ISA
