// # What the device can do at most
//
// The two roofs that kernels are measured against: bytes copied in a second, and multiply-adds of tensor
// cores on TF32 that nothing keeps waiting. A program of its own, which prints one line of JSON; `npm run gpu`
// builds it. On the emulated device it only shows that it runs: the figures are those of a processor that
// plays a GPU.
//
//     copy      one thread = 16 bytes at a time, from one half of a large allocation to the other
//     products  one warp = eight chains of mma.m16n8k8, each of whose products waits for the one before it;
//               where there is wgmma (Hopper), one warpgroup = chains of m64n128k8 on one tile of B

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "gpu.h"

namespace {

constexpr int THREADS = 256;

GPU_KERNEL(THREADS) copyAll(const float4* from, float4* to, int count) {
  const int i = static_cast<int>(blockIdx.x) * THREADS + static_cast<int>(threadIdx.x);
  if (i < count) to[i] = from[i];
}

GPU_KERNEL(THREADS) multiply(float* to, int rounds) {
  constexpr int CHAINS = 8;
  float sums[CHAINS][4] = {};
  const uint32_t a[4] = {threadIdx.x, 0, 0, 0}, b[2] = {0, threadIdx.x};
  for (int round = 0; round < rounds; round++)
#pragma unroll
    for (int c = 0; c < CHAINS; c++) gpu::mma_m16n8k8_tf32(sums[c], a, b);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < CHAINS; c++) sum += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
  to[blockIdx.x * THREADS + threadIdx.x] = sum;
}
constexpr double MULTIPLY_ADDS = 8.0 * 16 * 8 * 8 / 32;  // of a thread in a round

constexpr int GROUP = 128, TERMS = 8, COLUMNS = 128;

GPU_KERNEL(GROUP, 4) multiplyInGroups(float* to, int rounds) {
#if GPU_SM90A
  GPU_DYN_SHARED(memory);
  float* tile = reinterpret_cast<float*>(memory);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < TERMS * COLUMNS; i += GROUP) tile[i] = 0;
  gpu::fence_proxy_async();
  __syncthreads();
  // Eight numbers of a product side by side: 32 bytes a column, not swizzled.
  const uint64_t b = gpu::wgmma_desc(tile, 128, 256, 0);
  const uint32_t a[4] = {};
  float sums[64] = {};
  for (int round = 0; round < rounds; round++) {
    gpu::wgmma_arrive();
#pragma unroll
    for (int c = 0; c < 8; c++) gpu::wgmma_m64k8_tf32(sums, a, b);
    gpu::wgmma_commit();
    gpu::wgmma_wait<0>(sums);
  }
  float sum = 0;
#pragma unroll
  for (float s : sums) sum += s;
  to[blockIdx.x * GROUP + threadIdx.x] = sum;
#else
  if (rounds < 0) to[0] = 0;
#endif
}
constexpr double GROUP_MULTIPLY_ADDS = 8.0 * 64 * COLUMNS * TERMS / GROUP;

#if defined(GPU_EMU)
constexpr int LAUNCHES = 1, ROUNDS = 1;
constexpr double WARM_SECONDS = 0;
#else
constexpr int LAUNCHES = 8, ROUNDS = 5;
constexpr double WARM_SECONDS = 0.3;
#endif

void check(const char* error) {
  if (!error) return;
  fprintf(stderr, "%s\n", error);
  exit(1);
}

/**
 * Seconds of one launch: the fastest of some rounds of LAUNCHES, which share what it costs to launch and to
 * wait. The first rounds do not count: a device that was idle takes a while to reach its clock.
 */
template <class Body>
double fastest(gpu::stream_t stream, const Body& body) {
  using Seconds = std::chrono::duration<double>;
  const auto start = std::chrono::steady_clock::now();
  double best = 1e30;
  for (int counted = 0; counted < ROUNDS;) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < LAUNCHES; i++) check(body());
    check(gpu::synchronize(stream));
    const auto end = std::chrono::steady_clock::now();
    if (Seconds(begin - start).count() < WARM_SECONDS) continue;
    best = std::min(best, Seconds(end - begin).count() / LAUNCHES);
    counted++;
  }
  return best;
}

}  // namespace

int main(int, char** arguments) {
  gpu::DeviceInfo info{};
  check(gpu::use_device(0));
  check(gpu::device_info(0, &info));
  gpu::stream_t stream = gpu::create_stream();
#if defined(GPU_EMU)
  (void)arguments;
  const size_t bytes = size_t{1} << 20;
  const int rounds = 1, blocks = 1;
#else
  (void)arguments;
  const size_t bytes = size_t{1} << 30;
  const int rounds = 1 << 14, blocks = info.multiprocessors * 8;
#endif
  char* memory = static_cast<char*>(gpu::alloc(2 * bytes));
  if (!memory) check("there is no memory to copy");
  check(gpu::fill(memory, 0, 2 * bytes, stream));
  const int count = static_cast<int>(bytes / sizeof(float4));
  const double copy = fastest(stream, [&] {
    return gpu::launch(copyAll, "copyAll", dim3(gpu::ceil_div(count, THREADS)), dim3(THREADS), 0,
                       stream, reinterpret_cast<const float4*>(memory),
                       reinterpret_cast<float4*>(memory + bytes), count);
  });
  float* to = reinterpret_cast<float*>(memory);
  const double products = fastest(stream, [&] {
    return gpu::launch(multiply, "multiply", dim3(blocks), dim3(THREADS), 0, stream, to, rounds);
  });
  double speed = MULTIPLY_ADDS * THREADS * blocks * rounds / products;
  double groupSpeed = 0;
  if (info.major == 9) {
    const double groups = fastest(stream, [&] {
      return gpu::launch(multiplyInGroups, "multiplyInGroups", dim3(blocks), dim3(GROUP),
                         TERMS * COLUMNS * sizeof(float), stream, to, rounds);
    });
    groupSpeed = GROUP_MULTIPLY_ADDS * GROUP * blocks * rounds / groups;
  }
  printf("{\"copiedBytesPerSecond\": %.6g, \"tf32\": {\"mma\": %.6g, \"wgmma\": %.6g}}\n",
         2 * static_cast<double>(bytes) / copy, 2 * speed, 2 * groupSpeed);
}
