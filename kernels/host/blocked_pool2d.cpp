// # Pooling in blocks of images
//
// max_pool2d, avg_pool2d, adaptive_avg_pool2d and their gradients over blocked images (blocked.h), as
// their own files define them: padding never wins, NaN beats everything, the first of the largest gets
// the gradient. Lanes are images, so a window is a loop over vectors whatever its stride.
//
// Threads share out rows of results forward and rows of dx backward: every dx is added to by one
// thread, in the order of the windows. All channels of a pixel are dealt with before the next, so memory
// is read from front to back. Windows that cover the image without overlapping, as most do, write each
// dx once; the others clear a pixel when the first window comes to it and add.
// Bytes: 4 for each element of x and y, backward 4 more for dx.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): maximum 57 to 68 % forward, 53 to 99
// % backward, in steps of networks.

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

/** For each place the first pixel that it or a later one may see; at the ends those of the axis. */
std::vector<int64_t> firstSeen(const std::vector<Place>& places, int64_t size) {
  std::vector<int64_t> first(places.size() + 1, size);
  for (size_t i = places.size(); i-- > 0;)
    first[i] = std::clamp<int64_t>(places[i].begin, 0, first[i + 1]);
  first[0] = 0;
  return first;
}

/**
 * Sets dx to zero, runs `body(dy, g, row, column, own)` for every place, and takes the gradient of the
 * activation before. The body adds to rows of dx from `own.begin` to before `own.end` only.
 *
 * Threads share out the rows of dy, and own the rows of dx that begin with theirs; windows that reach
 * into them from above are run once more. A pixel is cleared when the first window comes to it and
 * finished when the last has gone by, so it is in the cache all the while.
 */
template <class Body>
void eachPlaceBack(Pool& pool, const Places& p, const Blocks& dy, const Blocks& dx, const Gate& gate,
                   const Body& body) {
  const std::vector<int64_t> top = firstSeen(p.rows, dx.H), left = firstSeen(p.columns, dx.W);
  const auto each = [&](int64_t g, Range rows, Range columns, const auto& pixel) {
    for (int64_t h = rows.begin; h < rows.end; h++)
      for (int64_t v = columns.begin; v < columns.end; v++) pixel(dx.at(g, h) + v * dx.pixel());
  };
  const auto band = [&](int64_t g, int64_t h0, int64_t h1) {
    const Range own{top[h0], top[h1]};
    int64_t first = h0, rowsCleared = own.begin;
    while (first > 0 && p.rows[first - 1].end > own.begin) first--;
    for (int64_t h = first; h < h1; h++) {
      const int64_t seen = std::max(p.rows[h].end, top[h + 1]);
      const Range fresh{rowsCleared, std::max(rowsCleared, std::min(seen, own.end))};
      const Range done{std::max(top[h], own.begin), std::max(top[h + 1], own.begin)};
      int64_t columnsCleared = 0;
      for (int64_t v = 0; v < dy.W; v++) {
        const int64_t end = std::max({columnsCleared, p.columns[v].end, left[v + 1]});
        each(g, fresh, {columnsCleared, end},
             [&](float* to) { std::fill_n(to, dx.pixel(), 0.0f); });
        columnsCleared = end;
        body(dy.at(g, h) + v * dy.pixel(), g, p.rows[h], p.columns[v], own);
        if (gate.y)
          each(g, done, {left[v], left[v + 1]}, [&](float* to) {
            const float* y = gate.y + (to - dx.data);
            for (int64_t i = 0; i < dx.pixel(); i += L)
              store(to + i, deactivate(gate.activation, load(to + i), load(y + i)));
          });
      }
      rowsCleared = fresh.end;
    }
  };
  const int64_t work = dy.row() + 2 * dx.block() / std::max<int64_t>(dy.H, 1);
  split(pool, dy.G * dy.H, work, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin, next; i < end; i = next) {
      const int64_t g = i / dy.H;
      next = std::min(end, (g + 1) * dy.H);
      band(g, i % dy.H, next - g * dy.H);
    }
  });
}

/** Whether each pixel is in one window. */
bool partition(const Places& p, const Blocks& x) {
  const auto along = [](const std::vector<Place>& places, int64_t dilation, int64_t size) {
    int64_t next = 0;
    for (const Place& at : places) {
      if (at.begin != next || at.end <= next) return false;
      next = at.end;
    }
    return dilation == 1 && next == size;
  };
  return along(p.rows, p.dilation[0], x.H) && along(p.columns, p.dilation[1], x.W);
}

/** What an activation's gradient makes of the `dx` that lies at `to`. */
CN_INLINE V gated(const Gate& gate, const Blocks& dx, const float* to, V v) {
  return gate.y ? deactivate(gate.activation, v, load(gate.y + (to - dx.data))) : v;
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
  if (partition(p, dx)) {
    eachPlace(pool, p, dx, dy, [&](const float* from, int64_t g, const Place& row,
                                   const Place& column) {
      const V divisor = all(static_cast<float>(row.count * column.count));
      for (int64_t h = row.begin; h < row.end; h++)
        for (int64_t v = column.begin; v < column.end; v++) {
          float* to = dx.at(g, h) + v * dx.pixel();
          for (int64_t i = 0; i < dx.pixel(); i += L)
            store(to + i, gated(gate, dx, to + i, zero() + load(from + i) / divisor));
        }
    });
    return;
  }
  eachPlaceBack(pool, p, dy, dx, gate, [&](const float* from, int64_t g, const Place& row,
                                           const Place& column, Range own) {
    const V divisor = all(static_cast<float>(row.count * column.count));
    for (int64_t c = 0; c < dx.C; c++) {
      const V share = load(from + c * L) / divisor;
      for (int64_t h = std::max(row.begin, own.begin); h < std::min(row.end, own.end); h++)
        for (int64_t v = column.begin; v < column.end; v++) {
          float* to = dx.at(g, h) + v * dx.pixel() + c * L;
          store(to, load(to) + share);
        }
    }
  });
}

/** A window's pixels, as offsets from the first, and which of them may be written. */
struct Seen {
  const int64_t* at;
  int64_t taps;
  Range own;
};

/** For each lane the tap, of TAPS or as many as there are, whose x is the largest. */
template <int TAPS>
CN_INLINE I winnerOf(const float* x, const int64_t* at, int taps) {
  V best = load(x + at[0]);
  I winner = allInts(0);
#pragma GCC unroll 9
  for (int tap = 1; tap < (TAPS > 0 ? TAPS : taps); tap++) {
    const V now = load(x + at[tap]);
    const M wins = (best < now) | isNaN(now);
    best = pick(wins, now, best);
    winner = pick(wins, allInts(tap), winner);
  }
  return winner;
}

/** Writes dy, for `size` floats, to that pixel of dx whose x is the largest, and 0 to the others. */
template <int TAPS>
void awardWinner(const float* dy, const float* x, const Blocks& dx, const Gate& gate,
                 const int64_t* at, int taps, int64_t size) {
  for (int64_t i = 0; i < size; i += L) {
    const I winner = winnerOf<TAPS>(x + i, at, taps);
    const V gradient = zero() + load(dy + i);
#pragma GCC unroll 9
    for (int tap = 0; tap < (TAPS > 0 ? TAPS : taps); tap++) {
      float* to = dx.data + at[tap] + i;
      store(to, gated(gate, dx, to, pick(winner == allInts(tap), gradient, zero())));
    }
  }
}

/** Adds dy, for `size` floats, to that pixel of dx whose x is the largest. TAPS: all of them, or 0. */
template <int TAPS>
void giveToWinner(const float* dy, const float* x, float* dx, const Seen& seen, int64_t size) {
  const int taps = TAPS > 0 ? TAPS : static_cast<int>(seen.taps);
  int64_t copied[TAPS > 0 ? TAPS : 1];
  if (TAPS > 0) std::copy_n(seen.at, TAPS, copied);
  const int64_t* at = TAPS > 0 ? copied : seen.at;
  const int first = TAPS > 0 ? 0 : static_cast<int>(seen.own.begin);
  const int end = TAPS > 0 ? TAPS : static_cast<int>(seen.own.end);
  for (int64_t i = 0; i < size; i += L) {
    const I winner = winnerOf<TAPS>(x + i, at, taps);
    const V gradient = load(dy + i);
#pragma GCC unroll 9
    for (int tap = first; tap < end; tap++) {
      const V before = load(dx + at[tap] + i);
      store(dx + at[tap] + i, pick(winner == allInts(tap), before + gradient, before));
    }
  }
}

}  // namespace blocked

void blocked_max_pool2d(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  const blocked::Places p = blocked::windowsOf(call, x, y, false);
  blocked::eachPlace(call.pool, p, x, y, [&](float* to, int64_t g, const blocked::Place& row,
                                             const blocked::Place& column) {
    // Pixel after pixel, so memory is read from front to back.
    const int64_t size = x.pixel();
    for (int64_t i = 0; i < size; i += L) store(to + i, all(-INFINITY));
    for (int64_t h = row.begin; h < row.end; h += p.dilation[0])
      for (int64_t v = column.begin; v < column.end; v += p.dilation[1]) {
        const float* from = x.at(g, h) + v * size;
        for (int64_t i = 0; i < size; i += L) {
          const V best = load(to + i), now = load(from + i);
          store(to + i, pick((best < now) | isNaN(now), now, best));
        }
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
  if (blocked::partition(p, dx)) {
    blocked::eachPlace(call.pool, p, dx, dy, [&](const float* from, int64_t g,
                                                 const blocked::Place& row,
                                                 const blocked::Place& column) {
      thread_local std::vector<int64_t> at;
      at.clear();
      for (int64_t h = row.begin; h < row.end; h++)
        for (int64_t v = column.begin; v < column.end; v++)
          at.push_back(g * x.block() + h * x.row() + v * x.pixel());
      const int taps = static_cast<int>(at.size());
      const auto award = taps == 4 ? blocked::awardWinner<4> : blocked::awardWinner<0>;
      award(from, x.data, dx, gate, at.data(), taps, x.pixel());
    });
    return;
  }
  blocked::eachPlaceBack(
      call.pool, p, dy, dx, gate,
      [&](const float* from, int64_t g, const blocked::Place& row, const blocked::Place& column,
          Range own) {
        if (row.begin >= row.end || column.begin >= column.end) return;
        thread_local std::vector<int64_t> at;
        at.clear();
        Range owned{0, 0};
        for (int64_t h = row.begin; h < row.end; h += p.dilation[0]) {
          for (int64_t v = column.begin; v < column.end; v += p.dilation[1])
            at.push_back(g * x.block() + h * x.row() + v * x.pixel());
          if (h < own.begin) owned.begin = static_cast<int64_t>(at.size());
          if (h < own.end) owned.end = static_cast<int64_t>(at.size());
        }
        const int64_t taps = static_cast<int64_t>(at.size());
        const bool whole = owned.begin == 0 && owned.end == taps;
        // Windows of 2 × 2 and 3 × 3, and what borders leave of these.
        const auto give = whole && taps == 4   ? blocked::giveToWinner<4>
                          : whole && taps == 6 ? blocked::giveToWinner<6>
                          : whole && taps == 9 ? blocked::giveToWinner<9>
                                               : blocked::giveToWinner<0>;
        give(from, x.data, dx.data, {at.data(), taps, owned}, x.pixel());
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
