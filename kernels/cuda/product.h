// # Matrix products
//
// y[m][n] = Σ_k a(m, k) · b(k, n) and what follows (epilogue.h), for matrices that lie along K or across
// it. One block = one tile (tile.h, with sizes, precision and order). Bytes: a once for every 64 or 128
// columns, b once for every 64 or 128 rows, y once, and twice for every part of K where K is split. On
// Hopper a is packed and b streamed (warpgroup.h), if b has enough columns.
//
// Columns as channels can leave parts of statistics (moments.h), of the 64 rows that lie in shared memory at a time:
// one thread = one column, which it reads twice. Where K is split, y is read for them once it is there.

#pragma once

#include "elementwise.h"
#include "epilogue.h"
#include "moments.h"
#include "warpgroup.h"

namespace convnotes::gpu_rooms {

/** One factor: neighbours along its other axis are `step` apart, `extent` of them. */
struct Factor {
  const float* data;
  int step, extent;
  /** Whether pieces of 16 bytes lie wholly inside or outside, and are aligned. */
  bool fours = false;
};

/** Copies SIZE × STEP numbers from `first` and `k` on; those beyond the end are zeros. */
template <class S, int SIZE, bool ALONG>
__device__ __forceinline__ void copyFactor(float* to, const Factor& f, int first, int k0, int end) {
  using L = Layout<SIZE, ALONG>;
  // Of the neighbours in memory, a piece holds four.
  constexpr int RUN = ALONG ? STEP : SIZE;
  const int thread = static_cast<int>(threadIdx.x);
  const auto copy = [&]<int PIECE>(std::integral_constant<int, PIECE>) {
#pragma unroll 2
    for (int turn = 0; turn < SIZE * STEP / PIECE / S::THREADS; turn++) {
      const int c = (thread + turn * S::THREADS) * PIECE;
      const int i = ALONG ? c / RUN : c % RUN, k = ALONG ? c % RUN : c / RUN;
      const bool inside = first + i < f.extent && k0 + k < end;
      const int line = ALONG ? first + i : k0 + k, place = ALONG ? k0 + k : first + i;
      gpu::cp_async<4 * PIECE>(to + L::at(i, k), f.data + (inside ? line * f.step + place : 0),
                               inside ? 4 * PIECE : 0);
    }
  };
  if (f.fours)
    copy(std::integral_constant<int, 4>{});
  else
    copy(std::integral_constant<int, 1>{});
}

template <class S, bool A_ALONG, bool B_ALONG>
struct MatrixLoad {
  const Factor &left, &right;
  int m0, n0, begin, end;

  __device__ __forceinline__ void prepare(int) const {}
  __device__ __forceinline__ void a(float* to, int step) const {
    copyFactor<S, S::M, A_ALONG>(to, left, m0, begin + step * STEP, end);
  }
  __device__ __forceinline__ void b(float* to, int step) const {
    copyFactor<S, S::N, B_ALONG>(to, right, n0, begin + step * STEP, end);
  }
};

struct MatrixResult {
  float* y;
  int columns;
  Epilogue epilogue;
  /** [column][part], or null. */
  Part* parts;
  int partsEach;

  __device__ __forceinline__ Epilogue::Read read(int m, int n) const {
    return epilogue.read(m * columns + n);
  }
  __device__ __forceinline__ float write(int m, int n, float sum, const Epilogue::Read& read) const {
    return y[m * columns + n] = epilogue(sum, n, read);
  }
  __device__ __forceinline__ bool counts() const { return parts; }
  /** Leaves the part of column n that begins at row m. */
  __device__ __forceinline__ void leave(int m, int n, const Part& part) const {
    parts[n * partsEach + m / PART] = part;
  }
};

/** What `result` is told of a tile that begins at (m0, n0), or a part of its sums. */
template <class Result>
struct TileResult {
  const Result& result;
  /** Of this part of K; null where K is not split. */
  float* partial;
  int m0, n0, M, N;
  /** Set where a sum is no number. */
  bool& again;

  __device__ __forceinline__ bool has(int m, int n) const { return m0 + m < M && n0 + n < N; }
  __device__ __forceinline__ auto read(int m, int n) const {
    return partial || !has(m, n) ? decltype(result.read(0, 0)){} : result.read(m0 + m, n0 + n);
  }
  template <class Read>
  __device__ __forceinline__ float write(int m, int n, float sum, const Read& read) const {
    if (!has(m, n)) return 0;
    again |= sum != sum;
    if (!partial) return result.write(m0 + m, n0 + n, sum, read);
    partial[int64_t{m0 + m} * N + n0 + n] = sum;
    return sum;
  }
  __device__ __forceinline__ bool counts() const { return !partial && result.counts(); }
  template <class S, class Value>
  __device__ __forceinline__ void count(int first, const Value& value) const {
    static_assert(CHUNK == PART && S::N <= S::THREADS);
    if constexpr (requires { result.leave(0, 0, Part{}); }) {
      const int n = static_cast<int>(threadIdx.x);
      if (n < S::N && has(first, n))
        result.leave(m0 + first, n0 + n, partOfThread(min(M - m0 - first, PART), [&](int i) {
                       return value(first + i, n);
                     }));
    }
  }
};

template <class S, Precision P, bool A_ALONG, bool B_ALONG>
GPU_KERNEL(S::THREADS, S::BLOCKS)
matrixKernel(Factor a, Factor b, MatrixResult result, float* partial, int K, int stepsEach) {
  GPU_DYN_SHARED(bytes);
  float* shared = reinterpret_cast<float*>(bytes);
  const int m0 = static_cast<int>(blockIdx.y) * S::M, n0 = static_cast<int>(blockIdx.x) * S::N;
  const int part = static_cast<int>(blockIdx.z), begin = part * stepsEach * STEP;
  const int end = min(K - begin, stepsEach * STEP) + begin;
  const MatrixLoad<S, A_ALONG, B_ALONG> load{a, b, m0, n0, begin, end};
  const int M = a.extent, N = b.extent;
  float sums[S::WARP_M / 16][S::WARP_N / 8][4] = {};
  sumTile<S, P, A_ALONG, B_ALONG>(shared, (end - begin + STEP - 1) / STEP, load, sums);
  bool again = false;
  writeTile<S>(shared, sums,
               TileResult<MatrixResult>{result,
                                        partial ? partial + int64_t{part} * M * N : nullptr,
                                        m0, n0, M, N, again});
}

/** Adds up the parts of K, and leaves the parts of statistics of what comes, where they are wanted. */
inline void foldMatrix(const Call& call, Queue& queue, const MatrixResult& result,
                       const float* partial, int rows, int parts) {
  fold(call, queue, result, partial, rows, result.columns, parts);
  if (!result.parts) return;
  Nest kept, gone;
  kept.add(result.columns, 1, 0);
  gone.add(rows, result.columns, 0);
  findParts(call, queue, result.y, kept, gone, result.parts);
}

template <class S, bool A_ALONG, bool B_ALONG>
void launchProduct(const Call& call, Queue& queue, const Factor& a, const Factor& b,
                   const MatrixResult& result, int64_t K) {
  const int64_t rows = (a.extent + S::M - 1) / S::M, columns = (b.extent + S::N - 1) / S::N;
  const Split split = splitOf<S>(rows * columns, K);
  const int64_t results = int64_t{a.extent} * b.extent;
  float* partial = split.parts > 1
                       ? static_cast<float*>(queue.scratch(results * split.parts * sizeof(float)))
                       : nullptr;
  const auto kernel =
      forPrecision(queue, [](auto p) { return matrixKernel<S, p(), A_ALONG, B_ALONG>; });
  enqueueShared(queue, kernel, call.name,
                dim3(static_cast<unsigned>(columns), gridAxis(rows, "rows of tiles"),
                     gridAxis(split.parts, "parts")),
                S::THREADS, sharedBytesOf<S, A_ALONG, B_ALONG>, a, b, result, partial,
                static_cast<int>(K), split.stepsEach);
  if (partial) foldMatrix(call, queue, result, partial, a.extent, split.parts);
}

// ## By warpgroups

template <class S, Precision P, bool B_ALONG>
GPU_KERNEL(S::THREADS, S::BLOCKS)
warpgroupMatrixKernel(GPU_GRID_CONSTANT const gpu::TensorMap packed, Factor b, MatrixResult result,
                      float* partial, int M, int K, int stepsEach) {
#if GPU_SM90A
  GPU_DYN_SHARED(shared);
  const int m0 = static_cast<int>(blockIdx.y) * S::M, n0 = static_cast<int>(blockIdx.x) * S::N;
  const int part = static_cast<int>(blockIdx.z), begin = part * stepsEach * STEP;
  const int end = min(K - begin, stepsEach * STEP) + begin;
  const MatrixLoad<S, true, B_ALONG> load{b, b, m0, n0, begin, end};
  GPU_SHARED(uint64_t[WG_STAGES], landed);
  float sums[S::M / 2] = {};
  sumTileByWarpgroups<S, P, B_ALONG>(shared, PackedLoad<S, P>{packed, begin, m0, landed},
                                     (end - begin + STEP - 1) / STEP, load, sums);
  bool again = false;
  writeStreamedTile<S>(reinterpret_cast<float*>(shared), sums,
                       TileResult<MatrixResult>{
                           result, partial ? partial + int64_t{part} * M * b.extent : nullptr, m0,
                           n0, M, b.extent, again});
#endif
}

template <class S, bool A_ALONG, bool B_ALONG>
void launchByWarpgroups(const Call& call, Queue& queue, const Factor& a, const Factor& b,
                        const MatrixResult& result, int64_t K) {
  const int64_t rows = (a.extent + S::M - 1) / S::M, columns = (b.extent + S::N - 1) / S::N;
  const Split split = splitOf<S>(rows * columns, K);
  const int64_t results = int64_t{a.extent} * b.extent;
  const size_t packed = packedBytes(queue, a.extent, K);
  const size_t parts = split.parts > 1 ? results * split.parts * sizeof(float) : 0;
  char* scratch = static_cast<char*>(queue.scratch(packed + parts));
  float* partial = parts ? reinterpret_cast<float*>(scratch + packed) : nullptr;
  const PackedMatrix source{a.data, A_ALONG ? a.step : 1, A_ALONG ? 1 : a.step,
                            static_cast<int>(K)};
  const auto launch = [&]<Precision P>(std::integral_constant<Precision, P>) {
    const gpu::TensorMap map = pack<S, P>(call, queue, source, scratch, a.extent, K, 1);
    enqueueShared(queue, warpgroupMatrixKernel<S, P, B_ALONG>, call.name,
                  dim3(static_cast<unsigned>(columns), gridAxis(rows, "rows of tiles"),
                       gridAxis(split.parts, "parts")),
                  S::THREADS, warpgroupBytesOf<S, P, B_ALONG>, map, b, result, partial, a.extent,
                  static_cast<int>(K), split.stepsEach);
  };
  if (queue.precision == Precision::bf16)
    launch(std::integral_constant<Precision, Precision::bf16>{});
  else
    launch(std::integral_constant<Precision, Precision::tf32>{});
  if (partial) foldMatrix(call, queue, result, partial, a.extent, split.parts);
}

/**
 * y of `a.extent` × `b.extent`; a factor that lies along K has neighbours k and k + 1 side by side. Parts of
 * the columns' statistics, where they are wanted.
 */
template <bool A_ALONG, bool B_ALONG>
void product(const Call& call, Queue& queue, Factor a, Factor b, const Epilogue& epilogue, float* y,
             int64_t K, Part* parts = nullptr) {
  if (a.extent == 0 || b.extent == 0) return;
  const auto inFours = [K](const Factor& f, bool along) {
    return aligned(f.data) && f.step % 4 == 0 && (along ? K : f.extent) % 4 == 0;
  };
  a.fours = inFours(a, A_ALONG);
  b.fours = inFours(b, B_ALONG);
  const MatrixResult result{y, b.extent, epilogue, parts,
                            static_cast<int>(partsOfChannel(a.extent))};
  if (goesByWarpgroups(queue, b.extent, PACKING_PAYS))
    withWarpgroupTile(a.extent, b.extent, partsOf(K), [&]<class S>() {
      launchByWarpgroups<S, A_ALONG, B_ALONG>(call, queue, a, b, result, K);
    });
  else if (fillsLargeTiles(a.extent, b.extent, partsOf(K)))
    launchProduct<LargeTile, A_ALONG, B_ALONG>(call, queue, a, b, result, K);
  else
    launchProduct<SmallTile, A_ALONG, B_ALONG>(call, queue, a, b, result, K);
}

}  // namespace convnotes::gpu_rooms
