// # Maximum pooling
//
// y = max x over the pixels of each window; padding never wins, NaN beats everything, a window that sees
// no pixel is −∞. Backward finds the winner again (the first of the largest, the last NaN) and adds
// dy to it. Forward is exact; backward adds at most as many numbers as a window has taps, in the order
// of the windows. Bytes: 4 for each element of x and y, backward 4 more for dx. Threads share out planes.

#include <cmath>

#include "loops.h"
#include "ops.h"
#include "window.h"

namespace convnotes::CN_ISA {

namespace {

/** Along one axis: the pixels of each place, `dilation` apart, from `begin` to before `end`. */
struct Taps {
  int64_t dilation;
  std::vector<Range> places;
};

struct Pool2d {
  Taps rows, columns;
};

Taps tapsOf(const Window& w, int64_t count) {
  Taps taps{w.dilation, {}};
  for (int64_t i = 0; i < count; i++) {
    Range r{i * w.stride - w.padding, std::min(w.in, i * w.stride - w.padding + w.span())};
    if (r.begin < 0) r.begin += (-r.begin + w.dilation - 1) / w.dilation * w.dilation;
    taps.places.push_back(r);
  }
  return taps;
}

Pool2d poolOf(const Call& call, const Operand& x, const Operand& y) {
  call.wantAxes(x, 4, "input");
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  call.options.pair("kernelSize", 0, 1, kernel);
  require(kernel[0] >= 1 && kernel[1] >= 1, "kernelSize is missing");
  call.options.pair("stride", 0, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  call.options.pair("dilation", 1, 1, dilation);
  const bool ceilMode = call.options.flag("ceilMode", false);
  Taps taps[2];
  for (int axis = 0; axis < 2; axis++) {
    require(2 * padding[axis] <= kernel[axis], "padding exceeds half of kernelSize");
    const int64_t step = call.options.find("stride") ? stride[axis] : kernel[axis];
    const Window w{x.shape[2 + axis], 0, kernel[axis], step, dilation[axis], padding[axis]};
    taps[axis] = tapsOf(w, places(w, ceilMode));
  }
  call.want(y, {x.shape[0], x.shape[1], static_cast<int64_t>(taps[0].places.size()),
                static_cast<int64_t>(taps[1].places.size())},
            "output");
  return {taps[0], taps[1]};
}

}  // namespace

void max_pool2d(Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  const Pool2d p = poolOf(call, x, y);
  const int64_t H = x.shape[2], W = x.shape[3];
  const int64_t rows = y.shape[2], columns = y.shape[3];
  split(call.pool, x.shape[0] * x.shape[1], H * W + rows * columns, [&](int64_t begin, int64_t end) {
    // Down the columns in vectors, then along the row.
    std::vector<float> line(W);
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = x.floats() + plane * H * W;
      float* to = y.floats() + plane * rows * columns;
      for (const Range& row : p.rows.places) {
        for (int64_t v = 0; v < W; v += L) {
          const int width = static_cast<int>(std::min<int64_t>(L, W - v));
          V best = all(-INFINITY);
          for (int64_t h = row.begin; h < row.end; h += p.rows.dilation) {
            const V now = take(from + h * W + v, width);
            best = pick((best < now) | isNaN(now), now, best);
          }
          put(line.data() + v, best, width);
        }
        for (const Range& column : p.columns.places) {
          float best = -INFINITY;
          for (int64_t v = column.begin; v < column.end; v += p.columns.dilation)
            if (line[v] > best || line[v] != line[v]) best = line[v];
          *to++ = best;
        }
      }
    }
  });
}

void max_pool2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dx = call.output(0);
  call.wantSame(dx, x, "output");
  const Pool2d p = poolOf(call, x, dy);
  const int64_t H = x.shape[2], W = x.shape[3];
  split(call.pool, x.shape[0] * x.shape[1], 2 * H * W, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = x.floats() + plane * H * W;
      const float* gradient =
          dy.floats() + plane * static_cast<int64_t>(p.rows.places.size() * p.columns.places.size());
      float* to = dx.floats() + plane * H * W;
      std::fill_n(to, H * W, 0.0f);
      for (const Range& row : p.rows.places)
        for (const Range& column : p.columns.places) {
          const float g = *gradient++;
          if (row.begin >= row.end || column.begin >= column.end) continue;
          int64_t best = row.begin * W + column.begin;
          for (int64_t h = row.begin; h < row.end; h += p.rows.dilation)
            for (int64_t v = column.begin; v < column.end; v += p.columns.dilation) {
              const float now = from[h * W + v];
              if (now > from[best] || now != now) best = h * W + v;
            }
          to[best] += g;
        }
    }
  });
}

}  // namespace convnotes::CN_ISA
