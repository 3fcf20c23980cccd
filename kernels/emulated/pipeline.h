// # One product by the pipeline of warpgroup.h
//
// A tile of 64 × 64, of whole numbers, by either precision; its packed factor is fetched by TMA or stored by threads.
// pipeline.spec.ts writes copies of warpgroup.h into namespaces of their own, each but the first with a slip, and
// includes this behind each: `PLANTED` is the namespace.

#ifndef CONVNOTES_PIPELINE
#define CONVNOTES_PIPELINE

#include <cstdio>
#include <cstring>

#include "../cuda/tile.h"

namespace convnotes::pipeline {

using namespace gpu_rooms;
using S = SmallTile;
constexpr int STEPS = 11, TERMS = STEPS * STEP;

/** What is streamed: 64 rows, 16 bytes at a time. */
struct Streamed {
  const float* data;

  __device__ __forceinline__ void prepare(int) const {}
  __device__ __forceinline__ void b(float* to, int step) const {
    for (int c = 4 * static_cast<int>(threadIdx.x); c < S::N * STEP; c += 4 * S::THREADS) {
      const int n = c / STEP, k = c % STEP;
      gpu::cp_async<16>(to + Layout<S::N, true>::at(n, k), data + n * TERMS + step * STEP + k, 16);
    }
  }
};

/** The other factor, for threads that store it. */
struct Loaded {
  const float* data;

  template <int COUNT>
  __device__ __forceinline__ void operator()(float (&values)[COUNT], int step) const {
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = 0; i < COUNT; i++)
      values[i] = data[(thread / STEP + i * (S::THREADS / STEP)) * TERMS + step * STEP + thread % STEP];
  }
};

struct Written {
  float* y;

  struct Read {};
  __device__ __forceinline__ Read read(int, int) const { return {}; }
  __device__ __forceinline__ float write(int m, int n, float sum, Read) const {
    return y[m * S::N + n] = sum;
  }
  __device__ __forceinline__ bool counts() const { return false; }
  template <class Tile, class Value>
  __device__ __forceinline__ void count(int, const Value&) const {}
};

/** Runs `launch(a, b, scratch, y)`; what was said, or `wrong result`. */
template <class Launch>
std::string judged(const Launch& launch) {
  std::vector<float> a(S::M * TERMS), b(S::N * TERMS), y(S::M * S::N), wanted(S::M * S::N);
  for (size_t i = 0; i < a.size(); i++) a[i] = static_cast<float>(i * 5 % 17 + i / 7 % 3) - 9;
  for (size_t i = 0; i < b.size(); i++) b[i] = static_cast<float>(i * 3 % 13 + i / 5 % 2) - 6;
  for (int m = 0; m < S::M; m++)
    for (int n = 0; n < S::N; n++)
      for (int k = 0; k < TERMS; k++) wanted[m * S::N + n] += a[m * TERMS + k] * b[n * TERMS + k];
  const size_t bytes = a.size() * sizeof(float), sums = y.size() * sizeof(float);
  float* memory[4];
  for (int i = 0; i < 4; i++) memory[i] = static_cast<float*>(gpu::alloc(i == 3 ? sums : bytes));
  const gpu::stream_t stream = gpu::create_stream();
  Queue queue(stream);
  std::string said;
  try {
    succeed(gpu::upload(memory[0], a.data(), bytes, stream), "");
    succeed(gpu::upload(memory[1], b.data(), bytes, stream), "");
    launch(queue, memory[0], memory[1], memory[2], memory[3]);
    succeed(gpu::synchronize(stream), "");
    succeed(gpu::download(y.data(), memory[3], sums, stream), "");
    if (y != wanted) said = "wrong result";
  } catch (const DeviceError& error) {
    said = error.what();
  }
  for (float* m : memory) gpu::free(m);
  gpu::destroy_stream(stream);
  return said;
}

}  // namespace convnotes::pipeline

#endif

namespace convnotes::PLANTED {

using pipeline::STEPS, pipeline::TERMS, pipeline::S;

template <Precision P>
GPU_KERNEL(S::THREADS)
fetched(GPU_GRID_CONSTANT const gpu::TensorMap packed, pipeline::Streamed streamed,
        pipeline::Written result) {
  GPU_DYN_SHARED(shared);
  GPU_SHARED(uint64_t[WG_STAGES], landed);
  float sums[S::M / 2] = {};
  sumTileByWarpgroups<S, P, true>(shared, PackedLoad<S, P>{packed, 0, 0, landed}, STEPS, streamed,
                                  sums);
  writeStreamedTile<S>(reinterpret_cast<float*>(shared), sums, result);
}

template <Precision P>
GPU_KERNEL(S::THREADS)
stored(pipeline::Loaded from, pipeline::Streamed streamed, pipeline::Written result) {
  GPU_DYN_SHARED(shared);
  float values[StoredLoad<S, P, pipeline::Loaded>::COUNT];
  float sums[S::M / 2] = {};
  sumTileByWarpgroups<S, P, true>(shared, StoredLoad<S, P, pipeline::Loaded>{from, values}, STEPS,
                                  streamed, sums);
  writeStreamedTile<S>(reinterpret_cast<float*>(shared), sums, result);
}

template <Precision P>
std::string tryFetched() {
  return pipeline::judged([](Queue& queue, float* a, float* b, float* scratch, float* y) {
    Pool pool{1};
    const Call call{"pack", {}, {}, {}, pool};
    queue.precision = P;
    const gpu::TensorMap map =
        pack<S, P>(call, queue, PackedMatrix{a, TERMS, 1, TERMS}, scratch, S::M, TERMS, 1);
    enqueueShared(queue, fetched<P>, "fetched", dim3(1), S::THREADS, warpgroupBytesOf<S, P, true>,
                  map, pipeline::Streamed{b}, pipeline::Written{y});
  });
}

template <Precision P>
std::string tryStored() {
  return pipeline::judged([](Queue& queue, float* a, float* b, float*, float* y) {
    enqueueShared(queue, stored<P>, "stored", dim3(1), S::THREADS, warpgroupBytesOf<S, P, true>,
                  pipeline::Loaded{a}, pipeline::Streamed{b}, pipeline::Written{y});
  });
}

}  // namespace convnotes::PLANTED
