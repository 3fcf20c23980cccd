// # Convolution with fewer multiplications
//
// 3 × 3 windows of stride 1 over blocked images (blocked.h), two by two results at a time. Along one axis
// two neighbouring results of three taps are six products; Winograd's F(2, 3) makes do with four:
//
//     y = Aᵀ [(G w) ⊙ (Bᵀ x)]      x: 4 pixels, w: 3 taps, y: 2 results
//
//         1  0 −1  0            1  0  0
//     Bᵀ = 0  1  1  0       G = ½  ½  ½       Aᵀ = 1  1  1  0
//         0 −1  1  0            ½ −½  ½            0  1 −1 −1
//         0  1  0 −1            0  0  1
//
// and along both axes 16 instead of 36, which is what this file is for. Sums over channels come
// between ⊙ and Aᵀ, so that a tile of 2 × 2 results and C channels costs 16·C multiply-adds for each
// result channel, 32·C additions once (Bᵀ) and 24 for each result channel (Aᵀ). The transformed weights are
// made once a call. All factors are powers of two: where nothing rounds in the sum, nothing rounds here.
//
// Lanes are images, so both transforms are sums of whole vectors, and each of the 16 *parts* of a
// strip of tiles is a matrix product of weights with vectors, by the tile of every other one (tile.h). A strip is
// as many tiles as keep transformed pixels and products in the second-level cache. Tiles begin at even
// rows and columns of the result; the last may overhang, and pixels outside are zeros.
//
// Backward-input is the same function of dy with the weights turned about.
//
// What is not finite would spread: one infinite pixel makes ∞ − ∞ in all results of its tile. So a
// result that is not finite is computed once more, product by product, and an infinity or NaN stays
// where the formula has it. Rounding mixes the pixels of a tile as well: spec/ops/conv2d.md derives how
// far results may be off, and decision 8 says when this pays and when it is not wanted.
//
// Multiply-adds: 16 for every 36 of the sum; taps outside are not spared. Bytes: transformed weights once for
// each strip, from the third-level cache.
// Reaches, on one core of AVX-512 that does 251 GFLOP/s at most, counting the multiply-adds of the sum: 64
// channels at 24 × 24 and 56 × 56 405 and 380 GFLOP/s; 128 to 384 channels 450–515; 32 to 64 channels 340.
// Order of summation: Bᵀ rows, then columns; channels ascending in one accumulator, cut every CHUNK;
// Aᵀ rows, then columns; bias.

#include "blocked_conv2d.h"
#include "ops.h"
#include "tile.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace winograd {

using blocked::Blocks;

/** Taps, results and pixels of a tile along an axis, and what they are transformed into. */
constexpr int TAPS = 3, OUT = 2, SEEN = 4, PARTS = 4, ALL = PARTS * PARTS;

CN_INLINE void pixelParts(const V (&x)[SEEN], V (&to)[PARTS]) {
  to[0] = x[0] - x[2];
  to[1] = x[1] + x[2];
  to[2] = x[2] - x[1];
  to[3] = x[1] - x[3];
}

CN_INLINE void weightParts(const V (&w)[TAPS], V (&to)[PARTS]) {
  const V ends = w[0] + w[2], half = all(0.5f);
  to[0] = w[0];
  to[1] = half * (ends + w[1]);
  to[2] = half * (ends - w[1]);
  to[3] = w[2];
}

CN_INLINE void results(const V (&m)[PARTS], V (&y)[OUT]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[3];
}

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

  int64_t down() const { return (out.H + OUT - 1) / OUT; }
  int64_t across() const { return (out.W + OUT - 1) / OUT; }
  int64_t tiles() const { return out.G * down() * across(); }
  int64_t panels() const { return (out.C + MAX_MR - 1) / MAX_MR; }
};

// ## Weights: [part][panel of up to MAX_MR results][term][result]

void transformWeights(Pool& pool, const Slide& s, float* to) {
  const int64_t terms = s.in.C, part = terms * s.out.C;
  split(pool, s.panels() * terms, 16 * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const Range r = share(s.out.C, i / terms, s.panels());
      const int64_t term = i % terms;
      const int height = static_cast<int>(r.end - r.begin);
      const float* from = s.weight + r.begin * s.resultStep + term * s.termStep;
      V w[L];
      for (int k = 0; k < L; k++)
        w[k] = k < height ? load(from + k * s.resultStep, TAPS * TAPS) : zero();
      transpose(w);
      V half[PARTS][TAPS];
      for (int b = 0; b < TAPS; b++) {
        V column[TAPS], parts[PARTS];
        for (int a = 0; a < TAPS; a++)
          column[a] = w[s.turned ? TAPS * TAPS - 1 - (a * TAPS + b) : a * TAPS + b];
        weightParts(column, parts);
        for (int k = 0; k < PARTS; k++) half[k][b] = parts[k];
      }
      float* place = to + r.begin * terms + term * height;
      for (int k = 0; k < PARTS; k++) {
        V parts[PARTS];
        weightParts(half[k], parts);
        for (int l = 0; l < PARTS; l++) put(place + (k * PARTS + l) * part, parts[l], height);
      }
    }
  });
}

// ## A strip of tiles

/** Where a tile's results begin. */
struct Corner {
  int64_t g, i, j;
};

CN_INLINE Corner cornerOf(const Slide& s, int64_t tile) {
  const int64_t across = s.across(), down = s.down();
  return {tile / across / down, tile / across % down * OUT, tile % across * OUT};
}

/** Pixels to parts: [part][tile][term], for one tile. */
template <bool INSIDE>
void transformPixels(const Slide& s, const Corner& at, float* to, int64_t part) {
  static const float nothing[L] = {};
  const float* pixel[SEEN][SEEN];
  int64_t step[SEEN][SEEN];
  for (int a = 0; a < SEEN; a++)
    for (int b = 0; b < SEEN; b++) {
      const int64_t h = at.i + a - s.above, v = at.j + b - s.before;
      const bool inside = INSIDE || (h >= 0 && h < s.in.H && v >= 0 && v < s.in.W);
      pixel[a][b] = inside ? s.in.at(at.g, h) + v * s.in.pixel() : nothing;
      step[a][b] = inside ? L : 0;
    }
  for (int64_t c = 0; c < s.in.C; c++, to += L) {
    V half[PARTS][SEEN];
    for (int b = 0; b < SEEN; b++) {
      V column[SEEN], parts[PARTS];
      for (int a = 0; a < SEEN; a++)
        column[a] = load(pixel[a][b] + c * (INSIDE ? L : step[a][b]));
      pixelParts(column, parts);
      for (int k = 0; k < PARTS; k++) half[k][b] = parts[k];
    }
    for (int k = 0; k < PARTS; k++) {
      V parts[PARTS];
      pixelParts(half[k], parts);
      for (int l = 0; l < PARTS; l++) store(to + (k * PARTS + l) * part, parts[l]);
    }
  }
}

/** One result as the sum that it is, without what follows. */
V productByProduct(const Slide& s, int64_t g, int64_t i, int64_t j, int64_t result) {
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
void finishTile(const Slide& s, const Corner& at, const float* from, int64_t part) {
  const int64_t rows = std::min<int64_t>(OUT, s.out.H - at.i);
  const int64_t columns = std::min<int64_t>(OUT, s.out.W - at.j);
  const M live = first(blocked::lanesOf(s.images, at.g));
  for (int64_t o = 0; o < s.out.C; o++, from += L) {
    V half[OUT][PARTS], y[OUT][OUT];
    for (int l = 0; l < PARTS; l++) {
      V column[PARTS], sums[OUT];
      for (int k = 0; k < PARTS; k++) column[k] = load(from + (k * PARTS + l) * part);
      results(column, sums);
      for (int a = 0; a < OUT; a++) half[a][l] = sums[a];
    }
    // A difference of equals is zero, unless they are not finite.
    V strange = zero();
    for (int a = 0; a < OUT; a++) {
      results(half[a], y[a]);
      for (int b = 0; b < OUT; b++) strange = strange + (y[a][b] - y[a][b]);
    }
    const bool again = any(isNaN(strange) & live);
    const V shift = s.bias ? all(s.bias[o]) : zero();
    for (int a = 0; a < rows; a++)
      for (int b = 0; b < columns; b++) {
        const int64_t place = ((at.g * s.out.H + at.i + a) * s.out.W + at.j + b) * s.out.pixel() + o * L;
        V result = again ? productByProduct(s, at.g, at.i + a, at.j + b, o) : y[a][b];
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

void slide(Pool& pool, const Slide& s) {
  const int64_t terms = s.in.C, outs = s.out.C, tiles = s.tiles(), threads = pool.threads();
  const int64_t own = (tiles + threads - 1) / threads;
  int64_t length = std::clamp<int64_t>(STRIP / (ALL * L * (terms + outs)), LEAST, 64);
  length = std::min(length / MAX_NB * MAX_NB, own);
  // Parts a whole number of pages apart would push one another out of the cache.
  const int64_t pixelPart = length * terms * L + L, productPart = length * outs * L + L;
  pool.reserve(static_cast<size_t>(ALL * (pixelPart + productPart)),
               static_cast<size_t>(ALL * terms * outs));
  float* weights = pool.shared();
  transformWeights(pool, s, weights);
  pool.run([&](int thread) {
    float *pixels = pool.scratch(thread), *products = pixels + ALL * pixelPart;
    std::vector<Run> runs;
    const Range mine = share(tiles, thread, threads);
    const int64_t strips = (mine.end - mine.begin + length - 1) / length;
    for (int64_t strip = 0; strip < strips; strip++) {
      const int64_t begin = mine.begin + strip * length;
      const int64_t count = std::min(mine.end - begin, length);
      for (int64_t t = 0; t < count; t++) {
        const Corner at = cornerOf(s, begin + t);
        const int64_t h = at.i - s.above, v = at.j - s.before;
        const bool inside = h >= 0 && h + SEEN <= s.in.H && v >= 0 && v + SEEN <= s.in.W;
        (inside ? transformPixels<true> : transformPixels<false>)(
            s, at, pixels + t * terms * L, pixelPart);
      }
      for (int64_t part = 0; part < ALL; part++)
        for (int64_t panel = 0; panel < s.panels(); panel++) {
          const Range r = share(outs, panel, s.panels());
          const int height = static_cast<int>(r.end - r.begin);
          runs.clear();
          for (int64_t c = 0; c < terms; c += CHUNK)
            runs.push_back({static_cast<int32_t>(c * height), static_cast<int32_t>(c * L),
                            static_cast<int32_t>(std::min<int64_t>(CHUNK, terms - c))});
          const float* panelWeights = weights + (part * outs + r.begin) * terms;
          for (int64_t t = 0; t < count; t += MAX_NB)
            channelTiles[height - 1][std::min<int64_t>(MAX_NB, count - t) - 1](
                panelWeights, 0, pixels + part * pixelPart + t * terms * L, runs.data(),
                static_cast<int>(runs.size()), {height, L, terms * L, L, outs * L},
                products + part * productPart + (t * outs + r.begin) * L, false);
        }
      for (int64_t t = 0; t < count; t++)
        finishTile(s, cornerOf(s, begin + t), products + t * outs * L, productPart);
    }
  });
}

/** Throws: Refusal for windows of another kind. */
void want(const blocked::Shapes& s) {
  for (const Window& w : {s.rows, s.columns})
    require(w.taps == TAPS && w.stride == 1 && w.dilation == 1,
            "only 3 × 3 windows of stride 1 can be had with fewer multiplications");
}

}  // namespace winograd

// ## The kernels

void winograd_conv2d(Call& call) {
  const Operand &w = call.input(1), &bias = call.optional(2);
  const blocked::Shapes s = blocked::shapesOf(call, call.input(0), w, call.output(0));
  winograd::want(s);
  call.want(bias, {s.O}, "bias");
  winograd::slide(call.pool, {s.x, s.y, s.rows.padding, s.columns.padding, w.floats(),
                              s.C * s.taps, s.taps, false, bias ? bias.floats() : nullptr,
                              blocked::activationOf(call), {}, blocked::imagesOf(call, s.x.G)});
}

void winograd_conv2d_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  const blocked::Shapes s = blocked::shapesOf(call, dx, w, dy);
  winograd::want(s);
  const int64_t reach = winograd::TAPS - 1;
  winograd::slide(call.pool,
                  {s.y, s.x, reach - s.rows.padding, reach - s.columns.padding, w.floats(),
                   s.taps, s.C * s.taps, true, nullptr, blocked::Activation::none,
                   blocked::gateOf(call, 2, s.x), blocked::imagesOf(call, s.x.G)});
}

}  // namespace convnotes::CN_ISA
