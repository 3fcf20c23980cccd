// # Kernels with a slip
//
// Each kernel sums the 128 numbers of its block, in two versions: a correct one, and one with a
// slip of a kind that people make. emulated.spec.ts holds that the emulated device reports every
// slip, and nothing else. One thread = one number; the sum of a block is y[blockIdx.x].

#include "faults.h"

namespace {

constexpr int size = 128;

__device__ int mine() { return blockIdx.x * size + threadIdx.x; }

/** The sum by one thread, for kernels whose slip is elsewhere. */
__device__ void sumUp(const float* shared, float* y) {
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (int i = 0; i < size; i++) sum += shared[i];
  y[blockIdx.x] = sum;
}

// ## Between threads of a block

/** Slip: one round of a tree does not wait for the one before. */
template <bool broken>
GPU_KERNEL(size) tree(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x;
  s[t] = x[mine()];
  for (int half = size / 2; half > 0; half /= 2) {
    if (!broken || half != 32) __syncthreads();
    if (t < half) s[t] += s[t + half];
  }
  if (t == 0) y[blockIdx.x] = s[0];
}

/** Slip: shared memory is written again while others may still read it. */
template <bool broken>
GPU_KERNEL(size) reuse(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x;
  float sum = 0;
  for (int round = 0; round < 4; round++) {
    s[t] = x[mine()] * 0.25f;
    __syncthreads();
    sum += s[size - 1 - t];
    if (!broken) __syncthreads();
    s[t] = 0;
    __syncthreads();
  }
  s[t] = sum;
  __syncthreads();
  sumUp(s, y);
}

/** Slip: reads what the thread to the left wrote; in forward order it has always done so. */
template <bool broken>
GPU_KERNEL(size) leftNeighbour(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  GPU_SHARED(float[size], moved);
  const int t = threadIdx.x;
  s[t] = x[mine()];
  if (!broken) __syncthreads();
  moved[t] = t > 0 ? s[t - 1] : 0;
  __syncthreads();
  if (t == 0) moved[0] = s[size - 1];
  sumUp(moved, y);
}

/** Slip: lanes of a warp are taken to run in step. */
template <bool broken>
GPU_KERNEL(size) warpTree(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x, lane = t % 32;
  s[t] = x[mine()];
  for (int half = 16; half > 0; half /= 2) {
    if (!broken || half == 16) __syncwarp();
    if (lane < half) s[t] += s[t + half];
  }
  __syncthreads();
  if (t == 0) y[blockIdx.x] = s[0] + s[32] + s[64] + s[96];
}

/** Slip: two threads write one number; both write the same, so no result shows it. */
template <bool broken>
GPU_KERNEL(size) bothWrite(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < size; i++) sum += s[i];
  if (threadIdx.x == 0 || (broken && threadIdx.x == 77)) y[blockIdx.x] = sum;
}

/** Slip: a shuffle is taken for a barrier. */
template <bool broken>
GPU_KERNEL(size) shuffleNoBarrier(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x;
  s[t] = x[mine()];
  if (!broken) __syncwarp();
  const int other = __shfl_xor_sync(0xffffffff, t, 1);
  const float its = s[other];
  __syncthreads();
  s[t] = its;
  __syncthreads();
  sumUp(s, y);
}

// ## Asynchronous copies

/** Slip: nobody waits for the copies before the barrier. */
template <bool broken>
GPU_KERNEL(size) copyNoWait(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  gpu::cp_async<4>(&s[threadIdx.x], x + mine(), 4);
  gpu::cp_async_commit();
  if (!broken) gpu::cp_async_wait<0>();
  __syncthreads();
  sumUp(s, y);
  if (broken) gpu::cp_async_wait<0>();
}

/** Slip: each thread waits for its own copies, but not for those of the others. */
template <bool broken>
GPU_KERNEL(size) copyNoBarrier(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  gpu::cp_async<4>(&s[threadIdx.x], x + mine(), 4);
  gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  if (!broken) __syncthreads();
  sumUp(s, y);
}

/** Slip: of two groups, the wait is for one too few. */
template <bool broken>
GPU_KERNEL(size) copyOneGroupLess(const float* x, float* y) {
  GPU_SHARED(float[2][size], s);
  const int t = threadIdx.x;
  gpu::cp_async<4>(&s[0][t], x + mine(), 4);
  gpu::cp_async_commit();
  gpu::cp_async<4>(&s[1][t], x + mine(), 0);
  gpu::cp_async_commit();
  gpu::cp_async_wait<broken ? 1 : 0>();
  s[0][t] += s[1][t];
  __syncthreads();
  sumUp(s[0], y);
  gpu::cp_async_wait<0>();
}

/** Slip: the last copy is not in any group. */
template <bool broken>
GPU_KERNEL(size) copyNoCommit(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  GPU_SHARED(float[size], unused);
  gpu::cp_async<4>(&s[threadIdx.x], x + mine(), 4);
  gpu::cp_async_commit();
  gpu::cp_async<4>(&unused[threadIdx.x], x + mine(), 4);
  if (!broken) gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  __syncthreads();
  sumUp(s, y);
}

// ## Addresses

/** Slip: one past a variable in shared memory. */
template <bool broken>
GPU_KERNEL(size) staticOverrun(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  if (broken && threadIdx.x == 5) s[threadIdx.x + (size - 5) * (y != nullptr)] = 1;
  __syncthreads();
  sumUp(s, y);
}

/** Slip: one past the dynamic shared memory. */
template <bool broken>
GPU_KERNEL(size) dynamicOverrun(const float* x, float* y) {
  GPU_DYN_SHARED(bytes);
  float* s = reinterpret_cast<float*>(bytes);
  s[threadIdx.x] = x[mine()];
  if (broken && threadIdx.x == 5) s[size] = 1;
  __syncthreads();
  sumUp(s, y);
}

/** Slip: one past the output. */
template <bool broken>
GPU_KERNEL(size) writePastEnd(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
  if (broken && threadIdx.x == 1 && blockIdx.x == gridDim.x - 1) y[gridDim.x] = 7;
}

/** Slip: one past the counter, where the next allocation does not begin yet. */
template <bool broken>
GPU_KERNEL(size) writeIntoGap(const float* x, float* y, int* count) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
  if (broken && threadIdx.x == 1 && blockIdx.x == 0) count[1] = 7;
}

/** Slip: memory that was freed. */
template <bool broken>
GPU_KERNEL(size) useAfterFree(const float* x, float* y, const float* freed) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  if (broken && freed[threadIdx.x] > 1e30f) s[threadIdx.x] = 0;
  __syncthreads();
  sumUp(s, y);
}

/** Slip: one before the output. */
template <bool broken>
GPU_KERNEL(size) writeBeforeStart(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
  if (broken && threadIdx.x == 1 && blockIdx.x == 0) y[-1] = 7;
}

/** Slip: the last thread looks at its right neighbour. */
template <bool broken>
GPU_KERNEL(size) readPastEnd(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int i = mine(), next = broken || i + 1 < int(gridDim.x) * size ? i + 1 : i;
  s[threadIdx.x] = x[next] > 1e30f ? 0 : x[i];
  __syncthreads();
  sumUp(s, y);
}

/** Slip: a copy reads past the end. */
template <bool broken>
GPU_KERNEL(size) copyPastEnd(const float* x, float* y) {
  GPU_SHARED(float[size + 1], s);
  const bool last = blockIdx.x == gridDim.x - 1 && threadIdx.x == size - 1;
  gpu::cp_async<4>(&s[threadIdx.x], x + mine(), 4);
  if (last) gpu::cp_async<4>(&s[size], x + mine() + 1, broken ? 4 : 0);
  gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  __syncthreads();
  sumUp(s, y);
}

/** Slip: four numbers at once from an address that is no multiple of 16. */
template <bool broken>
GPU_KERNEL(size) misaligned(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  const float* from = x + (broken && threadIdx.x == 3 ? 1 : 0);
  const float4 four = *reinterpret_cast<const float4*>(from);
  if (four.x + four.y + four.z + four.w > 1e30f) s[threadIdx.x] = 0;
  __syncthreads();
  sumUp(s, y);
}

/** Slip: an address of the host's memory, which a GPU cannot reach. */
template <bool broken>
GPU_KERNEL(size) hostMemory(const float* x, float* y, const float* host) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  if (broken && *host > 1e30f) s[threadIdx.x] = 0;
  __syncthreads();
  sumUp(s, y);
}

// ## What nothing wrote

/** Slip: one thread forgets its number. */
template <bool broken>
GPU_KERNEL(size) unwrittenShared(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  if (!broken || threadIdx.x != 77) s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
}

/** Slip: one block forgets its sum. */
template <bool broken>
GPU_KERNEL(size) unwrittenOutput(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  if (!broken || blockIdx.x != 2) sumUp(s, y);
}

/** Slip: adds to memory that was never set to zero. */
template <bool broken>
GPU_KERNEL(size) unwrittenDevice(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  const float before = broken && threadIdx.x == 0 ? y[blockIdx.x] : 0;
  sumUp(s, y);
  if (threadIdx.x == 0) y[blockIdx.x] += before;
}

// ## Between blocks

/** Slip: all blocks count in one cell, without an atomic. */
template <bool broken>
GPU_KERNEL(size) blocksCount(const float* x, float* y, int* count) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
  if (threadIdx.x != 0) return;
  if (broken)
    *count += 1;
  else
    atomicAdd(count, 1);
}

/** Slip: a block reads what another block of the launch writes. */
template <bool broken>
GPU_KERNEL(size) blockReadsBlock(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
  if (broken && threadIdx.x == 0 && blockIdx.x > 0 && y[blockIdx.x - 1] == 1e30f) y[blockIdx.x] = 0;
}

// ## Meetings

/** Slip: half the threads wait at another barrier than the rest. */
template <bool broken>
GPU_KERNEL(size) divergentBarrier(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  if (broken && threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();
  sumUp(s, y);
}

/** Slip: a barrier for half of the block, to which all but one warp of that half come. */
template <bool broken>
GPU_KERNEL(size) namedBarrier(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x;
  s[t] = x[mine()];
  if (t < 64 && !(broken && t < 32)) gpu::bar_sync(1, 64);
  if (t >= 64) gpu::bar_sync(2, 64);
  __syncthreads();
  sumUp(s, y);
}

/** Slip: a shuffle of the whole warp where only some lanes come. */
template <bool broken>
GPU_KERNEL(size) divergentShuffle(const float* x, float* y) {
  GPU_SHARED(float[4], s);
  const int t = threadIdx.x, lane = t % 32;
  float v = x[mine()];
  for (int half = 16; half > 1; half /= 2) v += __shfl_down_sync(0xffffffff, v, half);
  if (broken) {
    if (lane < 16) v += __shfl_down_sync(0xffffffff, v, 1);
  } else {
    v += __shfl_down_sync(0xffffffff, v, 1);
  }
  if (lane == 0) s[t / 32] = v;
  __syncthreads();
  if (t == 0) y[blockIdx.x] = s[0] + s[1] + s[2] + s[3];
}

/** Slip: the mask lacks a lane that calls. */
template <bool broken>
GPU_KERNEL(size) wrongMask(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  s[threadIdx.x] = x[mine()];
  __syncwarp(broken ? 0x7fffffff : 0xffffffff);
  __syncthreads();
  sumUp(s, y);
}

/** Slip: half a warp multiplies matrices. */
template <bool broken>
GPU_KERNEL(size) halfWarpMultiplies(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  const int t = threadIdx.x;
  s[t] = x[mine()];
  float d[4] = {0, 0, 0, 0};
  const uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  if (!broken || t % 32 < 16) gpu::mma_m16n8k8_tf32(d, a, b);
  s[t] += d[0] + d[1] + d[2] + d[3];
  __syncthreads();
  sumUp(s, y);
}

/** Slip: more shared memory than a block may have without asking. */
template <bool broken>
GPU_KERNEL(size) tooMuchShared(const float* x, float* y) {
  GPU_SHARED(float[broken ? 13000 : size], s);
  s[threadIdx.x] = x[mine()];
  __syncthreads();
  sumUp(s, y);
}

// ## TMA, and barriers in shared memory

/** Slip: nobody waits for the load. */
template <bool broken>
GPU_KERNEL(size) loadNoWait(GPU_GRID_CONSTANT const gpu::TensorMap map, float* y) {
  GPU_SHARED(uint64_t, landed);
  GPU_DYN_SHARED(bytes);
  float* s = reinterpret_cast<float*>(bytes);
  if (threadIdx.x == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, size * sizeof(float));
    gpu::tma_load_2d(s, &map, 0, 4 * blockIdx.x, &landed);
  }
  __syncthreads();
  if (!broken) gpu::mbar_wait(&landed, 0);
  sumUp(s, y);
  if (broken) gpu::mbar_wait(&landed, 0);
}

/** Slip: more bytes are announced than land. */
template <bool broken>
GPU_KERNEL(size) loadTooManyBytes(GPU_GRID_CONSTANT const gpu::TensorMap map, float* y) {
  GPU_SHARED(uint64_t, landed);
  GPU_DYN_SHARED(bytes);
  float* s = reinterpret_cast<float*>(bytes);
  if (threadIdx.x == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, size * sizeof(float) + (broken ? 16 : 0));
    gpu::tma_load_2d(s, &map, 0, 4 * blockIdx.x, &landed);
  }
  __syncthreads();
  gpu::mbar_wait(&landed, 0);
  sumUp(s, y);
}

/** Slip: the barrier is used by threads that need not have seen that it was initialised. */
template <bool broken>
GPU_KERNEL(size) barrierNotSeen(GPU_GRID_CONSTANT const gpu::TensorMap map, float* y) {
  GPU_SHARED(uint64_t, landed);
  GPU_DYN_SHARED(bytes);
  float* s = reinterpret_cast<float*>(bytes);
  if (threadIdx.x == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, size * sizeof(float));
    gpu::tma_load_2d(s, &map, 0, 4 * blockIdx.x, &landed);
  }
  if (!broken) __syncthreads();
  gpu::mbar_wait(&landed, 0);
  sumUp(s, y);
}

/** Slip: the load need not see that its barrier was initialised. */
template <bool broken>
GPU_KERNEL(size) barrierNotFenced(GPU_GRID_CONSTANT const gpu::TensorMap map, float* y) {
  GPU_SHARED(uint64_t, landed);
  GPU_DYN_SHARED(bytes);
  float* s = reinterpret_cast<float*>(bytes);
  if (threadIdx.x == 0) {
    gpu::mbar_init(&landed, 1);
    if (!broken) gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, size * sizeof(float));
    gpu::tma_load_2d(s, &map, 0, 4 * blockIdx.x, &landed);
  }
  __syncthreads();
  gpu::mbar_wait(&landed, 0);
  sumUp(s, y);
}

/** Slip: of four loads through one buffer, each must wait until the one before was read. */
template <bool broken>
GPU_KERNEL(size) loadTooEarly(GPU_GRID_CONSTANT const gpu::TensorMap map, float* y) {
  GPU_SHARED(uint64_t[2], barriers);
  GPU_SHARED(float[size], sums);
  GPU_DYN_SHARED(bytes);
  const float* s = reinterpret_cast<float*>(bytes);
  uint64_t *landed = &barriers[0], *read = &barriers[1];
  const int t = threadIdx.x;
  if (t == 0) {
    gpu::mbar_init(landed, 1);
    gpu::mbar_init(read, size);
    gpu::mbar_init_fence();
  }
  __syncthreads();
  sums[t] = 0;
  for (int round = 0; round < 4; round++) {
    if (t == 0) {
      if (!broken && round > 0) gpu::mbar_wait(read, (round - 1) % 2);
      gpu::mbar_arrive_expect_tx(landed, size * sizeof(float));
      gpu::tma_load_2d(bytes, &map, 0, 4 * blockIdx.x, landed);
    }
    gpu::mbar_wait(landed, round % 2);
    sums[t] += s[size - 1 - t] * 0.25f;
    gpu::mbar_arrive(read);
  }
  __syncthreads();
  sumUp(sums, y);
}

// ## Tensor cores of a warpgroup
//
// A is 64×8: the block's numbers in sixteen rows, and zeros. B is 8×64, all ones. So each column of
// the product holds the sums of A's rows.

constexpr int numbersOfA = 64 * 8, numbersOfB = 8 * 64;

/** Eight rows of four numbers each form a group; two groups beside each other hold k from 0 to 7. */
__device__ int placeInOperand(int row, int k) {
  return row / 8 * 64 + k / 4 * 32 + row % 8 * 4 + k % 4;
}
__device__ uint64_t descriptorOf(const float* operand) {
  return gpu::wgmma_desc(operand, 128, 256, 0);
}
__device__ void fillOperands(const float* x, float* a, float* b) {
  for (int i = threadIdx.x; i < numbersOfA; i += size) {
    a[placeInOperand(i / 8, i % 8)] = i < size ? x[blockIdx.x * size + i] : 0;
    b[placeInOperand(i / 8, i % 8)] = 1;
  }
}
/** From the first column: of each warp's sixteen rows, lanes with t = 0 have two. */
__device__ void sumColumn(const float (&d)[32], float* rows, float* y) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
  if (lane % 4 == 0) {
    rows[row] = d[0];
    rows[row + 8] = d[2];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (int i = 0; i < 64; i++) sum += rows[i];
  y[blockIdx.x] = sum;
}

/** Slip: what ordinary stores wrote is read by tensor cores without a fence. */
template <bool broken>
GPU_KERNEL(size) productNoFence(const float* x, float* y) {
  GPU_SHARED(float4[(numbersOfA + numbersOfB) / 4], operands);
  GPU_SHARED(float[64], rows);
  float *a = &operands[0].x, *b = a + numbersOfA, d[32];
  fillOperands(x, a, b);
  if (!broken) gpu::fence_proxy_async();
  __syncthreads();
  gpu::wgmma_arrive();
  gpu::wgmma_m64n64k8_tf32(d, descriptorOf(a), descriptorOf(b), 0);
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>();
  sumColumn(d, rows, y);
}

/** Slip: a descriptor drops the last bits of an address. */
template <bool broken>
GPU_KERNEL(size) matrixMisaligned(const float* x, float* y) {
  GPU_SHARED(float4[(numbersOfA + numbersOfB) / 4 + 1], operands);
  GPU_SHARED(float[64], rows);
  float *a = &operands[0].x + (broken ? 2 : 0), *b = a + numbersOfA, d[32];
  fillOperands(x, a, b);
  gpu::fence_proxy_async();
  __syncthreads();
  gpu::wgmma_arrive();
  gpu::wgmma_m64n64k8_tf32(d, descriptorOf(a), descriptorOf(b), 0);
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>();
  sumColumn(d, rows, y);
}

/** Slip: rows of zeros, said to be swizzled, begin in the middle of eight. */
template <bool broken>
GPU_KERNEL(size) matrixMidPattern(const float* x, float* y) {
  GPU_SHARED(float[size], s);
  GPU_DYN_SHARED(bytes);
  const int t = threadIdx.x;
  for (int i = t; i < 2048; i += size) reinterpret_cast<float*>(bytes)[i] = 0;
  s[t] = x[mine()];
  gpu::fence_proxy_async();
  __syncthreads();
  float d[32] = {};
  const uint32_t a[4] = {};
  gpu::wgmma_arrive();
  gpu::wgmma_m64k8_tf32(d, a, gpu::wgmma_desc(bytes + (broken ? 256 : 0), 16, 512, 2));
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>(d);
  s[t] += d[0];
  __syncthreads();
  sumUp(s, y);
}

/** Slip: the accumulators are not handed over. */
template <bool broken>
GPU_KERNEL(size) productNoArrive(const float* x, float* y) {
  GPU_SHARED(float4[(numbersOfA + numbersOfB) / 4], operands);
  GPU_SHARED(float[64], rows);
  float *a = &operands[0].x, *b = a + numbersOfA, d[32];
  fillOperands(x, a, b);
  gpu::fence_proxy_async();
  __syncthreads();
  if (!broken) gpu::wgmma_arrive();
  gpu::wgmma_m64n64k8_tf32(d, descriptorOf(a), descriptorOf(b), 0);
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>();
  sumColumn(d, rows, y);
}

/** Slip: the sums are read before they are there. */
template <bool broken>
GPU_KERNEL(size) productNoWait(const float* x, float* y) {
  GPU_SHARED(float4[(numbersOfA + numbersOfB) / 4], operands);
  GPU_SHARED(float[64], rows);
  float *a = &operands[0].x, *b = a + numbersOfA, d[32];
  fillOperands(x, a, b);
  gpu::fence_proxy_async();
  __syncthreads();
  gpu::wgmma_arrive();
  gpu::wgmma_m64n64k8_tf32(d, descriptorOf(a), descriptorOf(b), 0);
  gpu::wgmma_commit();
  if (!broken) gpu::wgmma_wait<0>();
  sumColumn(d, rows, y);
  gpu::wgmma_wait<0>();
}

/** Slip: an operand is written again while the product may still read it. */
template <bool broken>
GPU_KERNEL(size) operandTooEarly(const float* x, float* y) {
  GPU_SHARED(float4[(numbersOfA + numbersOfB) / 4], operands);
  GPU_SHARED(float[64], rows);
  float *a = &operands[0].x, *b = a + numbersOfA, d[32];
  fillOperands(x, a, b);
  gpu::fence_proxy_async();
  __syncthreads();
  gpu::wgmma_arrive();
  gpu::wgmma_m64n64k8_tf32(d, descriptorOf(a), descriptorOf(b), 0);
  gpu::wgmma_commit();
  if (!broken) gpu::wgmma_wait<0>();
  __syncthreads();
  a[placeInOperand(threadIdx.x / 8, threadIdx.x % 8)] = 0;
  gpu::wgmma_wait<0>();
  sumColumn(d, rows, y);
}

/** Slip: a factor in registers is changed while the product may still read it. */
template <bool broken>
GPU_KERNEL(size) factorTooEarly(const float* x, float* y) {
  GPU_SHARED(float4[numbersOfB / 4], operand);
  GPU_SHARED(float[64], rows);
  float *b = &operand[0].x, d[32] = {};
  for (int i = threadIdx.x; i < numbersOfB; i += size) b[i] = 1;
  gpu::fence_proxy_async();
  __syncthreads();
  // Four numbers in each warp's first eight rows.
  uint32_t a[4] = {__float_as_uint(x[blockIdx.x * size + threadIdx.x]), 0, 0, 0};
  gpu::wgmma_arrive();
  gpu::wgmma_m64k8_tf32(d, a, descriptorOf(b));
  gpu::wgmma_commit();
  if (!broken) gpu::wgmma_wait<0>(d);
  a[0] = 0;
  gpu::wgmma_wait<0>(d);
  sumColumn(d, rows, y);
}

template <class... P>
const char* go(const char* name, void (*kernel)(P...), const Board& board, size_t sharedBytes,
               P... arguments) {
  return gpu::launch(kernel, name, dim3(board.blocks), dim3(size), sharedBytes, board.stream,
                     arguments...);
}

}  // namespace

#define FAULT(kernel, sharedBytes, ...)                                                   \
  Fault {                                                                                 \
    #kernel, [](bool broken, const Board& b) {                                            \
      return go(#kernel, broken ? kernel<true> : kernel<false>, b, sharedBytes, __VA_ARGS__); \
    }                                                                                     \
  }

const std::vector<Fault> faults = {
    FAULT(tree, 0, b.x, b.y),
    FAULT(reuse, 0, b.x, b.y),
    FAULT(leftNeighbour, 0, b.x, b.y),
    FAULT(warpTree, 0, b.x, b.y),
    FAULT(bothWrite, 0, b.x, b.y),
    FAULT(shuffleNoBarrier, 0, b.x, b.y),
    FAULT(copyNoWait, 0, b.x, b.y),
    FAULT(copyNoBarrier, 0, b.x, b.y),
    FAULT(copyOneGroupLess, 0, b.x, b.y),
    FAULT(copyNoCommit, 0, b.x, b.y),
    FAULT(staticOverrun, 0, b.x, b.y),
    FAULT(dynamicOverrun, size * sizeof(float), b.x, b.y),
    FAULT(writePastEnd, 0, b.x, b.y),
    FAULT(writeIntoGap, 0, b.x, b.y, b.count),
    FAULT(useAfterFree, 0, b.x, b.y, b.freed),
    FAULT(writeBeforeStart, 0, b.x, b.y),
    FAULT(readPastEnd, 0, b.x, b.y),
    FAULT(copyPastEnd, 0, b.x, b.y),
    FAULT(misaligned, 0, b.x, b.y),
    FAULT(hostMemory, 0, b.x, b.y, b.host),
    FAULT(unwrittenShared, 0, b.x, b.y),
    FAULT(unwrittenOutput, 0, b.x, b.y),
    FAULT(unwrittenDevice, 0, b.x, b.y),
    FAULT(blocksCount, 0, b.x, b.y, b.count),
    FAULT(blockReadsBlock, 0, b.x, b.y),
    FAULT(divergentBarrier, 0, b.x, b.y),
    FAULT(namedBarrier, 0, b.x, b.y),
    FAULT(divergentShuffle, 0, b.x, b.y),
    FAULT(wrongMask, 0, b.x, b.y),
    FAULT(halfWarpMultiplies, 0, b.x, b.y),
    FAULT(tooMuchShared, 0, b.x, b.y),
    FAULT(loadNoWait, size * sizeof(float), b.map, b.y),
    FAULT(loadTooManyBytes, size * sizeof(float), b.map, b.y),
    FAULT(barrierNotSeen, size * sizeof(float), b.map, b.y),
    FAULT(barrierNotFenced, size * sizeof(float), b.map, b.y),
    FAULT(loadTooEarly, size * sizeof(float), b.map, b.y),
    FAULT(productNoFence, 0, b.x, b.y),
    FAULT(matrixMisaligned, 0, b.x, b.y),
    FAULT(matrixMidPattern, 8192, b.x, b.y),
    FAULT(productNoArrive, 0, b.x, b.y),
    FAULT(productNoWait, 0, b.x, b.y),
    FAULT(operandTooEarly, 0, b.x, b.y),
    FAULT(factorTooEarly, 0, b.x, b.y),
};
