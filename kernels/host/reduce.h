// # Sums of long runs
//
// Four vectors take turns, so that no sum waits for the one before; every BLOCK elements they are
// folded into one number, and those are added in turn. Depth of the sum of n elements:
// min(⌈n/64⌉, BLOCK/64) + 2 + 4 + ⌈n/BLOCK⌉.

#pragma once

#include <algorithm>
#include <vector>

#include "loops.h"

namespace convnotes::CN_ISA {

constexpr int64_t BLOCK = 4096;

/** Σ term(i, width): vectors of a function of the offset, `width` lanes of which count. */
template <class Term>
inline float sumTerms(int64_t count, const Term& term) {
  float total = 0;
  for (int64_t begin = 0; begin < count; begin += BLOCK) {
    const int64_t end = std::min(count, begin + BLOCK);
    V s[4] = {zero(), zero(), zero(), zero()};
    int64_t i = begin;
    for (; i + 4 * L <= end; i += 4 * L)
      for (int v = 0; v < 4; v++) s[v] += term(i + v * L, L);
    for (int v = 0; i < end; i += L, v++)
      s[v] += term(i, static_cast<int>(std::min<int64_t>(L, end - i)));
    total += sum((s[0] + s[1]) + (s[2] + s[3]));
  }
  return total;
}

inline float sumOf(const float* x, int64_t count) {
  return sumTerms(count, [x](int64_t i, int width) { return load(x + i, width); });
}

/** Terms that one lane adds up before they are added to the rest. */
constexpr int64_t FOLD = 256;

/** Σ term(t) over t, each lane on its own, folded every FOLD: depth min(n, FOLD) + ⌈n/FOLD⌉. */
template <class Term>
inline V sumLanes(int64_t count, const Term& term) {
  V total = zero();
  for (int64_t begin = 0; begin < count; begin += FOLD) {
    V part = zero();
    for (int64_t t = begin; t < std::min(count, begin + FOLD); t++) part += term(t);
    total += part;
  }
  return total;
}

/** Σ of each column of `rows` × `columns` numbers. */
inline void sumRows(Pool& pool, const float* x, int64_t rows, int64_t columns, float* y) {
  split(pool, (columns + L - 1) / L, rows * L, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin * L; k < std::min(columns, end * L); k += L) {
      const int width = static_cast<int>(std::min<int64_t>(L, columns - k));
      put(y + k, sumLanes(rows, [&](int64_t t) { return take(x + t * columns + k, width); }), width);
    }
  });
}

/**
 * y = Σ x / divisor along the axes that go.
 *
 * Where the innermost axis goes, by sumOf; where it stays, its elements are lanes, by sumLanes.
 */
inline void reduceSum(const Call& call, const Operand& x, const Operand& y, float divisor) {
  Reduction r(call, x, y);
  const float* from = x.floats();
  float* to = y.floats();
  if (r.count == 0 || y.size() == 0) return std::fill(to, to + y.size(), 0.0f / divisor);
  const bool along = !r.gone.axes.empty() && r.gone.axes.back().a == 1;
  const Nest::Axis inner = along ? r.gone.inner() : r.kept.inner();
  if (along) {
    split(call.pool, y.size(), r.count, [&](int64_t begin, int64_t end) {
      r.kept.walk(begin, end, [&](int64_t i, int64_t p, int64_t) {
        float total = 0;
        r.gone.walk(0, r.gone.size(), [&](int64_t, int64_t q, int64_t) {
          total += sumOf(from + p + q, inner.size);
        });
        to[i] = total / divisor;
      });
    });
    return;
  }
  std::vector<int64_t> offsets;
  r.gone.walk(0, r.count, [&](int64_t, int64_t q, int64_t) { offsets.push_back(q); });
  const int64_t pieces = (inner.size + L - 1) / L;
  split(call.pool, r.kept.size() * pieces, r.count * L, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; piece++) {
      const int64_t k = piece % pieces * L;
      const int width = static_cast<int>(std::min<int64_t>(L, inner.size - k));
      r.kept.walk(piece / pieces, piece / pieces + 1, [&](int64_t i, int64_t p, int64_t) {
        const V total =
            sumLanes(r.count, [&](int64_t t) { return take(from + p + offsets[t] + k, width); });
        put(to + i * inner.size + k, total / all(divisor), width);
      });
    }
  });
}

/** dx = dy / divisor, where every element of dx goes to one of dy. */
inline void spread(const Call& call, const Operand& dy, const Operand& dx, float divisor) {
  Nest nest = Reduction(call, dx, dy).whole;
  const Nest::Axis inner = nest.inner();
  const float* from = dy.floats();
  float* to = dx.floats();
  if (dx.size() == 0) return;
  split(call.pool, nest.size(), inner.size, [&](int64_t begin, int64_t end) {
    nest.walk(begin, end, [&](int64_t, int64_t p, int64_t q) {
      for (int64_t k = 0; k < inner.size; k += L) {
        const int width = static_cast<int>(std::min<int64_t>(L, inner.size - k));
        const V v = inner.b ? take(from + q + k, width) : all(from[q]);
        put(to + p + k, v / all(divisor), width);
      }
    });
  });
}

}  // namespace convnotes::CN_ISA
