// # Linear layers of few images
//
// linear, its gradient of the input, and its gradient of the weight together with the step of SGD, for
// up to 32 images and a large weight. Then nearly all time goes into reading the weight from memory,
// so each kernel reads it once, row by row, and writes nothing that could be used on the way:
//
// - y[o] = Σ_k w[o,k]·x[k] + b[o]: 12 rows of w at a time, images in the lanes;
// - dx[k] = Σ_o w[o,k]·dy[o]: 8 rows at a time, added to columns that stay in the second-level cache;
// - w[o,k] −= η·Σ_n dy[n,o]·x[n,k]: the gradient of 12 rows and 32 columns is made in registers
//   and used at once; it is never stored. x lies in panels of 32 columns, image after image: read where it
//   is, its rows fall on a few lines of the first-level cache when their length is a power of two, and the
//   update takes 2 to 3 times as long. Twelve rows of w are more streams than a processor foresees, so what
//   comes two panels later is fetched before it is needed.
//
// Bytes: 4 for each weight; the update 8, with momentum 16. Multiply-adds: images for each weight.
// Order of summation: forward k in one accumulator, cut every CHUNK terms; backward o ascending; update
// images ascending, and each number as sgd.cpp computes it.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): forward 46 to 61 %, dx 57 to 69 %,
// update 55 to 67 %.

#include "ops.h"
#include "sgd.h"
#include "tile.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace thin {

#if defined(CN_AVX512)
constexpr int ROWS = 12;
#else
constexpr int ROWS = 4;
#endif
/** Vectors of a panel of x. */
#if defined(CN_AVX512)
constexpr int PANEL = 2;
#else
constexpr int PANEL = 1;
#endif
constexpr int ABREAST = 8;
constexpr int MOST_GROUPS = 2;

struct Sizes {
  int64_t N, in, out;
  int groups;
};

Sizes sizesOf(const Call& call, const Operand& x, const Operand& w, const Operand& y) {
  call.wantAxes(x, 2, "input");
  call.wantAxes(w, 2, "weight");
  const Sizes s{x.shape[0], w.shape[1], w.shape[0], static_cast<int>((x.shape[0] + L - 1) / L)};
  require(s.groups >= 1 && s.groups <= MOST_GROUPS, "the images are too many or none");
  call.want(x, {s.N, s.in}, "input");
  call.want(y, {s.N, s.out}, "output");
  return s;
}

/** [N, count] as [count][groups][16]. */
void turnIn(Pool& pool, const float* x, const Sizes& s, int64_t count, float* to) {
  split(pool, (count + L - 1) / L, L * s.N, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin * L; k < std::min(count, end * L); k += L)
      for (int g = 0; g < s.groups; g++)
        gatherColumns(x + g * L * count + k, count,
                      static_cast<int>(std::min<int64_t>(L, s.N - g * L)),
                      static_cast<int>(std::min<int64_t>(L, count - k)),
                      to + (k * s.groups + g) * L, s.groups * L);
  });
}

/** [N, in] as panels, [in / (PANEL · L)][N][PANEL · L]; what the last one lacks is zero. */
void panelsOf(Pool& pool, const float* x, const Sizes& s, float* to) {
  constexpr int64_t WIDTH = PANEL * L;
  split(pool, (s.in + WIDTH - 1) / WIDTH, WIDTH * s.N, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++)
      for (int64_t n = 0; n < s.N; n++) {
        const int64_t columns = std::min(WIDTH, s.in - p * WIDTH);
        float* row = to + (p * s.N + n) * WIDTH;
        std::copy_n(x + n * s.in + p * WIDTH, columns, row);
        std::fill(row + columns, row + WIDTH, 0.0f);
      }
  });
}

template <int G>
void forwardRows(const float* w, const Sizes& s, int rows, const float* x, float* tile) {
  for (int i = 0; i < ROWS * G; i++) store(tile + i * L, zero());
  for (int64_t k0 = 0; k0 < s.in; k0 += CHUNK) {
    V sums[ROWS][G];
    const float* row[ROWS];
    for (int i = 0; i < ROWS; i++) {
      // Rows that are not there are the last one again.
      row[i] = w + std::min(i, rows - 1) * s.in;
      for (int g = 0; g < G; g++) sums[i][g] = zero();
    }
    const int64_t k1 = std::min(s.in, k0 + CHUNK);
    for (int64_t k = k0; k < k1; k++) {
      V v[G];
      for (int g = 0; g < G; g++) v[g] = load(x + (k * G + g) * L);
      for (int i = 0; i < ROWS; i++) {
        const V factor = all(row[i][k]);
        for (int g = 0; g < G; g++) sums[i][g] = fma(factor, v[g], sums[i][g]);
      }
    }
    for (int i = 0; i < ROWS; i++)
      for (int g = 0; g < G; g++) {
        float* to = tile + (g * ROWS + i) * L;
        store(to, load(to) + sums[i][g]);
      }
  }
}

template <int G>
void backwardRows(const float* w, const Sizes& s, int rows, const float* dy, Range columns,
                  float* dx) {
  V d[ABREAST][G];
  const float* row[ABREAST];
  for (int i = 0; i < ABREAST; i++) {
    row[i] = w + std::min(i, rows - 1) * s.in;
    for (int g = 0; g < G; g++) d[i][g] = i < rows ? load(dy + (i * G + g) * L) : zero();
  }
  for (int64_t k = columns.begin; k < columns.end; k++, dx += G * L)
    for (int g = 0; g < G; g++) {
      V sum = load(dx + g * L);
      for (int i = 0; i < ABREAST; i++) sum = i < rows ? fma(all(row[i][k]), d[i][g], sum) : sum;
      store(dx + g * L, sum);
    }
}

}  // namespace thin

void thin_linear(Call& call) {
  const Operand &x = call.input(0), &w = call.input(1), &bias = call.optional(2);
  const Operand& y = call.output(0);
  const thin::Sizes s = thin::sizesOf(call, x, w, y);
  call.want(bias, {s.out}, "bias");
  Pool& pool = call.pool;
  pool.reserve(thin::ROWS * thin::MOST_GROUPS * L,
               static_cast<size_t>((s.in + L) * s.groups * L));
  thin::turnIn(pool, x.floats(), s, s.in, pool.shared());
  const int64_t tiles = (s.out + thin::ROWS - 1) / thin::ROWS;
  pool.run([&](int thread) {
    const Range mine = share(tiles, thread, pool.threads());
    float* tile = pool.scratch(thread);
    for (int64_t t = mine.begin; t < mine.end; t++) {
      const int64_t o = t * thin::ROWS;
      const int rows = static_cast<int>(std::min<int64_t>(thin::ROWS, s.out - o));
      (s.groups == 1 ? thin::forwardRows<1> : thin::forwardRows<2>)(w.floats() + o * s.in, s, rows,
                                                                    pool.shared(), tile);
      for (int g = 0; g < s.groups; g++) {
        float* part = tile + g * thin::ROWS * L;
        for (int i = 0; bias && i < rows; i++)
          store(part + i * L, load(part + i * L) + all(bias.floats()[o + i]));
        scatterColumns(part, L, static_cast<int>(std::min<int64_t>(L, s.N - g * L)), rows,
                       y.floats() + g * L * s.out + o, s.out);
      }
    }
  });
}

void thin_linear_backward_input(Call& call) {
  const Operand &dy = call.input(0), &w = call.input(1), &dx = call.output(0);
  const thin::Sizes s = thin::sizesOf(call, dx, w, dy);
  Pool& pool = call.pool;
  const int64_t step = s.groups * L, blocks = (s.in + L - 1) / L;
  pool.reserve(static_cast<size_t>((blocks / pool.threads() + 1) * L * step),
               static_cast<size_t>((s.out + L) * step));
  thin::turnIn(pool, dy.floats(), s, s.out, pool.shared());
  pool.run([&](int thread) {
    Range mine = share(blocks, thread, pool.threads());
    mine = {mine.begin * L, std::min(s.in, mine.end * L)};
    if (mine.begin >= mine.end) return;
    float* sums = pool.scratch(thread);
    std::fill_n(sums, (mine.end - mine.begin) * step, 0.0f);
    for (int64_t o = 0; o < s.out; o += thin::ABREAST)
      (s.groups == 1 ? thin::backwardRows<1> : thin::backwardRows<2>)(
          w.floats() + o * s.in, s, static_cast<int>(std::min<int64_t>(thin::ABREAST, s.out - o)),
          pool.shared() + o * step, mine, sums);
    for (int64_t k = mine.begin; k < mine.end; k += L)
      for (int g = 0; g < s.groups; g++)
        scatterColumns(sums + ((k - mine.begin) * s.groups + g) * L, step,
                       static_cast<int>(std::min<int64_t>(L, s.N - g * L)),
                       static_cast<int>(std::min<int64_t>(L, mine.end - k)),
                       dx.floats() + g * L * s.in + k, s.in);
  });
}

/** dy, x, param, momentum_buffer? → param, momentum_buffer?, with the options of sgd. */
void thin_linear_sgd(Call& call) {
  const Operand &dy = call.input(0), &x = call.input(1), &param = call.input(2);
  const Operand &buffer = call.optional(3), &next = call.output(0);
  const Operand& nextBuffer = call.optionalOutput(1);
  const thin::Sizes s = thin::sizesOf(call, x, param, dy);
  call.wantSame(next, param, "output");
  call.wantSame(buffer, param, "momentum_buffer");
  call.wantSame(nextBuffer, param, "momentum_buffer");
  const SgdStep step(call.options);
  require(!step.hasMomentum() || (buffer && nextBuffer), "momentum needs a momentum_buffer");
  constexpr int64_t WIDTH = thin::PANEL * L, AHEAD = 2 * WIDTH;
  Pool& pool = call.pool;
  pool.reserve(0, static_cast<size_t>((s.in + WIDTH) * s.N));
  thin::panelsOf(pool, x.floats(), s, pool.shared());
  const int64_t tiles = (s.out + thin::ROWS - 1) / thin::ROWS;
  pool.run([&](int thread) {
    const Range mine = share(tiles, thread, pool.threads());
    // dy of one tile, image by image.
    float d[L * thin::MOST_GROUPS][thin::ROWS];
    for (int64_t t = mine.begin; t < mine.end; t++) {
      const int64_t o = t * thin::ROWS;
      const int rows = static_cast<int>(std::min<int64_t>(thin::ROWS, s.out - o));
      for (int64_t n = 0; n < s.N; n++)
        for (int i = 0; i < thin::ROWS; i++)
          d[n][i] = i < rows ? dy.floats()[n * s.out + o + i] : 0.0f;
      const float* images = pool.shared();
      for (int64_t k = 0; k < s.in; k += WIDTH, images += s.N * WIDTH) {
        for (int64_t i = o; i < o + rows; i++)
          for (int64_t c = k + AHEAD; c < std::min(k + AHEAD + WIDTH, s.in); c += L) {
            __builtin_prefetch(param.floats() + i * s.in + c);
            if (buffer) __builtin_prefetch(buffer.floats() + i * s.in + c);
          }
        V gradient[thin::ROWS][thin::PANEL];
        for (auto& row : gradient)
          for (V& g : row) g = zero();
        for (int64_t n = 0; n < s.N; n++) {
          V v[thin::PANEL];
          for (int c = 0; c < thin::PANEL; c++) v[c] = load(images + n * WIDTH + c * L);
          for (int i = 0; i < thin::ROWS; i++)
            for (int c = 0; c < thin::PANEL; c++)
              gradient[i][c] = fma(all(d[n][i]), v[c], gradient[i][c]);
        }
        for (int i = 0; i < rows; i++)
          for (int c = 0; c < thin::PANEL && k + c * L < s.in; c++) {
            const int64_t at = (o + i) * s.in + k + c * L;
            step(param.floats() + at, gradient[i][c], buffer ? buffer.floats() + at : nullptr,
                 next.floats() + at, nextBuffer ? nextBuffer.floats() + at : nullptr,
                 static_cast<int>(std::min<int64_t>(L, s.in - k - c * L)));
          }
      }
    }
  });
}

}  // namespace convnotes::CN_ISA
