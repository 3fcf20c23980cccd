// # Convolution
//
// Forward    y[n,k,i,j] = b[k] + Σ_{c,a,b} w[k,c,a,b] · x[n, c, i·s + a·d − p, j·s + b·d − p]
// Backward   dx = Σ w·dy over the places that saw the pixel;  dw = Σ x·dy over all places of a tap;
//            db = Σ dy
//
// All three are matrix products that are never written out. Forward and backward-input are one
// function, `slide`: a tile takes neighbouring pixels against 16 or 32 channels, and its runs are the
// taps, 16 channels at a time. A walk (window.h) says which pixel a tap means in which direction, and
// the weights are packed to match. The weight's gradient takes channels of x against channels of dy,
// and its runs are rows of pixels.
//
// ## Layout
//
// Tensors are [N, C, H, W]. Each thread copies what it works on into blocks of 16 channels, whose
// pixels are 64 bytes apart, so that a tile's pixels are at constant distances:
//
// - *by rows*: [C/16][row][phase][column][16], for images at least ROW wide. Columns that a stride
//   would skip lie in phases of their own; columns outside the image are zeros, rows outside are left
//   out of the runs. The band of rows is so high that it takes half a second-level cache.
// - *by images*: [C/16][row][column][n][16], for small images: a tile takes the same pixel of up to 16
//   images, and no tap outside the image is computed at all.
// - *merged*: with few channels (a first layer), the taps along a row count as channels:
//   [row][column of y][tap, channel], so that runs are not too short.
//
// Copying costs about half a cycle for each number, which then meets K·L·O/s² multiply-adds.
//
// Zeros outside the image meet weights, and 0·∞ is no number; by images nothing meets them. So
// weights that are not finite go by images, and a result of the weight's gradient that is NaN is
// computed again without merging.
//
// ## Sizes and order
//
// Multiply-adds: N·O·H'·W'·(C/g)·K·L for each of the three. Bytes: x, w and y once, plus the packed
// weights (as large as w) once for each band from the second- or third-level cache.
// Forward and backward-input: for each element one accumulator over rows of taps, columns of taps
// and channels ascending, cut every CHUNK terms (tile.h). Weight: one accumulator for the rows
// of a group of images, groups ascending, then the threads' parts ascending.
// Threads share out bands (and panels of channels when there are fewer bands than threads); for
// the weight images, then panels.
//
// Of the peak of one core with AVX-512 (`npm run bench:kernels`; terms outside the image count, and
// are not computed): 85 to 100 % for the inner layers of AlexNet, VGG and ResNet in all three, 74 to 81 %
// for NiN's 1×1, 68 % for AlexNet's first. LeNet's, with 1 and 6 channels: 14 to 60 %. The gradient of
// images with 1 channel: 5 %; nobody trains images.

#include <algorithm>
#include <utility>
#include <vector>

#include "call.h"
#include "ops.h"
#include "reduce.h"
#include "tile.h"
#include "transpose.h"
#include "window.h"

namespace convnotes::CN_ISA {

namespace {

/** Narrower results go by images, where more than three of these can be taken at once. */
constexpr int64_t ROW = 6;
/** Floats of packed input that a unit of work may hold: half of a second-level cache of 1 MB. */
constexpr int64_t UNIT = 128 * 1024;
/** Images that are packed side by side. */
constexpr int64_t ABREAST = 16;
/** Floats of packed images or weights (1 GB) beyond which the call is refused. */
constexpr int64_t MOST = int64_t{1} << 28;
/** With up to so many channels, the taps along a row are merged with them. */
constexpr int64_t FEW = 8;

int64_t blocks(int64_t channels) { return (channels + L - 1) / L; }
int64_t floorDivide(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// ## Arguments

struct Geometry {
  int64_t N, C, O, groups;
  /** Channels of one group. */
  int64_t c, o;
  Window rows, columns;

  int64_t taps() const { return rows.taps * columns.taps; }
};

/** Checks that x, w and y (or their gradients) belong together. */
Geometry geometryOf(const Call& call, const Operand& x, const Operand& w, const Operand& y) {
  call.wantAxes(x, 4, "input");
  call.wantAxes(w, 4, "weight");
  int64_t stride[2], padding[2], dilation[2];
  call.options.pair("stride", 1, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  call.options.pair("dilation", 1, 1, dilation);
  Geometry g;
  g.groups = call.options.whole("groups", 1, 1);
  g.N = x.shape[0];
  g.C = x.shape[1];
  g.O = w.shape[0];
  g.c = w.shape[1];
  g.o = g.O / g.groups;
  require(g.O % g.groups == 0 && g.C == g.c * g.groups,
          "input " + x.show() + ", weight " + w.show() + " and groups " +
              std::to_string(g.groups) + " do not go together");
  require(w.shape[2] >= 1 && w.shape[3] >= 1, "weight " + w.show() + " has no taps");
  const auto along = [&](int axis) {
    return Window{x.shape[2 + axis], 0,           w.shape[2 + axis],
                  stride[axis],      dilation[axis], padding[axis]};
  };
  g.rows = along(0);
  g.columns = along(1);
  g.rows.out = places(g.rows, false);
  g.columns.out = places(g.columns, false);
  for (Window* w : {&g.rows, &g.columns}) {
    // One place is never left; and a walk has as many classes as the stride.
    if (w->out == 1) w->stride = 1;
    require(w->stride <= 1 << 16, "a stride of " + std::to_string(w->stride) + " is too large");
  }
  call.want(y, {g.N, g.O, g.rows.out, g.columns.out}, "output");
  return g;
}

bool isFinite(const float* values, int64_t count) {
  // x − x is 0 for a finite number and NaN otherwise; NaN survives every sum.
  V spread = zero();
  int64_t i = 0;
  for (; i + L <= count; i += L) {
    const V x = load(values + i);
    spread = spread + (x - x);
  }
  if (i < count) {
    const V x = load(values + i, static_cast<int>(count - i));
    spread = spread + (x - x);
  }
  return !any(isNaN(spread));
}

bool hasNaN(const float* values, int64_t count) {
  for (int64_t i = 0; i < count; i += L)
    if (any(isNaN(load(values + i, static_cast<int>(std::min<int64_t>(L, count - i))))))
      return true;
  return false;
}

// ## Packed weights: [block of results][tap][block of terms][16 terms][16 results]

/** Where a weight goes: taps and terms as the tiles count them. */
struct WeightLayout {
  int64_t results, terms, taps;
  /** Whether the taps along a row count as terms, so many channels each. */
  int64_t mergedColumns = 0, mergedChannels = 0;

  int64_t panel() const { return taps * blocks(terms) * L * L; }
  int64_t size() const { return blocks(results) * panel(); }
  /** Where the terms of block `b` begin for tap `t`, as the tiles count them, within a panel. */
  int64_t block(int64_t b, int64_t t) const { return (t * blocks(terms) + b) * L * L; }
  /** The vector of results for channel `c` and tap `t` of the tensor. */
  int64_t vector(int64_t c, int64_t t) const {
    if (mergedColumns > 0) {
      c += t % mergedColumns * mergedChannels;
      t /= mergedColumns;
    }
    return block(c / L, t) + c % L * L;
  }
};

/** Packs one panel of `[O, C, K, L]` whose results are the O. */
void packOut(const float* w, int64_t c, int64_t taps, const WeightLayout& to, int64_t panel,
             float* packed) {
  const int rows = static_cast<int>(std::min<int64_t>(L, to.results - panel * L));
  const int64_t row = c * taps;
  const float* from = w + panel * L * row;
  for (int64_t q = 0; q < row; q += L) {
    const int count = static_cast<int>(std::min<int64_t>(L, row - q));
    V r[L];
    for (int i = 0; i < L; i++) r[i] = i < rows ? load(from + i * row + q, count) : zero();
    transpose(r);
    for (int j = 0; j < count; j++)
      store(packed + panel * to.panel() + to.vector((q + j) / taps, (q + j) % taps), r[j]);
  }
}

/** The way back: adds up the parts of all threads and writes `[O, C, K, L]`. */
void unpackOut(const float* packed, int64_t parts, int64_t partSize, int64_t c, int64_t taps,
               const WeightLayout& from, int64_t panel, float* w) {
  const int rows = static_cast<int>(std::min<int64_t>(L, from.results - panel * L));
  const int64_t row = c * taps;
  for (int64_t q = 0; q < row; q += L) {
    const int count = static_cast<int>(std::min<int64_t>(L, row - q));
    V r[L];
    for (int j = 0; j < L; j++) {
      r[j] = zero();
      if (j >= count) continue;
      const float* vector =
          packed + panel * from.panel() + from.vector((q + j) / taps, (q + j) % taps);
      r[j] = load(vector);
      for (int64_t part = 1; part < parts; part++) r[j] += load(vector + part * partSize);
    }
    transpose(r);
    for (int i = 0; i < rows; i++) store(w + (panel * L + i) * row + q, r[i], count);
  }
}

/** Packs one panel of `[O, C, K, L]` whose results are the C. */
void packIn(const float* w, int64_t c, int64_t taps, const WeightLayout& to, int64_t panel,
            float* packed) {
  const int rows = static_cast<int>(std::min<int64_t>(L, c - panel * L));
  if (taps == 1) {
    // The channels are neighbours already.
    for (int64_t o = 0; o < to.terms; o++)
      store(packed + panel * to.panel() + to.vector(o, 0), load(w + o * c + panel * L, rows));
    return;
  }
  for (int64_t o = 0; o < to.terms; o++)
    for (int64_t t = 0; t < taps; t += L) {
      const int count = static_cast<int>(std::min<int64_t>(L, taps - t));
      V r[L];
      for (int i = 0; i < L; i++)
        r[i] = i < rows ? load(w + (o * c + panel * L + i) * taps + t, count) : zero();
      transpose(r);
      for (int j = 0; j < count; j++)
        store(packed + panel * to.panel() + to.vector(o, t + j), r[j]);
    }
}

// ## Packed images

/** Channels, rows and columns of some planes of a tensor `[N, C, H, W]`. */
struct Planes {
  const float* data;
  int64_t channels, height, width;

  const float* plane(int64_t n, int64_t all, int64_t first) const {
    return data + (n * all + first) * height * width;
  }
};

/**
 * By rows: [C/16][rows][phases][columns][16], where column q of phase f is image column
 * (q + left)·phases + f.
 */
struct RowLayout {
  int64_t phases, left, columns, height;

  int64_t row() const { return phases * columns * L; }
  int64_t block() const { return height * row(); }
  int64_t size(int64_t channels) const { return blocks(channels) * block(); }
};

void packRows(const Planes& x, const float* plane, int64_t first, int64_t count,
              const RowLayout& to, float* packed) {
  const int64_t begin = to.left * to.phases, end = (to.left + to.columns) * to.phases;
  const int64_t area = x.height * x.width;
  for (int64_t b = 0; b < blocks(x.channels); b++) {
    const int channels = static_cast<int>(std::min<int64_t>(L, x.channels - b * L));
    for (int64_t h = 0; h < count; h++) {
      float* out = packed + b * to.block() + h * to.row();
      const float* from = plane + b * L * area + (first + h) * x.width;
      const auto at = [&](int64_t v) {
        const int64_t q = floorDivide(v, to.phases);
        return out + ((v - q * to.phases) * to.columns + q - to.left) * L;
      };
      for (int64_t v = begin; v < std::min<int64_t>(0, end); v++) store(at(v), zero());
      for (int64_t v = std::max(x.width, begin); v < end; v++) store(at(v), zero());
      for (int64_t v = std::max<int64_t>(0, begin); v < std::min(x.width, end); v += L) {
        const int width = static_cast<int>(std::min({int64_t{L}, x.width - v, end - v}));
        V r[L];
        for (int i = 0; i < L; i++) r[i] = i < channels ? load(from + i * area + v, width) : zero();
        transpose(r);
        for (int j = 0; j < width; j++) store(at(v + j), r[j]);
      }
    }
  }
}

/**
 * Merged: [blocks of tap and channel][rows][columns of y][16]; `line` holds one row of the padded
 * image with its channels side by side, and 16 floats behind.
 */
void packMerged(const Planes& x, const float* plane, const Window& w, int64_t first, int64_t count,
                const RowLayout& to, float* line, float* packed) {
  const int64_t C = x.channels, terms = w.taps * C, area = x.height * x.width;
  const int64_t padded = (w.out - 1) * w.stride + w.span();
  std::fill(line, line + padded * C + L, 0.0f);
  const int64_t visible = std::min(x.width, padded - w.padding);
  for (int64_t h = 0; h < count; h++) {
    const float* from = plane + (first + h) * x.width;
    if (C == 1)
      std::copy(from, from + std::max<int64_t>(visible, 0), line + w.padding);
    else
      for (int64_t c = 0; c < C; c++)
        for (int64_t v = 0; v < visible; v++) line[(w.padding + v) * C + c] = from[c * area + v];
    for (int64_t b = 0; b < blocks(terms); b++) {
      float* out = packed + b * to.block() + h * to.row();
      if (w.dilation == 1)
        for (int64_t j = 0; j < w.out; j++) store(out + j * L, load(line + j * w.stride * C + b * L));
      else
        for (int64_t j = 0; j < w.out; j++)
          for (int64_t e = b * L; e < std::min(terms, (b + 1) * L); e++)
            out[j * L + e - b * L] = line[(j * w.stride + e / C * w.dilation) * C + e % C];
    }
  }
}

/** By images: [C/16][pixel][n][16]. */
void packImages(const Planes& x, int64_t n0, int64_t n1, int64_t all, int64_t firstChannel,
                float* packed) {
  const int64_t area = x.height * x.width, images = n1 - n0;
  for (int64_t n = n0; n < n1; n++)
    for (int64_t b = 0; b < blocks(x.channels); b++) {
      const int channels = static_cast<int>(std::min<int64_t>(L, x.channels - b * L));
      const float* from = x.plane(n, all, firstChannel + b * L);
      float* to = packed + (b * area * images + n - n0) * L;
      for (int64_t q = 0; q < area; q += L)
        gatherColumns(from + q, area, channels, static_cast<int>(std::min<int64_t>(L, area - q)),
                      to + q * images * L, images * L);
    }
}

// ## Slide: forward and backward-input

struct Slide {
  int64_t N, groups;
  /** What is read; `terms` counts what the tiles take for channels of one group. */
  Planes in;
  int64_t terms;
  /** What is written. */
  float* out;
  int64_t channels, height, width;
  Walk rows, columns;
  int64_t columnTaps;
  WeightLayout weights;
  const float* packed;
  const float* bias;
  /** The window along the columns where its taps are merged with the channels, else null. */
  const Window* merged;

  int64_t panels() const { return (blocks(channels) + MAX_NB - 1) / MAX_NB; }
  const float* inPlane(int64_t n, int64_t group) const {
    return in.plane(n, groups * in.channels, group * in.channels);
  }
  float* outPlane(int64_t n, int64_t group, int64_t channel) const {
    return out + ((n * groups + group) * channels + channel) * height * width;
  }
};

/** Equal tiles: 26 pixels become 13 + 13, not 14 + 12. */
template <class Body>
void eachTile(int64_t count, const Body& body) {
  const int64_t tiles = (count + MAX_MR - 1) / MAX_MR;
  for (int64_t t = 0; t < tiles; t++) {
    const Range r = share(count, t, tiles);
    body(r.begin, static_cast<int>(r.end - r.begin));
  }
}

/** Vectors of one panel: MAX_NB, but for the last. */
int vectorsOf(int64_t channels, int64_t panel) {
  return static_cast<int>(std::min<int64_t>(MAX_NB, blocks(channels) - panel * MAX_NB));
}

/** Writes blocked pixels into their planes, with the bias. */
void unpackPixels(const Slide& s, const float* from, ptrdiff_t pixelStep, int64_t pixels, int64_t n,
                  int64_t group, int64_t block, int64_t firstPixel) {
  const int channels = static_cast<int>(std::min<int64_t>(L, s.channels - block * L));
  float* to = s.outPlane(n, group, block * L) + firstPixel;
  const V shift = s.bias ? load(s.bias + group * s.channels + block * L, channels) : zero();
  for (int64_t q = 0; q < pixels; q += L) {
    const int count = static_cast<int>(std::min<int64_t>(L, pixels - q));
    V r[L];
    for (int j = 0; j < L; j++) {
      r[j] = j < count ? load(from + (q + j) * pixelStep) : zero();
      if (s.bias) r[j] = r[j] + shift;
    }
    transpose(r);
    for (int i = 0; i < channels; i++) store(to + i * s.height * s.width + q, r[i], count);
  }
}

// ### By rows

struct RowPlan {
  RowLayout layout;
  int64_t bands, bandRows;
  /** Of packed input, of one padded line, and of one row of results. */
  int64_t inputFloats, lineFloats, rowFloats;
  /** By class of columns: its first column and how many there are. */
  struct Columns {
    int64_t first, count;
    /** By class of rows: all runs; `runsPerTap` of them belong to one row of taps. */
    std::vector<std::vector<Run>> runs;
    int64_t runsPerTap;
  };
  std::vector<Columns> columns;

  int64_t floats() const { return inputFloats + lineFloats + rowFloats; }
};

/** Rows of the input that results r0 to r1 see. */
Range rowsSeen(const Walk& rows, int64_t r0, int64_t r1) {
  Range seen{rows.from, 0};
  for (int64_t r = r0; r < r1; r++) {
    const auto& list = rows.classes[rows.classOf(r)];
    const Range inside = rows.inside(r);
    if (inside.begin == inside.end) continue;
    seen.begin = std::min(seen.begin, rows.base(r) + list[inside.begin].offset);
    seen.end = std::max(seen.end, rows.base(r) + list[inside.end - 1].offset + 1);
  }
  return seen.begin < seen.end ? seen : Range{0, 0};
}

RowPlan planRows(const Slide& s) {
  RowPlan plan;
  const Walk& walk = s.columns;
  const int64_t phases = walk.backward ? 1 : walk.stride;
  const int64_t classes = static_cast<int64_t>(walk.classes.size());
  int64_t left = INT64_MAX, right = INT64_MIN;
  for (int64_t first = 0; first < std::min(classes, walk.to); first++) {
    const int64_t count = (walk.to - first - 1) / classes + 1;
    plan.columns.push_back({first, count, {}, 0});
    for (const Seen& seen : walk.classes[walk.classOf(first)]) {
      const int64_t q = floorDivide(walk.base(first) + seen.offset, phases);
      left = std::min(left, q);
      right = std::max(right, q + count);
    }
  }
  if (left > right) left = right = 0;
  plan.layout = {phases, left, right - left, 0};

  const auto highest = [&](int64_t bandRows) {
    int64_t rows = 0;
    for (int64_t r = 0; r < s.height; r += bandRows) {
      const Range seen = rowsSeen(s.rows, r, std::min(s.height, r + bandRows));
      rows = std::max(rows, seen.end - seen.begin);
    }
    return rows;
  };
  plan.bandRows = s.height;
  plan.layout.height = highest(plan.bandRows);
  while (plan.bandRows > 1 && plan.layout.size(s.terms) > UNIT) {
    plan.bandRows = (plan.bandRows + 1) / 2;
    plan.layout.height = highest(plan.bandRows);
  }
  plan.bands = (s.height + plan.bandRows - 1) / plan.bandRows;
  plan.inputFloats = plan.layout.size(s.terms);
  plan.rowFloats = MAX_NB * s.width * L;
  plan.lineFloats = s.merged ? ((s.merged->out - 1) * s.merged->stride + s.merged->span()) *
                                       s.in.channels + L
                             : 0;

  for (RowPlan::Columns& c : plan.columns) {
    const auto& taps = walk.classes[walk.classOf(c.first)];
    c.runsPerTap = static_cast<int64_t>(taps.size()) * blocks(s.terms);
    for (const auto& rowClass : s.rows.classes) {
      std::vector<Run>& runs = c.runs.emplace_back();
      for (const Seen& row : rowClass)
        for (const Seen& column : taps) {
          const int64_t e = walk.base(c.first) + column.offset;
          const int64_t q = floorDivide(e, phases);
          const int64_t from = row.offset * plan.layout.row() +
                               ((e - q * phases) * plan.layout.columns + q - left) * L;
          for (int64_t b = 0; b < blocks(s.terms); b++)
            runs.push_back({static_cast<int32_t>(b * plan.layout.block() + from),
                            static_cast<int32_t>(
                                s.weights.block(b, row.tap * s.columnTaps + column.tap)),
                            static_cast<int32_t>(std::min<int64_t>(L, s.terms - b * L))});
        }
    }
  }
  return plan;
}

void slideRows(const Slide& s, const RowPlan& plan, int64_t unit, Range panels, float* scratch) {
  const int64_t n = unit / plan.bands, band = unit % plan.bands;
  const int64_t r0 = band * plan.bandRows, r1 = std::min(s.height, r0 + plan.bandRows);
  const Range seen = rowsSeen(s.rows, r0, r1);
  const int64_t step = static_cast<int64_t>(s.columns.classes.size());
  float* line = scratch + plan.inputFloats;
  float* row = line + plan.lineFloats;
  for (int64_t g = 0; g < s.groups; g++) {
    if (s.merged)
      packMerged(s.in, s.inPlane(n, g), *s.merged, seen.begin, seen.end - seen.begin, plan.layout,
                 line, scratch);
    else
      packRows(s.in, s.inPlane(n, g), seen.begin, seen.end - seen.begin, plan.layout, scratch);
    for (int64_t p = panels.begin; p < panels.end; p++) {
      const int vectors = vectorsOf(s.channels, p);
      const float* weights = s.packed + g * s.weights.size() + p * MAX_NB * s.weights.panel();
      const Steps steps{1, L, s.weights.panel(), step * L, s.width * L};
      for (int64_t r = r0; r < r1; r++) {
        const Range inside = s.rows.inside(r);
        const ptrdiff_t base = (s.rows.base(r) - seen.begin) * plan.layout.row();
        for (const RowPlan::Columns& c : plan.columns) {
          const Run* runs = c.runs[s.rows.classOf(r)].data() + inside.begin * c.runsPerTap;
          const int count = static_cast<int>((inside.end - inside.begin) * c.runsPerTap);
          eachTile(c.count, [&](int64_t t, int pixels) {
            pixelTiles[pixels - 1][vectors - 1](scratch, base + t * L, weights, runs, count, steps,
                                                row + (c.first + t * step) * L, false);
          });
        }
        for (int v = 0; v < vectors; v++)
          unpackPixels(s, row + v * s.width * L, L, s.width, n, g, p * MAX_NB + v, r * s.width);
      }
    }
  }
}

// ### By images

/** How many images go abreast: at most ABREAST, alike in number, and some for every thread. */
int64_t abreast(int64_t images, int64_t floatsPerImage, int threads) {
  int64_t most = std::min(ABREAST, (images + threads - 1) / threads);
  most = std::clamp<int64_t>(4 * UNIT / std::max<int64_t>(floatsPerImage, 1), 1, most);
  const int64_t groups = (images + most - 1) / most;
  return (images + groups - 1) / groups;
}

void slideImages(const Slide& s, int64_t n0, int64_t n1, Range panels, float* scratch) {
  const int64_t images = n1 - n0, area = s.in.height * s.in.width;
  const int64_t results = s.height * s.width;
  float* out = scratch + blocks(s.terms) * area * images * L;
  std::vector<Run> runs;
  for (int64_t g = 0; g < s.groups; g++) {
    packImages(s.in, n0, n1, s.groups * s.in.channels, g * s.in.channels, scratch);
    for (int64_t p = panels.begin; p < panels.end; p++) {
      const int vectors = vectorsOf(s.channels, p);
      const float* weights = s.packed + g * s.weights.size() + p * MAX_NB * s.weights.panel();
      const Steps steps{1, L, s.weights.panel(), L, results * images * L};
      for (int64_t r = 0; r < s.height; r++)
        for (int64_t v = 0; v < s.width; v++) {
          const auto& rowTaps = s.rows.classes[s.rows.classOf(r)];
          const auto& columnTaps = s.columns.classes[s.columns.classOf(v)];
          const Range rowsInside = s.rows.inside(r), columnsInside = s.columns.inside(v);
          runs.clear();
          for (int64_t i = rowsInside.begin; i < rowsInside.end; i++)
            for (int64_t j = columnsInside.begin; j < columnsInside.end; j++) {
              const int64_t pixel = (s.rows.base(r) + rowTaps[i].offset) * s.in.width +
                                    s.columns.base(v) + columnTaps[j].offset;
              const int64_t tap = rowTaps[i].tap * s.columnTaps + columnTaps[j].tap;
              for (int64_t b = 0; b < blocks(s.terms); b++)
                runs.push_back({static_cast<int32_t>((b * area + pixel) * images * L),
                                static_cast<int32_t>(s.weights.block(b, tap)),
                                static_cast<int32_t>(std::min<int64_t>(L, s.terms - b * L))});
            }
          eachTile(images, [&](int64_t n, int count) {
            pixelTiles[count - 1][vectors - 1](
                scratch, n * L, weights, runs.data(), static_cast<int>(runs.size()), steps,
                out + ((r * s.width + v) * images + n) * L, false);
          });
        }
      for (int64_t n = 0; n < images; n++)
        for (int v = 0; v < vectors; v++)
          unpackPixels(s, out + (v * results * images + n) * L, images * L, results, n0 + n, g,
                       p * MAX_NB + v, 0);
    }
  }
}

// ### The work of all threads

/** Runs `body(unit, panels, thread)` so that all threads have something to do. */
template <class Body>
void shareOut(Pool& pool, int64_t units, int64_t panels, const Body& body) {
  const int64_t threads = pool.threads();
  const int64_t slices = std::clamp<int64_t>((threads + units - 1) / std::max<int64_t>(units, 1), 1,
                                             panels);
  pool.run([&](int thread) {
    const Range items = share(units * slices, thread, threads);
    for (int64_t i = items.begin; i < items.end; i++)
      body(i / slices, share(panels, i % slices, slices), thread);
  });
}

void slide(Pool& pool, Slide s, bool byImages, const float* w, bool backward) {
  const int64_t O = backward ? s.terms : s.channels, c = backward ? s.channels : s.in.channels;
  const int64_t taps = s.weights.taps * std::max<int64_t>(s.weights.mergedColumns, 1);
  const int64_t packedFloats = s.groups * s.weights.size();
  RowPlan plan;
  int64_t each, images = 1;
  if (byImages) {
    const int64_t perImage = (blocks(s.terms) * s.in.height * s.in.width +
                              MAX_NB * s.height * s.width) * L;
    images = abreast(s.N, perImage, pool.threads());
    each = images * perImage;
  } else {
    plan = planRows(s);
    each = plan.floats();
  }
  require(each <= MOST && packedFloats <= MOST, "the packed image or weight exceeds 1 GB");
  pool.reserve(each, packedFloats);
  float* packed = pool.shared();
  s.packed = packed;
  const int64_t panels = blocks(s.channels);
  pool.run([&](int thread) {
    const Range mine = share(s.groups * panels, thread, pool.threads());
    for (int64_t i = mine.begin; i < mine.end; i++) {
      const int64_t g = i / panels;
      (backward ? packIn : packOut)(w + g * O * c * taps, c, taps, s.weights, i % panels,
                                    packed + g * s.weights.size());
    }
  });
  if (byImages)
    shareOut(pool, (s.N + images - 1) / images, s.panels(), [&](int64_t u, Range p, int thread) {
      slideImages(s, u * images, std::min(s.N, (u + 1) * images), p, pool.scratch(thread));
    });
  else
    shareOut(pool, s.N * plan.bands, s.panels(), [&](int64_t u, Range p, int thread) {
      slideRows(s, plan, u, p, pool.scratch(thread));
    });
}

bool goesByImages(int64_t images, int64_t width) { return width < ROW && images >= 4; }

/** A window of one tap that takes each column as it is. */
Window identity(int64_t columns) { return {columns, columns, 1, 1, 1, 0}; }

bool merges(const Geometry& g) { return g.c <= FEW && g.columns.taps > 1; }

// ## The gradient of the weight

struct Correlation {
  const Geometry& g;
  Planes x, dy;
  /** What tiles take for channels of x, and the window along the columns that is left. */
  int64_t terms;
  Window columns;
  bool merged, byImages;
  WeightLayout weights;
  /** Of x: its layout by rows. */
  RowLayout layout;
  /** Images that are packed together, and floats of x and dy for each. */
  int64_t images, xFloats, dyFloats, lineFloats;
};

/** Tiles of c: 16 channels in equal parts. */
constexpr int PARTS = (L + (MAX_NB == 2 ? 8 : MAX_MR) - 1) / (MAX_NB == 2 ? 8 : MAX_MR);

/** Adds up what images n0 to n1 of one group contribute to the panels. */
void correlate(const Correlation& k, int64_t n0, int64_t n1, int64_t group, Range panels,
               float* scratch, float* sums, bool add) {
  const Geometry& g = k.g;
  const int64_t images = n1 - n0, area = g.rows.in * g.columns.in;
  const int64_t places = g.rows.out * g.columns.out;
  float* dy = scratch + k.images * k.xFloats;
  float* line = dy + k.images * k.dyFloats;
  if (k.byImages) {
    packImages(k.x, n0, n1, g.C, group * g.c, scratch);
    packImages(k.dy, n0, n1, g.O, group * g.o, dy);
  } else {
    for (int64_t n = 0; n < images; n++) {
      const float* plane = k.x.plane(n0 + n, g.C, group * g.c);
      if (k.merged)
        packMerged(k.x, plane, g.columns, 0, g.rows.in, k.layout, line, scratch + n * k.xFloats);
      else
        packRows(k.x, plane, 0, g.rows.in, k.layout, scratch + n * k.xFloats);
      const RowLayout plain{1, 0, g.columns.out, g.rows.out};
      packRows(k.dy, k.dy.plane(n0 + n, g.O, group * g.o), 0, g.rows.out, plain,
               dy + n * k.dyFloats);
    }
  }

  // So many rows of x and dy that both stay in the first-level cache while all taps come by.
  const int64_t rowBytes = 64 * k.columns.out * (MAX_NB + g.rows.stride);
  const int64_t band = k.byImages ? g.rows.out
                                  : std::clamp<int64_t>(36 * 1024 / rowBytes, 1, g.rows.out);
  const int64_t dyBlock = k.byImages ? places * images * L : places * L;
  std::vector<Run> runs;
  std::vector<size_t> ends;
  for (int64_t n = 0; n < (k.byImages ? 1 : images); n++) {
    // By rows, a small image is not worth a pass of its own: all images of the group are one band.
    const bool together = !k.byImages && band == g.rows.out;
    if (together && n > 0) break;
    for (int64_t r0 = 0; r0 < g.rows.out; r0 += band, add = true) {
      const int64_t r1 = std::min(g.rows.out, r0 + band);
      // The runs of every tap, tap after tap.
      runs.clear();
      ends.clear();
      for (int64_t a = 0; a < g.rows.taps; a++)
        for (int64_t b = 0; b < k.columns.taps; b++) {
          const int64_t e = b * k.columns.dilation - k.columns.padding;
          const int64_t j0 = e >= 0 ? 0 : (-e + k.columns.stride - 1) / k.columns.stride;
          const int64_t j1 = std::min(
              k.columns.out, floorDivide(k.columns.in - 1 - e, k.columns.stride) + 1);
          for (int64_t m = n; m < (together ? images : n + 1); m++)
            for (int64_t i = r0; i < r1; i++) {
              const int64_t h = i * g.rows.stride + a * g.rows.dilation - g.rows.padding;
              if (h < 0 || h >= g.rows.in || j0 >= j1) continue;
              if (k.byImages) {
                for (int64_t j = j0; j < j1; j++)
                  runs.push_back({static_cast<int32_t>(
                                      (h * g.columns.in + j * k.columns.stride + e) * images * L),
                                  static_cast<int32_t>((i * g.columns.out + j) * images * L),
                                  static_cast<int32_t>(images)});
              } else {
                const int64_t q = floorDivide(e, k.layout.phases);
                runs.push_back(
                    {static_cast<int32_t>(m * k.xFloats + h * k.layout.row() +
                                          ((e - q * k.layout.phases) * k.layout.columns + q + j0 -
                                           k.layout.left) * L),
                     static_cast<int32_t>(m * k.dyFloats + (i * g.columns.out + j0) * L),
                     static_cast<int32_t>(j1 - j0)});
              }
            }
          ends.push_back(runs.size());
        }
      for (int64_t p = panels.begin; p < panels.end; p++) {
        const int vectors = vectorsOf(g.o, p);
        const Steps steps{L, L, dyBlock, L, k.weights.panel()};
        for (int64_t cb = 0; cb < blocks(k.terms); cb++) {
          const int64_t channels = std::min<int64_t>(L, k.terms - cb * L);
          const int64_t parts = (channels * PARTS + L - 1) / L;
          const int64_t xBlock = k.byImages ? area * images * L : k.layout.block();
          size_t first = 0;
          for (size_t t = 0; t < ends.size(); first = ends[t++])
            for (int64_t part = 0; part < parts; part++) {
              const Range r = share(channels, part, parts);
              channelTiles[r.end - r.begin - 1][vectors - 1](
                  scratch, cb * xBlock + r.begin, dy + p * MAX_NB * dyBlock, runs.data() + first,
                  static_cast<int>(ends[t] - first), steps,
                  sums + p * MAX_NB * k.weights.panel() +
                      k.weights.block(cb, static_cast<int64_t>(t)) + r.begin * L,
                  add);
            }
        }
      }
    }
  }
}

void weightGradient(Pool& pool, const Geometry& g, const float* x, const float* dy, float* dw,
                    bool merged) {
  Correlation k{g, {x, g.c, g.rows.in, g.columns.in}, {dy, g.o, g.rows.out, g.columns.out},
                g.c, g.columns, merged, false, {g.o, g.c, g.taps()}, {}, 1, 0, 0, 0};
  if (merged) {
    k.terms = g.c * g.columns.taps;
    k.columns = identity(g.columns.out);
    k.weights = {g.o, k.terms, g.rows.taps, g.columns.taps, g.c};
  }
  k.byImages = !merged && goesByImages(g.N, g.columns.out);
  k.layout = {k.columns.stride, 0,
              (k.columns.in + k.columns.stride - 1) / k.columns.stride, g.rows.in};
  const int threads = pool.threads();
  if (k.byImages) {
    k.xFloats = blocks(k.terms) * g.rows.in * g.columns.in * L;
    k.dyFloats = blocks(g.o) * g.rows.out * g.columns.out * L;
    k.images = abreast(g.N, k.xFloats + k.dyFloats, threads);
  } else {
    k.xFloats = k.layout.size(k.terms);
    k.dyFloats = blocks(g.o) * g.rows.out * g.columns.out * L;
    k.lineFloats = merged ? ((g.columns.out - 1) * g.columns.stride + g.columns.span()) * g.c + L
                          : 0;
    // Images of few pixels are taken together, so that a tile has some 256 terms.
    const int64_t pixels = std::max<int64_t>(1, g.rows.out * g.columns.out);
    k.images = abreast(g.N, k.xFloats + k.dyFloats, threads);
    k.images = std::min(k.images, (255 + pixels) / pixels);
  }
  const int64_t each = k.images * (k.xFloats + k.dyFloats) + k.lineFloats;
  // Every thread has sums of its own as long as they are not too many; the rest share panels.
  const int64_t groups = (g.N + k.images - 1) / k.images;
  const int64_t sumFloats = g.groups * k.weights.size();
  const int64_t panels = (blocks(g.o) + MAX_NB - 1) / MAX_NB;
  const int64_t parts = std::clamp<int64_t>((int64_t{1} << 26) / std::max<int64_t>(sumFloats, 1), 1,
                                            std::clamp<int64_t>(groups, 1, threads));
  const int64_t slices = threads / parts;
  require(each <= MOST && sumFloats <= MOST, "the packed images or the weight exceed 1 GB");
  pool.reserve(each, parts * sumFloats);
  float* sums = pool.shared();
  pool.run([&](int thread) {
    const int64_t part = thread / slices;
    if (part < parts) {
      const Range mine = share(groups, part, parts);
      const Range slice = share(panels, thread % slices, slices);
      for (int64_t group = 0; group < g.groups; group++)
        for (int64_t u = mine.begin; u < mine.end; u++)
          correlate(k, u * k.images, std::min(g.N, (u + 1) * k.images), group, slice,
                    pool.scratch(thread), sums + part * sumFloats + group * k.weights.size(),
                    u > mine.begin);
    }
  });
  pool.run([&](int thread) {
    const Range blocksOf = share(g.groups * blocks(g.o), thread, threads);
    for (int64_t i = blocksOf.begin; i < blocksOf.end; i++) {
      const int64_t group = i / blocks(g.o);
      unpackOut(sums + group * k.weights.size(), parts, sumFloats, g.c, g.taps(), k.weights,
                i % blocks(g.o), dw + group * g.o * g.c * g.taps());
    }
  });
}

}  // namespace

// ## Forward

/** While it lives, a convolution of few multiply-adds is done by one thread. */
static Alone fewOf(Call& call, const Geometry& g) {
  return {call.pool, static_cast<double>(g.N * g.rows.out * g.columns.out) *
                         static_cast<double>(g.O * g.c * g.taps())};
}

void conv2d(Call& call) {
  const Operand &x = call.input(0), &w = call.input(1), &bias = call.optional(2);
  const Operand& y = call.output(0);
  call.wantNo("activation");
  const Geometry g = geometryOf(call, x, w, y);
  call.want(bias, {g.O}, "bias");
  if (y.size() == 0) return;
  const Alone few = fewOf(call, g);
  const bool finite = isFinite(w.floats(), w.size());
  const bool byImages = !finite || goesByImages(g.N, g.columns.out);
  const bool merged = !byImages && merges(g);
  const int64_t terms = merged ? g.c * g.columns.taps : g.c;
  const WeightLayout layout = merged ? WeightLayout{g.o, terms, g.rows.taps, g.columns.taps, g.c}
                                     : WeightLayout{g.o, terms, g.taps()};
  const Window columns = merged ? identity(g.columns.out) : g.columns;
  slide(call.pool,
        {g.N, g.groups, {x.floats(), g.c, g.rows.in, g.columns.in}, terms, y.floats(), g.o,
         g.rows.out, g.columns.out, Walk(g.rows, false), Walk(columns, false), columns.taps, layout,
         nullptr, bias ? bias.floats() : nullptr, merged ? &g.columns : nullptr},
        byImages, w.floats(), false);
}

// ## Backward, input

void conv2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  call.wantNo("activation");
  const Geometry g = geometryOf(call, dx, w, dy);
  if (dx.size() == 0) return;
  const Alone few = fewOf(call, g);
  slide(call.pool,
        {g.N, g.groups, {dy.floats(), g.o, g.rows.out, g.columns.out}, g.o, dx.floats(), g.c,
         g.rows.in, g.columns.in, Walk(g.rows, true), Walk(g.columns, true), g.columns.taps,
         {g.c, g.o, g.taps()}, nullptr, nullptr, nullptr},
        !isFinite(w.floats(), w.size()) || goesByImages(g.N, g.columns.in), w.floats(), true);
}

// ## Backward, weight

void conv2d_backward_weight(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dw = call.output(0);
  const Geometry g = geometryOf(call, x, dw, dy);
  if (dw.size() == 0) return;
  if (x.size() == 0 || dy.size() == 0) {
    std::fill_n(dw.floats(), dw.size(), 0.0f);
    return;
  }
  const Alone few = fewOf(call, g);
  const bool merged = merges(g);
  weightGradient(call.pool, g, x.floats(), dy.floats(), dw.floats(), merged);
  if (merged && hasNaN(dw.floats(), dw.size()))
    weightGradient(call.pool, g, x.floats(), dy.floats(), dw.floats(), false);
}

// ## Backward, bias

void conv2d_backward_bias(Call& call) {
  const Operand &dy = call.input(0), &db = call.output(0);
  call.wantAxes(dy, 4, "dy");
  call.want(db, {dy.shape[1]}, "dbias");
  const int64_t N = dy.shape[0], O = dy.shape[1], area = dy.shape[2] * dy.shape[3];
  split(call.pool, O, N * area, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++) {
      float total = 0;
      for (int64_t n = 0; n < N; n++) total += sumOf(dy.floats() + (n * O + k) * area, area);
      db.floats()[k] = total;
    }
  });
}

}  // namespace convnotes::CN_ISA
