// # Products of tiles
//
// What matrix products and convolutions share: one block = one tile of the result, M × N numbers that
// stay in registers while K terms pass by, 16 at a time. For each 16 a block copies M × 16 and 16 × N
// factors into shared memory, asynchronously (cp.async), two steps ahead of the multiplication.
//
// ## Sizes
//
// Small: 64 × 64 by 4 warps of 32 × 32. Large: 128 × 128 by 8 warps of 64 × 32.
// A step of the large tile moves 16 KB and multiplies and adds 262 144 times: 16 multiply-adds a byte, or
// 8 for the small one, from the second-level cache; that of an H100 gives some 5.5 TB/s, so the large
// tile may reach 88, the small one 44 T multiply-adds/s before the cache is the roof. Each warp multiplies
// by mma.m16n8k8: 16 (8) of them for each 8 terms, for which it reads 24 (16) words for each lane.
// Shared memory: 3 stages of at most (M + N) · 20 words: 61 440 bytes (30 720), 3 (4) blocks on a
// multiprocessor with 228 KB; the launch bounds keep registers at 128 at most.
//
// ## Shared memory without conflicts
//
// A factor is kept the way it lies in memory, so that copies go in pieces of 16 bytes: *along* K in
// rows of 16 + 4 words, or *across* in rows of 64 + 8 (128 + 8). The lane that wants element
// (g, t) of a fragment, g < 8 and t < 4, reads word 20g + t or 8t + g modulo 32: 32 different banks.
// What lies along K is read by ldmatrix, which moves 16 bytes of a row as four words for four lanes: the rows
// of a matrix begin at words 20g modulo 32, eight different multiples of four.
//
// ## Precision and order
//
// TF32: factors are rounded to nearest (10 bits), products are exact, sums are the tensor core's, 8 terms
// at a time, K ascending. FP32, and every GPU before sm_80: one fmaf after another, K ascending, so
// depth K; both are cut where K is split. A split depends on the shapes alone.

#pragma once

#include "reduce.h"

namespace convnotes::gpu_rooms {

constexpr int STEP = 16, STAGES = 3;

template <int M_, int N_, int ROWS_OF_WARPS, int COLUMNS_OF_WARPS, int BLOCKS_>
struct TileSize {
  static constexpr int M = M_, N = N_, BLOCKS = BLOCKS_;
  static constexpr int THREADS = 32 * ROWS_OF_WARPS * COLUMNS_OF_WARPS;
  static constexpr int WARP_ROWS = ROWS_OF_WARPS;
  static constexpr int WARP_M = M / ROWS_OF_WARPS, WARP_N = N / COLUMNS_OF_WARPS;
};
using SmallTile = TileSize<64, 64, 2, 2, 4>;
using LargeTile = TileSize<128, 128, 2, 4, 2>;

/** One factor's part of a stage, SIZE × STEP numbers. */
template <int SIZE, bool ALONG>
struct Layout {
  static constexpr int ROW = ALONG ? STEP + 4 : SIZE + 8;
  static constexpr int WORDS = ALONG ? SIZE * ROW : STEP * ROW;
  __device__ __forceinline__ static int at(int i, int k) { return ALONG ? i * ROW + k : k * ROW + i; }
};

template <class S, bool A_ALONG, bool B_ALONG>
constexpr int sharedBytesOf =
    STAGES * (Layout<S::M, A_ALONG>::WORDS + Layout<S::N, B_ALONG>::WORDS) * 4;

/** d += a·b for one stage; d as mma.m16n8k8 lays it out, for both precisions. */
template <class S, bool TF32, bool A_ALONG, bool B_ALONG>
__device__ __forceinline__ void multiplyStage(const float* as, const float* bs,
                                              float (&d)[S::WARP_M / 16][S::WARP_N / 8][4]) {
  using A = Layout<S::M, A_ALONG>;
  using B = Layout<S::N, B_ALONG>;
  constexpr int I = S::WARP_M / 16, J = S::WARP_N / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4, t = lane % 4;
  const int m0 = warp % S::WARP_ROWS * S::WARP_M + g, n0 = warp / S::WARP_ROWS * S::WARP_N;
  if constexpr (TF32 && GPU_ARCH >= 800) {
#pragma unroll
    for (int step = 0; step < STEP; step += 8) {
      const int k = step + t;
      uint32_t a[I][4], b[J][2];
#pragma unroll
      for (int i = 0; i < I; i++) {
        const int m = m0 + 16 * i;
        if constexpr (A_ALONG) {
          gpu::ldmatrix_x4(a[i], as + A::at(m - g + lane % 16, step + lane / 16 * 4));
        } else {
          a[i][0] = __float_as_uint(as[A::at(m, k)]);
          a[i][1] = __float_as_uint(as[A::at(m + 8, k)]);
          a[i][2] = __float_as_uint(as[A::at(m, k + 4)]);
          a[i][3] = __float_as_uint(as[A::at(m + 8, k + 4)]);
        }
#pragma unroll
        for (int v = 0; v < 4; v++) a[i][v] = gpu::cvt_tf32(__uint_as_float(a[i][v]));
      }
#pragma unroll
      for (int j = 0; j < J; j += 2) {
        const int n = n0 + 8 * j;
        uint32_t pair[4];
        if constexpr (B_ALONG) {
          gpu::ldmatrix_x4(pair, bs + B::at(n + lane / 16 * 8 + lane % 8, step + lane % 16 / 8 * 4));
        } else {
          pair[0] = __float_as_uint(bs[B::at(n + g, k)]);
          pair[1] = __float_as_uint(bs[B::at(n + g, k + 4)]);
          pair[2] = __float_as_uint(bs[B::at(n + 8 + g, k)]);
          pair[3] = __float_as_uint(bs[B::at(n + 8 + g, k + 4)]);
        }
#pragma unroll
        for (int v = 0; v < 4; v++) b[j + v / 2][v % 2] = gpu::cvt_tf32(__uint_as_float(pair[v]));
      }
#pragma unroll
      for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < J; j++) gpu::mma_m16n8k8_tf32(d[i][j], a[i], b[j]);
    }
  } else {
#pragma unroll 2
    for (int k = 0; k < STEP; k++) {
      float a[2 * I], b[2 * J];
#pragma unroll
      for (int i = 0; i < 2 * I; i++) a[i] = as[A::at(m0 + 8 * i, k)];
#pragma unroll
      for (int j = 0; j < 2 * J; j++) b[j] = bs[B::at(n0 + j / 2 * 8 + 2 * t + j % 2, k)];
#pragma unroll
      for (int i = 0; i < 2 * I; i++)
#pragma unroll
        for (int j = 0; j < 2 * J; j++) {
          float& sum = d[i / 2][j / 2][i % 2 * 2 + j % 2];
          sum = fmaf(a[i], b[j], sum);
        }
    }
  }
}

/**
 * Adds up `steps` steps and hands every number of the tile to `put(m, n, sum)`.
 *
 * `load(a, b, step)` starts the copies of a step, by all threads. `load.prepare(step)` comes a barrier
 * earlier, for what all threads then read of the step; steps may be prepared that never come.
 */
template <class S, bool TF32, bool A_ALONG, bool B_ALONG, class Load, class Put>
__device__ __forceinline__ void multiplyTile(float* shared, int steps, const Load& load,
                                             const Put& put) {
  constexpr int A = Layout<S::M, A_ALONG>::WORDS, B = Layout<S::N, B_ALONG>::WORDS;
  float d[S::WARP_M / 16][S::WARP_N / 8][4] = {};
  for (int s = 0; s < STAGES; s++) load.prepare(s);
  __syncthreads();
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < steps) load(shared + s * (A + B), shared + s * (A + B) + A, s);
    gpu::cp_async_commit();
  }
  int stage = 0;
  for (int step = 0; step < steps; step++) {
    gpu::cp_async_wait<STAGES - 2>();
    // All copies of this step are there, and nobody reads the stage of the step before any more.
    __syncthreads();
    const int next = step + STAGES - 1;
    const int free = stage == 0 ? STAGES - 1 : stage - 1;
    if (next < steps) load(shared + free * (A + B), shared + free * (A + B) + A, next);
    gpu::cp_async_commit();
    load.prepare(next + 1);
    const float* as = shared + stage * (A + B);
    multiplyStage<S, TF32, A_ALONG, B_ALONG>(as, as + A, d);
    stage = stage == STAGES - 1 ? 0 : stage + 1;
  }
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int m0 = warp % S::WARP_ROWS * S::WARP_M + lane / 4;
  const int n0 = warp / S::WARP_ROWS * S::WARP_N + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < S::WARP_N / 8; j++)
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
      for (int i = 0; i < S::WARP_M / 16; i++)
#pragma unroll
        for (int v = 0; v < 2; v++) put(m0 + 16 * i + 8 * v, n0 + 8 * j + h, d[i][j][2 * v + h]);
}

/** Runs `body(m, n)` for the numbers of the tile that `put` was handed by this thread. */
template <class S, class Body>
__device__ __forceinline__ void eachOfMine(const Body& body) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int m0 = warp % S::WARP_ROWS * S::WARP_M + lane / 4;
  const int n0 = warp / S::WARP_ROWS * S::WARP_N + lane % 4 * 2;
#pragma unroll 1
  for (int m = m0; m < m0 + S::WARP_M; m += 8)
#pragma unroll 1
    for (int j = 0; j < S::WARP_N / 4; j++) body(m, n0 + j / 2 * 8 + j % 2);
}

// ## Splitting K
//
// Where a result has too few tiles to fill a GPU, its terms are shared out: each part of K has blocks of
// its own, which write partial results, and a second kernel adds those: in order of K, or, 32 parts or
// more, every 32nd in a lane and then the lanes.

struct Split {
  int parts, stepsEach;
};

/** How K terms are shared out for `tiles` tiles. */
inline Split splitOf(int64_t tiles, int64_t K) {
  const int64_t steps = std::max<int64_t>((K + STEP - 1) / STEP, 1);
  const int64_t wanted = std::min(512 / std::max<int64_t>(tiles, 1), steps / 8);
  const int64_t each = (steps + std::max<int64_t>(wanted, 1) - 1) / std::max<int64_t>(wanted, 1);
  return {static_cast<int>((steps + each - 1) / each), static_cast<int>(each)};
}

/** Whether the large tile still gives every multiprocessor something to do. */
inline bool fillsLargeTiles(int64_t M, int64_t N, int64_t layers) {
  return M > 64 && N > 64 && (M + 127) / 128 * ((N + 127) / 128) * layers >= 256;
}

constexpr int FOLD_THREADS = 256;

/** LANES threads = one result. */
template <int LANES, class Put>
GPU_KERNEL(FOLD_THREADS)
foldKernel(Put put, const float* partial, int count, int columns, Divider byColumns, int parts) {
  const int64_t thread = int64_t{blockIdx.x} * FOLD_THREADS + static_cast<int>(threadIdx.x);
  const int64_t i = thread / LANES;
  if (i >= count) return;
  const int lane = static_cast<int>(thread % LANES);
  float total = 0;
#pragma unroll 4
  for (int part = lane; part < parts; part += LANES) total += partial[part * int64_t{count} + i];
  if constexpr (LANES > 1) total = joinWarp<Adding>(total);
  if (lane > 0) return;
  const int m = byColumns(static_cast<int>(i));
  put(m, static_cast<int>(i) - m * columns, total);
}

template <class Put>
void fold(const Call& call, Queue& queue, const Put& put, const float* partial, int64_t rows,
          int64_t columns, int parts) {
  // Many parts are of a small result, for which there would be few threads.
  const bool warps = parts >= 32;
  enqueue(queue, warps ? foldKernel<32, Put> : foldKernel<1, Put>, call.name,
          blocksFor(rows * columns * (warps ? 32 : 1), FOLD_THREADS), FOLD_THREADS, put, partial,
          static_cast<int>(rows * columns), static_cast<int>(columns), Divider(columns), parts);
}

}  // namespace convnotes::gpu_rooms
