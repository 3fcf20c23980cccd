// # Convolution in blocks of images
//
// The three sums of conv2d.cpp over blocked images (blocked.h). Lanes are images, so a weight is one
// number that meets a whole vector.
//
// Forward and backward-input are one function. A tile (tile.h) is up to 14 results × 2 vectors: two
// blocks of images where there are two, else two pixels. Its runs are the rows of a window: taps along a
// row and their channels lie one behind another, in the image as in the packed weights, so a run
// is (taps × channels) terms long, and a border only shortens it. Nothing is padded.
// Weights are packed so that a tile's lie one behind another: with 512 channels on 3 × 3 pixels, where
// weights are all that is read, a forward pass takes two thirds of the time that it takes with all results abreast.
//
// The weight's gradient turns x so that channels are lanes, and is a matrix product as well. With few
// channels it adds up products of vectors instead, 6 results × 4 terms at a time, for a stretch of pixels
// that fits in the first-level cache while all taps come by; lanes are added up at the end.
//
// Multiply-adds: those of the sums exactly, less the taps outside. Bytes: each image once for each
// row of a window from the second-level cache, weights twice more for packing.
// Reaches, on one core of AVX-512 that does 251 GFLOP/s at most, counting taps outside as work: 3 × 3 with 64
// to 256 channels 85–100 % forward and backward, 83–100 % for the weight; 1 × 1 with 192 channels 80 and
// 67 %; the first layer of LeNet, where tiles are 6 high and 25 long, 54 and 60 %.
// Order of summation: forward and backward-input: rows of taps, taps, channels in one accumulator, cut
// every CHUNK terms; weight: pixels of a stretch in one accumulator, stretches and blocks ascending,
// then 16 lanes, then threads.

#include <algorithm>
#include <vector>

#include "blocked_conv2d.h"
#include "ops.h"
#include "tile.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace blocked {

Shapes shapesOf(const Call& call, const Operand& x, const Operand& w, const Operand& y) {
  Shapes s{blocksOf(x, "input"), blocksOf(y, "output"), 0, 0, 0, {}, {}};
  call.wantAxes(w, 4, "weight");
  int64_t stride[2], padding[2], dilation[2];
  call.options.pair("stride", 1, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  call.options.pair("dilation", 1, 1, dilation);
  require(call.options.whole("groups", 1, 1) == 1, "blocks have no groups of channels");
  s.O = w.shape[0];
  s.C = w.shape[1];
  s.taps = w.shape[2] * w.shape[3];
  require(s.taps >= 1 && stride[0] <= 1 << 16 && stride[1] <= 1 << 16, "the window is unusable");
  s.rows = {s.x.H, 0, w.shape[2], stride[0], dilation[0], padding[0]};
  s.columns = {s.x.W, 0, w.shape[3], stride[1], dilation[1], padding[1]};
  s.rows.out = places(s.rows, false);
  s.columns.out = places(s.columns, false);
  require(s.x.C == s.C && s.y.C == s.O && s.x.G == s.y.G && s.y.H == s.rows.out &&
              s.y.W == s.columns.out,
          "input " + x.show() + ", weight " + w.show() + " and output " + y.show() +
              " do not go together");
  require(s.x.block() < INT32_MAX && s.y.block() < INT32_MAX && w.size() < INT32_MAX,
          "a block of images or the weight is too large");
  return s;
}

// ## Packed weights: [panel][row of taps][tap in the walk's order][term][result]
//
// Forward, a panel is the results of one tile, so that its weights lie one behind another as they are read;
// all panels are as wide as the widest, and rows not a whole number of pages apart. Backward-input has one
// panel of all results: the weights of a term lie one behind another as they are given, and so they are copied.

struct Panels {
  int64_t results, tiles, width;
  /** Floats of a tap, of a row of taps, from tile to tile (0 where all share a panel) and in all. */
  int64_t tap, row, next, size;

  Panels(int64_t results, int64_t terms, const Shapes& s, bool apart)
      : results(results),
        tiles((results + MAX_MR - 1) / MAX_MR),
        width(apart ? (results + tiles - 1) / tiles : results),
        tap(terms * width),
        row(s.columns.taps * tap + (apart ? L : 0)),
        next(apart ? s.rows.taps * row : 0),
        size(s.rows.taps * row * (apart ? tiles : 1)) {}

  /** The results of a tile, and where its weights are. */
  Range operator[](int64_t tile) const { return share(results, tile, tiles); }
  int64_t at(int64_t tile) const { return next > 0 ? tile * next : (*this)[tile].begin; }
};

/** By tap: its place in the walk, class after class. */
std::vector<int64_t> placesOf(const Walk& columns, const Shapes& s, const Panels& panels) {
  std::vector<int64_t> slots(s.columns.taps), places;
  int64_t next = 0;
  for (const auto& list : columns.classes)
    for (const Seen& seen : list) slots[seen.tap] = next++;
  for (int64_t a = 0; a < s.rows.taps; a++)
    for (int64_t slot : slots) places.push_back(a * panels.row + slot * panels.tap);
  return places;
}

/** `forward`: results are the O; else the C. */
void pack(Pool& pool, const float* w, const Shapes& s, const Walk& columns, const Panels& panels,
          bool forward, float* packed) {
  const int64_t T = s.taps, C = s.C, O = s.O, width = panels.width;
  const std::vector<int64_t> places = placesOf(columns, s, panels);
  if (forward)
    split(pool, panels.tiles, L * C * T, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; tile++) {
        const Range o = panels[tile];
        const int rows = static_cast<int>(o.end - o.begin);
        const float* from = w + o.begin * C * T;
        float* to = packed + panels.at(tile);
        for (int64_t q = 0; q < C * T; q += L) {
          const int count = static_cast<int>(std::min<int64_t>(L, C * T - q));
          V r[L];
          for (int i = 0; i < L; i++) r[i] = i < rows ? load(from + i * C * T + q, count) : zero();
          transpose(r);
          for (int j = 0; j < count; j++)
            put(to + places[(q + j) % T] + (q + j) / T * width, r[j], rows);
        }
      }
    });
  else
    split(pool, O, C * T, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; o++)
        for (int64_t c = 0; c < C; c += L) {
          const int rows = static_cast<int>(std::min<int64_t>(L, C - c));
          const float* from = w + (o * C + c) * T;
          float* to = packed + o * width + c;
          for (int64_t t = 0; t < T; t += L) {
            const int count = static_cast<int>(std::min<int64_t>(L, T - t));
            if (T == 1) {
              put(to, take(from, rows), rows);
              continue;
            }
            V r[L];
            for (int i = 0; i < L; i++) r[i] = i < rows ? load(from + i * T + t, count) : zero();
            transpose(r);
            for (int j = 0; j < count; j++) put(to + places[t + j], r[j], rows);
          }
        }
    });
}

// ## Forward and backward-input

struct Slide {
  /** What is read, and what is written. */
  Blocks in, out;
  Walk rows, columns;
  int64_t rowTaps;
  Panels panels;
  const float* packed;
  const float* bias;
  Activation activation;
  Gate gate;
};

/** One tile of pixels (or blocks) of a row: where its runs are, and how many vectors it has. */
struct Stop {
  int64_t in, out;
  int firstRun, runs, vectors;
};

CN_INLINE void finishTile(const Slide& s, float* c, int64_t first, int results, int vectors,
                          ptrdiff_t step) {
  if (s.gate.y) {
    const float* y = s.gate.y + (c - s.out.data);
    for (int i = 0; i < results; i++)
      for (int v = 0; v < vectors; v++) {
        const ptrdiff_t at = i * L + v * step;
        store(c + at, deactivate(s.gate.activation, load(c + at), load(y + at)));
      }
  }
  if (!s.bias && s.activation == Activation::none) return;
  for (int i = 0; i < results; i++) {
    const V shift = s.bias ? all(s.bias[first + i]) : zero();
    for (int v = 0; v < vectors; v++) {
      float* to = c + i * L + v * step;
      V y = load(to);
      if (s.bias) y = y + shift;
      store(to, activate(s.activation, y));
    }
  }
}

/** Floats of input that the stops of one stretch of a row may see: some of the second-level cache. */
constexpr int64_t BAND = 96 * 1024;

void slideRow(const Slide& s, int64_t g, int64_t row, Range tiles, std::vector<Run>& runs,
              std::vector<Stop>& stops) {
  const int64_t terms = s.in.C;
  const Panels& panels = s.panels;
  const int abreast = static_cast<int>(std::min<int64_t>(MAX_NB, s.in.G - g));
  const bool byPixels = abreast == 1 && MAX_NB > 1;
  const auto& rowTaps = s.rows.classes[s.rows.classOf(row)];
  const Range rowsInside = s.rows.inside(row);
  const int64_t classes = static_cast<int64_t>(s.columns.classes.size());
  runs.clear();
  stops.clear();
  // Where each stop's runs are, in floats from the row base of its block.
  for (int64_t first = 0; first < std::min(classes, s.out.W); first++)
    for (int64_t v = first; v < s.out.W; v += classes) {
      const auto& taps = s.columns.classes[s.columns.classOf(v)];
      const Range inside = s.columns.inside(v);
      Stop stop{s.columns.base(v) * s.in.pixel(), v * s.out.pixel(),
                static_cast<int>(runs.size()), 0, abreast};
      if (byPixels && v + classes < s.out.W) {
        const Range next = s.columns.inside(v + classes);
        if (next.begin == inside.begin && next.end == inside.end) stop.vectors = 2;
      }
      int64_t slotBase = 0;
      for (int64_t k = 0; k < s.columns.classOf(v); k++)
        slotBase += static_cast<int64_t>(s.columns.classes[k].size());
      for (int64_t i = rowsInside.begin; i < rowsInside.end; i++) {
        const int64_t from = (s.rows.base(row) + rowTaps[i].offset) * s.in.row();
        for (int64_t j = inside.begin; j < inside.end;) {
          // Taps that see neighbouring pixels make one run, up to what one accumulator may take.
          int64_t k = j + 1;
          while (k < inside.end && taps[k].offset == taps[k - 1].offset + 1 &&
                 (k + 1 - j) * terms <= CHUNK)
            k++;
          runs.push_back({static_cast<int32_t>(rowTaps[i].tap * panels.row +
                                               (slotBase + j) * panels.tap),
                          static_cast<int32_t>(from + taps[j].offset * s.in.pixel()),
                          static_cast<int32_t>((k - j) * terms)});
          j = k;
        }
      }
      stop.runs = static_cast<int>(runs.size()) - stop.firstRun;
      stops.push_back(stop);
      if (byPixels && stop.vectors == 2) v += classes;
    }

  const ptrdiff_t bV = byPixels ? (s.columns.backward ? 1 : s.columns.stride) * s.in.pixel()
                                : s.in.block();
  const ptrdiff_t cV = byPixels ? classes * s.out.pixel() : s.out.block();
  const Steps steps{panels.width, L, bV, L, cV};
  const int64_t perStop = s.rowTaps * terms * L * abreast *
                          (s.columns.backward ? 1 : s.columns.stride);
  const int64_t together = std::max<int64_t>(4, BAND / std::max<int64_t>(perStop, 1));
  const int64_t count = static_cast<int64_t>(stops.size());
  for (int64_t q = 0; q < count; q += together)
    for (int64_t t = tiles.begin; t < tiles.end; t++) {
      const Range r = panels[t];
      const int height = static_cast<int>(r.end - r.begin);
      for (int64_t k = q; k < std::min(count, q + together); k++) {
        const Stop& stop = stops[k];
        float* to = s.out.at(g, row) + stop.out + r.begin * L;
        channelTiles[height - 1][stop.vectors - 1](s.packed + panels.at(t), 0,
                                                   s.in.at(g, 0) + stop.in,
                                                   runs.data() + stop.firstRun, stop.runs, steps,
                                                   to, false);
        finishTile(s, to, r.begin, height, stop.vectors, cV);
      }
    }
}

void slide(Pool& pool, Slide s, const Shapes& shapes, const float* w, bool forward) {
  const Panels& panels = s.panels;
  pool.reserve(0, static_cast<size_t>(panels.size));
  pack(pool, w, shapes, s.columns, panels, forward, pool.shared());
  s.packed = pool.shared();
  const int64_t sets = (s.in.G + MAX_NB - 1) / MAX_NB, rows = sets * s.out.H;
  const int64_t threads = pool.threads();
  const int64_t slices = std::clamp<int64_t>((8 * threads + rows - 1) / rows, 1, panels.tiles);
  pool.run([&](int thread) {
    std::vector<Run> runs;
    std::vector<Stop> stops;
    const Range mine = share(rows * slices, thread, threads);
    for (int64_t i = mine.begin; i < mine.end; i++) {
      // Slices of one row of all blocks go to the same thread: their weights are the same.
      const int64_t slice = i / rows, row = i % rows;
      slideRow(s, row / s.out.H * MAX_NB, row % s.out.H, share(panels.tiles, slice, slices), runs,
               stops);
    }
  });
}

// ## The gradient of the weight

#if defined(CN_AVX512)
constexpr int RESULTS = 6, TERMS = 4;
#else
constexpr int RESULTS = 2, TERMS = 2;
#endif

/** Adds to acc[i][j] the products of vectors i of dy and j of x, over rows × count ≥ 1 pixels. */
template <int MR, int NC>
void correlateTile(const float* dy, ptrdiff_t dyRow, ptrdiff_t dyPixel, const float* x,
                   ptrdiff_t xRow, ptrdiff_t xPixel, int64_t rows, int64_t count, float* acc,
                   ptrdiff_t accRow) {
  V sums[MR][NC];
  for (int i = 0; i < MR; i++)
    for (int j = 0; j < NC; j++) sums[i][j] = zero();
  do {
    const float *p = dy, *q = x;
    int64_t k = count;
    do {
      V term[NC];
      for (int j = 0; j < NC; j++) term[j] = load(q + j * L);
      for (int i = 0; i < MR; i++) {
        const V d = load(p + i * L);
        for (int j = 0; j < NC; j++) sums[i][j] = fma(d, term[j], sums[i][j]);
      }
      p += dyPixel;
      q += xPixel;
    } while (--k > 0);
    dy += dyRow;
    x += xRow;
  } while (--rows > 0);
  for (int i = 0; i < MR; i++)
    for (int j = 0; j < NC; j++) {
      float* to = acc + i * accRow + j * L;
      store(to, load(to) + sums[i][j]);
    }
}

using CorrelateTile = void (*)(const float*, ptrdiff_t, ptrdiff_t, const float*, ptrdiff_t,
                               ptrdiff_t, int64_t, int64_t, float*, ptrdiff_t);
#if defined(CN_AVX512)
#define CN_WIDE(MR) \
  {correlateTile<MR, 1>, correlateTile<MR, 2>, correlateTile<MR, 3>, correlateTile<MR, 4>}
constexpr CorrelateTile correlateTiles[RESULTS][TERMS] = {CN_WIDE(1), CN_WIDE(2), CN_WIDE(3),
                                                          CN_WIDE(4), CN_WIDE(5), CN_WIDE(6)};
#else
#define CN_WIDE(MR) {correlateTile<MR, 1>, correlateTile<MR, 2>}
constexpr CorrelateTile correlateTiles[RESULTS][TERMS] = {CN_WIDE(1), CN_WIDE(2)};
#endif
#undef CN_WIDE

/** Up to TERMS vectors that lie one behind another in a row of x: channels, of one tap or several. */
struct Terms {
  /** Floats from the pixel that the window's corner is on. */
  int64_t offset;
  int count;
  /** For each: its tap along the row, and its channel. */
  int64_t tap[TERMS], channel[TERMS];
};

/** All taps of some channels come one after another, so that these are copied once for all of them. */
std::vector<Terms> termsOf(const Shapes& s) {
  std::vector<Terms> list;
  const auto add = [&](int64_t b, int64_t c, bool begins) {
    if (list.empty() || list.back().count == TERMS || begins)
      list.push_back({(b * s.columns.dilation * s.C + c) * L, 0, {}, {}});
    Terms& last = list.back();
    last.tap[last.count] = b;
    last.channel[last.count++] = c;
  };
  if (s.columns.dilation == 1 && s.C < TERMS) {
    for (int64_t b = 0; b < s.columns.taps; b++)
      for (int64_t c = 0; c < s.C; c++) add(b, c, false);
    return list;
  }
  for (int64_t first = 0; first < s.C; first += TERMS)
    for (int64_t b = 0; b < s.columns.taps; b++)
      for (int64_t c = first; c < std::min(s.C, first + TERMS); c++) add(b, c, c == first);
  return list;
}

/** The places whose tap lies inside the image. */
Range insideOf(const Window& w, int64_t tap) {
  const int64_t e = tap * w.dilation - w.padding;
  const int64_t begin = e >= 0 ? 0 : (-e + w.stride - 1) / w.stride;
  const int64_t room = w.in - 1 - e;
  return {begin, room < 0 ? begin : std::max(begin, std::min(w.out, room / w.stride + 1))};
}

/** Floats of dy and x that lie in the first-level cache together. */
constexpr int64_t NEAR = 9 * 1024;
/** Floats of accumulators that are worked on at once: a part of the second-level cache. */
constexpr int64_t SUMS = 48 * 1024;

struct Correlation {
  const Shapes& s;
  std::vector<Terms> terms;
  /** Rows and columns of one stretch of pixels, and how many stretches there are. */
  int64_t stretchRows, stretchColumns, down, across;
  /**
   * Whether the pixels of a stretch are copied side by side. Pixels of many channels lie a power of
   * two apart and would push one another out of the cache.
   */
  bool copies;
  /** Floats of a copy of dy, of x, and of the accumulators. */
  int64_t dyFloats, xFloats, sumFloats;

  int64_t seenRows(int64_t count) const { return (count - 1) * s.rows.stride + s.rows.span(); }
  int64_t seenColumns(int64_t count) const {
    return (count - 1) * s.columns.stride + s.columns.span();
  }
};

/** Copies `count` vectors of each pixel of rows × columns of an image side by side. */
void gather(const Blocks& from, int64_t g, Range rows, Range columns, int64_t first, int64_t count,
            float* to) {
  for (int64_t h = rows.begin; h < rows.end; h++) {
    const float* pixel = from.at(g, h) + columns.begin * from.pixel() + first * L;
    for (int64_t v = columns.begin; v < columns.end; v++, pixel += from.pixel())
      for (int64_t c = 0; c < count; c++, to += L) store(to, load(pixel + c * L));
  }
}

/** Sums of results [o0, o1) and terms [t0, t1) over stretches [p0, p1), into scratch (zeroed here). */
void correlate(const Correlation& k, Range results, Range terms, Range stretches, float* scratch) {
  const Shapes& s = k.s;
  const int64_t height = results.end - results.begin;
  const int64_t width = TERMS * L, tap = RESULTS * width;
  float *acc = scratch, *dyCopy = acc + k.sumFloats, *xCopy = dyCopy + k.dyFloats;
  std::fill_n(acc, (terms.end - terms.begin) * s.rows.taps * tap, 0.0f);
  for (int64_t p = stretches.begin; p < stretches.end; p++) {
    const int64_t g = p / (k.down * k.across), d = p / k.across % k.down, a = p % k.across;
    const Range rows{d * k.stretchRows, std::min(s.y.H, (d + 1) * k.stretchRows)};
    const Range columns{a * k.stretchColumns, std::min(s.y.W, (a + 1) * k.stretchColumns)};
    gather(s.y, g, rows, columns, results.begin, height, dyCopy);
    const int64_t dyRow = (columns.end - columns.begin) * height * L;
    const int64_t strideH = s.rows.stride, strideW = s.columns.stride;
    // The part of the image that the stretch sees.
    const int64_t h0 = rows.begin * strideH - s.rows.padding;
    const int64_t v0 = columns.begin * strideW - s.columns.padding;
    const Range seenRows{std::max<int64_t>(0, h0),
                         std::min(s.x.H, h0 + k.seenRows(rows.end - rows.begin))};
    const Range seenColumns{std::max<int64_t>(0, v0),
                            std::min(s.x.W, v0 + k.seenColumns(columns.end - columns.begin))};
    int64_t copied = -1;
    for (int64_t t = terms.begin; t < terms.end; t++) {
      const Terms& term = k.terms[t];
      // Where pixel (0, 0) of x would lie for this term's first vector, and steps from there.
      const float* x = s.x.at(g, 0) + term.offset;
      int64_t xRow = s.x.row(), xPixel = s.x.pixel();
      if (k.copies) {
        if (copied != term.channel[0])
          gather(s.x, g, seenRows, seenColumns, term.channel[0], term.count, xCopy);
        copied = term.channel[0];
        xPixel = term.count * L;
        xRow = (seenColumns.end - seenColumns.begin) * xPixel;
        x = xCopy - seenRows.begin * xRow - seenColumns.begin * xPixel +
            term.tap[0] * s.columns.dilation * xPixel;
      }
      for (int64_t r = 0; r < s.rows.taps; r++) {
        const Range seen = insideOf(s.rows, r);
        const int64_t i0 = std::max(rows.begin, seen.begin), i1 = std::min(rows.end, seen.end);
        if (i0 >= i1) continue;
        float* sums = acc + ((t - terms.begin) * s.rows.taps + r) * tap;
        const int64_t h = i0 * strideH + r * s.rows.dilation - s.rows.padding;
        const auto run = [&](int first, int count, int64_t j0, int64_t j1) {
          if (j0 >= j1) return;
          correlateTiles[height - 1][count - 1](
              dyCopy + (i0 - rows.begin) * dyRow + (j0 - columns.begin) * height * L, dyRow,
              height * L, x + h * xRow + (j0 * strideW - s.columns.padding) * xPixel + first * L,
              strideH * xRow, strideW * xPixel, i1 - i0, j1 - j0, sums + first * L, width);
        };
        // All together where all taps lie inside, then each tap's own places at the borders.
        Range common = columns;
        for (int e = 0; e < term.count; e++) {
          const Range own = insideOf(s.columns, term.tap[e]);
          common.begin = std::max(common.begin, own.begin);
          common.end = std::min(common.end, own.end);
        }
        if (common.begin >= common.end) common = {columns.end, columns.end};
        run(0, term.count, common.begin, common.end);
        if (term.tap[0] == term.tap[term.count - 1]) continue;
        for (int e = 0; e < term.count; e++) {
          const Range own = insideOf(s.columns, term.tap[e]);
          int count = 1;
          while (e + count < term.count && term.tap[e + count] == term.tap[e]) count++;
          run(e, count, std::max(columns.begin, own.begin),
              std::min({columns.end, own.end, common.begin}));
          run(e, count, std::max({columns.begin, own.begin, common.end}),
              std::min(columns.end, own.end));
          e += count - 1;
        }
      }
    }
  }
}

/** Adds up the lanes of accumulators and writes them to [O, C, K, L]. */
void addLanes(const Correlation& k, Range results, Range terms, const float* acc, float* dw) {
  const Shapes& s = k.s;
  const int64_t height = results.end - results.begin;
  for (int64_t t = terms.begin; t < terms.end; t++)
    for (int64_t r = 0; r < s.rows.taps; r++) {
      const float* sums = acc + ((t - terms.begin) * s.rows.taps + r) * RESULTS * TERMS * L;
      const Terms& term = k.terms[t];
      // Sixteen at a time: turned, lanes are rows.
      for (int64_t first = 0; first < height * TERMS; first += L) {
        V v[L];
        for (int i = 0; i < L; i++)
          v[i] = first + i < height * TERMS ? load(sums + (first + i) * L) : zero();
        transpose(v);
        for (int half = L / 2; half > 0; half /= 2)
          for (int i = 0; i < half; i++) v[i] = v[i] + v[i + half];
        float total[L];
        store(total, v[0]);
        for (int64_t i = first; i < std::min(first + L, height * TERMS); i++) {
          const int64_t o = results.begin + i / TERMS, e = i % TERMS;
          if (e < term.count)
            dw[(o * s.C + term.channel[e]) * s.taps + r * s.columns.taps + term.tap[e]] =
                total[i - first];
        }
      }
    }
}

void weightGradient(Pool& pool, const Shapes& s, float* dw) {
  Correlation k{s, termsOf(s), 0, 0, 0, 0, s.C >= TERMS && s.taps > 1, 0, 0, 0};
  // As many columns as fit, then as many rows.
  const auto floats = [&](int64_t rows, int64_t columns) {
    return rows * columns * RESULTS * L +
           std::min(s.x.H, k.seenRows(rows)) * std::min(s.x.W, k.seenColumns(columns)) *
               std::min<int64_t>(s.C, TERMS) * L;
  };
  k.stretchRows = k.stretchColumns = 1;
  while (k.stretchColumns < s.y.W && floats(1, k.stretchColumns + 1) <= NEAR) k.stretchColumns++;
  while (k.stretchRows < s.y.H && floats(k.stretchRows + 1, k.stretchColumns) <= NEAR)
    k.stretchRows++;
  k.down = (s.y.H + k.stretchRows - 1) / k.stretchRows;
  k.across = (s.y.W + k.stretchColumns - 1) / k.stretchColumns;
  k.stretchRows = (s.y.H + k.down - 1) / k.down;
  k.stretchColumns = (s.y.W + k.across - 1) / k.across;
  const int64_t stretches = s.x.G * k.down * k.across;
  const int64_t count = static_cast<int64_t>(k.terms.size());
  const int64_t each = s.rows.taps * RESULTS * TERMS * L;
  const int64_t together = std::clamp<int64_t>(SUMS / each, 1, count);
  k.sumFloats = together * each;
  k.dyFloats = k.stretchRows * k.stretchColumns * RESULTS * L;
  k.xFloats = k.copies ? std::min(s.x.H, k.seenRows(k.stretchRows)) *
                             std::min(s.x.W, k.seenColumns(k.stretchColumns)) * TERMS * L
                       : 0;
  const int64_t tiles = (s.O + RESULTS - 1) / RESULTS;
  const int64_t groups = (count + together - 1) / together;
  const int64_t units = tiles * groups, threads = pool.threads();
  // With few units, threads share out the pixels instead, and their sums are added in turn.
  const int64_t parts = units >= 4 * threads ? 1 : std::min<int64_t>(threads, stretches);
  const int64_t size = s.O * s.C * s.taps;
  pool.reserve(static_cast<size_t>(k.sumFloats + k.dyFloats + k.xFloats),
               static_cast<size_t>(parts > 1 ? parts * size : 0));
  pool.run([&](int thread) {
    if (thread >= parts && parts > 1) return;
    const Range mine = parts > 1 ? Range{0, units} : share(units, thread, threads);
    const Range pixels = parts > 1 ? share(stretches, thread, parts) : Range{0, stretches};
    for (int64_t u = mine.begin; u < mine.end; u++) {
      const Range results = share(s.O, u / groups, tiles);
      const Range terms = share(count, u % groups, groups);
      correlate(k, results, terms, pixels, pool.scratch(thread));
      addLanes(k, results, terms, pool.scratch(thread),
               parts > 1 ? pool.shared() + thread * size : dw);
    }
  });
  if (parts > 1)
    vectors(pool, size, [&](int64_t i, int width) {
      V total = take(pool.shared() + i, width);
      for (int64_t part = 1; part < parts; part++)
        total += take(pool.shared() + part * size + i, width);
      put(dw + i, total, width);
    });
}

// ## The gradient of the weight, with many channels
//
// x is turned so that its channels are the lanes: [channels / 32][block, pixel][16 images][32]. Then
// every number of dy meets 32 channels of x, a run is the 16 images of a pixel, and the tile is that of
// every matrix product.

/** Pixels whose dy and x stay in the second-level cache while all taps come by. */
constexpr int64_t CLOSE = 128;

/** Turns 32 channels of one pixel. */
CN_INLINE void turnPixel(const float* pixel, int64_t C, int64_t panel, float* to) {
  constexpr int64_t WIDE = MAX_NB * L;
  for (int v = 0; v < MAX_NB; v++) {
    const int64_t c = panel * WIDE + v * L;
    V r[L];
    for (int k = 0; k < L; k++) r[k] = c + k < C ? load(pixel + (c + k) * L) : zero();
    transpose(r);
    for (int n = 0; n < L; n++) store(to + n * WIDE + v * L, r[n]);
  }
}

void turn(Pool& pool, const Blocks& x, int64_t panels, float* turned) {
  constexpr int64_t WIDE = MAX_NB * L;
  const int64_t pixels = x.G * x.pixels();
  split(pool, panels * pixels, WIDE * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      turnPixel(x.data + i % pixels * x.pixel(), x.C, i / pixels, turned + i * L * WIDE);
  });
}

/**
 * For a window of one tap every pixel is wanted once, so each thread turns the few it is about to use,
 * of the channels that are its own.
 */
void pointWeightGradient(Pool& pool, const Shapes& s, float* dw) {
  constexpr int64_t WIDE = MAX_NB * L;
  const int64_t panels = (s.C + WIDE - 1) / WIDE, padded = panels * WIDE;
  const int64_t tiles = (s.O + MAX_MR - 1) / MAX_MR, threads = pool.threads();
  const int64_t own = std::min(panels, panels / threads + 2);
  const int64_t together = std::clamp<int64_t>(2 * NEAR * 8 / (own * L * WIDE), 8, CLOSE);
  const Range rows = insideOf(s.rows, 0), columns = insideOf(s.columns, 0);
  const int64_t width = columns.end - columns.begin;
  const int64_t pixels = s.x.G * (rows.end - rows.begin) * width;
  require(s.y.G * s.y.block() < INT32_MAX, "the images are too many for one call");
  pool.reserve(static_cast<size_t>(own * together * L * WIDE), static_cast<size_t>(s.O * padded));
  float* sums = pool.shared();
  if (pixels == 0) std::fill_n(sums, s.O * padded, 0.0f);
  pool.run([&](int thread) {
    const Range mine = share(panels * tiles, thread, threads);
    if (mine.begin >= mine.end) return;
    const int64_t firstPanel = mine.begin / tiles, lastPanel = (mine.end - 1) / tiles;
    float* turned = pool.scratch(thread);
    std::vector<Run> runs;
    for (int64_t p = 0; p < pixels; p += together) {
      const int64_t count = std::min(together, pixels - p);
      runs.clear();
      for (int64_t q = p; q < p + count; q++) {
        const int64_t j = columns.begin + q % width, line = q / width;
        const int64_t i = rows.begin + line % (rows.end - rows.begin);
        const int64_t g = line / (rows.end - rows.begin);
        const float* pixel = s.x.at(g, i * s.rows.stride - s.rows.padding) +
                             (j * s.columns.stride - s.columns.padding) * s.x.pixel();
        for (int64_t panel = firstPanel; panel <= lastPanel; panel++)
          turnPixel(pixel, s.C, panel,
                    turned + ((panel - firstPanel) * together + q - p) * L * WIDE);
        runs.push_back({static_cast<int32_t>(((g * s.y.H + i) * s.y.W + j) * s.y.pixel()),
                        static_cast<int32_t>((q - p) * L * WIDE), L});
      }
      for (int64_t u = mine.begin; u < mine.end; u++) {
        const int64_t panel = u / tiles;
        const Range r = share(s.O, u % tiles, tiles);
        const int vectors = static_cast<int>(
            std::min<int64_t>(MAX_NB, (s.C - panel * WIDE + L - 1) / L));
        const Steps steps{1, WIDE, L, padded, L};
        pixelTiles[r.end - r.begin - 1][vectors - 1](
            s.y.data + r.begin * L, 0, turned + (panel - firstPanel) * together * L * WIDE,
            runs.data(), static_cast<int>(count), steps, sums + r.begin * padded + panel * WIDE,
            p > 0);
      }
    }
  });
  split(pool, s.O, s.C, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++)
      std::copy_n(sums + o * padded, s.C, dw + o * s.C);
  });
}

void wideWeightGradient(Pool& pool, const Shapes& s, float* dw) {
  constexpr int64_t WIDE = MAX_NB * L;
  const int64_t panels = (s.C + WIDE - 1) / WIDE, padded = panels * WIDE;
  const int64_t turned = panels * s.x.G * s.x.pixels() * L * WIDE;
  const int64_t tiles = (s.O + MAX_MR - 1) / MAX_MR, threads = pool.threads();
  require(s.x.G * s.x.block() < INT32_MAX && s.y.G * s.y.block() < INT32_MAX,
          "the images are too many for one call");
  pool.reserve(0, static_cast<size_t>(turned + s.O * s.taps * padded));
  float *x = pool.shared(), *sums = x + turned;
  turn(pool, s.x, panels, x);

  const int64_t close = std::clamp<int64_t>(CLOSE / s.y.W, 1, s.y.H);
  const int64_t down = (s.y.H + close - 1) / close;
  pool.run([&](int thread) {
    // Whole panels of channels, then tiles of results: both are of the same work.
    const Range mine = share(panels * tiles, thread, threads);
    std::vector<Run> runs;
    std::vector<int> ends;
    for (int64_t chunk = 0; chunk < s.x.G * down; chunk++) {
      const int64_t g = chunk / down, i0 = chunk % down * close, i1 = std::min(s.y.H, i0 + close);
      // The runs of every tap, tap after tap.
      runs.clear();
      ends.clear();
      for (int64_t a = 0; a < s.rows.taps; a++)
        for (int64_t b = 0; b < s.columns.taps; b++) {
          const Range rows = insideOf(s.rows, a), columns = insideOf(s.columns, b);
          for (int64_t i = std::max(i0, rows.begin); i < std::min(i1, rows.end); i++)
            for (int64_t j = columns.begin; j < columns.end; j++) {
              const int64_t h = i * s.rows.stride + a * s.rows.dilation - s.rows.padding;
              const int64_t v = j * s.columns.stride + b * s.columns.dilation - s.columns.padding;
              runs.push_back({static_cast<int32_t>(((g * s.y.H + i) * s.y.W + j) * s.y.pixel()),
                              static_cast<int32_t>(((g * s.x.H + h) * s.x.W + v) * L * WIDE), L});
            }
          ends.push_back(static_cast<int>(runs.size()));
        }
      for (int64_t u = mine.begin; u < mine.end; u++) {
        const int64_t panel = u / tiles;
        const Range r = share(s.O, u % tiles, tiles);
        const int vectors = static_cast<int>(
            std::min<int64_t>(MAX_NB, (s.C - panel * WIDE + L - 1) / L));
        const Steps steps{1, WIDE, L, s.taps * padded, L};
        int first = 0;
        for (int64_t t = 0; t < s.taps; first = ends[t++])
          pixelTiles[r.end - r.begin - 1][vectors - 1](
              s.y.data + r.begin * L, 0, x + panel * s.x.G * s.x.pixels() * L * WIDE,
              runs.data() + first, ends[t] - first, steps,
              sums + (r.begin * s.taps + t) * padded + panel * WIDE, chunk > 0);
      }
    }
  });
  // From [O, taps, C] to [O, C, taps].
  split(pool, s.O, s.C * s.taps, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++)
      for (int64_t c = 0; c < s.C; c += L)
        for (int64_t t = 0; t < s.taps; t += L) {
          const int rows = static_cast<int>(std::min<int64_t>(L, s.C - c));
          const int count = static_cast<int>(std::min<int64_t>(L, s.taps - t));
          const float* from = sums + (o * s.taps + t) * padded + c;
          float* to = dw + (o * s.C + c) * s.taps + t;
          if (s.taps == 1)
            put(to, take(from, rows), rows);
          else
            scatterColumns(from, padded, rows, count, to, s.taps);
        }
  });
}

}  // namespace blocked

// ## The kernels

void blocked_conv2d(Call& call) {
  const Operand &w = call.input(1), &bias = call.optional(2);
  const blocked::Shapes s = blocked::shapesOf(call, call.input(0), w, call.output(0));
  call.want(bias, {s.O}, "bias");
  blocked::slide(call.pool,
                 {s.x, s.y, Walk(s.rows, false), Walk(s.columns, false), s.rows.taps,
                  blocked::Panels(s.O, s.C, s, true), nullptr, bias ? bias.floats() : nullptr,
                  blocked::activationOf(call), {}},
                 s, w.floats(), true);
}

void blocked_conv2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  const blocked::Shapes s = blocked::shapesOf(call, dx, w, dy);
  blocked::slide(call.pool,
                 {s.y, s.x, Walk(s.rows, true), Walk(s.columns, true), s.rows.taps,
                  blocked::Panels(s.C, s.O, s, false), nullptr, nullptr, blocked::Activation::none, blocked::gateOf(call, 2, s.x)},
                 s, w.floats(), false);
}

void blocked_conv2d_backward_weight(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dw = call.output(0);
  const blocked::Shapes s = blocked::shapesOf(call, x, dw, dy);
  const auto gradient = s.C < L     ? blocked::weightGradient
                        : s.taps > 1 ? blocked::wideWeightGradient
                                     : blocked::pointWeightGradient;
  gradient(call.pool, s, dw.floats());
}

}  // namespace convnotes::CN_ISA
