// # Maximum pooling
//
// y = max x over the pixels of each window; padding never wins, NaN beats everything, a window that sees
// no pixel is −∞. Forward one thread = one window, exact. Backward one thread = one pixel, which adds up
// dy of the windows that it wins (the first of the largest, the last NaN), windows in order: at most
// as many numbers as a window has taps. Dropout can follow, backward an activation's gradient (epilogue.h;
// input 2).
//
// Bytes: 4 for each element of x and y, backward 4 more for dx; neighbouring windows find shared pixels in
// the first-level cache. Comparisons: taps for each window; backward windows over a pixel times taps,
// fewer where an early pixel already beats this one.

#include <cmath>

#include "../host/window.h"
#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

/** Along one axis: place o sees pixels o·stride − padding + a·dilation that lie inside. */
struct MaxAxis {
  int in, out, taps, stride, dilation, padding;

  __device__ __forceinline__ int first(int o) const {
    const int at = o * stride - padding;
    return at >= 0 ? at : at + (-at + dilation - 1) / dilation * dilation;
  }
  __device__ __forceinline__ int end(int o) const {
    return min(in, o * stride - padding + dilation * (taps - 1) + 1);
  }
  /** The first place that may see pixel i; the last is (i + padding) / stride, if it exists. */
  __device__ __forceinline__ int firstPlace(int i) const {
    const int before = i + padding - dilation * (taps - 1);
    return before <= 0 ? 0 : (before + stride - 1) / stride;
  }
  __device__ __forceinline__ int lastPlace(int i) const { return min((i + padding) / stride, out - 1); }
  /** Whether place o, one of those, has a tap on pixel i. */
  __device__ __forceinline__ bool sees(int o, int i) const {
    return (i + padding - o * stride) % dilation == 0;
  }
};

struct MaxPool {
  MaxAxis rows, columns;
  Divider byColumns, byRows, byChannels;
};

/** Checks and describes; elements are numbered over `places` of each axis, or over pixels. */
MaxPool maxPoolOf(const Call& call, const Operand& x, const Operand& y, bool overPixels) {
  call.wantAxes(x, 4, "input");
  int64_t kernel[2], stride[2], padding[2], dilation[2], out[2];
  call.options.pair("kernelSize", 0, 1, kernel);
  require(kernel[0] >= 1 && kernel[1] >= 1, "kernelSize is missing");
  call.options.pair("stride", 0, 1, stride);
  call.options.pair("padding", 0, 0, padding);
  call.options.pair("dilation", 1, 1, dilation);
  const bool ceilMode = call.options.flag("ceilMode", false);
  MaxAxis axes[2];
  for (int axis = 0; axis < 2; axis++) {
    require(2 * padding[axis] <= kernel[axis], "padding exceeds half of kernelSize");
    int64_t step = call.options.find("stride") ? stride[axis] : kernel[axis];
    const Window w{x.shape[2 + axis], 0, kernel[axis], step, dilation[axis], padding[axis]};
    out[axis] = places(w, ceilMode);
    require(w.in + 2 * w.padding < 1 << 29, "the padded image is too large");
    // One place is never left, from one tap there is no next.
    if (out[axis] == 1) step = 1;
    const int64_t spacing = kernel[axis] == 1 ? 1 : dilation[axis];
    axes[axis] = {static_cast<int>(w.in),  static_cast<int>(out[axis]), static_cast<int>(w.taps),
                  static_cast<int>(step),  static_cast<int>(spacing),   static_cast<int>(w.padding)};
  }
  call.want(y, {x.shape[0], x.shape[1], out[0], out[1]}, "output");
  return {axes[0], axes[1], Divider(overPixels ? axes[1].in : axes[1].out),
          Divider(overPixels ? axes[0].in : axes[0].out), Divider(std::max<int64_t>(x.shape[1], 1))};
}

GPU_KERNEL(ELEMENT_THREADS)
maxPoolKernel(MaxPool p, Spaced x, Spaced y, int count, Epilogue then) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const int line = p.byColumns(i), v = i - line * p.columns.out;
  const int plane = p.byRows(line), h = line - plane * p.rows.out, image = p.byChannels(plane);
  const float* from = &x.at(plane * p.rows.in * p.columns.in, image);
  const int left = p.columns.first(v), right = p.columns.end(v), bottom = p.rows.end(h);
  float best = -INFINITY;
  for (int row = p.rows.first(h); row < bottom; row += p.rows.dilation)
    for (int column = left; column < right; column += p.columns.dilation) {
      const float now = from[row * p.columns.in + column];
      if (now > best || now != now) best = now;
    }
  y.at(i, image) = then(best, 0, then.read(i));
}

/** Whether the pixel at (h, v) is the one that window (i, j) takes. */
__device__ __forceinline__ bool wins(const MaxPool& p, const float* plane, int i, int j, int h,
                                     int v) {
  const float mine = plane[h * p.columns.in + v];
  const int bottom = p.rows.end(i), left = p.columns.first(j), right = p.columns.end(j);
  for (int row = p.rows.first(i); row < bottom; row += p.rows.dilation)
    for (int column = left; column < right; column += p.columns.dilation) {
      const float other = plane[row * p.columns.in + column];
      const bool later = row > h || (row == h && column > v);
      const bool self = row == h && column == v;
      if (mine != mine ? later && other != other
                       : !self && (other != other || other > mine || (!later && other == mine)))
        return false;
    }
  return true;
}

GPU_KERNEL(ELEMENT_THREADS)
maxPoolGradient(MaxPool p, Spaced dy, Spaced x, float* dx, int count, Epilogue then) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const int line = p.byColumns(i), v = i - line * p.columns.in;
  const int plane = p.byRows(line), h = line - plane * p.rows.in, image = p.byChannels(plane);
  const float* from = &x.at(plane * p.rows.in * p.columns.in, image);
  const float* gradient = &dy.at(plane * p.rows.out * p.columns.out, image);
  const int lastRow = p.rows.lastPlace(h), lastColumn = p.columns.lastPlace(v);
  float sum = 0;
  for (int row = p.rows.firstPlace(h); row <= lastRow; row++) {
    if (!p.rows.sees(row, h)) continue;
    for (int column = p.columns.firstPlace(v); column <= lastColumn; column++)
      if (p.columns.sees(column, v) && wins(p, from, row, column, h, v))
        sum += gradient[row * p.columns.out + column];
  }
  dx[i] = then(sum, 0, then.read(i));
}

}  // namespace

void max_pool2d(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &y = call.outputApart(0);
  const MaxPool p = maxPoolOf(call, x, y, false);
  if (y.size() == 0) return;
  enqueue(queue, maxPoolKernel, call.name, blocksFor(y.size(), ELEMENT_THREADS), ELEMENT_THREADS, p,
          Spaced(x), Spaced(y), static_cast<int>(y.size()), dropping(call, queue, {}));
}

void max_pool2d_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &x = call.inputApart(1), &dx = call.output(0);
  call.wantSame(dx, x, "output");
  const MaxPool p = maxPoolOf(call, x, dy, true);
  if (dx.size() == 0) return;
  enqueue(queue, maxPoolGradient, call.name, blocksFor(dx.size(), ELEMENT_THREADS),
          ELEMENT_THREADS, p, Spaced(dy), Spaced(x), dx.floats(), static_cast<int>(dx.size()),
          gateAt(call, 2));
}

}  // namespace convnotes::gpu_rooms
