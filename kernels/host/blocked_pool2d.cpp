// # Pooling in blocks of images
//
// max_pool2d, avg_pool2d, adaptive_avg_pool2d and their gradients over blocked images (blocked.h), as
// their own files define them: padding never wins, NaN beats everything, the first of the largest gets
// the gradient. Lanes are images, so a window is a loop over vectors whatever its stride.
//
// Threads share out rows of results forward, channels backward, where windows overlap: every dx is
// added to by one thread, in the order of the windows. Bytes: 4 for each element of x and y, backward 4
// more for dx.

#include <cmath>
#include <vector>

#include "blocked.h"
#include "ops.h"

namespace convnotes::CN_ISA {

namespace blocked {

/** The pixels of one place along an axis, and what a mean over them divides by. */
struct Place {
  int64_t begin, end, count;
};

struct Places {
  std::vector<Place> rows, columns;
  int64_t dilation[2] = {1, 1};
};

/** The windows of max_pool2d and avg_pool2d. */
Places windowsOf(const Call& call, const Blocks& x, const Blocks& y, bool mean) {
  int64_t kernel[2], stride[2], padding[2];
  Places p;
  call.options.pair("kernelSize", 0, 1, kernel);
  require(kernel[0] >= 1 && kernel[1] >= 1, "kernelSize is missing");
  call.options.pair("stride", 0, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  if (!mean) call.options.pair("dilation", 1, 1, p.dilation);
  const bool ceilMode = call.options.flag("ceilMode", false);
  const bool includePad = call.options.flag("countIncludePad", true);
  for (int axis = 0; axis < 2; axis++) {
    require(2 * padding[axis] <= kernel[axis], "padding exceeds half of kernelSize");
    const int64_t step = call.options.find("stride") ? stride[axis] : kernel[axis];
    const int64_t size = axis == 0 ? x.H : x.W, d = p.dilation[axis];
    const Window w{size, 0, kernel[axis], step, d, padding[axis]};
    const int64_t out = places(w, ceilMode);
    require(out == (axis == 0 ? y.H : y.W), "the windows do not fill the output");
    for (int64_t i = 0; i < out; i++) {
      const int64_t first = i * step - w.padding;
      Place at{first, std::min(w.in, first + w.span()), 0};
      if (at.begin < 0) at.begin += (-at.begin + d - 1) / d * d;
      at.count = includePad ? std::min(first + w.taps, w.in + w.padding) - first
                            : at.end - at.begin;
      (axis == 0 ? p.rows : p.columns).push_back(at);
    }
  }
  require(x.G == y.G && x.C == y.C, "input and output do not go together");
  return p;
}

/** The parts of adaptive_avg_pool2d. */
Places partsOf(const Blocks& x, const Blocks& y) {
  require(x.G == y.G && x.C == y.C && y.H > 0 && y.W > 0, "input and output do not go together");
  const auto along = [](int64_t size, int64_t count) {
    std::vector<Place> list;
    for (int64_t i = 0; i < count; i++) {
      const int64_t begin = i * size / count, end = ((i + 1) * size + count - 1) / count;
      list.push_back({begin, end, end - begin});
    }
    return list;
  };
  return {along(x.H, y.H), along(x.W, y.W), {1, 1}};
}

/** Runs `body(y, g, place of row, place of column)` for every place, rows shared out. */
template <class Body>
void eachPlace(Pool& pool, const Places& p, const Blocks& x, const Blocks& y, const Body& body) {
  split(pool, y.G * y.H, y.row() + x.block() / std::max<int64_t>(y.H, 1), [&](int64_t begin,
                                                                              int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t g = i / y.H, h = i % y.H;
      for (int64_t v = 0; v < y.W; v++)
        body(y.at(g, h) + v * y.pixel(), g, p.rows[h], p.columns[v]);
    }
  });
}

/** Whether every pixel is seen by at most one window. */
bool areApart(const std::vector<Place>& places) {
  for (size_t i = 1; i < places.size(); i++)
    if (places[i].begin < places[i - 1].end) return false;
  return true;
}

/**
 * Sets dx to zero, runs `body(dy, g, row, column, c0, c1)` for every place, for channels from c0 to
 * c1, and takes the gradient of the activation before.
 */
template <class Body>
void eachPlaceBack(Pool& pool, const Places& p, const Blocks& dy, const Blocks& dx, const Gate& gate,
                   const Body& body) {
  constexpr int64_t ABREAST = 8;
  const int64_t pieces = (dx.C + ABREAST - 1) / ABREAST;
  split(pool, dx.G * pieces, 2 * dx.pixels() * ABREAST * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t g = i / pieces, c0 = i % pieces * ABREAST, c1 = std::min(dx.C, c0 + ABREAST);
      const auto rows = [&](int64_t h0, int64_t h1, const auto& each) {
        for (int64_t h = h0; h < h1; h++)
          for (int64_t v = 0; v < dx.W; v++)
            for (int64_t c = c0; c < c1; c++)
              each(g * dx.block() + h * dx.row() + v * dx.pixel() + c * L);
      };
      // Rows are cleared as the windows come to them, and finished when they have gone by.
      int64_t cleared = 0, finished = 0;
      for (int64_t h = 0; h < dy.H; h++) {
        rows(cleared, p.rows[h].end, [&](int64_t at) { store(dx.data + at, zero()); });
        cleared = std::max(cleared, p.rows[h].end);
        for (int64_t v = 0; v < dy.W; v++)
          body(dy.at(g, h) + v * dy.pixel(), g, p.rows[h], p.columns[v], c0, c1);
        const int64_t next = h + 1 < dy.H ? std::min(p.rows[h + 1].begin, cleared) : cleared;
        if (gate.y)
          rows(finished, next, [&](int64_t at) {
            store(dx.data + at,
                  deactivate(gate.activation, load(dx.data + at), load(gate.y + at)));
          });
        finished = std::max(finished, next);
      }
      rows(cleared, dx.H, [&](int64_t at) { store(dx.data + at, zero()); });
    }
  });
}

void meanOf(Pool& pool, const Places& p, const Blocks& x, const Blocks& y) {
  eachPlace(pool, p, x, y, [&](float* to, int64_t g, const Place& row, const Place& column) {
    const V divisor = all(static_cast<float>(row.count * column.count));
    for (int64_t c = 0; c < x.C; c++) {
      V total = zero();
      for (int64_t h = row.begin; h < row.end; h++)
        for (int64_t v = column.begin; v < column.end; v++)
          total += load(x.at(g, h) + v * x.pixel() + c * L);
      store(to + c * L, total / divisor);
    }
  });
}

void spreadOf(Pool& pool, const Places& p, const Blocks& dy, const Blocks& dx, const Gate& gate) {
  eachPlaceBack(pool, p, dy, dx, gate, [&](const float* from, int64_t g, const Place& row,
                                     const Place& column, int64_t c0, int64_t c1) {
    const V divisor = all(static_cast<float>(row.count * column.count));
    for (int64_t c = c0; c < c1; c++) {
      const V share = load(from + c * L) / divisor;
      for (int64_t h = row.begin; h < row.end; h++)
        for (int64_t v = column.begin; v < column.end; v++) {
          float* to = dx.at(g, h) + v * dx.pixel() + c * L;
          store(to, load(to) + share);
        }
    }
  });
}

}  // namespace blocked

void blocked_max_pool2d(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  const blocked::Places p = blocked::windowsOf(call, x, y, false);
  blocked::eachPlace(call.pool, p, x, y, [&](float* to, int64_t g, const blocked::Place& row,
                                             const blocked::Place& column) {
    for (int64_t c = 0; c < x.C; c++) {
      V best = all(-INFINITY);
      for (int64_t h = row.begin; h < row.end; h += p.dilation[0])
        for (int64_t v = column.begin; v < column.end; v += p.dilation[1]) {
          const V now = load(x.at(g, h) + v * x.pixel() + c * L);
          best = pick((best < now) | isNaN(now), now, best);
        }
      store(to + c * L, best);
    }
  });
}

void blocked_max_pool2d_backward_input(Call& call) {
  const blocked::Blocks dy = blocked::blocksOf(call.input(0), "dy");
  const blocked::Blocks x = blocked::blocksOf(call.input(1), "input");
  const blocked::Blocks dx = blocked::blocksOf(call.output(0), "output");
  blocked::wantLike(x, dx, "output");
  const blocked::Places p = blocked::windowsOf(call, x, dy, false);
  const blocked::Gate gate = blocked::gateOf(call, 2, dx);
  const bool apart = p.dilation[0] == 1 && p.dilation[1] == 1 && blocked::areApart(p.rows) &&
                     blocked::areApart(p.columns);
  blocked::eachPlaceBack(
      call.pool, p, dy, dx, gate,
      [&](const float* from, int64_t g, const blocked::Place& row, const blocked::Place& column,
          int64_t c0, int64_t c1) {
        if (row.begin >= row.end || column.begin >= column.end) return;
        const auto at = [&](int64_t h, int64_t v) {
          return g * x.block() + h * x.row() + v * x.pixel();
        };
        for (int64_t c = c0; c < c1; c++) {
          V best = load(x.data + at(row.begin, column.begin) + c * L);
          I winner = allInts(0);
          int tap = 0;
          for (int64_t h = row.begin; h < row.end; h += p.dilation[0])
            for (int64_t v = column.begin; v < column.end; v += p.dilation[1], tap++) {
              const V now = load(x.data + at(h, v) + c * L);
              const M wins = (best < now) | isNaN(now);
              best = pick(wins, now, best);
              winner = pick(wins, allInts(tap), winner);
            }
          const V gradient = load(from + c * L);
          tap = 0;
          for (int64_t h = row.begin; h < row.end; h += p.dilation[0])
            for (int64_t v = column.begin; v < column.end; v += p.dilation[1], tap++) {
              float* to = dx.data + at(h, v) + c * L;
              const V before = apart ? zero() : load(to);
              store(to, pick(winner == allInts(tap), before + gradient, before));
            }
        }
      });
}

void blocked_avg_pool2d(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  blocked::meanOf(call.pool, blocked::windowsOf(call, x, y, true), x, y);
}

void blocked_avg_pool2d_backward_input(Call& call) {
  const blocked::Blocks dy = blocked::blocksOf(call.input(0), "dy");
  const blocked::Blocks dx = blocked::blocksOf(call.output(0), "output");
  blocked::spreadOf(call.pool, blocked::windowsOf(call, dx, dy, true), dy, dx,
                    blocked::gateOf(call, 1, dx));
}

void blocked_adaptive_avg_pool2d(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  blocked::meanOf(call.pool, blocked::partsOf(x, y), x, y);
}

void blocked_adaptive_avg_pool2d_backward_input(Call& call) {
  const blocked::Blocks dy = blocked::blocksOf(call.input(0), "dy");
  const blocked::Blocks dx = blocked::blocksOf(call.output(0), "output");
  blocked::spreadOf(call.pool, blocked::partsOf(dx, dy), dy, dx,
                    blocked::gateOf(call, 1, dx));
}

}  // namespace convnotes::CN_ISA
