// # What a kernel is written in
//
// The one header that kernels include. nvcc makes device code of them (cuda_dev.h); with GPU_EMU
// defined, a C++20 compiler makes code for the emulated device (../emulated/language.h), which
// checks what it runs. Both give the same names, and whatever a kernel uses beyond plain C++ is
// among them:
//
//     GPU_KERNEL(threads[, blocks per multiprocessor]) name(arguments by value) { … }
//     GPU_SHARED(float[64][20], tile);       shared memory of fixed size, one for each block
//     GPU_DYN_SHARED(bytes);                 shared memory of the size given at the launch
//     GPU_LARGE(type)                        of an argument too large to be copied for every thread
//     gpu::launch(kernel, "name", grid, block, sharedBytes, stream, arguments…)
//
// Rules that make one source serve both: multiply-adds that are to be fused are written fmaf; no
// assembly outside cuda_dev.h; no memcpy on device memory; no float atomics, whose order is
// nobody's; launches are calls, so that the host's side is plain C++.
//
// Every function that can fail returns nullptr or a message, which stays valid until the thread's
// next call. An emulated launch names kernel, block, thread and source line.

#pragma once

#include <cstddef>
#include <cstdint>

namespace gpu {

// As an alias, `float[4][8]` can stand before a name.
template <class T>
using Type = T;

/** Ways that pay for many numbers only; see `pays`. */
enum class Way { largeTiles, wideTiles, warpgroups };

/** What `convnotes devices` shows of a device. */
struct DeviceInfo {
  char name[256];
  int major, minor;
  int multiprocessors;
  size_t freeBytes, totalBytes;
};

}  // namespace gpu

#if defined(GPU_EMU)
#include "../emulated/language.h"
#else
#include "cuda_dev.h"
#endif

namespace gpu {

template <class T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace gpu
