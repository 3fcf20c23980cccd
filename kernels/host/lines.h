// # Lines along an axis
//
// Softmax and its logarithm work on lines of `count` elements that are `step` apart. Where the step is
// 1, a line runs along the vector; otherwise sixteen neighbouring lines are lanes.
//
// Order of summation: along the vector sixteen lanes, folded at the end, depth ⌈n/16⌉ + 4; in
// lanes one after another, depth n.

#pragma once

#include <cmath>

#include "loops.h"
#include "math.h"

namespace convnotes::CN_ISA {

struct Lines {
  int64_t outer, count, step;
};

inline Lines linesOf(const Call& call, const Operand& t) {
  const int dim = axisOf(t, call.options.whole("dim", 0, -MAX_AXES));
  return {t.size(0, dim), t.shape[dim], t.size(dim + 1, t.axes)};
}

/** Runs `body(offset, width)` for groups of lines; the first line begins at `offset`. */
template <class Body>
void eachLine(Pool& pool, const Lines& s, const Body& body) {
  const int64_t pieces = (s.step + L - 1) / L;
  split(pool, s.outer * pieces, 8 * s.count * std::min<int64_t>(s.step, L),
        [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; i++) {
            const int64_t k = i % pieces * L;
            body(i / pieces * s.count * s.step + k,
                 s.step == 1 ? 1 : static_cast<int>(std::min<int64_t>(L, s.step - k)));
          }
        });
}

/** Runs `body(offset, width)` along those lines: vectors of a line, or one element of each. */
template <class Body>
void along(const Lines& s, int64_t offset, int width, const Body& body) {
  if (s.step == 1)
    for (int64_t c = 0; c < s.count; c += L)
      body(offset + c, static_cast<int>(std::min<int64_t>(L, s.count - c)));
  else
    for (int64_t c = 0; c < s.count; c++) body(offset + c * s.step, width);
}

/** Σ term(offset, width) for each of those lines, in all lanes or in a lane for each. */
template <class Term>
V lineSum(const Lines& s, int64_t offset, int width, const Term& term) {
  V total = zero();
  along(s, offset, width, [&](int64_t i, int w) {
    const V t = term(i, w);
    total += s.step == 1 && w < L ? pick(first(w), t, zero()) : t;
  });
  return s.step == 1 ? all(sum(total)) : total;
}

/** The largest element of each of those lines, NaN if one of them is. */
inline V lineMax(const Lines& s, int64_t offset, int width, const float* x) {
  V best = all(-INFINITY);
  const auto larger = [](V now, V best) { return pick((best < now) | isNaN(now), now, best); };
  along(s, offset, width, [&](int64_t i, int w) {
    const V now = larger(take(x + i, w), best);
    best = s.step == 1 && w < L ? pick(first(w), now, best) : now;
  });
  if (s.step != 1) return best;
  float lane[L];
  store(lane, best);
  for (int i = 1; i < L; i++)
    if (lane[i] > lane[0] || lane[i] != lane[i]) lane[0] = lane[i];
  return all(lane[0]);
}

}  // namespace convnotes::CN_ISA
