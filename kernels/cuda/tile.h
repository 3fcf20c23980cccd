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
// by mma.m16n8k8: 16 (8) of them for each 8 terms, for which it reads 24 (16) words for each lane. With what
// comes in, that is 64 KB of shared memory for a step of the large tile, 512 cycles: 512 multiply-adds a cycle,
// what the tensor cores of an A100 do, and half of an H100's.
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
// at a time, K ascending. BF16: the same with 7 bits and 16 terms at a time; shared memory holds float32 all
// the same, and a lane rounds what it reads, two numbers in one instruction. As mma.m16n8k16 has it, a lane holds
// terms 2t, 2t + 1, 2t + 8 and 2t + 9; here those are terms t, t + 4, t + 8 and t + 12, of both factors, so
// that reads stay as they are. FP32, and TF32 before sm_80: one fmaf after another, K ascending, so depth
// K; all are cut where K is split. A split depends on the shapes alone.

#pragma once

#include <type_traits>

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

/** Of one stage, what a lane's fragments hold of A's 16 rows from m on, 8 terms from k on: (g, t) as above. */
template <class A, bool ALONG>
__device__ __forceinline__ void rowsOf(uint32_t (&a)[4], const float* as, int m, int k, int lane) {
  const int g = lane / 4, t = lane % 4;
  if constexpr (ALONG) {
    gpu::ldmatrix_x4(a, as + A::at(m + lane % 16, k + lane / 16 * 4));
  } else {
#pragma unroll
    for (int v = 0; v < 4; v++)
      a[v] = __float_as_uint(as[A::at(m + g + v % 2 * 8, k + t + v / 2 * 4)]);
  }
}

/** The same of B's 16 columns from n on: two fragments, one after the other. */
template <class B, bool ALONG>
__device__ __forceinline__ void columnsOf(uint32_t (&b)[4], const float* bs, int n, int k,
                                          int lane) {
  const int g = lane / 4, t = lane % 4;
  if constexpr (ALONG) {
    gpu::ldmatrix_x4(b, bs + B::at(n + lane / 16 * 8 + lane % 8, k + lane % 16 / 8 * 4));
  } else {
#pragma unroll
    for (int v = 0; v < 4; v++)
      b[v] = __float_as_uint(bs[B::at(n + g + v / 2 * 8, k + t + v % 2 * 4)]);
  }
}

__device__ __forceinline__ uint32_t pairOf(uint32_t low, uint32_t high) {
  return gpu::cvt_bf16x2(__uint_as_float(low), __uint_as_float(high));
}

/** d += a·b for one stage; d as mma.m16n8k8 lays it out, for each precision. */
template <class S, Precision P, bool A_ALONG, bool B_ALONG>
__device__ __forceinline__ void multiplyStage(const float* as, const float* bs,
                                              float (&d)[S::WARP_M / 16][S::WARP_N / 8][4]) {
  using A = Layout<S::M, A_ALONG>;
  using B = Layout<S::N, B_ALONG>;
  constexpr int I = S::WARP_M / 16, J = S::WARP_N / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int m0 = warp % S::WARP_ROWS * S::WARP_M, n0 = warp / S::WARP_ROWS * S::WARP_N;
  if constexpr (P == Precision::tf32 && GPU_ARCH >= 800) {
#pragma unroll
    for (int k = 0; k < STEP; k += 8) {
      uint32_t a[I][4], b[J][2];
#pragma unroll
      for (int i = 0; i < I; i++) {
        rowsOf<A, A_ALONG>(a[i], as, m0 + 16 * i, k, lane);
#pragma unroll
        for (int v = 0; v < 4; v++) a[i][v] = gpu::cvt_tf32(__uint_as_float(a[i][v]));
      }
#pragma unroll
      for (int j = 0; j < J; j += 2) {
        uint32_t two[4];
        columnsOf<B, B_ALONG>(two, bs, n0 + 8 * j, k, lane);
#pragma unroll
        for (int v = 0; v < 4; v++) b[j + v / 2][v % 2] = gpu::cvt_tf32(__uint_as_float(two[v]));
      }
#pragma unroll
      for (int i = 0; i < I; i++)
#pragma unroll
        for (int j = 0; j < J; j++) gpu::mma_m16n8k8_tf32(d[i][j], a[i], b[j]);
    }
  } else if constexpr (P == Precision::bf16 && GPU_ARCH >= 800) {
    static_assert(STEP == 16);
    uint32_t a[I][4];
#pragma unroll
    for (int i = 0; i < I; i++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        uint32_t eight[4];
        rowsOf<A, A_ALONG>(eight, as, m0 + 16 * i, 8 * half, lane);
        a[i][2 * half] = pairOf(eight[0], eight[2]);
        a[i][2 * half + 1] = pairOf(eight[1], eight[3]);
      }
    }
#pragma unroll
    for (int j = 0; j < J; j += 2) {
      uint32_t b[2][2];
#pragma unroll
      for (int half = 0; half < 2; half++) {
        uint32_t eight[4];
        columnsOf<B, B_ALONG>(eight, bs, n0 + 8 * j, 8 * half, lane);
        b[0][half] = pairOf(eight[0], eight[1]);
        b[1][half] = pairOf(eight[2], eight[3]);
      }
#pragma unroll
      for (int v = 0; v < 2; v++)
#pragma unroll
        for (int i = 0; i < I; i++) gpu::mma_m16n8k16_bf16(d[i][j + v], a[i], b[v]);
    }
  } else {
    const int m = m0 + lane / 4, n = n0 + lane % 4 * 2;
#pragma unroll 2
    for (int k = 0; k < STEP; k++) {
      float a[2 * I], b[2 * J];
#pragma unroll
      for (int i = 0; i < 2 * I; i++) a[i] = as[A::at(m + 8 * i, k)];
#pragma unroll
      for (int j = 0; j < 2 * J; j++) b[j] = bs[B::at(n + j / 2 * 8 + j % 2, k)];
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
 * Adds up `steps` steps; `sums` as mma lays them out.
 *
 * `load.a(to, step)` and `load.b(to, step)` start the copies of a step, by all threads.
 * `load.prepare(step)` comes a barrier earlier, for what all threads then read of the step; steps may be prepared that never come.
 */
template <class S, Precision P, bool A_ALONG, bool B_ALONG, class Load>
__device__ __forceinline__ void sumTile(float* shared, int steps, const Load& load,
                                        float (&sums)[S::WARP_M / 16][S::WARP_N / 8][4]) {
  constexpr int A = Layout<S::M, A_ALONG>::WORDS, B = Layout<S::N, B_ALONG>::WORDS;
  for (int s = 0; s < STAGES; s++) load.prepare(s);
  __syncthreads();
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < steps) {
      load.a(shared + s * (A + B), s);
      load.b(shared + s * (A + B) + A, s);
    }
    gpu::cp_async_commit();
  }
  int stage = 0;
  for (int step = 0; step < steps; step++) {
    gpu::cp_async_wait<STAGES - 2>();
    // All copies of this step are there, and nobody reads the stage of the step before any more.
    __syncthreads();
    const int next = step + STAGES - 1;
    const int free = stage == 0 ? STAGES - 1 : stage - 1;
    if (next < steps) {
      load.a(shared + free * (A + B), next);
      load.b(shared + free * (A + B) + A, next);
    }
    gpu::cp_async_commit();
    load.prepare(next + 1);
    const float* as = shared + stage * (A + B);
    multiplyStage<S, P, A_ALONG, B_ALONG>(as, as + A, sums);
    stage = stage == STAGES - 1 ? 0 : stage + 1;
  }
}

// ## Writing a tile
//
// A fragment holds two neighbours of a row, so that a warp that wrote what it has would touch 16 lines of
// memory in pieces of 8 bytes. Instead 64 rows at a time go through shared memory, which has no other
// use by then, and a warp writes 32 neighbours. Rows of N + 8 words: of each half of a warp, pairs begin at words
// 8g + 2t modulo 32, all different.
//
// `put.read(m, n)` comes for four results before `put.write(m, n, sum, what was read)` for the same four, so
// that what is read besides the sums has its latency once for four.
//
// Where `put.counts()`, what was written takes the place of the sums, and `put.count(first, value)` looks at the
// 64 rows from `first` on as a whole.

constexpr int CHUNK = 64, BATCH = 4;

/** 64 rows of the tile, from row `first` on, that lie in shared memory in rows of ROW words. */
template <class S, int ROW, class Put>
__device__ __forceinline__ void writeChunk(float* shared, int first, const Put& put) {
  static_assert(S::THREADS % S::N == 0);
  constexpr int ROWS = S::THREADS / S::N;
  const int thread = static_cast<int>(threadIdx.x), n = thread % S::N;
#pragma unroll 1
  for (int m = thread / S::N; m < CHUNK; m += BATCH * ROWS) {
    decltype(put.read(0, 0)) kept[BATCH];
#pragma unroll
    for (int i = 0; i < BATCH; i++) kept[i] = put.read(first + m + i * ROWS, n);
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
      float* sum = shared + (m + i * ROWS) * ROW + n;
      const float written = put.write(first + m + i * ROWS, n, *sum, kept[i]);
      if (put.counts()) *sum = written;
    }
  }
  if (!put.counts()) return;
  __syncthreads();
  put.template count<S>(first, [&](int m, int n) { return shared[(m - first) * ROW + n]; });
}

template <class S, class Put>
__device__ __forceinline__ void writeTile(float* shared,
                                          const float (&sums)[S::WARP_M / 16][S::WARP_N / 8][4],
                                          const Put& put) {
  static_assert(CHUNK % S::WARP_M == 0);
  constexpr int ROW = S::N + 8;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int m0 = warp % S::WARP_ROWS * S::WARP_M, n0 = warp / S::WARP_ROWS * S::WARP_N;
#pragma unroll 1
  for (int chunk = 0; chunk < S::M; chunk += CHUNK) {
    __syncthreads();
    if (m0 / CHUNK == chunk / CHUNK) {
#pragma unroll
      for (int i = 0; i < S::WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < S::WARP_N / 8; j++)
#pragma unroll
          for (int v = 0; v < 2; v++) {
            float* to = shared + (m0 % CHUNK + 16 * i + 8 * v + lane / 4) * ROW + n0 + 8 * j +
                        lane % 4 * 2;
            *reinterpret_cast<float2*>(to) = make_float2(sums[i][j][2 * v], sums[i][j][2 * v + 1]);
          }
    }
    __syncthreads();
    writeChunk<S, ROW>(shared, chunk, put);
  }
}

/** Runs `body(m, n)` for the results of the tile that this thread wrote. */
template <class S, class Body>
__device__ __forceinline__ void eachOfMine(const Body& body) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int m = thread / S::N; m < S::M; m += S::THREADS / S::N) body(m, thread % S::N);
}

// ## Splitting K
//
// Where a result has too few tiles to fill a GPU, its terms are shared out: each part of K has blocks of
// its own, which write partial results, and a second kernel adds those: in order of K, or, 32 parts or
// more, every 32nd in a lane and then the lanes.

struct Split {
  int parts, stepsEach;
};

/** How K terms are shared out for `tiles` tiles, so that all blocks that fit on 128 multiprocessors run. */
template <class S>
Split splitOf(int64_t tiles, int64_t K) {
  const int64_t steps = std::max<int64_t>((K + STEP - 1) / STEP, 1);
  const int64_t wanted = std::min(128 * S::BLOCKS / std::max<int64_t>(tiles, 1), steps / 8);
  const int64_t each = (steps + std::max<int64_t>(wanted, 1) - 1) / std::max<int64_t>(wanted, 1);
  return {static_cast<int>((steps + each - 1) / each), static_cast<int>(each)};
}

/** Into how many parts of 512 terms or more K may be cut before it is too short for a larger tile. */
inline int64_t partsOf(int64_t K) { return std::clamp<int64_t>(K / 512, 1, 64); }

/** Whether tiles of S are more than half full, and three quarters of the blocks that fit have one. */
template <class S>
bool fillsTiles(gpu::Way way, int64_t M, int64_t N, int64_t layers) {
  const int64_t tiles = (M + S::M - 1) / S::M * ((N + S::N - 1) / S::N) * layers;
  return gpu::pays(way, M > S::M / 2 && N > S::N / 2 ? tiles : 0, 96 * S::BLOCKS);
}
inline bool fillsLargeTiles(int64_t M, int64_t N, int64_t layers) {
  return fillsTiles<LargeTile>(gpu::Way::largeTiles, M, N, layers);
}

/** The kernel for the queue's precision: `pick` makes one for each. */
template <class Pick>
auto forPrecision(const Queue& queue, const Pick& pick) {
  using enum Precision;
  switch (queue.precision) {
    case bf16: return pick(std::integral_constant<Precision, bf16>{});
    case fp32: return pick(std::integral_constant<Precision, fp32>{});
    default: return pick(std::integral_constant<Precision, tf32>{});
  }
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
  const int m = byColumns(static_cast<int>(i)), n = static_cast<int>(i) - m * columns;
  const auto read = put.read(m, n);
  float total = 0;
#pragma unroll 4
  for (int part = lane; part < parts; part += LANES) total += partial[part * int64_t{count} + i];
  if constexpr (LANES > 1) total = joinWarp<Adding>(total);
  if (lane == 0) put.write(m, n, total, read);
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
