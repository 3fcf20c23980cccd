// # Means of parts of an image
//
// Average pooling, plain and adaptive, divides both axes into spans and takes the mean over each pair
// of them. Rows are added up in vectors first, then the columns of each span; backward the shares go
// the same way in turn.
//
// Order of summation: down each column, then along the row; one division. Depth: rows + columns of a
// span, less 1. Threads share out planes.

#pragma once

#include <vector>

#include "loops.h"

namespace convnotes::CN_ISA {

/** Pixels from `begin` up to `end`, and how many the divisor counts. */
struct Span {
  int64_t begin, end, count;
};

inline void meanOfSpans(const Call& call, const Operand& x, const Operand& y,
                        const std::vector<Span>& rows, const std::vector<Span>& columns) {
  const int64_t H = x.shape[2], W = x.shape[3], planes = x.shape[0] * x.shape[1];
  const int64_t outWidth = static_cast<int64_t>(columns.size());
  const int64_t area = static_cast<int64_t>(rows.size()) * outWidth;
  std::vector<float> counts;
  for (const Span& s : columns) counts.push_back(static_cast<float>(s.count));
  split(call.pool, planes, H * W + area, [&](int64_t begin, int64_t end) {
    std::vector<float> line(W);
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = x.floats() + plane * H * W;
      float* to = y.floats() + plane * area;
      for (const Span& row : rows) {
        for (int64_t v = 0; v < W; v += L) {
          const int width = static_cast<int>(std::min<int64_t>(L, W - v));
          V total = zero();
          for (int64_t h = row.begin; h < row.end; h++) total += take(from + h * W + v, width);
          put(line.data() + v, total, width);
        }
        for (int64_t j = 0; j < outWidth; j++) {
          float total = 0;
          for (int64_t v = columns[j].begin; v < columns[j].end; v++) total += line[v];
          to[j] = total;
        }
        const V high = all(static_cast<float>(row.count));
        for (int64_t j = 0; j < outWidth; j += L) {
          const int width = static_cast<int>(std::min<int64_t>(L, outWidth - j));
          put(to + j, take(to + j, width) / (take(counts.data() + j, width) * high), width);
        }
        to += outWidth;
      }
    }
  });
}

inline void spreadOverSpans(const Call& call, const Operand& dy, const Operand& dx,
                            const std::vector<Span>& rows, const std::vector<Span>& columns) {
  const int64_t H = dx.shape[2], W = dx.shape[3], planes = dx.shape[0] * dx.shape[1];
  const int64_t outWidth = static_cast<int64_t>(columns.size());
  const int64_t area = static_cast<int64_t>(rows.size()) * outWidth;
  split(call.pool, planes, H * W + area, [&](int64_t begin, int64_t end) {
    std::vector<float> line(W);
    for (int64_t plane = begin; plane < end; plane++) {
      const float* from = dy.floats() + plane * area;
      float* to = dx.floats() + plane * H * W;
      std::fill_n(to, H * W, 0.0f);
      for (const Span& row : rows) {
        std::fill(line.begin(), line.end(), 0.0f);
        for (int64_t j = 0; j < outWidth; j++) {
          const float part = from[j] / static_cast<float>(row.count * columns[j].count);
          for (int64_t v = columns[j].begin; v < columns[j].end; v++) line[v] += part;
        }
        for (int64_t h = row.begin; h < row.end; h++)
          for (int64_t v = 0; v < W; v += L) {
            const int width = static_cast<int>(std::min<int64_t>(L, W - v));
            put(to + h * W + v, take(to + h * W + v, width) + take(line.data() + v, width), width);
          }
        from += outWidth;
      }
    }
  });
}

}  // namespace convnotes::CN_ISA
