// # Maximum pooling
//
// y = max x over the pixels of each window; padding never wins, NaN beats everything, a window that sees
// no pixel is −∞. Backward finds the winner again (the first of the largest, the last NaN) and adds
// dy to it. Forward is exact; backward adds at most as many numbers as a window has taps, in the order
// of the windows. Threads share out planes.
//
// Lanes are neighbouring places of a window. What they see through one tap is a stride apart, so lines of
// pixels are first dealt out into as many phases, where it lies side by side; comparisons then
// pick without a branch, which on images nobody foresees.
// Bytes: 4 for each element of x and y, backward 4 more for dx. One move for each pixel that is dealt out and a
// comparison for each tap.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 49 %, backward 25 %.

#include <cmath>

#include "loops.h"
#include "ops.h"
#include "window.h"

namespace convnotes::CN_ISA {

namespace {

/** Along one axis: the pixels of each place, `dilation` apart, from `begin` to before `end`. */
struct Taps {
  int64_t kernel, stride, padding, dilation;
  std::vector<Range> places;

  int64_t start(int64_t place) const { return place * stride - padding; }
};

struct Pool2d {
  Taps rows, columns;
};

Taps tapsOf(const Window& w, int64_t count) {
  Taps taps{w.taps, w.stride, w.padding, w.dilation, {}};
  for (int64_t i = 0; i < count; i++) {
    Range r{taps.start(i), std::min(w.in, taps.start(i) + w.span())};
    if (r.begin < 0) r.begin += (-r.begin + w.dilation - 1) / w.dilation * w.dilation;
    taps.places.push_back(r);
  }
  return taps;
}

/** A line of pixels in phases: pixel i·stride + q − padding at [q][i]. Where no pixel is, −∞ never wins. */
class Phases {
 public:
  Phases(const Taps& taps, int64_t width)
      : taps_(taps),
        width_(width),
        count_(std::min(taps.stride, taps.dilation * (taps.kernel - 1) + 1)),
        length_(static_cast<int64_t>(taps.places.size()) + L +
                taps.dilation * (taps.kernel - 1) / taps.stride),
        pixels_(static_cast<size_t>(count_ * length_), -INFINITY) {}

  void deal(const float* line) {
    for (int64_t q = 0; q < count_; q++) {
      const int64_t outside = std::max<int64_t>(0, taps_.padding - q);
      int64_t i = (outside + taps_.stride - 1) / taps_.stride;
      float* to = pixels_.data() + q * length_;
      for (int64_t v = taps_.start(i) + q; v < width_ && i < length_; v += taps_.stride)
        to[i++] = line[v];
    }
  }

  /** Of a tap: the pixels that the places see, one after another. */
  const float* seen(int64_t tap) const {
    const int64_t offset = tap * taps_.dilation;
    return pixels_.data() + offset % taps_.stride * length_ + offset / taps_.stride;
  }

 private:
  const Taps& taps_;
  int64_t width_, count_, length_;
  std::vector<float> pixels_;
};

CN_INLINE M beats(V now, V best) { return (best < now) | isNaN(now); }

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
    // Down the columns, then along the row.
    std::vector<float> line(W);
    Phases phases(p.columns, W);
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = x.floats() + plane * H * W;
      float* to = y.floats() + plane * rows * columns;
      for (const Range& row : p.rows.places) {
        for (int64_t v = 0; v < W; v += L) {
          const int width = static_cast<int>(std::min<int64_t>(L, W - v));
          V best = all(-INFINITY);
          for (int64_t h = row.begin; h < row.end; h += p.rows.dilation) {
            const V now = take(from + h * W + v, width);
            best = pick(beats(now, best), now, best);
          }
          put(line.data() + v, best, width);
        }
        phases.deal(line.data());
        for (int64_t i = 0; i < columns; i += L) {
          V best = all(-INFINITY);
          for (int64_t b = 0; b < p.columns.kernel; b++) {
            const V now = load(phases.seen(b) + i);
            best = pick(beats(now, best), now, best);
          }
          put(to + i, best, static_cast<int>(std::min<int64_t>(L, columns - i)));
        }
        to += columns;
      }
    }
  });
}

void max_pool2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dx = call.output(0);
  call.wantSame(dx, x, "output");
  const Pool2d p = poolOf(call, x, dy);
  const int64_t H = x.shape[2], W = x.shape[3];
  const int64_t columns = dy.shape[3];
  require(H * W < int64_t{1} << 31, "an image has more pixels than places have numbers");
  // By place: the pixel of its first tap, seen from its start.
  std::vector<int32_t> first(static_cast<size_t>(columns + L));
  for (int64_t i = 0; i < columns; i++)
    first[i] = static_cast<int32_t>(p.columns.places[i].begin - p.columns.start(i));
  split(call.pool, x.shape[0] * x.shape[1], 2 * H * W, [&](int64_t begin, int64_t end) {
    std::vector<Phases> lines(static_cast<size_t>(p.rows.kernel), Phases(p.columns, W));
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = x.floats() + plane * H * W;
      const float* gradient = dy.floats() + plane * dy.shape[2] * columns;
      float* to = dx.floats() + plane * H * W;
      std::fill_n(to, H * W, 0.0f);
      for (const Range& row : p.rows.places) {
        size_t taps = 0;
        for (int64_t h = row.begin; h < row.end; h += p.rows.dilation)
          lines[taps++].deal(from + h * W);
        for (int64_t i = 0; i < columns && taps > 0; i += L) {
          V best = all(-INFINITY);
          I winner = loadInts(first.data() + i) + allInts(static_cast<int32_t>(row.begin * W));
          for (size_t a = 0; a < taps; a++) {
            const int64_t h = row.begin + static_cast<int64_t>(a) * p.rows.dilation;
            for (int64_t b = 0; b < p.columns.kernel; b++) {
              const V now = load(lines[a].seen(b) + i);
              const M better = beats(now, best);
              best = pick(better, now, best);
              winner = pick(better, allInts(static_cast<int32_t>(h * W + b * p.columns.dilation)), winner);
            }
          }
          int32_t pixels[L];
          storeInts(pixels, winner);
          for (int64_t k = i; k < std::min(columns, i + L); k++) {
            const Range& place = p.columns.places[k];
            if (place.begin < place.end) to[pixels[k - i] + p.columns.start(k)] += gradient[k];
          }
        }
        gradient += columns;
      }
    }
  });
}

}  // namespace convnotes::CN_ISA
