// # Products of tiles by warpgroups
//
// The tiles of tile.h on Hopper, whose tensor cores reach their full rate only by wgmma: four warps multiply 64
// rows by 64 or 128 columns, asynchronously, and read the columns from shared memory themselves.
//
// ## Who lies where
//
// wgmma cuts float32 factors to TF32, and wants each eight terms (sixteen of BF16) side by side. So neither
// factor can go from device memory to the tensor cores as it is:
//
// - The factor that is *streamed* (pixels of a convolution, the weights of a linear map: whatever is
//   large) is copied as for mma.sync, by cp.async, along K or across it. It gives the rows of the product, and
//   those wgmma takes from registers: a lane reads its fragments from shared memory and rounds them there.
// - The factor that is *packed* (weights of a convolution, the images of a linear map) is laid out once for
//   the whole product by a kernel of its own: rounded to nearest, terms side by side, filled up with
//   zeros to whole steps. TMA brings it tile by tile, swizzled so that the eight rows that wgmma reads at once
//   lie in different banks.
//
// Where both factors are large, as in a convolution's gradient by weight, threads bring what would be packed
// themselves (`StoredLoad`).
//
// Packing moves 8 bytes for each number, which at 3.35 TB/s and 247 T multiply-adds/s takes as long as 590
// multiply-adds. So it must meet many streamed numbers: from 2048 on, packing costs 29 % of the product at peak,
// less than the 38 % by which mma.sync falls short of it (some 62 % of peak on Hopper).
//
// ## Sizes
//
// Wide: 256 streamed × 128 packed by four warpgroups, one block on a multiprocessor. Large: 128 × 128 by two,
// two blocks. Both 64 sums a thread. Small: 64 × 64 by one warpgroup, 32 sums. A step of 16 terms is two
// wgmma of 8 for TF32, one for BF16.
//
// A step of the wide tile in TF32 is 524 288 multiply-adds, 512 cycles of the tensor cores. Shared memory has 128
// bytes a cycle: 16 KB come in and 16 KB go to registers of what is streamed, 8 KB come in of what is packed, and
// each of the four warpgroups reads all 8 KB: 576 cycles, so that shared memory allows 89 % of the peak
// (large: 320 for 256 cycles, 80 %; mma.sync: 512 for 256 cycles, 50 %, see tile.h). From the second-level cache
// come 24 KB, 22 multiply-adds a byte: at 5.5 TB/s 120 T multiply-adds/s (large: 16 and 88), half of the peak.
// That is the roof of matrix products and 1 × 1 convolutions. The taps of a window see the same lines
// again, which the first-level cache keeps: of 3 × 3 taps a ninth comes from the second, and the roof is
// shared memory's. BF16 halves what is packed: 416 cycles of shared memory for 256, 26 multiply-adds a byte.
//
// Shared memory: 4 stages of (64 or 32) · 128 bytes packed, and 20 480 bytes streamed at most: 114 688 bytes.
//
// ## Order
//
// Step s + 2 is under way, step s + 1 goes to registers, step s is multiplied. A stage is written again when
// all have waited for the product of the step that it held. Terms are added K ascending, as in tile.h.

#pragma once

#include "tile.h"

namespace convnotes::gpu_rooms {

constexpr int WG_STAGES = 4;

/** By four warpgroups; mma.sync has no such tile. */
using WideTile = TileSize<128, 256, 2, 8, 1>;

/** Calls `launch` with the widest tile that there are enough of. */
template <class Launch>
void withWarpgroupTile(int64_t packed, int64_t streamed, int64_t layers, const Launch& launch) {
  if (fillsTiles<WideTile>(gpu::Way::wideTiles, packed, streamed, layers))
    launch.template operator()<WideTile>();
  else if (fillsLargeTiles(packed, streamed, layers))
    launch.template operator()<LargeTile>();
  else
    launch.template operator()<SmallTile>();
}

/** One step of what is packed: a row of 64 or 32 bytes for each column of the product. */
template <class S, Precision P>
struct PackedStage {
  static constexpr bool IS_TF32 = P == Precision::tf32;
  static constexpr int ROW = STEP * (IS_TF32 ? 4 : 2), BYTES = S::M * ROW;
  /** 32 bytes of a row for each. */
  static constexpr int PRODUCTS = ROW / 32;
  /** As tensor maps and as descriptors count. */
  static constexpr int MAP_SWIZZLE = IS_TF32 ? 2 : 1, SWIZZLE = IS_TF32 ? 2 : 3;
  /** Of the row's number, these bits are mixed into that of a piece of 16 bytes. */
  static constexpr int MIXED = IS_TF32 ? 3 : 1;
};

template <class S, Precision P, bool B_ALONG>
constexpr int warpgroupBytesOf =
    WG_STAGES * (PackedStage<S, P>::BYTES + Layout<S::N, B_ALONG>::WORDS * 4);

// ## Packing
//
// One thread = two numbers of a row, which lie side by side. BF16 takes each sixteen terms in the order in
// which fragments hold them (tile.h).

constexpr int PACK_THREADS = 256;

/** `source.layer(z)` comes once for a block; then `source(layer, row, k)` is any number. */
template <Precision P, class Source>
GPU_KERNEL(PACK_THREADS)
packKernel(Source source, void* to, int rows, int pitch, Divider byPitch) {
  GPU_SHARED(typename Source::Layer, layer);
  const int thread = static_cast<int>(threadIdx.x), z = static_cast<int>(blockIdx.y);
  if (thread == 0) layer = source.layer(z);
  __syncthreads();
  const int i = 2 * (static_cast<int>(blockIdx.x) * PACK_THREADS + thread);
  const int row = byPitch(i), k = i - row * pitch;
  if (row >= rows) return;
  const int64_t at = int64_t{z} * rows * pitch + i;
  if constexpr (P == Precision::bf16) {
    const int term = k / 16 * 16 + k % 16 / 8 * 8 + k % 8 / 2;
    static_cast<uint32_t*>(to)[at / 2] =
        gpu::cvt_bf16x2(source(layer, row, term), source(layer, row, term + 4));
  } else {
    reinterpret_cast<uint2*>(to)[at / 2] = {gpu::cvt_tf32(source(layer, row, k)),
                                            gpu::cvt_tf32(source(layer, row, k + 1))};
  }
}

/** A matrix whose rows are packed. */
struct PackedMatrix {
  const float* data;
  int rowStep, termStep, terms;

  struct Layer {};
  __device__ __forceinline__ Layer layer(int) const { return {}; }
  __device__ __forceinline__ float operator()(Layer, int row, int k) const {
    return k < terms ? data[row * rowStep + k * termStep] : 0;
  }
};

/** Terms of a packed row. */
inline int64_t pitchOf(int64_t terms) { return (terms + STEP - 1) / STEP * STEP; }

/** Bytes of a packed factor, up to where others may begin. */
inline size_t packedBytes(const Queue& queue, int64_t rows, int64_t terms) {
  const size_t bytes = rows * pitchOf(terms) * (queue.precision == Precision::tf32 ? 4 : 2);
  return (bytes + 255) / 256 * 256;
}

/** Packs `layers` times `rows` rows, and says where their tiles for S are. */
template <class S, Precision P, class Source>
gpu::TensorMap pack(const Call& call, Queue& queue, const Source& source, void* to, int64_t rows,
                    int64_t terms, int64_t layers) {
  const int64_t pitch = pitchOf(terms);
  require(rows * pitch < int64_t{1} << 31, "a factor is too large to be packed");
  enqueue(queue, packKernel<P, Source>, call.name,
          dim3(blocksFor(rows * pitch / 2, PACK_THREADS), gridAxis(layers, "layers")),
          PACK_THREADS, source, to, static_cast<int>(rows), static_cast<int>(pitch),
          Divider(pitch));
  using Stage = PackedStage<S, P>;
  constexpr int BYTES = Stage::ROW / STEP;
  const uint64_t sizes[] = {static_cast<uint64_t>(pitch), static_cast<uint64_t>(rows * layers)};
  const uint64_t strides[] = {static_cast<uint64_t>(pitch) * BYTES};
  const uint32_t box[] = {STEP, S::M};
  gpu::TensorMap map{};
  // Then nothing lies there.
  if (queue.measuring) return map;
  succeed(gpu::encode_tiled(&map, BYTES, 2, to, sizes, strides, box, Stage::MAP_SWIZZLE),
          call.name);
  return map;
}

// ## Multiplying

/** Whether the device can, and enough is streamed. */
inline bool goesByWarpgroups(const Queue& queue, int64_t streamed, int64_t needed) {
  return queue.precision != Precision::fp32 && gpu::compute_capability() == 90 &&
         gpu::pays(gpu::Way::warpgroups, streamed, needed);
}

constexpr int64_t PACKING_PAYS = 2048;

/** What a lane holds of one step's streamed numbers: fragments of 8 terms, or one of 16. */
template <Precision P>
using Fragments = uint32_t[P == Precision::tf32 ? 2 : 1][4];

template <class S, Precision P, bool B_ALONG>
__device__ __forceinline__ void takeFragments(Fragments<P>& f, const float* streamed) {
  using B = Layout<S::N, B_ALONG>;
  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * 16;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    uint32_t eight[4];
    rowsOf<B, B_ALONG>(eight, streamed, row, 8 * half, lane);
    if constexpr (P == Precision::tf32) {
#pragma unroll
      for (int v = 0; v < 4; v++) f[half][v] = gpu::cvt_tf32(__uint_as_float(eight[v]));
    } else {
      f[0][2 * half] = pairOf(eight[0], eight[2]);
      f[0][2 * half + 1] = pairOf(eight[1], eight[3]);
    }
  }
}

/** What TMA brings: tiles of a packed factor, from `column` and `row` on. */
template <class S, Precision P>
struct PackedLoad {
  using Stage = PackedStage<S, P>;
  const gpu::TensorMap& map;
  int column, row;
  /** One barrier for each stage. */
  uint64_t* landed;

  __device__ __forceinline__ void begin(int) const {
    if (threadIdx.x > 0) return;
    for (int i = 0; i < WG_STAGES; i++) gpu::mbar_init(&landed[i], 1);
    gpu::mbar_init_fence();
  }
  __device__ __forceinline__ void fetch(unsigned char* to, int step, int) const {
    if (threadIdx.x > 0) return;
    uint64_t* barrier = &landed[step % WG_STAGES];
    gpu::mbar_arrive_expect_tx(barrier, Stage::BYTES);
    gpu::tma_load_2d(to, &map, column + step * STEP, row, barrier);
  }
  __device__ __forceinline__ void wait(int step) const {
    gpu::mbar_wait(&landed[step % WG_STAGES], step / WG_STAGES % 2);
  }
};

/**
 * What threads bring themselves, where packing a whole factor would cost too much: a thread has one term of a
 * step, for every so many columns of the product. It loads its numbers a step ahead into registers, and
 * rounds them while it stores them, to where TMA would have put them.
 */
template <class S, Precision P, class From>
struct StoredLoad {
  using Stage = PackedStage<S, P>;
  static constexpr int ROWS = S::THREADS / STEP, COUNT = S::M / ROWS;
  /** `from(values, step)` loads column thread / 16 + i·ROWS of the product, term thread % 16, for each i. */
  const From& from;
  float (&values)[COUNT];

  __device__ __forceinline__ void begin(int steps) const {
    if (steps > 0) from(values, 0);
  }
  __device__ __forceinline__ void fetch(unsigned char* to, int step, int steps) const {
    const int thread = static_cast<int>(threadIdx.x), k = thread % STEP;
    // As fragments of BF16 hold terms (tile.h).
    const int place = Stage::IS_TF32 ? 4 * k : 2 * (k / 8 * 8 + k % 4 * 2 + k / 4 % 2);
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      const int at = (thread / STEP + i * ROWS) * Stage::ROW + place;
      unsigned char* where = to + (at ^ ((at >> 7 & Stage::MIXED) << 4));
      if constexpr (Stage::IS_TF32)
        *reinterpret_cast<uint32_t*>(where) = gpu::cvt_tf32(values[i]);
      else
        *reinterpret_cast<uint16_t*>(where) =
            static_cast<uint16_t>(gpu::cvt_bf16x2(values[i], 0));
    }
    gpu::fence_proxy_async();
    if (step + 1 < steps) from(values, step + 1);
  }
  __device__ __forceinline__ void wait(int) const {}
};

/**
 * As sumTile: `load.b` starts copies of what is streamed, `packed` brings what it meets: `begin` before
 * all else, then `fetch` for each step in turn, and `wait` until it is there. `sums` as wgmma has them,
 * streamed × packed.
 */
template <class S, Precision P, bool B_ALONG, class Packed, class Load>
__device__ __forceinline__ void sumTileByWarpgroups(unsigned char* shared, const Packed& packed,
                                                    int steps, const Load& load,
                                                    float (&sums)[S::M / 2]) {
  static_assert(S::N / 16 == S::THREADS / 32);
  using Stage = PackedStage<S, P>;
  constexpr int WORDS = Layout<S::N, B_ALONG>::WORDS;
  const auto packedAt = [&](int step) { return shared + step % WG_STAGES * Stage::BYTES; };
  const auto streamedAt = [&](int step) {
    return reinterpret_cast<float*>(shared + WG_STAGES * Stage::BYTES) + step % WG_STAGES * WORDS;
  };
  // A pixel between the places of a stride is seen by no tap.
  if (steps == 0) return;
  packed.begin(steps);
  for (int s = 0; s < WG_STAGES - 1; s++) load.prepare(s);
  __syncthreads();

  const auto fetch = [&](int step) {
    if (step < steps) {
      packed.fetch(packedAt(step), step, steps);
      load.b(streamedAt(step), step);
    }
    gpu::cp_async_commit();
  };
  const auto take = [&](Fragments<P>& f, int step) {
    gpu::cp_async_wait<WG_STAGES - 3>();
    // All streamed numbers of this step are there, and no product reads the stage of two steps before.
    __syncthreads();
    fetch(step + WG_STAGES - 2);
    load.prepare(step + WG_STAGES - 1);
    takeFragments<S, P, B_ALONG>(f, streamedAt(step));
    packed.wait(step);
  };
  const auto multiply = [&](const Fragments<P>& f, int step) {
    gpu::wgmma_arrive();
#pragma unroll
    for (int i = 0; i < Stage::PRODUCTS; i++) {
      const uint64_t b =
          gpu::wgmma_desc(packedAt(step) + 32 * i, 16, 8 * Stage::ROW, Stage::SWIZZLE);
      if constexpr (Stage::IS_TF32)
        gpu::wgmma_m64k8_tf32(sums, f[i], b);
      else
        gpu::wgmma_m64k16_bf16(sums, f[i], b);
    }
    gpu::wgmma_commit();
  };

  for (int s = 0; s < WG_STAGES - 2; s++) fetch(s);
  Fragments<P> even, odd;
  take(even, 0);
  for (int step = 0; step < steps; step += 2) {
    multiply(even, step);
    if (step + 1 == steps) break;
    // The product before this one has been done: its fragments and its stage are free.
    gpu::wgmma_wait<1>();
    take(odd, step + 1);
    multiply(odd, step + 1);
    if (step + 2 == steps) break;
    gpu::wgmma_wait<1>();
    take(even, step + 2);
  }
  gpu::wgmma_wait<0>(sums);
}

// ## Writing
//
// As writeTile. A thread's sums are of two neighbours among what is packed, while neighbours in memory are what is
// streamed: with rows of N + 4 words, the lanes of a warp write to words 8t + g modulo 32, all different.

template <class S, class Put>
__device__ __forceinline__ void writeStreamedTile(float* shared, const float (&sums)[S::M / 2],
                                                  const Put& put) {
  constexpr int ROW = S::N + 4;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int n = thread / 32 * 16 + lane / 4, m = lane % 4 * 2;
#pragma unroll 1
  for (int chunk = 0; chunk < S::M; chunk += CHUNK) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < S::M / 2; i++)
      if (i / (CHUNK / 2) == chunk / CHUNK)
        shared[(i % (CHUNK / 2) / 4 * 8 + m + i % 2) * ROW + n + i % 4 / 2 * 8] = sums[i];
    __syncthreads();
    writeChunk<S, ROW>(shared, chunk, put);
  }
}

}  // namespace convnotes::gpu_rooms
