// # The GPU's half of gpu.h
//
// Thin wrappers over PTX instructions, and the host's calls of the CUDA runtime. What an
// architecture lacks is either done without (cp.async becomes a load and a store) or traps; a
// kernel asks GPU_ARCH first. Source for operands and layouts: PTX ISA 9.0.

#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdio>

#define GPU_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
#define GPU_SHARED(type, name) __shared__ gpu::Type<type> name
// A tile that is swizzled within 128 bytes starts at a multiple of 1024.
#define GPU_DYN_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#define GPU_GRID_CONSTANT __grid_constant__
#define GPU_LARGE(...) const __grid_constant__ __VA_ARGS__

#if defined(__CUDA_ARCH__)
#define GPU_ARCH __CUDA_ARCH__
#else
#define GPU_ARCH 0
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GPU_SM90A 1
#else
#define GPU_SM90A 0
#endif

namespace gpu {

using stream_t = cudaStream_t;
using graph_t = cudaGraphExec_t;
using bf16 = __nv_bfloat16;

// ## The host's calls

/** What is reported here need not be reported by the next launch, which asks for the last error. */
inline const char* message(cudaError_t error) {
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();
  return cudaGetErrorString(error);
}

#define GPU_RUNTIME_VERSION CUDART_VERSION
/** The latest release of CUDA that the driver knows, as 1000 · major + 10 · minor; 0 without a driver. */
inline int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

/** How many GPUs there are; 0 with `why` set where there is none. */
inline int device_count(const char** why = nullptr) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count;
  if (why) *why = cudaGetErrorString(error);
  return 0;
}

inline const char* use_device(int device) { return message(cudaSetDevice(device)); }

inline const char* device_info(int device, DeviceInfo* info) {
  cudaDeviceProp properties;
  if (const char* error = message(cudaGetDeviceProperties(&properties, device))) return error;
  snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  if (const char* error = use_device(device)) return error;
  return message(cudaMemGetInfo(&info->freeBytes, &info->totalBytes));
}

/** Of the device in use, times ten: 90 for Hopper. */
inline int compute_capability() {
  int device = 0, major = 0, minor = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return 10 * major + minor;
}

/** Whether there is enough of something; the emulated device can be told that there always is. */
inline bool pays(Way, int64_t have, int64_t needed) { return have >= needed; }

/** Device memory, or nullptr when there is not enough; aligned to 256 bytes, its content undefined. */
inline void* alloc(size_t bytes) {
  void* memory = nullptr;
  return message(cudaMalloc(&memory, bytes ? bytes : 1)) ? nullptr : memory;
}
inline const char* free(void* memory) { return message(cudaFree(memory)); }

inline stream_t create_stream() {
  stream_t stream = nullptr;
  return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess ? stream : nullptr;
}
inline const char* destroy_stream(stream_t stream) { return message(cudaStreamDestroy(stream)); }
inline const char* synchronize(stream_t stream) { return message(cudaStreamSynchronize(stream)); }

/** After what is in the stream; on return `from` may be written again. Not while capturing. */
inline const char* upload(void* to, const void* from, size_t bytes, stream_t stream = nullptr) {
  cudaError_t error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream);
  return message(error == cudaSuccess ? cudaStreamSynchronize(stream) : error);
}
/** After what is in the stream; on return `to` is filled. Not while capturing. */
inline const char* download(void* to, const void* from, size_t bytes, stream_t stream = nullptr) {
  cudaError_t error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream);
  return message(error == cudaSuccess ? cudaStreamSynchronize(stream) : error);
}
inline const char* copy(void* to, const void* from, size_t bytes, stream_t stream) {
  return message(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
}
inline const char* fill(void* to, int byte, size_t bytes, stream_t stream) {
  return message(cudaMemsetAsync(to, byte, bytes, stream));
}

// What is put into a capturing stream does not run; a replay runs all of it.
inline const char* begin_capture(stream_t stream) {
  return message(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
}
inline const char* end_capture(stream_t stream, graph_t* graph) {
  cudaGraph_t captured = nullptr;
  if (const char* error = message(cudaStreamEndCapture(stream, &captured))) return error;
  const cudaError_t error = cudaGraphInstantiate(graph, captured, 0);
  cudaGraphDestroy(captured);
  return message(error);
}
inline const char* replay(graph_t graph, stream_t stream) {
  return message(cudaGraphLaunch(graph, stream));
}
inline const char* destroy_graph(graph_t graph) { return message(cudaGraphExecDestroy(graph)); }

/** Puts a kernel into a stream. `name` is what errors of the emulated device call it. */
template <class... P, class... A>
const char* launch(void (*kernel)(P...), const char* /*name*/, dim3 grid, dim3 block,
                   size_t sharedBytes, stream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a launch gives each of the kernel's arguments");
  if (sharedBytes > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, int(sharedBytes));
    if (error != cudaSuccess) return message(error);
  }
  kernel<<<grid, block, sharedBytes, stream>>>(static_cast<P>(arguments)...);
  return message(cudaGetLastError());
}

// ## Barriers, and addresses in shared memory

__device__ __forceinline__ uint32_t smem_addr(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
__device__ __forceinline__ void bar_sync(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// ## Tensor cores: one warp multiplies 16×8 by 8×8 (TF32) or 16×16 by 16×8 (BF16)
//
// With g = lane / 4 and t = lane % 4, TF32: a = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4];
// b = B[t][g], B[t+4][g]; d = D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1].

/** Round to the nearest TF32, ties away from zero; the low 13 bits become zero. */
__device__ __forceinline__ uint32_t cvt_tf32(float x) {
#if GPU_ARCH >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  const uint32_t bits = __float_as_uint(x);
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & 0xffffe000;
#endif
}

/** Two numbers rounded to the nearest BF16, ties to even; `low` in the lower half. */
__device__ __forceinline__ uint32_t cvt_bf16x2(float low, float high) {
#if GPU_ARCH >= 800
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(low))) |
         static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
#endif
}

__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
#if GPU_ARCH >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
#if GPU_ARCH >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

/** Four 8×8 matrices of 16-bit numbers; lane 8j + i gives the address of row i of matrix j. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_addr(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_addr(row))
               : "memory");
}

// ## cp.async: from device to shared memory, past the registers
//
// Copies `valid` bytes and fills up to N with zeros; `valid` is 0 or N where a kernel is to run on
// sm_75.

template <int N>
__device__ __forceinline__ void cp_async(void* to, const void* from, int valid) {
  static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
#if GPU_ARCH >= 800
  if constexpr (N == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_addr(to)), "l"(from),
                 "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(smem_addr(to)), "l"(from),
                 "n"(N), "r"(valid)
                 : "memory");
#else
  if constexpr (N == 16)
    *static_cast<uint4*>(to) = valid ? __ldg(static_cast<const uint4*>(from)) : uint4{0, 0, 0, 0};
  else if constexpr (N == 8)
    *static_cast<uint2*>(to) = valid ? __ldg(static_cast<const uint2*>(from)) : uint2{0, 0};
  else
    *static_cast<uint32_t*>(to) = valid ? __ldg(static_cast<const uint32_t*>(from)) : 0;
#endif
}
__device__ __forceinline__ void cp_async_commit() {
#if GPU_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/** Until at most the N groups committed last are under way. */
template <int N>
__device__ __forceinline__ void cp_async_wait() {
#if GPU_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

}  // namespace gpu

#include "cuda_hopper.h"
