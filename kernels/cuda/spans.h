// # Means of parts of an image
//
// Average pooling, plain and adaptive, divides both axes into spans and takes the mean over each pair
// of them. Forward one thread = one mean, or one warp where a mean has 32 pixels or more; backward one
// thread = one pixel, which adds up the shares of the spans that it lies in.
//
// Order of summation: a thread row by row, depth rows · columns; a warp each lane every 32nd pixel of that
// order, then the lanes, depth ⌈rows · columns / 32⌉ + 5; one division. Backward, means row by row.
// Bytes: 4 for each element of x and of y; spans that overlap meet in the first-level cache. Backward can go on
// with an activation's gradient (epilogue.h), whose result is input 1, for 4 more.

#pragma once

#include "elementwise.h"
#include "reduce.h"

namespace convnotes::gpu_rooms {

/** Pixels from `begin` up to `end`, and how many the divisor counts. */
struct Span {
  int begin, end, count;
};

/** Spans along one axis: windows of `taps` every `stride`, or, with `taps` 0, the adaptive ones. */
struct Spans {
  int in, out, taps, stride, padding;
  bool includePad;
  Divider byIn, byOut, byStride;

  Spans(int64_t in, int64_t out, int64_t taps, int64_t stride, int64_t padding, bool includePad)
      : in(static_cast<int>(in)),
        out(static_cast<int>(out)),
        taps(static_cast<int>(taps)),
        stride(static_cast<int>(stride)),
        padding(static_cast<int>(padding)),
        includePad(includePad),
        byIn(std::max<int64_t>(in, 1)),
        byOut(out),
        byStride(stride) {
    require(in + 2 * padding < 1 << 29 && (in + 1) * (out + 1) < int64_t{1} << 31,
            "an axis of " + std::to_string(in) + " pixels is too long");
  }

  __device__ __forceinline__ Span at(int i) const {
    if (taps == 0) {
      const int begin = byOut(i * in), end = byOut((i + 1) * in + out - 1);
      return {begin, end, end - begin};
    }
    const int first = i * stride - padding, begin = first > 0 ? first : 0;
    const int end = min(first + taps, in);
    return {begin, end, includePad ? min(first + taps, in + padding) - first : end - begin};
  }
  /** The first and the last span that pixel v lies in; the first may be after the last. */
  __device__ __forceinline__ int first(int v) const {
    if (taps == 0) return byIn(v * out);
    const int before = v + padding - taps + 1;
    return before <= 0 ? 0 : byStride(before + stride - 1);
  }
  __device__ __forceinline__ int last(int v) const {
    if (taps == 0) return byIn((v + 1) * out + in - 1) - 1;
    return min(byStride(v + padding), out - 1);
  }
};

struct BothSpans {
  Spans rows, columns;
};

struct SpanPair {
  Spans rows, columns;
  /** By the columns and rows of what the threads are numbered over. */
  Divider byColumns, byRows, byChannels;
};

/** LANES threads = one mean. */
template <int LANES>
GPU_KERNEL(REDUCE_THREADS) spanMeans(SpanPair p, Spaced x, Spaced y, int count) {
  const int64_t thread = int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  if (thread / LANES >= count) return;
  const int i = static_cast<int>(thread / LANES), lane = static_cast<int>(thread % LANES);
  const int line = p.byColumns(i), plane = p.byRows(line), image = p.byChannels(plane);
  const Span row = p.rows.at(line - plane * p.rows.out);
  const Span column = p.columns.at(i - line * p.columns.out);
  const float* from = &x.at(plane * p.rows.in * p.columns.in, image);
  const int width = column.end - column.begin;
  float total = 0;
  if constexpr (LANES == 1) {
    for (int h = row.begin; h < row.end; h++)
      for (int v = column.begin; v < column.end; v++) total += from[h * p.columns.in + v];
  } else {
    for (int k = lane; k < (row.end - row.begin) * width; k += LANES)
      total += from[(row.begin + k / width) * p.columns.in + column.begin + k % width];
    total = joinWarp<Adding>(total);
  }
  if (lane == 0)
    y.at(i, image) = total / (static_cast<float>(row.count) * static_cast<float>(column.count));
}

GPU_KERNEL(REDUCE_THREADS)
spanShares(SpanPair p, Spaced dy, float* dx, int count, Epilogue then) {
  const int i = static_cast<int>(blockIdx.x) * REDUCE_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const int line = p.byColumns(i), plane = p.byRows(line);
  const int v = i - line * p.columns.in, h = line - plane * p.rows.in;
  const float* gradient = &dy.at(plane * p.rows.out * p.columns.out, p.byChannels(plane));
  const int lastRow = p.rows.last(h), lastColumn = p.columns.last(v);
  float sum = 0;
#pragma unroll 1
  for (int row = p.rows.first(h); row <= lastRow; row++)
#pragma unroll 1
    for (int column = p.columns.first(v); column <= lastColumn; column++)
      sum += gradient[row * p.columns.out + column] /
             (static_cast<float>(p.rows.at(row).count) *
              static_cast<float>(p.columns.at(column).count));
  dx[i] = then(sum, 0, then.read(i));
}

inline void meanOfSpans(const Call& call, Queue& queue, const Operand& x, const Operand& y,
                        const Spans& rows, const Spans& columns) {
  const int64_t count = y.size();
  if (count == 0) return;
  const SpanPair p{rows, columns, Divider(columns.out), Divider(rows.out), Divider(x.shape[1])};
  const int64_t high = rows.taps ? rows.taps : rows.in / rows.out;
  const int64_t wide = columns.taps ? columns.taps : columns.in / columns.out;
  const bool warps = high * wide >= 32;
  enqueue(queue, warps ? spanMeans<32> : spanMeans<1>, call.name,
          blocksFor(count * (warps ? 32 : 1), REDUCE_THREADS), REDUCE_THREADS, p, Spaced(x),
          Spaced(y), static_cast<int>(count));
}

inline void spreadOverSpans(const Call& call, Queue& queue, const Operand& dy, const Operand& dx,
                            const Spans& rows, const Spans& columns) {
  const int64_t count = dx.size();
  if (count == 0) return;
  const SpanPair p{rows, columns, Divider(columns.in), Divider(rows.in), Divider(dx.shape[1])};
  enqueue(queue, spanShares, call.name, blocksFor(count, REDUCE_THREADS), REDUCE_THREADS, p,
          Spaced(dy), dx.floats(), static_cast<int>(count), gateAt(call, 1));
}

}  // namespace convnotes::gpu_rooms
