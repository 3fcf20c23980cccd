// # The emulated device's half of gpu.h
//
// CUDA's kernel language for a C++20 compiler: names, small types and thin calls. Everything that
// has state is on the other side of device.h, in files that are never compiled with the kernels'
// flags.

#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

#include "device.h"

// A kernel calls __syncthreads() as ever; where it does so comes as arguments that it does not see.
#define EMULATED_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMULATED_SITE(what) \
  emulated::Site { what, file, line }

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define GPU_KERNEL(...) void
#define GPU_GRID_CONSTANT
#define GPU_LARGE(...) const __VA_ARGS__&
// Each place in the source, and each instantiation of a template, has a type and so a key of its
// own.
#define GPU_SHARED(type, name) auto& name = emulated::shared<gpu::Type<type>, decltype([] {})>()
#define GPU_DYN_SHARED(name) unsigned char* const name = emulated::dynamicShared()

#ifndef GPU_EMU_ARCH
#define GPU_EMU_ARCH 900
#endif
#define GPU_ARCH GPU_EMU_ARCH
#define GPU_SM90A (GPU_EMU_ARCH == 900)

#define threadIdx (emulated::place->thread)
#define blockIdx (emulated::place->block)
#define blockDim (emulated::place->blockSize)
#define gridDim (emulated::place->gridSize)
constexpr int warpSize = 32;

namespace emulated {

template <class T, class Key>
T& shared(EMULATED_HERE) {
  static const char key = 0;
  return *static_cast<T*>(
      staticShared(&key, sizeof(T), alignof(T), EMULATED_SITE("GPU_SHARED")));
}

/** The bits of a number, in the low bytes. */
template <class T>
uint64_t bitsOf(T value) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "threads exchange numbers of 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T fromBits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulated

// ## Types

struct alignas(8) float2 {
  float x, y;
};
struct float3 {
  float x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(4) uchar4 {
  unsigned char x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ## Barriers, shuffles and votes

inline void __syncthreads(EMULATED_HERE) {
  emulated::syncBlock(emulated::Vote::none, 0, EMULATED_SITE("__syncthreads"));
}
inline int __syncthreads_count(int predicate, EMULATED_HERE) {
  return emulated::syncBlock(emulated::Vote::count, predicate, EMULATED_SITE("__syncthreads_count"));
}
inline int __syncthreads_and(int predicate, EMULATED_HERE) {
  return emulated::syncBlock(emulated::Vote::all, predicate, EMULATED_SITE("__syncthreads_and"));
}
inline int __syncthreads_or(int predicate, EMULATED_HERE) {
  return emulated::syncBlock(emulated::Vote::any, predicate, EMULATED_SITE("__syncthreads_or"));
}
inline void __syncwarp(uint32_t mask = 0xffffffff, EMULATED_HERE) {
  emulated::syncWarp(mask, EMULATED_SITE("__syncwarp"));
}

template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, EMULATED_HERE) {
  return emulated::fromBits<T>(emulated::shuffle(emulated::Shuffle::index, mask,
                                                 emulated::bitsOf(value), lane, width,
                                                 EMULATED_SITE("__shfl_sync")));
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, EMULATED_HERE) {
  return emulated::fromBits<T>(emulated::shuffle(emulated::Shuffle::up, mask,
                                                 emulated::bitsOf(value), int(delta), width,
                                                 EMULATED_SITE("__shfl_up_sync")));
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, EMULATED_HERE) {
  return emulated::fromBits<T>(emulated::shuffle(emulated::Shuffle::down, mask,
                                                 emulated::bitsOf(value), int(delta), width,
                                                 EMULATED_SITE("__shfl_down_sync")));
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, EMULATED_HERE) {
  return emulated::fromBits<T>(emulated::shuffle(emulated::Shuffle::exclusiveOr, mask,
                                                 emulated::bitsOf(value), lanes, width,
                                                 EMULATED_SITE("__shfl_xor_sync")));
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, EMULATED_HERE) {
  return emulated::ballot(mask, predicate, EMULATED_SITE("__ballot_sync"));
}
inline int __any_sync(uint32_t mask, int predicate, EMULATED_HERE) {
  return emulated::ballot(mask, predicate, EMULATED_SITE("__any_sync")) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, EMULATED_HERE) {
  return emulated::ballot(mask, !predicate, EMULATED_SITE("__all_sync")) == 0;
}

#define EMULATED_REDUCE(name, kind, T)                                                          \
  inline T name(uint32_t mask, T value, EMULATED_HERE) {                                        \
    return static_cast<T>(emulated::reduce(emulated::Reduction::kind, mask, uint32_t(value),    \
                                           std::is_signed_v<T>, EMULATED_SITE(#name)));         \
  }
EMULATED_REDUCE(__reduce_add_sync, add, int)
EMULATED_REDUCE(__reduce_add_sync, add, unsigned)
EMULATED_REDUCE(__reduce_min_sync, min, int)
EMULATED_REDUCE(__reduce_min_sync, min, unsigned)
EMULATED_REDUCE(__reduce_max_sync, max, int)
EMULATED_REDUCE(__reduce_max_sync, max, unsigned)
EMULATED_REDUCE(__reduce_and_sync, bitAnd, unsigned)
EMULATED_REDUCE(__reduce_or_sync, bitOr, unsigned)
EMULATED_REDUCE(__reduce_xor_sync, bitXor, unsigned)
#undef EMULATED_REDUCE

// ## Atomics, of integers only: the order of float sums would be nobody's

#define EMULATED_ATOMIC(name, kind, T)                                                           \
  inline T name(T* where, T operand, EMULATED_HERE) {                                            \
    return emulated::fromBits<T>(emulated::atomic(emulated::Atomic::kind, where, sizeof(T),      \
                                                  std::is_signed_v<T>, emulated::bitsOf(operand), \
                                                  0, EMULATED_SITE(#name)));                     \
  }
#define EMULATED_ATOMICS(T)               \
  EMULATED_ATOMIC(atomicAdd, add, T)      \
  EMULATED_ATOMIC(atomicMin, min, T)      \
  EMULATED_ATOMIC(atomicMax, max, T)      \
  EMULATED_ATOMIC(atomicExch, exchange, T) \
  EMULATED_ATOMIC(atomicAnd, bitAnd, T)   \
  EMULATED_ATOMIC(atomicOr, bitOr, T)     \
  inline T atomicCAS(T* where, T compare, T value, EMULATED_HERE) {                             \
    return emulated::fromBits<T>(emulated::atomic(                                              \
        emulated::Atomic::compareAndSwap, where, sizeof(T), std::is_signed_v<T>,                \
        emulated::bitsOf(value), emulated::bitsOf(compare), EMULATED_SITE("atomicCAS")));       \
  }
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
#undef EMULATED_ATOMICS
#undef EMULATED_ATOMIC

// ## Arithmetic, and accesses that are only hints

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}

inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __popc(uint32_t x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<uint32_t>(x)); }
inline int __ffs(int x) { return x ? std::countr_zero(static_cast<uint32_t>(x)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t{a} * b >> 32; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}

inline void __trap(EMULATED_HERE) { emulated::trap(EMULATED_SITE("__trap")); }

namespace gpu {

// ## The host's calls

using stream_t = emulated::Stream*;
using graph_t = emulated::Graph*;

#define GPU_RUNTIME_VERSION 13000
inline int driver_version() { return emulated::settings.driver; }
inline int device_count(const char** = nullptr) { return emulated::settings.driver > 0; }
inline const char* use_device(int device) {
  return device == 0 ? nullptr : "there is one emulated device, number 0";
}
inline const char* device_info(int device, DeviceInfo* info) {
  const char* error = use_device(device);
  return error ? error : emulated::describe(info, GPU_ARCH);
}

inline int compute_capability() { return emulated::architectureOf(GPU_ARCH) / 10; }
inline bool pays(Way way, int64_t have, int64_t needed) {
  return have >= needed || emulated::settings.always[static_cast<int>(way)];
}
inline void* alloc(size_t bytes) { return emulated::allocate(bytes); }
inline const char* free(void* memory) { return emulated::release(memory); }
inline stream_t create_stream() { return emulated::createStream(); }
inline const char* destroy_stream(stream_t stream) { return emulated::destroyStream(stream); }
inline const char* synchronize(stream_t stream) { return emulated::synchronize(stream); }
inline const char* upload(void* to, const void* from, size_t bytes, stream_t stream = nullptr) {
  return emulated::upload(to, from, bytes, stream);
}
inline const char* download(void* to, const void* from, size_t bytes, stream_t stream = nullptr) {
  return emulated::download(to, from, bytes, stream);
}
inline const char* copy(void* to, const void* from, size_t bytes, stream_t stream) {
  return emulated::copy(to, from, bytes, stream);
}
inline const char* fill(void* to, int byte, size_t bytes, stream_t stream) {
  return emulated::fill(to, byte, bytes, stream);
}
inline const char* begin_capture(stream_t stream) { return emulated::beginCapture(stream); }
inline const char* end_capture(stream_t stream, graph_t* graph) {
  return emulated::endCapture(stream, graph);
}
inline const char* replay(graph_t graph, stream_t stream) {
  return emulated::replay(graph, stream);
}
inline const char* destroy_graph(graph_t graph) { return emulated::destroyGraph(graph); }

template <class... P, class... A>
const char* launch(void (*kernel)(P...), const char* name, dim3 grid, dim3 block,
                   size_t sharedBytes, stream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a launch gives each of the kernel's arguments");
  auto thread = [kernel, ... values = static_cast<P>(arguments)] { kernel(values...); };
  using Thread = decltype(thread);
  return emulated::launch(
      name, grid, block, sharedBytes, stream,
      {[](const void* t) { (*static_cast<const Thread*>(t))(); },
       [](void* t) { delete static_cast<Thread*>(t); }, new Thread(thread), sizeof(Thread), GPU_ARCH});
}

// ## Instructions

/** The 16-bit float that is the upper half of a float. */
struct bf16 {
  uint16_t bits;

  bf16() = default;
  /** To the nearest, ties to even; a NaN stays one. */
  explicit bf16(float x) {
    const uint32_t u = std::bit_cast<uint32_t>(x);
    const bool nan = (u & 0x7fffffff) > 0x7f800000;
    bits = nan ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

inline uint32_t cvt_tf32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & 0xffffe000;
}
inline uint32_t cvt_bf16x2(float low, float high) {
  return uint32_t{bf16(low).bits} | uint32_t{bf16(high).bits} << 16;
}
inline uint32_t smem_addr(const void* p) { return emulated::sharedAddress(p); }
inline void bar_sync(int barrier, int threads, EMULATED_HERE) {
  emulated::syncNamed(barrier, threads, EMULATED_SITE("bar.sync"));
}
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                             EMULATED_HERE) {
  emulated::multiplyTf32(d, a, b, EMULATED_SITE("mma.m16n8k8.tf32"));
}
inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                              EMULATED_HERE) {
  emulated::multiplyBf16(d, a, b, EMULATED_SITE("mma.m16n8k16.bf16"));
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, EMULATED_HERE) {
  emulated::loadMatrices(r, row, false, EMULATED_SITE("ldmatrix.x4"));
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, EMULATED_HERE) {
  emulated::loadMatrices(r, row, true, EMULATED_SITE("ldmatrix.x4.trans"));
}
template <int N>
void cp_async(void* to, const void* from, int valid, EMULATED_HERE) {
  static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
  emulated::copyAsync(to, from, N, valid, EMULATED_SITE("cp.async"));
}
inline void cp_async_commit() { emulated::commitCopies(); }
template <int N>
void cp_async_wait() {
  emulated::waitForCopies(N);
}

// ## TMA and wgmma

inline void mbar_init(uint64_t* barrier, int count, EMULATED_HERE) {
  emulated::initBarrier(barrier, count, EMULATED_SITE("mbarrier.init"));
}
inline void mbar_init_fence() { emulated::fenceBarriers(); }
inline void mbar_arrive(uint64_t* barrier, EMULATED_HERE) {
  emulated::arriveAtBarrier(barrier, 0, EMULATED_SITE("mbarrier.arrive"));
}
inline void mbar_arrive_expect_tx(uint64_t* barrier, int bytes, EMULATED_HERE) {
  emulated::arriveAtBarrier(barrier, bytes, EMULATED_SITE("mbarrier.arrive.expect_tx"));
}
inline void mbar_wait(uint64_t* barrier, int parity, EMULATED_HERE) {
  emulated::waitForBarrier(barrier, parity, EMULATED_SITE("mbarrier.try_wait"));
}
inline void fence_proxy_async() { emulated::fenceForAsync(); }

struct alignas(64) TensorMap {
  unsigned char opaque[128];
};
static_assert(sizeof(emulated::TensorBox) <= sizeof(TensorMap));
inline const char* encode_tiled(TensorMap* map, int elementBytes, int rank, void* start,
                                const uint64_t* sizes, const uint64_t* strides,
                                const uint32_t* box, int swizzle) {
  return emulated::encodeBox(reinterpret_cast<emulated::TensorBox*>(map), elementBytes, rank,
                             start, sizes, strides, box, swizzle);
}
inline void tma_load_2d(void* to, const TensorMap* map, int c0, int c1, uint64_t* barrier,
                        EMULATED_HERE) {
  const int origin[] = {c0, c1};
  emulated::loadBox(to, map, 2, origin, barrier, EMULATED_SITE("TMA load"));
}
inline void tma_load_4d(void* to, const TensorMap* map, int c0, int c1, int c2, int c3,
                        uint64_t* barrier, EMULATED_HERE) {
  const int origin[] = {c0, c1, c2, c3};
  emulated::loadBox(to, map, 4, origin, barrier, EMULATED_SITE("TMA load"));
}

inline uint64_t wgmma_desc(const void* matrix, uint32_t leading, uint32_t stride, int swizzle,
                           EMULATED_HERE) {
  return emulated::describeMatrix(matrix, leading, stride, swizzle, EMULATED_SITE("wgmma_desc"));
}
inline void wgmma_arrive() { emulated::beginProducts(); }
inline void wgmma_commit() { emulated::commitProducts(); }
template <int N>
void wgmma_wait() {
  emulated::waitForProducts(N);
}
template <int N, int SUMS>
void wgmma_wait(float (&)[SUMS]) {
  emulated::waitForProducts(N);
}
inline void wgmma_m64n64k8_tf32(float (&d)[32], uint64_t a, uint64_t b, int accumulate,
                                EMULATED_HERE) {
  emulated::multiplyInWarpgroup(d, nullptr, {true, false, false, accumulate != 0, 64, a, b},
                                EMULATED_SITE("wgmma.m64n64k8.tf32"));
}
template <bool rowsOfA, bool columnsOfB>
void wgmma_m64n64k16_bf16(float (&d)[32], uint64_t a, uint64_t b, int accumulate, EMULATED_HERE) {
  emulated::multiplyInWarpgroup(d, nullptr,
                                {false, rowsOfA, columnsOfB, accumulate != 0, 64, a, b},
                                EMULATED_SITE("wgmma.m64n64k16.bf16"));
}
template <int SUMS>
void wgmma_m64k8_tf32(float (&d)[SUMS], const uint32_t (&a)[4], uint64_t b, EMULATED_HERE) {
  emulated::multiplyInWarpgroup(d, a, {true, false, false, true, 2 * SUMS, 0, b},
                                EMULATED_SITE("wgmma.m64k8.tf32"));
}
template <int SUMS>
void wgmma_m64k16_bf16(float (&d)[SUMS], const uint32_t (&a)[4], uint64_t b, EMULATED_HERE) {
  emulated::multiplyInWarpgroup(d, a, {false, false, false, true, 2 * SUMS, 0, b},
                                EMULATED_SITE("wgmma.m64k16.bf16"));
}

}  // namespace gpu
