// # Convolution with fewer multiplications
//
// 3 × 3 and 5 × 5 windows of stride 1 over blocked images (blocked.h), two by two results at a time. Along
// one axis two neighbouring results of three taps are six products; Winograd's F(2, 3) makes do with four:
//
//     y = Aᵀ [(G w) ⊙ (Bᵀ x)]      x: 4 pixels, w: 3 taps, y: 2 results
//
//          1  0 −1  0            1  0  0
//     Bᵀ = 0  1  1  0       G =  ½  ½  ½       Aᵀ = 1  1  1  0
//          0 −1  1  0            ½ −½  ½            0  1 −1 −1
//          0  1  0 −1            0  0  1
//
// and along both axes 16 instead of 36, which is what this file is for. Five taps are three and two, which
// take 4 and 3 products (F(2, 2)): 49 instead of 100. Sums over channels come between ⊙ and Aᵀ, so that
// of three taps a tile of 2 × 2 results and C channels costs 16·C multiply-adds for each result channel, 32·C
// additions once (Bᵀ) and 24 for each result channel (Aᵀ). Weights are transformed once a call. All
// factors are powers of two: where nothing rounds in the sum, nothing rounds here.
//
// Lanes are images, so both transforms are sums of whole vectors, and each of the 16 (49) *parts* of a
// strip of tiles is a matrix product of weights with vectors, by the tile of every other one (tile.h). A strip
// is as many tiles as keep their products and one row of parts in the second-level cache. Tiles begin at even
// rows and columns of the result; the last may overhang, and pixels outside are zeros.
//
// Backward-input is the same function of dy with the weights turned about. The gradient of the weight is
// the same trilinear form seen from its third side:
//
//     w̄ = Gᵀ [(A ȳ) ⊙ (Bᵀ x)]
//
// with sums over tiles and images before Gᵀ. There x is turned so that channels are lanes, as in
// blocked_conv2d.cpp, and each part is a matrix product over (tile, image).
//
// What is not finite would spread: one infinite pixel makes ∞ − ∞ in all results of its tile. So a
// result that is not finite is computed once more, product by product, and an infinity or NaN stays
// where the formula has it. Rounding mixes the pixels of a tile as well: spec/ops/conv2d.md derives how
// far results may be off, and decision 8 says when this pays and when it is not wanted.
//
// Multiply-adds: 16 for every 36 of the sum, or 49 for every 100; taps outside are not spared. Bytes:
// transformed weights once for each strip, from the third-level cache.
// Reaches, on one core of AVX-512 that does 251 GFLOP/s at most, counting the multiply-adds of the sum:
// forward, image and weight of 3 × 3 with 64 channels at 24 × 24 420, 415, 380; with 128 to 384 channels
// 450–500, 440–480, 390–450; 32 to 64 channels at 56 × 56 320, 325, 265; 5 × 5 with 256 channels 410, 396, 398.
// Order of summation: Bᵀ rows, then columns; channels ascending in one accumulator, cut every CHUNK;
// Aᵀ columns, then rows; bias. Weight: tiles of a strip and their images ascending, strips ascending; Gᵀ.

#include "blocked_conv2d.h"
#include "ops.h"
#include "tile.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace winograd {

using blocked::Blocks;

/** Results of a tile along an axis. */
constexpr int OUT = 2;

// ## Along one axis

/** F(2, 3) */
struct Three {
  /** Taps, the pixels that two results see, and the products of both. */
  static constexpr int TAPS = 3, SEEN = 4, PARTS = 4;

  /** Bᵀ x */
  CN_INLINE static void ofPixels(const V* x, V* to) {
    to[0] = x[0] - x[2];
    to[1] = x[1] + x[2];
    to[2] = x[2] - x[1];
    to[3] = x[1] - x[3];
  }
  /** G w */
  CN_INLINE static void ofTaps(const V* w, V* to) {
    const V ends = w[0] + w[2], half = all(0.5f);
    to[0] = w[0];
    to[1] = half * (ends + w[1]);
    to[2] = half * (ends - w[1]);
    to[3] = w[2];
  }
  /** Aᵀ m */
  CN_INLINE static void toResults(const V* m, V* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
  /** A ȳ */
  CN_INLINE static void ofGradients(const V* dy, V* to) {
    to[0] = dy[0];
    to[1] = dy[0] + dy[1];
    to[2] = dy[0] - dy[1];
    to[3] = zero() - dy[1];
  }
  /** Gᵀ m */
  CN_INLINE static void toTaps(const V* m, V* dw) {
    const V half = all(0.5f), middle = half * (m[1] + m[2]);
    dw[0] = m[0] + middle;
    dw[1] = half * (m[1] - m[2]);
    dw[2] = middle + m[3];
  }
};

/** F(2, 3) for the first three taps, F(2, 2) for the last two. */
struct Five {
  static constexpr int TAPS = 5, SEEN = 6, PARTS = 7;

  CN_INLINE static void ofPixels(const V* x, V* to) {
    Three::ofPixels(x, to);
    to[4] = x[3] - x[4];
    to[5] = x[4];
    to[6] = x[4] - x[5];
  }
  CN_INLINE static void ofTaps(const V* w, V* to) {
    Three::ofTaps(w, to);
    to[4] = w[3];
    to[5] = w[3] + w[4];
    to[6] = w[4];
  }
  CN_INLINE static void toResults(const V* m, V* y) {
    Three::toResults(m, y);
    y[0] = y[0] + (m[4] + m[5]);
    y[1] = y[1] + (m[5] - m[6]);
  }
  CN_INLINE static void ofGradients(const V* dy, V* to) {
    Three::ofGradients(dy, to);
    to[4] = to[0];
    to[5] = to[1];
    to[6] = to[3];
  }
  CN_INLINE static void toTaps(const V* m, V* dw) {
    Three::toTaps(m, dw);
    dw[3] = m[4] + m[5];
    dw[4] = m[5] + m[6];
  }
};

struct Slide {
  /** What is read, and what is written. */
  Blocks in, out;
  /** Rows and columns by which a window begins before its result. */
  int64_t above, before;
  /** Weights as they were given, and their steps from result to result and from term to term. */
  const float* weight;
  int64_t resultStep, termStep;
  /** Whether the last tap comes first. */
  bool turned;
  const float* bias;
  blocked::Activation activation;
  blocked::Gate gate;
  int64_t images;

  int64_t panels() const { return (out.C + MAX_MR - 1) / MAX_MR; }
};

// ## Weights: [part][panel of up to MAX_MR results][term][result]

template <class F>
void transformWeights(Pool& pool, const Slide& s, float* to) {
  constexpr int TAPS = F::TAPS, PARTS = F::PARTS;
  const int64_t terms = s.in.C, part = terms * s.out.C;
  split(pool, s.panels() * terms, PARTS * PARTS * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const Range r = share(s.out.C, i / terms, s.panels());
      const int64_t term = i % terms;
      const int height = static_cast<int>(r.end - r.begin);
      const float* from = s.weight + r.begin * s.resultStep + term * s.termStep;
      V w[(TAPS * TAPS + L - 1) / L * L];
      for (int t = 0; t < TAPS * TAPS; t += L) {
        V rows[L];
        for (int k = 0; k < L; k++)
          rows[k] = k < height
                        ? load(from + k * s.resultStep + t, std::min<int>(L, TAPS * TAPS - t))
                        : zero();
        transpose(rows);
        for (int k = 0; k < L; k++) w[t + k] = rows[k];
      }
      V half[PARTS][TAPS];
      for (int b = 0; b < TAPS; b++) {
        V column[TAPS], parts[PARTS];
        for (int a = 0; a < TAPS; a++)
          column[a] = w[s.turned ? TAPS * TAPS - 1 - (a * TAPS + b) : a * TAPS + b];
        F::ofTaps(column, parts);
        for (int k = 0; k < PARTS; k++) half[k][b] = parts[k];
      }
      float* place = to + r.begin * terms + term * height;
      for (int k = 0; k < PARTS; k++) {
        V parts[PARTS];
        F::ofTaps(half[k], parts);
        for (int l = 0; l < PARTS; l++) put(place + (k * PARTS + l) * part, parts[l], height);
      }
    }
  });
}

// ## Tiles

/** The tiles of an image's results, row by row. */
struct Tiles {
  int64_t down, across, count;

  explicit Tiles(const Blocks& results)
      : down((results.H + OUT - 1) / OUT),
        across((results.W + OUT - 1) / OUT),
        count(results.G * down * across) {}

  /** Where a tile's results begin. */
  struct Corner {
    int64_t g, i, j;
  };
  Corner operator[](int64_t tile) const {
    return {tile / across / down, tile / across % down * OUT, tile % across * OUT};
  }
};

using Corner = Tiles::Corner;

/** Row K of the parts of the pixels whose first is (h, v), each `in.C` vectors, `part` floats apart. */
template <class F, int K>
void transformPixels(const Blocks& in, int64_t g, int64_t h, int64_t v, float* to, int64_t part) {
  constexpr int SEEN = F::SEEN, PARTS = F::PARTS;
  const auto each = [&](auto pixel) {
    for (int64_t c = 0; c < in.C; c++, to += L) {
      V row[SEEN], parts[PARTS];
      for (int b = 0; b < SEEN; b++) {
        V column[SEEN], all[PARTS];
        for (int a = 0; a < SEEN; a++) column[a] = pixel(a, b, c);
        F::ofPixels(column, all);
        row[b] = all[K];
      }
      F::ofPixels(row, parts);
      for (int l = 0; l < PARTS; l++) store(to + l * part, parts[l]);
    }
  };
  if (h >= 0 && h + SEEN <= in.H && v >= 0 && v + SEEN <= in.W) {
    const float* first = in.at(g, h) + v * in.pixel();
    const int64_t rowStep = in.row(), step = in.pixel();
    each([=](int a, int b, int64_t c) { return load(first + a * rowStep + b * step + c * L); });
    return;
  }
  static const float nothing[L] = {};
  const float* place[SEEN][SEEN];
  int64_t step[SEEN][SEEN];
  for (int a = 0; a < SEEN; a++)
    for (int b = 0; b < SEEN; b++) {
      const bool inside = h + a >= 0 && h + a < in.H && v + b >= 0 && v + b < in.W;
      place[a][b] = inside ? in.at(g, h + a) + (v + b) * in.pixel() : nothing;
      step[a][b] = inside ? L : 0;
    }
  each([&](int a, int b, int64_t c) { return load(place[a][b] + c * step[a][b]); });
}

/** Row K of the parts of a tile of gradients, each `dy.C` vectors, `part` floats apart. */
template <class F, int K>
void transformGradients(const Blocks& dy, const Corner& at, float* to, int64_t part) {
  constexpr int PARTS = F::PARTS;
  const float* first = dy.at(at.g, at.i) + at.j * dy.pixel();
  const bool isBelow = at.i + 1 < dy.H, isBeside = at.j + 1 < dy.W;
  for (int64_t o = 0; o < dy.C; o++, first += L, to += L) {
    V row[OUT], parts[PARTS];
    for (int b = 0; b < OUT; b++) {
      V column[OUT], all[PARTS];
      for (int a = 0; a < OUT; a++)
        column[a] = (a == 0 || isBelow) && (b == 0 || isBeside)
                        ? load(first + a * dy.row() + b * dy.pixel())
                        : zero();
      F::ofGradients(column, all);
      row[b] = all[K];
    }
    F::ofGradients(row, parts);
    for (int l = 0; l < PARTS; l++) store(to + l * part, parts[l]);
  }
}

/** Calls `body` with k as a constant. */
template <class F, class Body, int K = 0>
CN_INLINE void withRow(int64_t k, const Body& body) {
  if constexpr (K < F::PARTS) {
    if (k == K)
      body(std::integral_constant<int, K>());
    else
      withRow<F, Body, K + 1>(k, body);
  }
}

// ## Forward and backward-input

/** One result as the sum that it is, without what follows. */
template <class F>
V productByProduct(const Slide& s, int64_t g, int64_t i, int64_t j, int64_t result) {
  constexpr int64_t TAPS = F::TAPS;
  std::vector<Run> runs;
  for (int64_t a = 0; a < TAPS; a++)
    for (int64_t b = 0; b < TAPS; b++) {
      const int64_t h = i + a - s.above, v = j + b - s.before;
      if (h < 0 || h >= s.in.H || v < 0 || v >= s.in.W) continue;
      const int64_t tap = s.turned ? TAPS * TAPS - 1 - (a * TAPS + b) : a * TAPS + b;
      for (int64_t c = 0; c < s.in.C; c += CHUNK)
        runs.push_back({static_cast<int32_t>(tap + c * s.termStep),
                        static_cast<int32_t>(h * s.in.row() + v * s.in.pixel() + c * L),
                        static_cast<int32_t>(std::min<int64_t>(CHUNK, s.in.C - c))});
    }
  float y[L];
  channelTiles[0][0](s.weight + result * s.resultStep, 0, s.in.at(g, 0), runs.data(),
                     static_cast<int>(runs.size()), {s.termStep, L, 0, 0, 0}, y, false);
  return load(y);
}

/** Products to results, and what follows, for one tile. */
template <class F>
void finishTile(const Slide& s, const Corner& at, const float* from, int64_t part) {
  constexpr int PARTS = F::PARTS;
  const int64_t rows = std::min<int64_t>(OUT, s.out.H - at.i);
  const int64_t columns = std::min<int64_t>(OUT, s.out.W - at.j);
  const M live = first(blocked::lanesOf(s.images, at.g));
  for (int64_t o = 0; o < s.out.C; o++, from += L) {
    V half[OUT][PARTS], y[OUT][OUT];
    for (int l = 0; l < PARTS; l++) {
      V column[PARTS], sums[OUT];
      for (int k = 0; k < PARTS; k++) column[k] = load(from + (k * PARTS + l) * part);
      F::toResults(column, sums);
      for (int a = 0; a < OUT; a++) half[a][l] = sums[a];
    }
    // A difference of equals is zero, unless they are not finite.
    V strange = zero();
    for (int a = 0; a < OUT; a++) {
      F::toResults(half[a], y[a]);
      for (int b = 0; b < OUT; b++) strange = strange + (y[a][b] - y[a][b]);
    }
    const bool again = any(isNaN(strange) & live);
    const V shift = s.bias ? all(s.bias[o]) : zero();
    for (int64_t a = 0; a < rows; a++)
      for (int64_t b = 0; b < columns; b++) {
        const int64_t i = at.i + a, j = at.j + b;
        const int64_t place = ((at.g * s.out.H + i) * s.out.W + j) * s.out.pixel() + o * L;
        V result = y[a][b];
        if (again)
          result = pick(isNaN(result - result), productByProduct<F>(s, at.g, i, j, o), result);
        if (s.bias) result = result + shift;
        if (s.gate.y) result = deactivate(s.gate.activation, result, load(s.gate.y + place));
        store(s.out.data + place, activate(s.activation, result));
      }
  }
}

/** Floats of transformed pixels and products that lie in a part of the second-level cache. */
constexpr int64_t STRIP = 96 * 1024;
/** Tiles that a strip has at least, so that the weights are worth their way. */
constexpr int64_t LEAST = 4;

template <class F>
void slide(Pool& pool, const Slide& s) {
  constexpr int64_t PARTS = F::PARTS, ALL = PARTS * PARTS;
  const int64_t terms = s.in.C, outs = s.out.C, threads = pool.threads();
  const Tiles tiles(s.out);
  const int64_t own = (tiles.count + threads - 1) / threads;
  const int64_t fit = STRIP / (L * (PARTS * terms + ALL * outs));
  const int64_t length = std::min(std::clamp<int64_t>(fit / MAX_NB * MAX_NB, LEAST, 64), own);
  // Parts a whole number of pages apart would push one another out of the cache.
  const int64_t pixelPart = length * terms * L + L, productPart = length * outs * L + L;
  pool.reserve(static_cast<size_t>(PARTS * pixelPart + ALL * productPart),
               static_cast<size_t>(ALL * terms * outs));
  float* weights = pool.shared();
  transformWeights<F>(pool, s, weights);
  pool.run([&](int thread) {
    float *pixels = pool.scratch(thread), *products = pixels + PARTS * pixelPart;
    std::vector<Run> runs;
    const Range mine = share(tiles.count, thread, threads);
    for (int64_t begin = mine.begin; begin < mine.end; begin += length) {
      const int64_t count = std::min(mine.end - begin, length);
      for (int64_t part = 0; part < ALL; part++) {
        if (part % PARTS == 0)
          withRow<F>(part / PARTS, [&](auto k) {
            for (int64_t t = 0; t < count; t++) {
              const Corner at = tiles[begin + t];
              transformPixels<F, k>(s.in, at.g, at.i - s.above, at.j - s.before,
                                    pixels + t * terms * L, pixelPart);
            }
          });
        for (int64_t panel = 0; panel < s.panels(); panel++) {
          const Range r = share(outs, panel, s.panels());
          const int height = static_cast<int>(r.end - r.begin);
          runs.clear();
          for (int64_t c = 0; c < terms; c += CHUNK)
            runs.push_back({static_cast<int32_t>(c * height), static_cast<int32_t>(c * L),
                            static_cast<int32_t>(std::min<int64_t>(CHUNK, terms - c))});
          for (int64_t t = 0; t < count; t += MAX_NB)
            channelTiles[height - 1][std::min<int64_t>(MAX_NB, count - t) - 1](
                weights + (part * outs + r.begin) * terms, 0,
                pixels + part % PARTS * pixelPart + t * terms * L, runs.data(),
                static_cast<int>(runs.size()), {height, L, terms * L, L, outs * L},
                products + part * productPart + (t * outs + r.begin) * L, false);
        }
      }
      for (int64_t t = 0; t < count; t++)
        finishTile<F>(s, tiles[begin + t], products + t * outs * L, productPart);
    }
  });
}

// ## The gradient of the weight

/** Floats of transformed gradients and pixels that lie in a part of the second-level cache. */
constexpr int64_t WEIGHT_STRIP = 128 * 1024;

template <class F>
void weightGradient(Pool& pool, const blocked::Shapes& s, float* dw) {
  constexpr int64_t TAPS = F::TAPS, PARTS = F::PARTS, WIDE = MAX_NB * L;
  const int64_t panels = (s.C + WIDE - 1) / WIDE, padded = panels * WIDE;
  const int64_t turned = panels * s.x.G * s.x.pixels() * L * WIDE;
  const int64_t rows = (s.O + MAX_MR - 1) / MAX_MR, threads = pool.threads();
  const Tiles tiles(s.y);
  // Rows of parts, then panels of channels: a thread transforms the gradients of a row once.
  const int64_t units = PARTS * panels;
  const int64_t own = std::min(panels, (units + threads - 1) / threads);
  const int64_t fit = WEIGHT_STRIP / (PARTS * L * (own * WIDE + s.O));
  const int64_t length = std::min(std::clamp<int64_t>(fit, 8, CHUNK / L), tiles.count);
  const int64_t gradientPart = length * s.O * L + L, pixelPart = own * length * WIDE * L + L;
  pool.reserve(static_cast<size_t>(PARTS * (gradientPart + pixelPart)),
               static_cast<size_t>(turned + PARTS * PARTS * s.O * padded));
  float *x = pool.shared(), *sums = x + turned;
  blocked::turn(pool, s.x, panels, x);

  pool.run([&](int thread) {
    float *gradients = pool.scratch(thread), *pixels = gradients + PARTS * gradientPart;
    std::vector<Run> runs;
    for (int64_t t = 0; t < length; t++)
      runs.push_back({static_cast<int32_t>(t * s.O * L), static_cast<int32_t>(t * WIDE * L), L});
    const Range mine = share(units, thread, threads);
    for (int64_t unit = mine.begin, next; unit < mine.end; unit = next) {
      const int64_t k = unit / panels;
      next = std::min({mine.end, (k + 1) * panels, unit + own});
      for (int64_t begin = 0; begin < tiles.count; begin += length) {
        const int64_t count = std::min(tiles.count - begin, length);
        withRow<F>(k, [&](auto row) {
          for (int64_t t = 0; t < count; t++) {
            const Corner at = tiles[begin + t];
            transformGradients<F, row>(s.y, at, gradients + t * s.O * L, gradientPart);
            for (int64_t u = unit; u < next; u++) {
              // Channels are lanes now, and vectors are the images and halves of a panel.
              const Blocks panel{x + u % panels * s.x.G * s.x.pixels() * L * WIDE, s.x.G, s.x.H,
                                 s.x.W, WIDE};
              transformPixels<F, row>(panel, at.g, at.i - s.rows.padding,
                                      at.j - s.columns.padding,
                                      pixels + ((u - unit) * length + t) * WIDE * L, pixelPart);
            }
          }
        });
        for (int64_t l = 0; l < PARTS; l++)
          for (int64_t u = unit; u < next; u++) {
            const int64_t panel = u % panels;
            const int64_t vectors = std::min<int64_t>(MAX_NB, (s.C - panel * WIDE + L - 1) / L);
            for (int64_t q = 0; q < rows; q++) {
              const Range r = share(s.O, q, rows);
              pixelTiles[r.end - r.begin - 1][vectors - 1](
                  gradients + l * gradientPart + r.begin * L, 0,
                  pixels + l * pixelPart + (u - unit) * length * WIDE * L, runs.data(),
                  static_cast<int>(count), {1, WIDE, L, padded, L},
                  sums + ((k * PARTS + l) * s.O + r.begin) * padded + panel * WIDE, begin > 0);
            }
          }
      }
    }
  });

  split(pool, s.O, s.C * PARTS * PARTS, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++)
      for (int64_t c = 0; c < s.C; c += L) {
        const int64_t part = s.O * padded;
        const float* from = sums + o * padded + c;
        V half[TAPS][PARTS];
        for (int l = 0; l < PARTS; l++) {
          V column[PARTS], taps[TAPS];
          for (int k = 0; k < PARTS; k++) column[k] = load(from + (k * PARTS + l) * part);
          F::toTaps(column, taps);
          for (int a = 0; a < TAPS; a++) half[a][l] = taps[a];
        }
        float square[TAPS * TAPS][L];
        for (int a = 0; a < TAPS; a++) {
          V taps[TAPS];
          F::toTaps(half[a], taps);
          for (int b = 0; b < TAPS; b++) store(square[a * TAPS + b], taps[b]);
        }
        const int channels = static_cast<int>(std::min<int64_t>(L, s.C - c));
        for (int64_t t = 0; t < TAPS * TAPS; t += L)
          scatterColumns(square[t], L, channels,
                         static_cast<int>(std::min<int64_t>(L, TAPS * TAPS - t)),
                         dw + (o * s.C + c) * s.taps + t, s.taps);
      }
  });
}

/** Throws: Refusal for windows of another kind. Whether they are of five taps. */
bool wantsFive(const blocked::Shapes& s) {
  for (const Window& w : {s.rows, s.columns})
    require((w.taps == 3 || w.taps == 5) && w.taps == s.rows.taps && w.stride == 1 &&
                w.dilation == 1,
            "only 3 × 3 and 5 × 5 windows of stride 1 can be had with fewer multiplications");
  return s.rows.taps == 5;
}

void slide(Pool& pool, const blocked::Shapes& s, const Slide& what) {
  (wantsFive(s) ? slide<Five> : slide<Three>)(pool, what);
}

}  // namespace winograd

// ## The kernels

void winograd_conv2d(Call& call) {
  const Operand &w = call.input(1), &bias = call.optional(2);
  const blocked::Shapes s = blocked::shapesOf(call, call.input(0), w, call.output(0));
  call.want(bias, {s.O}, "bias");
  winograd::slide(call.pool, s,
                  {s.x, s.y, s.rows.padding, s.columns.padding, w.floats(), s.C * s.taps, s.taps,
                   false, bias ? bias.floats() : nullptr, blocked::activationOf(call), {},
                   blocked::imagesOf(call, s.x.G)});
}

void winograd_conv2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  const blocked::Shapes s = blocked::shapesOf(call, dx, w, dy);
  winograd::slide(call.pool, s,
                  {s.y, s.x, s.rows.taps - 1 - s.rows.padding,
                   s.columns.taps - 1 - s.columns.padding, w.floats(), s.taps, s.C * s.taps, true,
                   nullptr, blocked::Activation::none, blocked::gateOf(call, 2, s.x),
                   blocked::imagesOf(call, s.x.G)});
}

void winograd_conv2d_backward_weight(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &dw = call.output(0);
  const blocked::Shapes s = blocked::shapesOf(call, x, dw, dy);
  const bool five = winograd::wantsFive(s);
  (five ? winograd::weightGradient<winograd::Five> : winograd::weightGradient<winograd::Three>)(
      call.pool, s, dw.floats());
  float* all = dw.floats();
  const auto isStrange = [](float v) { return !std::isfinite(v); };
  if (std::none_of(all, all + dw.size(), isStrange)) return;
  const std::vector<float> before(all, all + dw.size());
  blocked_conv2d_backward_weight(call);
  for (size_t i = 0; i < before.size(); i++)
    if (!isStrange(before[i])) all[i] = before[i];
}

}  // namespace convnotes::CN_ISA
