// # Matrix product
//
// The three loops of Goto and van de Geijn around the tile: columns of y are cut into slices that
// belong to threads; a slice takes `KC` terms at a time, whose part of b is packed into panels of
// NB · 16 columns; rows take turns of `MC`, whose part of a is packed into strips of MR rows.
//
// Sizes: a panel of b is KC · 32 · 4 = 32 KB and stays in the first-level cache while all strips of
// a (14 KB each, MC · KC · 4 = 224 KB together) come by from the second. Every number of a then
// meets 32 columns and every number of b 14 rows, so 2 · 14 · 32 operations cost 46 loads.
// Bytes: 4(M·K·⌈N/NC⌉ + K·N + 2M·N·⌈K/KC⌉) from memory; multiply-adds: M·N·K.
//
// Of the peak of one core with AVX-512 (`npm run bench:kernels`): 91 to 98 % from 256³ to 1024³, 89 % at
// 2048³; 79 % for 256 rows against 6400 × 4096, for which 310 MB go through memory.
//
// Packing also turns: whichever axis of an operand lies contiguous, panels come out the same.
// If both operands would have to be turned (x·wᵀ with both stored in rows), y is computed
// transposed when that turns the smaller one.
//
// Order of summation: k ascending in one accumulator, cut after every KC terms, whose sums are
// added in turn; then the bias. Depth: min(K, KC) + ⌈K/KC⌉, plus 1 for a bias.

#include "gemm.h"

#include <algorithm>
#include <utility>

#include "tile.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace {

constexpr int KC = 256;
constexpr int NR = MAX_NB * L;
constexpr int MC = 16 * MAX_MR;
constexpr int NC = 16 * NR;
static_assert(KC <= CHUNK, "a tile takes all of its terms in one go");

// ## Strips of a: for every 16 columns, MR rows of 16 numbers

void packStrip(const Matrix& a, int64_t m, int rows, int64_t k, int64_t depth, float* to) {
  for (int64_t k0 = 0; k0 < depth; k0 += L, to += rows * L) {
    const int columns = static_cast<int>(std::min<int64_t>(L, depth - k0));
    const float* from = a.data + m * a.row + (k + k0) * a.column;
    if (a.column == 1)
      for (int i = 0; i < rows; i++) store(to + i * L, load(from + i * a.row, columns));
    else
      gatherColumns(from, a.column, columns, rows, to, L);
  }
}

// ## Panels of b: for every k, NB vectors of 16 columns

void packPanel(const Matrix& b, int64_t k, int64_t depth, int64_t n, int columns, float* to) {
  const float* from = b.data + k * b.row + n * b.column;
  for (int v = 0; v < MAX_NB; v++, to += L) {
    const int width = std::min(std::max(columns - v * L, 0), L);
    if (width == 0) return;
    if (b.column == 1)
      for (int64_t i = 0; i < depth; i++)
        store(to + i * NR, load(from + i * b.row + v * L, width));
    else
      for (int64_t i = 0; i < depth; i += L)
        gatherColumns(from + i + v * L * b.column, b.column, width,
                      static_cast<int>(std::min<int64_t>(L, depth - i)), to + i * NR, NR);
  }
}

// ## What does not go straight into y
//
// A whole vector of a row of y is summed in place. An overhanging one, a y whose rows are not
// contiguous and a bias get their sums from a tile of their own.

struct Finish {
  bool add;
  const float* bias;
};

void finish(const Product& p, const float* tile, int64_t m, int rows, int64_t n, int columns,
            Finish how) {
  for (int v = 0; v * L < columns; v++) {
    const int width = std::min(columns - v * L, L);
    const V perColumn = how.bias && !p.biasPerRow ? load(how.bias + n + v * L, width) : zero();
    const auto biased = [&](int i) {
      const V x = load(tile + i * NR + v * L);
      return how.bias ? x + (p.biasPerRow ? all(how.bias[m + i]) : perColumn) : x;
    };
    float* y = p.y + m * p.yRow + (n + v * L) * p.yColumn;
    if (p.yColumn == 1) {
      for (int i = 0; i < rows; i++) {
        const V x = biased(i);
        float* to = y + i * p.yRow;
        store(to, how.add ? load(to, width) + x : x, width);
      }
    } else {
      V turned[L];
      for (int i = 0; i < L; i++) turned[i] = i < rows ? biased(i) : zero();
      transpose(turned);
      for (int j = 0; j < width; j++) {
        float* to = y + j * p.yColumn;
        store(to, how.add ? load(to, rows) + turned[j] : turned[j], rows);
      }
    }
  }
}

// ## The part of one thread: columns n0 to n1

void multiplySlice(const Product& p, int64_t n0, int64_t n1, float* strips, float* panels) {
  // Strips of equal height: 30 rows become 10 + 10 + 10, not 14 + 14 + 2.
  const int64_t height = (p.M - 1) / ((p.M + MAX_MR - 1) / MAX_MR) + 1;
  alignas(64) float spare[MAX_MR * NR];
  for (int64_t nc = n0; nc < n1; nc += NC) {
    const int64_t width = std::min<int64_t>(NC, n1 - nc);
    for (int64_t k = 0; k < p.K; k += KC) {
      const int64_t depth = std::min<int64_t>(KC, p.K - k);
      const bool last = k + depth == p.K;
      for (int64_t n = 0; n < width; n += NR)
        packPanel(p.b, k, depth, nc + n, static_cast<int>(std::min<int64_t>(NR, width - n)),
                  panels + n * KC);
      Run runs[KC / L];
      int count = 0;
      for (int64_t k0 = 0; k0 < depth; k0 += L)
        runs[count++] = {0, static_cast<int32_t>(k0 * NR),
                         static_cast<int32_t>(std::min<int64_t>(L, depth - k0))};
      for (int64_t mc = 0; mc < p.M; mc += MC) {
        const int64_t end = std::min<int64_t>(mc + MC, p.M);
        for (int64_t m = mc; m < end; m += height)
          packStrip(p.a, m, static_cast<int>(std::min<int64_t>(height, end - m)), k, depth,
                    strips + (m - mc) * KC);
        for (int64_t n = 0; n < width; n += NR) {
          const int columns = static_cast<int>(std::min<int64_t>(NR, width - n));
          const bool inPlace = p.yColumn == 1 && columns % L == 0 && !(p.bias && last);
          for (int64_t m = mc; m < end; m += height) {
            const int rows = static_cast<int>(std::min<int64_t>(height, end - m));
            for (int r = 0; r < count; r++) runs[r].a = r * rows * L;
            const Steps steps{1, NR, L, inPlace ? p.yRow : NR, L};
            pixelTiles[rows - 1][(columns - 1) / L](strips + (m - mc) * KC, 0, panels + n * KC,
                                                    runs, count, steps,
                                                    inPlace ? p.y + m * p.yRow + nc + n : spare,
                                                    inPlace && k > 0);
            if (!inPlace)
              finish(p, spare, m, rows, nc + n, columns, {k > 0, last ? p.bias : nullptr});
          }
        }
      }
    }
  }
}

}  // namespace

void multiply(Pool& pool, Product p) {
  if (p.M == 0 || p.N == 0) return;
  const Alone few(pool, static_cast<double>(p.M) * static_cast<double>(p.N * p.K));
  const bool turnsA = p.a.column != 1, turnsB = p.b.column != 1;
  if (turnsB && (turnsA || p.N > p.M)) {
    std::swap(p.a, p.b);
    std::swap(p.a.row, p.a.column);
    std::swap(p.b.row, p.b.column);
    std::swap(p.M, p.N);
    std::swap(p.yRow, p.yColumn);
    p.biasPerRow = !p.biasPerRow;
  }
  constexpr size_t strips = (MC + MAX_MR) * KC, panels = NC * KC;
  pool.reserve(strips + panels);
  // Threads share out the longer side: whole panels of columns, or rows.
  const bool byColumns = p.N >= p.M;
  pool.run([&](int thread) {
    float* scratch = pool.scratch(thread);
    Product part = p;
    Range columns{0, p.N};
    if (byColumns) {
      columns = share((p.N + NR - 1) / NR, thread, pool.threads());
      columns = {columns.begin * NR, std::min(p.N, columns.end * NR)};
    } else {
      const Range rows = share(p.M, thread, pool.threads());
      part.M = rows.end - rows.begin;
      part.a.data += rows.begin * p.a.row;
      part.y += rows.begin * p.yRow;
      if (p.biasPerRow && p.bias) part.bias += rows.begin;
    }
    if (columns.begin < columns.end && part.M > 0)
      multiplySlice(part, columns.begin, columns.end, scratch, scratch + strips);
  });
}

}  // namespace convnotes::CN_ISA
