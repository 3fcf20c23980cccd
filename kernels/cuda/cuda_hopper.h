// # The GPU's half of gpu.h, for sm_90a
//
// Barriers in shared memory that count bytes, tiles fetched by the tensor memory accelerator (TMA),
// and products by a warpgroup of 128 threads (wgmma) that read their operands from shared memory.
// Elsewhere these compile to nothing: a kernel asks GPU_SM90A first. Source: PTX ISA 9.0.

#pragma once

namespace gpu {

// ## Barriers in shared memory
//
// A phase ends when `count` threads have arrived and all bytes that were announced have landed.
// Whoever waits names the parity of the phase that is to end: 0 first, then 1, then 0.

__device__ __forceinline__ void mbar_init(uint64_t* barrier, int count) {
#if GPU_SM90A
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_addr(barrier)), "r"(count)
               : "memory");
#endif
}
/** After mbar_init, before copies that arrive there: once, by the thread that did it. */
__device__ __forceinline__ void mbar_init_fence() {
#if GPU_SM90A
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void mbar_arrive(uint64_t* barrier) {
#if GPU_SM90A
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_addr(barrier)) : "memory");
#endif
}
__device__ __forceinline__ void mbar_arrive_expect_tx(uint64_t* barrier, int bytes) {
#if GPU_SM90A
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_addr(barrier)),
               "r"(bytes)
               : "memory");
#endif
}
__device__ __forceinline__ void mbar_wait(uint64_t* barrier, int parity) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred ended;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra again;\n}" ::"r"(smem_addr(barrier)),
      "r"(parity)
      : "memory");
#endif
}

/** Before TMA or wgmma touch shared memory that this thread has written by ordinary stores. */
__device__ __forceinline__ void fence_proxy_async() {
#if GPU_SM90A
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// ## TMA: a box of a tensor, zeros where it overhangs

struct alignas(64) TensorMap {
  unsigned char opaque[128];
};

/**
 * Describes a tensor of float32 (4 bytes) or bf16 (2) to TMA.
 *
 * Units: sizes and boxes in elements, innermost first; `strides` in bytes, of all axes but the innermost.
 * `swizzle`: 0 none, 1 within 32 bytes, 2 within 64, 3 within 128.
 */
inline const char* encode_tiled(TensorMap* map, int elementBytes, int rank, void* start,
                                const uint64_t* sizes, const uint64_t* strides,
                                const uint32_t* box, int swizzle) {
  // Found through the runtime, so that nothing links against the driver.
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static Encode encode = nullptr;
  if (!encode) {
    cudaDriverEntryPointQueryResult found;
    void* function = nullptr;
    const cudaError_t error = cudaGetDriverEntryPointByVersion(
        "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
    if (error != cudaSuccess || found != cudaDriverEntryPointSuccess)
      return "cuTensorMapEncodeTiled is not in this driver; CUDA 12 has it";
    encode = reinterpret_cast<Encode>(function);
  }
  const cuuint32_t steps[5] = {1, 1, 1, 1, 1};
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  const CUresult result = encode(
      reinterpret_cast<CUtensorMap*>(map),
      elementBytes == 4 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      cuuint32_t(rank), start, reinterpret_cast<const cuuint64_t*>(sizes),
      reinterpret_cast<const cuuint64_t*>(strides), box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      static_cast<CUtensorMapSwizzle>(swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? nullptr : "cuTensorMapEncodeTiled refuses this tensor or box";
}

/** By one thread; the bytes of the whole box count as landed at the barrier. */
__device__ __forceinline__ void tma_load_2d(void* to, const TensorMap* map, int c0, int c1,
                                            uint64_t* barrier) {
#if GPU_SM90A
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(smem_addr(to)),
      "l"(map), "r"(smem_addr(barrier)), "r"(c0), "r"(c1)
      : "memory");
#endif
}
__device__ __forceinline__ void tma_load_4d(void* to, const TensorMap* map, int c0, int c1, int c2,
                                            int c3, uint64_t* barrier) {
#if GPU_SM90A
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(smem_addr(to)),
      "l"(map), "r"(smem_addr(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
#endif
}

// ## Where wgmma finds a matrix
//
// A descriptor holds the address in shared memory, the two strides between groups of eight rows or
// columns, in bytes, and how the bytes are swizzled: 0 not, 1 within 128 bytes, 2 within 64, 3
// within 32.

__device__ __forceinline__ uint64_t wgmma_desc(const void* matrix, uint32_t leading, uint32_t stride,
                                               int swizzle) {
  return static_cast<uint64_t>((smem_addr(matrix) & 0x3ffff) >> 4) |
         static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         static_cast<uint64_t>(swizzle) << 62;
}

// ## wgmma: D (64×64) = A·B, or D + A·B
//
// wgmma_arrive, products, wgmma_commit, wgmma_wait; in between, nobody touches the accumulators.
// Warp w has rows 16w to 16w + 15; d[4j + v] of a lane is what d[v] of mma.sync is, in columns 8j
// to 8j + 7. float32 operands are cut to TF32, not rounded.

__device__ __forceinline__ void wgmma_arrive() {
#if GPU_SM90A
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wgmma_commit() {
#if GPU_SM90A
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
/** Until at most the N groups committed last are under way. */
template <int N>
__device__ __forceinline__ void wgmma_wait() {
#if GPU_SM90A
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#endif
}

/** The same for sums that are then read. */
template <int N, int SUMS>
__device__ __forceinline__ void wgmma_wait(float (&d)[SUMS]) {
  wgmma_wait<N>();
  // Nobody moves a read of a register across this.
#pragma unroll
  for (float& sum : d) asm volatile("" : "+f"(sum)::"memory");
}

#define GPU_SUMS                                                                                  \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24," \
  "%25,%26,%27,%28,%29,%30,%31}"
#define GPU_SUMS_OF(d)                                                                           \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),          \
      "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), \
      "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]),            \
      "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]),            \
      "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])

/** A is 64×8 and B 8×64, both with the eight numbers of a product next to each other. */
__device__ __forceinline__ void wgmma_m64n64k8_tf32(float (&d)[32], uint64_t a, uint64_t b,
                                                    int accumulate) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 " GPU_SUMS
      ", %32, %33, add, 1, 1;\n}"
      : GPU_SUMS_OF(d)
      : "l"(a), "l"(b), "r"(accumulate));
#endif
}

/** A is 64×16 and B 16×64; whether rows of A, columns of B are what lies next to each other. */
template <bool rowsOfA, bool columnsOfB>
__device__ __forceinline__ void wgmma_m64n64k16_bf16(float (&d)[32], uint64_t a, uint64_t b,
                                                     int accumulate) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " GPU_SUMS
      ", %32, %33, add, 1, 1, %35, %36;\n}"
      : GPU_SUMS_OF(d)
      : "l"(a), "l"(b), "r"(accumulate), "n"(rowsOfA), "n"(columnsOfB));
#endif
}
// Or A comes from registers, as fragments of mma.m16n8k8 (TF32) or mma.m16n8k16 (BF16): the 16 rows of each
// warp. Nobody writes to them before wgmma_wait. B's columns are 64 or 128: two of them for each sum.

#define GPU_SUMS_64 \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19," \
  "%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36," \
  "%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53," \
  "%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"
#define GPU_SUMS_OF_64(d) \
  "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), \
      "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), \
      "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), \
      "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), \
      "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), \
      "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), \
      "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), \
      "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), \
      "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), \
      "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), \
      "+f"(d[61]), "+f"(d[62]), "+f"(d[63])

/** d += A·B: A is 64×8 and in registers, B 8×128 or 8×64, its eight numbers of a product side by side. */
__device__ __forceinline__ void wgmma_m64k8_tf32(float (&d)[64], const uint32_t (&a)[4],
                                                 uint64_t b) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 " GPU_SUMS_64
      ", {%64,%65,%66,%67}, %68, add, 1, 1;\n}"
      : GPU_SUMS_OF_64(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}
__device__ __forceinline__ void wgmma_m64k8_tf32(float (&d)[32], const uint32_t (&a)[4],
                                                 uint64_t b) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32 " GPU_SUMS
      ", {%32,%33,%34,%35}, %36, add, 1, 1;\n}"
      : GPU_SUMS_OF(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}

/** The same with 16 terms. */
__device__ __forceinline__ void wgmma_m64k16_bf16(float (&d)[64], const uint32_t (&a)[4],
                                                  uint64_t b) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " GPU_SUMS_64
      ", {%64,%65,%66,%67}, %68, add, 1, 1, 0;\n}"
      : GPU_SUMS_OF_64(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}
__device__ __forceinline__ void wgmma_m64k16_bf16(float (&d)[32], const uint32_t (&a)[4],
                                                  uint64_t b) {
#if GPU_SM90A
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " GPU_SUMS
      ", {%32,%33,%34,%35}, %36, add, 1, 1, 0;\n}"
      : GPU_SUMS_OF(d)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}
#undef GPU_SUMS_64
#undef GPU_SUMS_OF_64
#undef GPU_SUMS
#undef GPU_SUMS_OF

}  // namespace gpu
