// # Convolution
//
// Forward    y[n,k,i,j] = b[k] + Σ_{c,a,b} w[k,c,a,b] · x[n, c, i·s + a·d − p, j·s + b·d − p]
// Backward   dx = Σ w·dy over the places that saw the pixel;  dw = Σ x·dy over all places of a tap;
//            db = Σ dy
//
// and what follows y or dx (epilogue.h): inputs x, w, bias?, addend?, and dy, w, gate?, addend?. Parts of the
// statistics of y's channels can be left as output 1 (moments.h).
//
// All three are matrix products that are never written out: one block = one tile of the result (tile.h,
// with sizes, precision and order), and what would be the larger matrix is gathered from the image
// while it is copied into shared memory.
//
// - *Slide*, forward and backward-input: channels × pixels of the result, the terms are channels and taps.
//   A thread copies for one pixel, whose place it finds once; where each term lies is found by 16
//   threads for each step of 16 terms, a step ahead, and read by all from shared memory. Backward, pixels
//   that are `stride` apart see the same taps; each such class is a product of its own, so that no
//   product with a zero between two places is ever computed. On Hopper the weights of all classes are packed
//   first, and pixels are what is streamed (warpgroup.h).
//   Of one channel there are too few terms for a tile: see below.
// - *Correlate*, backward-weight: channels of y × (channels of x and taps), the terms are pixels. A
//   thread copies for one pixel of each step, which it finds by two multiplications. On Hopper dy goes to
//   shared memory through registers, where it is rounded.
//
// ## Sizes
//
// Multiply-adds: N·O·H'·W'·(C/g)·K·L for each of the three. Bytes from the caches as in tile.h; from device
// memory x, w and y once, if a row of tiles that shares its pixels runs at the same time. A gathered
// number costs some 8 instructions and meets 64 or 128 multiply-adds by tensor cores, which take
// one instruction for each 32. Pixels are copied 4 bytes at a time: neighbours in an image are
// neighbours in shared memory, but begin anywhere. 1 × 1 convolutions of images whose area is a
// multiple of four are plain products and copied 16 bytes at a time.
//
// ## Statistics
//
// A part of a channel's statistics is 64 pixels in turn, so each tile has whole ones. Of the 64 rows that lie in
// shared memory at a time a warp reads four, each by eight lanes, twice: rows of N + 8 words without conflicts, those
// of N + 4 (warpgroup.h) in two turns. Two numbers at a time, since registers are what is short: sixteen reads for
// eight numbers, against a pass that reads 4 bytes of device memory for each. Where a result was no number and has been
// computed again, the block reads what it wrote from the second-level cache instead. Where one thread has all
// channels of a pixel (below), nothing lies in shared memory, and y is read for them by a pass.
//
// ## Zeros outside the image
//
// They meet weights, and 0·∞ is no number. So a result that is NaN is computed again term by term where
// the image has a border, in float32, taps outside left out.

#include <numeric>

#include "../host/window.h"
#include "product.h"
#include "reduce.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

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
    // One place is never left, from one tap there is no next; there are as many classes as the stride.
    if (w->out == 1) w->stride = 1;
    require(w->stride <= 1 << 16, "a stride of " + std::to_string(w->stride) + " is too large");
    if (w->taps == 1) w->dilation = 1;
    require(w->in + 2 * w->padding < 1 << 28,
            "a padding of " + std::to_string(w->padding) + " is too large");
  }
  call.want(y, {g.N, g.O, g.rows.out, g.columns.out}, "output");
  return g;
}

// ## Slide
//
// Along each axis, result i of class r sees source i·step + first + t·spacing through its tap t,
// which is tap `tap + t·tapStep` of the window, and lies at i·apart + r. Forward there is one class.

struct Axis {
  int source, results, step, apart, classes;
  int taps, stride, dilation, padding;
  bool backward;
};

Axis axisOf(const Window& w, bool backward) {
  const auto whole = [](int64_t x) { return static_cast<int>(x); };
  const int64_t classes = backward ? std::min(w.stride, w.in) : 1;
  return {whole(backward ? w.out : w.in),
          whole(backward ? (w.in + w.stride - 1) / w.stride : w.out),
          whole(backward ? 1 : w.stride),
          whole(backward ? w.stride : 1),
          whole(classes),
          whole(w.taps),
          whole(w.stride),
          whole(w.dilation),
          whole(w.padding),
          backward};
}

/** The taps that a class sees. */
struct Seen {
  int count, first, spacing, tap, tapStep;
};

__device__ __forceinline__ int greatestDivisor(int a, int b) {
  while (b) {
    const int rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

__device__ __forceinline__ Seen seenBy(const Axis& axis, int r) {
  if (!axis.backward) return {axis.taps, -axis.padding, axis.dilation, 0, 1};
  // Tap a is seen where r + padding − a·dilation is a multiple of the stride: every tapStep-th.
  const int common = greatestDivisor(axis.stride, axis.dilation), tapStep = axis.stride / common;
  int tap = 0;
  while (tap < axis.taps && (r + axis.padding - tap * axis.dilation) % axis.stride != 0) tap++;
  return {(axis.taps - tap + tapStep - 1) / tapStep,
          (r + axis.padding - tap * axis.dilation) / axis.stride, -(axis.dilation / common), tap,
          tapStep};
}

struct Slide {
  /** [N, groups · channels, source rows, source columns] and [N, groups · results, rows, columns]. */
  const float *source, *weights;
  Spaced to;
  Epilogue epilogue;
  /** Between neighbouring images of the source. */
  int imageStep;
  int groups, channels, results;
  /** Between weights of neighbouring results, channels and groups. */
  int resultStep, channelStep, groupStep;
  Axis rows, columns;
  /** How many rows and columns the results have that are written. */
  int height, width;
  /** Pixels of one class, in all images. */
  int pixels;
  Divider byArea, byColumns;
  /** Whether a term may lie outside the source. */
  bool border;
  /** Whether weights lie along the terms, and in aligned pieces of 16 bytes. */
  bool fours;
  /** Whether four neighbouring pixels lie side by side, aligned, and see one tap, which is inside. */
  bool quads;
  /** [channel][part], or null; forward only. */
  Part* parts;
  int partsEach;
};

/** Where a term lies: in the source from a pixel's place, in rows, in columns, and in the weights. */
using Term = int4;
/** No pixel has a term in this row; a pixel in the other one, whatever the term, sees nothing either. */
constexpr int NOWHERE = 1 << 30, NO_PIXEL = -(1 << 29);

struct Position {
  int image, row, column;
};

__device__ __forceinline__ Position positionOf(const Slide& s, int pixel) {
  const int image = s.byArea(pixel), rest = pixel - image * s.rows.results * s.columns.results;
  const int row = s.byColumns(rest);
  return {image, row, rest - row * s.columns.results};
}

struct Class {
  int group, row, column;
  Seen rows, columns;
  int terms;
};

__device__ __forceinline__ Class classOf(const Slide& s, int z) {
  Class c;
  c.column = z % s.columns.classes;
  z /= s.columns.classes;
  c.row = z % s.rows.classes;
  c.group = z / s.rows.classes;
  c.rows = seenBy(s.rows, c.row);
  c.columns = seenBy(s.columns, c.column);
  c.terms = s.channels * c.rows.count * c.columns.count;
  return c;
}

/** Term k of a class: its channel, and which of the taps that are seen. */
struct TermPlace {
  int channel, a, b;
};

__device__ __forceinline__ TermPlace placeOf(const Class& c, int k) {
  const int taps = c.rows.count * c.columns.count, channel = k / taps, tap = k - channel * taps;
  const int a = tap / c.columns.count;
  return {channel, a, tap - a * c.columns.count};
}

/** Where its weight lies, among those of a result. */
__device__ __forceinline__ int weightOf(const Slide& s, const Class& c, const TermPlace& at) {
  return at.channel * s.channelStep + (c.rows.tap + at.a * c.rows.tapStep) * s.columns.taps +
         c.columns.tap + at.b * c.columns.tapStep;
}

/** Which element channel m of a class's pixel is, of which image and channel; −1 for none. */
struct Target {
  int at, image, channel;
};

__device__ __forceinline__ Target targetOf(const Slide& s, const Class& c, int m, int pixel) {
  if (m >= s.results || pixel >= s.pixels) return {-1, 0, 0};
  const Position at = positionOf(s, pixel);
  const int y = at.row * s.rows.apart + c.row, x = at.column * s.columns.apart + c.column;
  if (y >= s.height || x >= s.width) return {-1, 0, 0};
  const int channel = c.group * s.results + m;
  return {((at.image * s.groups * s.results + channel) * s.height + y) * s.width + x, at.image,
          channel};
}

/** The result term by term, without what lies outside. */
__device__ float slideAgain(const Slide& s, const Class& c, int m, const Position& at) {
  const int area = s.rows.source * s.columns.source;
  const float* source = s.source + at.image * s.imageStep + c.group * s.channels * area;
  const float* weights = s.weights + c.group * s.groupStep + m * s.resultStep;
  float sum = 0;
  for (int channel = 0; channel < s.channels; channel++)
    for (int a = 0; a < c.rows.count; a++) {
      const int row = at.row * s.rows.step + c.rows.first + a * c.rows.spacing;
      if (row < 0 || row >= s.rows.source) continue;
      for (int b = 0; b < c.columns.count; b++) {
        const int column = at.column * s.columns.step + c.columns.first + b * c.columns.spacing;
        if (column < 0 || column >= s.columns.source) continue;
        const int tap = (c.rows.tap + a * c.rows.tapStep) * s.columns.taps + c.columns.tap +
                        b * c.columns.tapStep;
        sum = fmaf(weights[channel * s.channelStep + tap],
                   source[channel * area + row * s.columns.source + column], sum);
      }
    }
  return sum;
}

constexpr int PREPARED = 4;

template <class S>
struct SlideLoad {
  const Slide& s;
  const Class& c;
  Term (*terms)[STEP];
  const float* weights;
  /** Where the pixel lies in the source; what lies outside wraps around. */
  uint32_t pixel;
  int m0, row, column;

  __device__ __forceinline__ void prepare(int step) const {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread >= STEP) return;
    const int k = step * STEP + thread;
    Term term{0, NOWHERE, 0, -1};
    if (k < c.terms) {
      const TermPlace at = placeOf(c, k);
      const int down = c.rows.first + at.a * c.rows.spacing;
      const int right = c.columns.first + at.b * c.columns.spacing;
      term = {(at.channel * s.rows.source + down) * s.columns.source + right, down, right,
              weightOf(s, c, at)};
    }
    terms[step % PREPARED][thread] = term;
  }

  __device__ __forceinline__ void a(float* as, int step) const {
    const int thread = static_cast<int>(threadIdx.x);
    const Term* here = terms[step % PREPARED];
    if (s.fours) {
      copyFactor<S, S::M, true>(as, {weights, s.resultStep, s.results, true}, m0, step * STEP,
                                c.terms);
    } else {
      const int k = thread % STEP, at = here[k].w;
#pragma unroll 2
      for (int i = thread / STEP; i < S::M; i += S::THREADS / STEP) {
        const bool inside = at >= 0 && m0 + i < s.results;
        gpu::cp_async<4>(as + Layout<S::M, true>::at(i, k),
                         weights + (inside ? (m0 + i) * s.resultStep + at : 0), inside ? 4 : 0);
      }
    }
  }

  __device__ __forceinline__ void b(float* bs, int step) const {
    const int thread = static_cast<int>(threadIdx.x);
    const Term* here = terms[step % PREPARED];
    if (s.quads) {
      constexpr int ACROSS = S::N / 4;
      const int n = thread % ACROSS * 4;
#pragma unroll
      for (int k = thread / ACROSS; k < STEP; k += S::THREADS / ACROSS) {
        const bool inside = row >= 0 && here[k].y == 0;
        gpu::cp_async<16>(bs + Layout<S::N, false>::at(n, k),
                          s.source + (inside ? pixel + here[k].x : 0), inside ? 16 : 0);
      }
      return;
    }
    const int n = thread % S::N;
#pragma unroll 2
    for (int k = thread / S::N; k < STEP; k += S::THREADS / S::N) {
      const Term term = here[k];
      const bool inside = static_cast<unsigned>(row + term.y) < static_cast<unsigned>(s.rows.source) &&
                          static_cast<unsigned>(column + term.z) <
                              static_cast<unsigned>(s.columns.source);
      gpu::cp_async<4>(bs + Layout<S::N, false>::at(n, k),
                       s.source + (inside ? pixel + term.x : 0), inside ? 4 : 0);
    }
  }
};

/** What a tile of channels and pixels is written by. */
struct SlideResult {
  const Slide& s;
  const Class& c;
  int m0, n0;
  bool& again;

  __device__ __forceinline__ Epilogue::Read read(int m, int n) const {
    const Target to = targetOf(s, c, m0 + m, n0 + n);
    return to.at < 0 ? Epilogue::Read{} : s.epilogue.read(to.at);
  }
  __device__ __forceinline__ float write(int m, int n, float sum, const Epilogue::Read& read) const {
    const Target to = targetOf(s, c, m0 + m, n0 + n);
    if (to.at < 0) return 0;
    again |= sum != sum;
    return s.to.at(to.at, to.image) = s.epilogue(sum, to.channel, read);
  }
  __device__ __forceinline__ bool counts() const { return s.parts; }
  /** Leaves the parts of 64 channels from `first` on, whose results are `value(m, n)`. */
  template <class S, class Value>
  __device__ __forceinline__ void count(int first, const Value& value) const {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % SUMS;
#pragma unroll 1
    for (int i = thread / SUMS; i < CHUNK * (S::N / PART); i += S::THREADS / SUMS) {
      const int m = first + i % CHUNK, n = i / CHUNK * PART;
      const int size = min(s.pixels - n0 - n, PART);
      const Part part =
          partOfLanes<2>(size, [&](int k) { return value(m, n + k * SUMS + lane); });
      if (lane == 0 && size > 0 && m0 + m < s.results)
        s.parts[(c.group * s.results + m0 + m) * s.partsEach + (n0 + n) / PART] = part;
    }
  }
  /** The same of what the whole block has written. */
  template <class S>
  __device__ __forceinline__ void countWritten() const {
    __syncthreads();
#pragma unroll 1
    for (int first = 0; first < S::M; first += CHUNK)
      count<S>(first, [&](int m, int n) {
        const Target to = targetOf(s, c, m0 + m, n0 + n);
        return to.at < 0 ? 0.0f : s.to.at(to.at, to.image);
      });
  }
};

/** What a thread copies: for one pixel, or four neighbours. */
template <class S>
__device__ __forceinline__ SlideLoad<S> slideLoadOf(const Slide& s, const Class& c,
                                                    Term (*terms)[STEP], int m0, int n0) {
  const int thread = static_cast<int>(threadIdx.x);
  const int mine = n0 + (s.quads ? thread % (S::N / 4) * 4 : thread % S::N);
  const bool exists = mine < s.pixels;
  const Position at = positionOf(s, exists ? mine : 0);
  // What a pixel that does not exist sees is outside.
  const int row = exists ? at.row * s.rows.step : NO_PIXEL, column = at.column * s.columns.step;
  const uint32_t line = c.group * s.channels * s.rows.source + at.row * s.rows.step;
  return {s,
          c,
          terms,
          s.weights + c.group * s.groupStep,
          at.image * s.imageStep + line * s.columns.source + column,
          m0,
          row,
          column};
}

/** Computes results again that are no numbers, and counts anew where one was. */
template <class S>
__device__ __forceinline__ void slideNansAgain(const SlideResult& result) {
  const Slide& s = result.s;
  if (!s.border || !(s.parts ? __syncthreads_or(result.again) : result.again)) return;
  eachOfMine<S>([&](int m, int n) {
    const Target to = targetOf(s, result.c, result.m0 + m, result.n0 + n);
    if (to.at < 0) return;
    float& written = s.to.at(to.at, to.image);
    if (written == written) return;
    const float sum = slideAgain(s, result.c, result.m0 + m, positionOf(s, result.n0 + n));
    written = s.epilogue(sum, to.channel, s.epilogue.read(to.at));
  });
  if (s.parts) result.countWritten<S>();
}

template <class S, Precision P>
GPU_KERNEL(S::THREADS, S::BLOCKS) slideKernel(Slide s) {
  GPU_DYN_SHARED(bytes);
  float* shared = reinterpret_cast<float*>(bytes);
  GPU_SHARED(Term[PREPARED][STEP], terms);
  // Shared, because registers are what is short.
  GPU_SHARED(Class, c);
  const int m0 = static_cast<int>(blockIdx.y) * S::M, n0 = static_cast<int>(blockIdx.x) * S::N;
  if (threadIdx.x == 0) c = classOf(s, static_cast<int>(blockIdx.z));
  __syncthreads();
  float sums[S::WARP_M / 16][S::WARP_N / 8][4] = {};
  sumTile<S, P, true, false>(shared, (c.terms + STEP - 1) / STEP,
                             slideLoadOf<S>(s, c, terms, m0, n0), sums);
  bool again = false;
  const SlideResult result{s, c, m0, n0, again};
  writeTile<S>(shared, sums, result);
  slideNansAgain<S>(result);
}

/** The same on Hopper (warpgroup.h), with the weights of all groups and classes packed. */
template <class S, Precision P>
GPU_KERNEL(S::THREADS, S::BLOCKS)
warpgroupSlideKernel(GPU_GRID_CONSTANT const gpu::TensorMap packed, Slide s) {
#if GPU_SM90A
  GPU_DYN_SHARED(shared);
  GPU_SHARED(Term[PREPARED][STEP], terms);
  GPU_SHARED(Class, c);
  const int m0 = static_cast<int>(blockIdx.y) * S::M, n0 = static_cast<int>(blockIdx.x) * S::N;
  if (threadIdx.x == 0) c = classOf(s, static_cast<int>(blockIdx.z));
  __syncthreads();
  GPU_SHARED(uint64_t[WG_STAGES], landed);
  const int row = static_cast<int>(blockIdx.z) * s.results + m0;
  float sums[S::M / 2] = {};
  sumTileByWarpgroups<S, P, false>(shared, PackedLoad<S, P>{packed, 0, row, landed},
                                   (c.terms + STEP - 1) / STEP,
                                   slideLoadOf<S>(s, c, terms, m0, n0), sums);
  bool again = false;
  const SlideResult result{s, c, m0, n0, again};
  writeStreamedTile<S>(reinterpret_cast<float*>(shared), sums, result);
  slideNansAgain<S>(result);
#endif
}

/** The weights as terms lie in them: a row for each result, a layer for each group and class. */
struct PackedWeights {
  Slide s;

  using Layer = Class;
  __device__ __forceinline__ Class layer(int z) const { return classOf(s, z); }
  __device__ __forceinline__ float operator()(const Class& c, int row, int k) const {
    if (k >= c.terms) return 0;
    return s.weights[c.group * s.groupStep + row * s.resultStep +
                     weightOf(s, c, placeOf(c, k))];
  }
};

template <class S>
void launchSlide(const Call& call, Queue& queue, const Slide& s) {
  const unsigned layers =
      gridAxis(int64_t{s.groups} * s.rows.classes * s.columns.classes, "groups times strides");
  enqueueShared(queue, forPrecision(queue, [](auto p) { return slideKernel<S, p()>; }), call.name,
                dim3(blocksFor(s.pixels, S::N), gridAxis((s.results + S::M - 1) / S::M, "channels"),
                     layers),
                S::THREADS, sharedBytesOf<S, true, false>, s);
}

// ## One channel
//
// The first layer of a network for grey images: 9 or 25 terms, of which a tile would take 16 or 32, gathered
// anew for every 64 channels of the result. One thread = one pixel and up to 64 channels: it reads
// what the window shows once, into registers, and weights as broadcasts from shared memory, four at a time.
//
// For a pixel, O·K multiply-adds meet 4·(O + 1) bytes. On an H100, with 33.5 T multiply-adds/s in float32 and
// 3.35 TB/s, memory is the roof up to K = 40 terms, so tensor cores would not help, and nothing is rounded.
// Shared memory: at most 64 rows of 28 words. Order: one fmaf after another, K ascending.

constexpr int DIRECT_THREADS = 128, DIRECT_CHANNELS = 64;

template <int TAPS>
GPU_KERNEL(DIRECT_THREADS) directKernel(Slide s) {
  constexpr int ROW = (TAPS + 3) / 4 * 4;
  GPU_SHARED(float4[DIRECT_CHANNELS * ROW / 4], weights);
  const int thread = static_cast<int>(threadIdx.x), group = static_cast<int>(blockIdx.z);
  const int m0 = static_cast<int>(blockIdx.y) * DIRECT_CHANNELS;
  const int channels = min(s.results - m0, DIRECT_CHANNELS);
  const float* from = s.weights + group * s.groupStep + m0 * TAPS;
  for (int i = thread; i < channels * ROW; i += DIRECT_THREADS) {
    const int m = i / ROW, t = i - m * ROW;
    (&weights[0].x)[i] = t < TAPS ? from[m * TAPS + t] : 0;
  }
  __syncthreads();
  const int pixel = static_cast<int>(blockIdx.x) * DIRECT_THREADS + thread;
  if (pixel >= s.pixels) return;
  const Position at = positionOf(s, pixel);
  const int area = s.rows.source * s.columns.source;
  const float* source = s.source + at.image * s.imageStep + group * area;
  float seen[ROW];
  int row = at.row * s.rows.step - s.rows.padding, tap = 0;
  int column = at.column * s.columns.step - s.columns.padding;
#pragma unroll
  for (int t = 0; t < TAPS; t++) {
    const bool inside = static_cast<unsigned>(row) < static_cast<unsigned>(s.rows.source) &&
                        static_cast<unsigned>(column) < static_cast<unsigned>(s.columns.source);
    seen[t] = inside ? source[row * s.columns.source + column] : 0;
    const bool last = ++tap == s.columns.taps;
    column += last ? s.columns.dilation * (1 - s.columns.taps) : s.columns.dilation;
    row += last ? s.rows.dilation : 0;
    tap = last ? 0 : tap;
  }
#pragma unroll
  for (int t = TAPS; t < ROW; t++) seen[t] = 0;
  const int first = group * s.results + m0, size = s.height * s.width;
  const int to = (at.image * s.groups * s.results + first) * size + at.row * s.width + at.column;
  float* results = s.to.data + at.image * s.to.gap;
  bool again = false;
#pragma unroll 4
  for (int m = 0; m < channels; m++) {
    const Epilogue::Read read = s.epilogue.read(to + m * size);
    float sum = 0;
#pragma unroll
    for (int t = 0; t < ROW; t += 4) {
      const float4 w = weights[(m * ROW + t) / 4];
      sum = fmaf(w.x, seen[t], sum);
      if (t + 1 < TAPS) sum = fmaf(w.y, seen[t + 1], sum);
      if (t + 2 < TAPS) sum = fmaf(w.z, seen[t + 2], sum);
      if (t + 3 < TAPS) sum = fmaf(w.w, seen[t + 3], sum);
    }
    again |= sum != sum;
    results[to + m * size] = s.epilogue(sum, first + m, read);
  }
  if (!s.border || !again) return;
  const Class c{group, 0, 0, seenBy(s.rows, 0), seenBy(s.columns, 0), TAPS};
#pragma unroll 1
  for (int m = 0; m < channels; m++) {
    float& result = results[to + m * size];
    if (result == result) continue;
    result = s.epilogue(slideAgain(s, c, m0 + m, at), first + m, s.epilogue.read(to + m * size));
  }
}

/** Whether it is one channel and a window that the kernel is written for; if so, launches it. */
bool goesDirectly(const Call& call, Queue& queue, const Slide& s) {
  const int taps = s.rows.taps * s.columns.taps;
  if (s.rows.backward || s.channels != 1 || (taps != 9 && taps != 25)) return false;
  enqueue(queue, taps == 9 ? directKernel<9> : directKernel<25>, call.name,
          dim3(blocksFor(s.pixels, DIRECT_THREADS),
               gridAxis((s.results + DIRECT_CHANNELS - 1) / DIRECT_CHANNELS, "channels"),
               gridAxis(s.groups, "groups")),
          DIRECT_THREADS, s);
  if (s.parts) {
    const int64_t area = int64_t{s.height} * s.width, channels = int64_t{s.groups} * s.results;
    Nest kept, gone;
    kept.add(channels, area, 0);
    gone.add(s.pixels / area, channels * area + s.to.gap, 0);
    gone.add(area, 1, 0);
    findParts(call, queue, s.to.data, kept, gone, s.parts);
  }
  return true;
}

template <class S>
void launchSlideByWarpgroups(const Call& call, Queue& queue, const Slide& s) {
  const int64_t layers = int64_t{s.groups} * s.rows.classes * s.columns.classes;
  // The most that any class sees.
  const auto seen = [](const Axis& axis) {
    const int tapStep = axis.backward ? axis.stride / std::gcd(axis.stride, axis.dilation) : 1;
    return int64_t{(axis.taps + tapStep - 1) / tapStep};
  };
  const int64_t terms = s.channels * seen(s.rows) * seen(s.columns);
  void* packed = queue.scratch(packedBytes(queue, layers * s.results, terms));
  const auto launch = [&]<Precision P>(std::integral_constant<Precision, P>) {
    const gpu::TensorMap map =
        pack<S, P>(call, queue, PackedWeights{s}, packed, s.results, terms, layers);
    enqueueShared(queue, warpgroupSlideKernel<S, P>, call.name,
                  dim3(blocksFor(s.pixels, S::N),
                       gridAxis((s.results + S::M - 1) / S::M, "channels"),
                       gridAxis(layers, "groups times strides")),
                  S::THREADS, warpgroupBytesOf<S, P, false>, map, s);
  };
  if (queue.precision == Precision::bf16)
    launch(std::integral_constant<Precision, Precision::bf16>{});
  else
    launch(std::integral_constant<Precision, Precision::tf32>{});
}

void slide(const Call& call, Queue& queue, const Geometry& g, const Operand& source, const float* w,
           const Operand& to, const Epilogue& epilogue, bool backward, Part* parts = nullptr) {
  const auto whole = [](int64_t x) { return static_cast<int>(x); };
  Slide s{};
  s.source = source.floats();
  s.to = to;
  s.imageStep = whole(source.size(1, 4) + source.gap);
  s.weights = w;
  s.epilogue = epilogue;
  s.groups = whole(g.groups);
  s.channels = whole(backward ? g.o : g.c);
  s.results = whole(backward ? g.c : g.o);
  s.resultStep = whole(backward ? g.taps() : g.c * g.taps());
  s.channelStep = whole(backward ? g.c * g.taps() : g.taps());
  s.groupStep = whole(g.o * g.c * g.taps());
  s.rows = axisOf(g.rows, backward);
  s.columns = axisOf(g.columns, backward);
  s.height = whole(backward ? g.rows.in : g.rows.out);
  s.width = whole(backward ? g.columns.in : g.columns.out);
  const int64_t area = int64_t{s.rows.results} * s.columns.results;
  require(g.N * area < int64_t{1} << 31, "there are too many pixels");
  s.pixels = whole(g.N * area);
  s.byArea = Divider(area);
  s.byColumns = Divider(s.columns.results);
  s.parts = parts;
  s.partsEach = whole(partsOfChannel(s.pixels));
  s.border = g.rows.padding > 0 || g.columns.padding > 0 ||
             (backward && (g.taps() > 1 || s.rows.results > s.rows.source ||
                           s.columns.results > s.columns.source));
  s.fours = !backward && aligned(w) && s.resultStep % 4 == 0 && s.groupStep % 4 == 0;
  s.quads = g.taps() == 1 && !s.border && s.rows.results == s.rows.source &&
            s.columns.results == s.columns.source && area % 4 == 0 && aligned(source.data) &&
            source.gap % 4 == 0;
  const int64_t layers = g.groups * s.rows.classes * s.columns.classes;
  if (goesDirectly(call, queue, s)) return;
  if (goesByWarpgroups(queue, s.pixels, PACKING_PAYS))
    withWarpgroupTile(s.results, s.pixels, layers,
                      [&]<class S>() { launchSlideByWarpgroups<S>(call, queue, s); });
  else if (fillsLargeTiles(s.results, s.pixels, layers))
    launchSlide<LargeTile>(call, queue, s);
  else
    launchSlide<SmallTile>(call, queue, s);
}

// ## Correlate
//
// The columns of a block are found once; a thread's pixel once for each step.

struct Correlation {
  /** [N, groups · o, places], [N, groups · c, image] and [groups · o, c, taps]. */
  const float *dy, *x;
  float* dw;
  /** Between neighbouring images. */
  int dyStep, xStep;
  int groups, c, o;
  int height, width, tapsDown, tapsAcross, strideDown, strideAcross, dilationDown, dilationAcross;
  int paddingDown, paddingAcross;
  /** Places of one image, and of all. */
  int area, places, across;
  Divider byArea, byAcross;
  bool border;
  int parts, stepsEach;
};

/** The result term by term, without what lies outside. */
__device__ float correlateAgain(const Correlation& s, int group, int m, int n) {
  const int taps = s.tapsDown * s.tapsAcross, channel = n / taps, tap = n - channel * taps;
  const int down = tap / s.tapsAcross * s.dilationDown - s.paddingDown;
  const int right = tap % s.tapsAcross * s.dilationAcross - s.paddingAcross;
  float sum = 0;
  for (int place = 0; place < s.places; place++) {
    const int image = s.byArea(place), rest = place - image * s.area, i = s.byAcross(rest);
    const int row = i * s.strideDown + down, column = (rest - i * s.across) * s.strideAcross + right;
    if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
    sum = fmaf(s.dy[image * s.dyStep + (group * s.o + m) * s.area + rest],
               s.x[image * s.xStep + ((group * s.c + channel) * s.height + row) * s.width + column],
               sum);
  }
  return sum;
}

template <class S>
struct CorrelateLoad {
  const Correlation& s;
  /** Of each column of the tile; `w` is not used. */
  const Term* columns;
  int group, m0, begin, end;

  __device__ __forceinline__ void prepare(int) const {}

  /** Where the thread's place of a step lies. */
  struct Place {
    bool exists;
    int image, rest, row, column;
  };
  __device__ __forceinline__ Place placeOf(int step) const {
    const int place = begin + step * STEP + static_cast<int>(threadIdx.x) % STEP;
    if (place >= end) return {false, 0, 0, NO_PIXEL, 0};
    const int image = s.byArea(place), rest = place - image * s.area, i = s.byAcross(rest);
    return {true, image, rest, i * s.strideDown, (rest - i * s.across) * s.strideAcross};
  }

  __device__ __forceinline__ void a(float* to, int step) const {
    const int thread = static_cast<int>(threadIdx.x), k = thread % STEP;
    const Place at = placeOf(step);
    const float* from = s.dy + at.image * s.dyStep + (group * s.o + m0) * s.area + at.rest;
#pragma unroll 2
    for (int m = thread / STEP; m < S::M; m += S::THREADS / STEP) {
      const bool inside = at.exists && m0 + m < s.o;
      gpu::cp_async<4>(to + Layout<S::M, true>::at(m, k), inside ? from + m * s.area : s.dy,
                       inside ? 4 : 0);
    }
  }

  __device__ __forceinline__ void b(float* to, int step) const {
    const int thread = static_cast<int>(threadIdx.x), k = thread % STEP;
    const Place at = placeOf(step);
    const int64_t row = int64_t{group} * s.c * s.height + at.row;
    const float* from = s.x + at.image * s.xStep + row * s.width + at.column;
#pragma unroll 2
    for (int n = thread / STEP; n < S::N; n += S::THREADS / STEP) {
      const Term term = columns[n];
      const bool inside =
          static_cast<unsigned>(at.row + term.y) < static_cast<unsigned>(s.height) &&
          static_cast<unsigned>(at.column + term.z) < static_cast<unsigned>(s.width);
      gpu::cp_async<4>(to + Layout<S::N, true>::at(n, k), inside ? from + term.x : s.x,
                       inside ? 4 : 0);
    }
  }
};

/** Row m is channel m of dw, groups side by side; column n is channel and tap. */
struct CorrelateResult {
  Correlation s;

  struct Read {};
  __device__ __forceinline__ Read read(int, int) const { return {}; }
  __device__ __forceinline__ float write(int m, int n, float sum, Read) const {
    return s.dw[m * s.c * s.tapsDown * s.tapsAcross + n] = sum;
  }
  __device__ __forceinline__ bool counts() const { return false; }
};

/** Of a result whose parts are added up only now, those that are NaN are computed again. */
struct CorrelateFold : CorrelateResult {
  __device__ __forceinline__ void write(int m, int n, float sum, Read read) const {
    if (s.border && sum != sum) sum = correlateAgain(s, m / s.o, m % s.o, n);
    CorrelateResult::write(m, n, sum, read);
  }
};

/** What a block of Correlate has to do. */
template <class S>
struct CorrelateTile {
  const Correlation& s;
  int group, part, m0, n0, count, begin, end;

  __device__ __forceinline__ explicit CorrelateTile(const Correlation& s)
      : s(s),
        group(static_cast<int>(blockIdx.z) / s.parts),
        part(static_cast<int>(blockIdx.z) % s.parts),
        m0(static_cast<int>(blockIdx.y) * S::M),
        n0(static_cast<int>(blockIdx.x) * S::N),
        count(s.c * s.tapsDown * s.tapsAcross),
        begin(part * s.stepsEach * STEP),
        end(min(s.places - begin, s.stepsEach * STEP) + begin) {}

  __device__ __forceinline__ int steps() const { return (end - begin + STEP - 1) / STEP; }

  /** Finds the columns, for all; a barrier shows them. */
  __device__ __forceinline__ void findColumns(Term (&columns)[S::N]) const {
    const int taps = s.tapsDown * s.tapsAcross;
    for (int i = static_cast<int>(threadIdx.x); i < S::N; i += S::THREADS) {
      Term term{0, NOWHERE, 0, 0};
      if (n0 + i < count) {
        const int channel = (n0 + i) / taps, tap = n0 + i - channel * taps;
        const int down = tap / s.tapsAcross * s.dilationDown - s.paddingDown;
        const int right = tap % s.tapsAcross * s.dilationAcross - s.paddingAcross;
        term = {(channel * s.height + down) * s.width + right, down, right, 0};
      }
      columns[i] = term;
    }
  }

  /** Rows of the tile that are another group's are not this one's to write. */
  __device__ __forceinline__ TileResult<CorrelateResult> resultOf(const CorrelateResult& result,
                                                                  float* partial,
                                                                  bool& again) const {
    const int64_t results = int64_t{s.groups} * s.o * count;
    return {result,    partial ? partial + part * results : nullptr,
            group * s.o + m0, n0, (group + 1) * s.o, count, again};
  }

  __device__ __forceinline__ void nansAgain() const {
    eachOfMine<S>([&](int m, int n) {
      if (m0 + m >= s.o || n0 + n >= count) return;
      float& result = s.dw[(group * s.o + m0 + m) * count + n0 + n];
      if (result != result) result = correlateAgain(s, group, m0 + m, n0 + n);
    });
  }
};

template <class S, Precision P>
GPU_KERNEL(S::THREADS, S::BLOCKS) correlateKernel(CorrelateResult result, float* partial) {
  GPU_DYN_SHARED(bytes);
  float* shared = reinterpret_cast<float*>(bytes);
  GPU_SHARED(Term[S::N], columns);
  const CorrelateTile<S> tile(result.s);
  tile.findColumns(columns);
  const CorrelateLoad<S> load{tile.s, columns, tile.group, tile.m0, tile.begin, tile.end};
  float sums[S::WARP_M / 16][S::WARP_N / 8][4] = {};
  sumTile<S, P, true, true>(shared, tile.steps(), load, sums);
  bool again = false;
  writeTile<S>(shared, sums, tile.resultOf(result, partial, again));
  if (tile.s.border && again && !partial) tile.nansAgain();
}

/** dy for tensor cores that want it in shared memory, rounded: from registers (warpgroup.h). */
template <class S>
struct CorrelateFrom {
  const CorrelateLoad<S>& load;

  template <int COUNT>
  __device__ __forceinline__ void operator()(float (&values)[COUNT], int step) const {
    const Correlation& s = load.s;
    const auto at = load.placeOf(step);
    const int m0 = load.m0 + static_cast<int>(threadIdx.x) / STEP;
    const float* from = s.dy + at.image * s.dyStep + (load.group * s.o + m0) * s.area + at.rest;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int m = i * (S::THREADS / STEP);
      values[i] = at.exists && m0 + m < s.o ? from[m * s.area] : 0;
    }
  }
};

template <class S, Precision P>
GPU_KERNEL(S::THREADS, S::BLOCKS)
warpgroupCorrelateKernel(CorrelateResult result, float* partial) {
#if GPU_SM90A
  GPU_DYN_SHARED(shared);
  GPU_SHARED(Term[S::N], columns);
  const CorrelateTile<S> tile(result.s);
  tile.findColumns(columns);
  const CorrelateLoad<S> load{tile.s, columns, tile.group, tile.m0, tile.begin, tile.end};
  const CorrelateFrom<S> from{load};
  float values[StoredLoad<S, P, CorrelateFrom<S>>::COUNT];
  float sums[S::M / 2] = {};
  sumTileByWarpgroups<S, P, true>(shared, StoredLoad<S, P, CorrelateFrom<S>>{from, values},
                                  tile.steps(), load, sums);
  bool again = false;
  writeStreamedTile<S>(reinterpret_cast<float*>(shared), sums,
                       tile.resultOf(result, partial, again));
  if (tile.s.border && again && !partial) tile.nansAgain();
#endif
}

template <class S, bool BY_WARPGROUPS>
void launchCorrelate(const Call& call, Queue& queue, Correlation s) {
  const int64_t count = int64_t{s.c} * s.tapsDown * s.tapsAcross, rows = (s.o + S::M - 1) / S::M;
  const Split split = splitOf<S>(rows * blocksFor(count, S::N) * s.groups, s.places);
  s.parts = split.parts;
  s.stepsEach = split.stepsEach;
  const int64_t results = int64_t{s.groups} * s.o * count;
  float* partial = s.parts > 1
                       ? static_cast<float*>(queue.scratch(results * s.parts * sizeof(float)))
                       : nullptr;
  const CorrelateResult result{s};
  const dim3 grid(blocksFor(count, S::N), gridAxis(rows, "channels"),
                  gridAxis(int64_t{s.groups} * s.parts, "groups times parts"));
  if constexpr (!BY_WARPGROUPS)
    enqueueShared(queue, forPrecision(queue, [](auto p) { return correlateKernel<S, p()>; }),
                  call.name, grid, S::THREADS, sharedBytesOf<S, true, true>, result, partial);
  else if (queue.precision == Precision::bf16)
    enqueueShared(queue, warpgroupCorrelateKernel<S, Precision::bf16>, call.name, grid, S::THREADS,
                  warpgroupBytesOf<S, Precision::bf16, true>, result, partial);
  else
    enqueueShared(queue, warpgroupCorrelateKernel<S, Precision::tf32>, call.name, grid, S::THREADS,
                  warpgroupBytesOf<S, Precision::tf32, true>, result, partial);
  if (partial)
    fold(call, queue, CorrelateFold{s}, partial, int64_t{s.groups} * s.o, count, s.parts);
}

}  // namespace

// ## The rooms

void conv2d(Call& call, Queue& queue) {
  const Operand &x = call.inputApart(0), &w = call.input(1), &bias = call.optional(2);
  const Operand& y = call.outputApart(0);
  const Geometry g = geometryOf(call, x, w, y);
  call.want(bias, {g.O}, "bias");
  if (y.size() == 0) return;
  slide(call, queue, g, x, w.floats(), y, forwardEpilogue(call, queue), false,
        partsIn(call, call.optionalOutput(1), g.O, g.N * g.rows.out * g.columns.out));
}

void conv2d_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &w = call.input(1), &dx = call.output(0);
  const Geometry g = geometryOf(call, dx, w, dy);
  if (dx.size() == 0) return;
  slide(call, queue, g, dy, w.floats(), dx, backwardEpilogue(call, queue), true);
}

void conv2d_backward_weight(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &x = call.inputApart(1), &dw = call.output(0);
  const Geometry g = geometryOf(call, x, dw, dy);
  if (dw.size() == 0) return;
  const auto whole = [](int64_t n) { return static_cast<int>(n); };
  const int64_t area = g.rows.out * g.columns.out;
  Correlation s{};
  s.dy = dy.floats();
  s.x = x.floats();
  s.dw = dw.floats();
  s.dyStep = whole(dy.size(1, 4) + dy.gap);
  s.xStep = whole(x.size(1, 4) + x.gap);
  s.groups = whole(g.groups);
  s.c = whole(g.c);
  s.o = whole(g.o);
  s.height = whole(g.rows.in);
  s.width = whole(g.columns.in);
  s.tapsDown = whole(g.rows.taps);
  s.tapsAcross = whole(g.columns.taps);
  s.strideDown = whole(g.rows.stride);
  s.strideAcross = whole(g.columns.stride);
  s.dilationDown = whole(g.rows.dilation);
  s.dilationAcross = whole(g.columns.dilation);
  s.paddingDown = whole(g.rows.padding);
  s.paddingAcross = whole(g.columns.padding);
  s.area = whole(area);
  require(g.N * area < int64_t{1} << 31, "there are too many places");
  s.places = whole(g.N * area);
  s.across = whole(g.columns.out);
  s.byArea = Divider(area);
  s.byAcross = Divider(g.columns.out);
  s.border = g.rows.padding > 0 || g.columns.padding > 0;
  const int64_t count = g.c * g.taps(), layers = g.groups * partsOf(s.places);
  if (goesByWarpgroups(queue, count, SmallTile::N))
    withWarpgroupTile(s.o, count, layers,
                      [&]<class S>() { launchCorrelate<S, true>(call, queue, s); });
  else if (fillsLargeTiles(s.o, count, layers))
    launchCorrelate<LargeTile, false>(call, queue, s);
  else
    launchCorrelate<SmallTile, false>(call, queue, s);
}

void conv2d_backward_bias(Call& call, Queue& queue) {
  const Operand &dy = call.inputApart(0), &db = call.output(0);
  call.wantAxes(dy, 4, "dy");
  call.want(db, {dy.shape[1]}, "dbias");
  const int64_t N = dy.shape[0], O = dy.shape[1], area = dy.shape[2] * dy.shape[3];
  Nest kept, gone;
  kept.add(O, area, 0);
  gone.add(N, O * area + dy.gap, 0);
  gone.add(area, 1, 0);
  float* scratch = static_cast<float*>(queue.scratch(reduceFloats(kept, gone) * 4));
  reduce<Adding>(call, queue, kept, gone, Element{dy.floats()}, Quotient{db.floats(), 1}, scratch);
}

}  // namespace convnotes::gpu_rooms
