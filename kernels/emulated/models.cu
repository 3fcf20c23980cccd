// # Does the emulated device do what a GPU does?
//
// A program for both: it runs each instruction of gpu.h on numbers so small that every sum is
// exact, and compares with what the documentation of the instruction says, written here a second
// time and in another way: fragments as strides from lane and register to place. One line for each
// model: its name, a tab, and `ok` or what differs. On a GPU, this validates the emulated device;
// without one, it shows that device and documentation agree. Source for the strides: CUTLASS 3.9,
// cute/atom/mma_traits_sm80.hpp.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "../cuda/gpu.h"

namespace {

constexpr unsigned everyone = 0xffffffff;

GPU_KERNEL(32) multiplyTf32(const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const int lane = threadIdx.x;
  const uint32_t fa[4] = {a[lane * 4], a[lane * 4 + 1], a[lane * 4 + 2], a[lane * 4 + 3]};
  const uint32_t fb[2] = {b[lane * 2], b[lane * 2 + 1]};
  float sum[4];
  for (int v = 0; v < 4; v++) sum[v] = c[lane * 4 + v];
  gpu::mma_m16n8k8_tf32(sum, fa, fb);
  for (int v = 0; v < 4; v++) d[lane * 4 + v] = sum[v];
}

GPU_KERNEL(32) multiplyBf16(const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const int lane = threadIdx.x;
  const uint32_t fa[4] = {a[lane * 4], a[lane * 4 + 1], a[lane * 4 + 2], a[lane * 4 + 3]};
  const uint32_t fb[2] = {b[lane * 2], b[lane * 2 + 1]};
  float sum[4];
  for (int v = 0; v < 4; v++) sum[v] = c[lane * 4 + v];
  gpu::mma_m16n8k16_bf16(sum, fa, fb);
  for (int v = 0; v < 4; v++) d[lane * 4 + v] = sum[v];
}

/** A 16×16 by 16×8 product whose fragments come from shared memory; b row by row, so transposed. */
GPU_KERNEL(32) loadAndMultiply(const uint16_t* a, const uint16_t* b, float* d) {
  GPU_SHARED(uint4[32], left);
  GPU_SHARED(uint4[16], right);
  uint16_t* sa = reinterpret_cast<uint16_t*>(left);
  uint16_t* sb = reinterpret_cast<uint16_t*>(right);
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) sa[i] = a[i];
  for (int i = lane; i < 128; i += 32) sb[i] = b[i];
  __syncwarp();
  uint32_t fa[4], both[4];
  gpu::ldmatrix_x4(fa, sa + lane % 16 * 16 + lane / 16 * 8);
  gpu::ldmatrix_x4_trans(both, sb + lane % 16 * 8);
  const uint32_t fb[2] = {both[0], both[1]};
  float sum[4] = {0, 0, 0, 0};
  gpu::mma_m16n8k16_bf16(sum, fa, fb);
  for (int v = 0; v < 4; v++) d[(g + 8 * (v / 2)) * 8 + 2 * t + v % 2] = sum[v];
}

constexpr int exchanges = 16;

GPU_KERNEL(32) exchange(int* out) {
  const int lane = threadIdx.x;
  int* o = out + lane * exchanges;
  o[0] = __shfl_sync(everyone, lane, 5);
  o[1] = __shfl_sync(everyone, lane, lane + 3, 8);
  o[2] = __shfl_up_sync(everyone, lane, 3);
  o[3] = __shfl_up_sync(everyone, lane, 3, 16);
  o[4] = __shfl_down_sync(everyone, lane, 5);
  o[5] = __shfl_down_sync(everyone, lane, 5, 8);
  o[6] = __shfl_xor_sync(everyone, lane, 17);
  o[7] = __shfl_xor_sync(everyone, lane, 9, 16);
  o[8] = __popc(__ballot_sync(everyone, lane % 3 == 0));
  o[9] = __any_sync(everyone, lane == 31);
  o[10] = __all_sync(everyone, lane < 31);
  o[11] = __popc(__ballot_sync(lane < 16 ? 0xffff : 0xffff0000, lane % 4 == 0 || lane > 16));
#if GPU_ARCH >= 800
  o[12] = __reduce_add_sync(everyone, lane);
  o[13] = __reduce_min_sync(everyone, lane - 7);
  o[14] = int(__reduce_max_sync(everyone, unsigned(lane - 7)));
  o[15] = int(__reduce_xor_sync(everyone, 1u << lane));
#else
  o[12] = 496, o[13] = -7, o[14] = -1, o[15] = -1;
#endif
}

GPU_KERNEL(128) countAndVote(int* counters, int* out) {
  const int t = threadIdx.x;
  atomicAdd(counters, 1);
  atomicMax(counters + 1, t * 7 % 128);
  atomicMin(counters + 2, -t);
  atomicCAS(counters + 3, 0, t + 1);
  atomicOr(reinterpret_cast<unsigned*>(counters + 4), 1u << t % 32);
  const int count = __syncthreads_count(t % 5 == 0);
  const int all = __syncthreads_and(t < 127), any = __syncthreads_or(t == 3);
  out[t] = count * 4 + all * 2 + any;
}

/** Copies of 4, 8 and 16 bytes, some with zeros to fill up. */
GPU_KERNEL(32) copyAndFill(const float* x, float* y) {
  GPU_SHARED(float4[32], s);
  float* to = reinterpret_cast<float*>(s + threadIdx.x);
  const float* from = x + threadIdx.x * 4;
  const int kind = threadIdx.x % 4;
  if (kind == 0) gpu::cp_async<16>(to, from, 16);
  if (kind == 1) gpu::cp_async<16>(to, from, 0);
  if (kind == 2) {
    gpu::cp_async<8>(to, from, 8);
    gpu::cp_async<8>(to + 2, from, 0);
  }
  if (kind == 3)
    for (int i = 0; i < 4; i++) gpu::cp_async<4>(to + i, from + i, i % 2 ? 4 : 0);
  gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  for (int i = 0; i < 4; i++) y[threadIdx.x * 4 + i] = to[i];
}

/** Two warps fill what two others empty, through two barriers of their own. */
GPU_KERNEL(128) handOver(int* out) {
  GPU_SHARED(int[64], s);
  const int t = threadIdx.x;
  for (int round = 0; round < 3; round++) {
    if (t < 64) {
      if (round > 0) gpu::bar_sync(2, 128);
      s[t] = t * 10 + round;
      gpu::bar_sync(1, 128);
    } else {
      gpu::bar_sync(1, 128);
      out[round * 64 + t - 64] = s[127 - t];
      if (round < 2) gpu::bar_sync(2, 128);
    }
  }
}

GPU_KERNEL(32) roundBf16(const float* x, uint32_t* y) {
  y[threadIdx.x] = gpu::cvt_bf16x2(x[threadIdx.x], -x[threadIdx.x]);
}

GPU_KERNEL(32) roundTf32(const float* x, uint32_t* y) {
  y[threadIdx.x] = gpu::cvt_tf32(x[threadIdx.x]);
}

// ## TMA and wgmma
//
// One product of 64×64 tiles that TMA brings, as deep as 128 bytes hold. What lies next to each
// other in memory is k, or rows of A and columns of B; all swizzled within 128 bytes.

constexpr int tileBytes = 64 * 128;

template <bool isTf32, bool rowsOfA, bool columnsOfB>
GPU_KERNEL(128)
multiplyTiles(GPU_GRID_CONSTANT const gpu::TensorMap mapA, GPU_GRID_CONSTANT const gpu::TensorMap mapB,
              float* out) {
  GPU_DYN_SHARED(tiles);
  GPU_SHARED(uint64_t, landed);
  unsigned char *a = tiles, *b = tiles + tileBytes;
  const int t = threadIdx.x;
  if (t == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, 2 * tileBytes);
    gpu::tma_load_2d(a, &mapA, 0, 0, &landed);
    gpu::tma_load_2d(b, &mapB, 0, 0, &landed);
  }
  __syncthreads();
  gpu::mbar_wait(&landed, 0);
  float d[32];
  gpu::wgmma_arrive();
  for (int step = 0; step < 4; step++) {
    // Along k, 32 bytes are one product's; sixteen rows of 128 bytes are, where k is the outer
    // axis.
    const uint64_t left = gpu::wgmma_desc(a + step * (rowsOfA ? 16 * 128 : 32), 1024, 1024, 1);
    const uint64_t right = gpu::wgmma_desc(b + step * (columnsOfB ? 16 * 128 : 32), 1024, 1024, 1);
    if constexpr (isTf32)
      gpu::wgmma_m64n64k8_tf32(d, left, right, step > 0);
    else
      gpu::wgmma_m64n64k16_bf16<rowsOfA, columnsOfB>(d, left, right, step > 0);
  }
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>();
  const int g = t % 32 / 4, row = t / 32 * 16 + g;
  for (int i = 0; i < 32; i++)
    out[(row + 8 * (i % 4 / 2)) * 64 + 8 * (i / 4) + 2 * (t % 4) + i % 2] = d[i];
}

/** A product of 16 terms whose A is in registers; B's rows of 16 terms are swizzled within themselves. */
template <bool isTf32, int columns>
GPU_KERNEL(128)
multiplyFragments(const uint32_t* fragments, GPU_GRID_CONSTANT const gpu::TensorMap mapB, float* out) {
  GPU_DYN_SHARED(tile);
  GPU_SHARED(uint64_t, landed);
  constexpr int row = isTf32 ? 64 : 32;
  const int t = threadIdx.x;
  if (t == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, columns * row);
    gpu::tma_load_2d(tile, &mapB, 0, 0, &landed);
  }
  __syncthreads();
  gpu::mbar_wait(&landed, 0);
  uint32_t a[2][4];
  float d[columns / 2] = {};
  for (int i = 0; i < 8; i++) a[i / 4][i % 4] = fragments[t * 8 + i];
  gpu::wgmma_arrive();
  if constexpr (isTf32) {
    gpu::wgmma_m64k8_tf32(d, a[0], gpu::wgmma_desc(tile, 16, 8 * row, 2));
    gpu::wgmma_m64k8_tf32(d, a[1], gpu::wgmma_desc(tile + 32, 16, 8 * row, 2));
  } else {
    gpu::wgmma_m64k16_bf16(d, a[0], gpu::wgmma_desc(tile, 16, 8 * row, 3));
  }
  gpu::wgmma_commit();
  gpu::wgmma_wait<0>(d);
  for (int i = 0; i < columns / 2; i++) out[t * (columns / 2) + i] = d[i];
}

/** A box that overhangs the tensor on two sides, in each way to swizzle. */
GPU_KERNEL(32) loadBox(GPU_GRID_CONSTANT const gpu::TensorMap map, float* out, int elements) {
  GPU_DYN_SHARED(tiles);
  GPU_SHARED(uint64_t, landed);
  if (threadIdx.x == 0) {
    gpu::mbar_init(&landed, 1);
    gpu::mbar_init_fence();
    gpu::mbar_arrive_expect_tx(&landed, elements * int(sizeof(float)));
    gpu::tma_load_4d(tiles, &map, -1, 0, 1, 1, &landed);
  }
  __syncthreads();
  gpu::mbar_wait(&landed, 0);
  for (int i = threadIdx.x; i < elements; i += 32)
    out[i] = reinterpret_cast<const float*>(tiles)[i];
}
// ## Putting numbers on the device, and looking at what came back

struct Failure {
  std::string what;
};
void require(const char* error) {
  if (error) throw Failure{error};
}

/** Memory of the device, for as long as a model is tried. */
template <class T>
class Device {
 public:
  explicit Device(const std::vector<T>& content) : Device(content.size()) {
    require(gpu::upload(memory_, content.data(), bytes()));
  }
  explicit Device(size_t size) : size_(size), memory_(static_cast<T*>(gpu::alloc(bytes()))) {
    if (!memory_) throw Failure{"out of memory"};
  }
  Device(const Device&) = delete;
  ~Device() { gpu::free(memory_); }
  operator T*() const { return memory_; }
  std::vector<T> get() const {
    std::vector<T> content(size_);
    require(gpu::download(content.data(), memory_, bytes()));
    return content;
  }

 private:
  size_t bytes() const { return size_ * sizeof(T); }
  size_t size_;
  T* memory_;
};

template <class... P, class... A>
void runShared(void (*kernel)(P...), const char* name, int threads, size_t sharedBytes,
               const A&... arguments) {
  require(gpu::launch(kernel, name, dim3(1), dim3(threads), sharedBytes, nullptr,
                      static_cast<P>(arguments)...));
  require(gpu::synchronize(nullptr));
}
template <class... P, class... A>
void run(void (*kernel)(P...), const char* name, int threads, const A&... arguments) {
  runShared(kernel, name, threads, 0, arguments...);
}

template <class T>
void compare(const std::vector<T>& got, const std::vector<T>& expected) {
  for (size_t i = 0; i < expected.size(); i++)
    if (!(got[i] == expected[i]))
      throw Failure{"number " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " +
                    std::to_string(expected[i])};
}

uint32_t bitsOf(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
uint32_t bf16Of(float x) { return bitsOf(x) >> 16; }

// ## Matrices of small integers

float a(int row, int k) { return float((row * 5 + k * 3) % 17 - 8); }
float b(int k, int column) { return float((k * 7 + column * 11) % 13 - 6); }
float c(int row, int column) { return float(row - column); }
float product(int row, int column, int depth) {
  float sum = 0;
  for (int k = 0; k < depth; k++) sum += a(row, k) * b(k, column);
  return sum;
}

/** Where register v of a lane is, column after column of 16: c and d of both products. */
int sumPlace(int lane, int v) { return lane % 4 * 32 + lane / 4 + v % 2 * 16 + v / 2 * 8; }

void checkSum(const std::vector<float>& d, int depth) {
  std::vector<float> expected(128);
  for (int lane = 0; lane < 32; lane++)
    for (int v = 0; v < 4; v++) {
      const int place = sumPlace(lane, v), row = place % 16, column = place / 16;
      expected[lane * 4 + v] = c(row, column) + product(row, column, depth);
    }
  compare(d, expected);
}

std::vector<float> sumFragments() {
  std::vector<float> fragments(128);
  for (int i = 0; i < 128; i++) {
    const int place = sumPlace(i / 4, i % 4);
    fragments[i] = c(place % 16, place / 16);
  }
  return fragments;
}

void tryTf32() {
  std::vector<uint32_t> fa(128), fb(64);
  for (int lane = 0; lane < 32; lane++) {
    const int t = lane % 4, g = lane / 4;
    for (int v = 0; v < 4; v++) {
      const int place = t * 16 + g + v % 2 * 8 + v / 2 * 64;
      fa[lane * 4 + v] = bitsOf(a(place % 16, place / 16));
    }
    for (int v = 0; v < 2; v++) {
      const int place = t * 8 + g + v * 32;
      fb[lane * 2 + v] = bitsOf(b(place / 8, place % 8));
    }
  }
  const Device<uint32_t> da(fa), db(fb);
  const Device<float> dc(sumFragments()), d(128);
  run(multiplyTf32, "multiplyTf32", 32, da, db, dc, d);
  checkSum(d.get(), 8);
}

void tryBf16() {
  std::vector<uint32_t> fa(128), fb(64);
  for (int lane = 0; lane < 32; lane++) {
    const int t = lane % 4, g = lane / 4;
    for (int half = 0; half < 2; half++) {
      for (int v = 0; v < 4; v++) {
        const int place = t * 32 + g + half * 16 + v % 2 * 8 + v / 2 * 128;
        fa[lane * 4 + v] |= bf16Of(a(place % 16, place / 16)) << 16 * half;
      }
      for (int v = 0; v < 2; v++) {
        const int place = t * 16 + g + half * 8 + v * 64;
        fb[lane * 2 + v] |= bf16Of(b(place / 8, place % 8)) << 16 * half;
      }
    }
  }
  const Device<uint32_t> da(fa), db(fb);
  const Device<float> dc(sumFragments()), d(128);
  run(multiplyBf16, "multiplyBf16", 32, da, db, dc, d);
  checkSum(d.get(), 16);
}

void tryLoads() {
  std::vector<uint16_t> left(256), right(128);
  std::vector<float> expected(128);
  for (int i = 0; i < 256; i++) left[i] = uint16_t(bf16Of(a(i / 16, i % 16)));
  for (int i = 0; i < 128; i++) right[i] = uint16_t(bf16Of(b(i / 8, i % 8)));
  for (int i = 0; i < 128; i++) expected[i] = product(i / 8, i % 8, 16);
  const Device<uint16_t> da(left), db(right);
  const Device<float> d(128);
  run(loadAndMultiply, "loadAndMultiply", 32, da, db, d);
  compare(d.get(), expected);
}

// ## The rest

void tryExchanges() {
  const Device<int> out(32 * exchanges);
  run(exchange, "exchange", 32, out);
  std::vector<int> expected;
  for (int lane = 0; lane < 32; lane++) {
    const int l = lane;
    for (int value : {5, (l & ~7) + (l + 3) % 8, l >= 3 ? l - 3 : l, l % 16 >= 3 ? l - 3 : l,
                      l + 5 < 32 ? l + 5 : l, l % 8 + 5 < 8 ? l + 5 : l, l ^ 17, l ^ 9, 11, 1, 0,
                      l < 16 ? 4 : 16, 496, -7, -1, -1})
      expected.push_back(value);
  }
  compare(out.get(), expected);
}

void tryAtomics() {
  const Device<int> counters(std::vector<int>{0, 0, 0, 0, 0}), out(128);
  run(countAndVote, "countAndVote", 128, counters, out);
  std::vector<int> got = counters.get();
  if (got[3] < 1 || got[3] > 128) throw Failure{"atomicCAS: nobody was first"};
  got[3] = 1;
  compare(got, {128, 127, -127, 1, -1});
  compare(out.get(), std::vector<int>(128, 26 * 4 + 1));
}

void tryCopies() {
  std::vector<float> x(128), expected(128);
  for (int i = 0; i < 128; i++) {
    x[i] = float(i + 1);
    const int kind = i / 4 % 4, within = i % 4;
    const bool copied = kind == 0 || (kind == 2 && within < 2) || (kind == 3 && within % 2);
    expected[i] = copied ? x[i] : 0;
  }
  const Device<float> from(x), to(128);
  run(copyAndFill, "copyAndFill", 32, from, to);
  compare(to.get(), expected);
}

void tryBarriers() {
  const Device<int> out(192);
  run(handOver, "handOver", 128, out);
  std::vector<int> expected(192);
  for (int i = 0; i < 192; i++) expected[i] = (63 - i % 64) * 10 + i / 64;
  compare(out.get(), expected);
}

void tryRounding() {
  // Ties go away from zero.
  std::vector<float> x(32, 1.0f);
  std::vector<uint32_t> expected(32, 0x3f800000);
  const auto set = [&](int i, uint32_t bits, uint32_t rounded) {
    memcpy(&x[i], &bits, sizeof bits);
    expected[i] = rounded;
  };
  set(0, 0x3f800fff, 0x3f800000);
  set(1, 0x3f801000, 0x3f802000);
  set(2, 0xbf801000, 0xbf802000);
  set(3, 0x3f803000, 0x3f804000);
  set(4, 0x3fffffff, 0x40000000);
  set(5, 0x7f800000, 0x7f800000);
  set(6, 0x80000000, 0x80000000);
  const Device<float> from(x);
  const Device<uint32_t> to(32);
  run(roundTf32, "roundTf32", 32, from, to);
  compare(to.get(), expected);
}

void tryBf16Rounding() {
  // Ties go to the even one.
  std::vector<float> x(32, 1.0f);
  std::vector<uint32_t> expected(32, 0xbf803f80);
  const auto set = [&](int i, uint32_t bits, uint32_t rounded) {
    memcpy(&x[i], &bits, sizeof bits);
    expected[i] = rounded | (rounded ^ 0x8000) << 16;
  };
  set(0, 0x3f807fff, 0x3f80);
  set(1, 0x3f808000, 0x3f80);
  set(2, 0x3f808001, 0x3f81);
  set(3, 0x3f818000, 0x3f82);
  set(4, 0x3fffffff, 0x4000);
  set(5, 0x7f800000, 0x7f80);
  set(6, 0x80000000, 0x8000);
  const Device<float> from(x);
  const Device<uint32_t> to(32);
  run(roundBf16, "roundBf16", 32, from, to);
  compare(to.get(), expected);
}

void tryStreams() {
  const gpu::stream_t stream = gpu::create_stream();
  const Device<float> x(std::vector<float>(32, 1.5f)), y(32), z(32);
  gpu::graph_t graph = nullptr;
  require(gpu::fill(y, 0, 32 * sizeof(float), stream));
  require(gpu::begin_capture(stream));
  require(gpu::copy(y, x, 32 * sizeof(float), stream));
  require(gpu::copy(z, y, 32 * sizeof(float), stream));
  require(gpu::end_capture(stream, &graph));
  require(gpu::synchronize(stream));
  // What was captured has not run.
  compare(y.get(), std::vector<float>(32, 0));
  require(gpu::replay(graph, stream));
  require(gpu::synchronize(stream));
  compare(z.get(), std::vector<float>(32, 1.5f));
  require(gpu::destroy_graph(graph));
  require(gpu::destroy_stream(stream));
}

gpu::TensorMap mapOf(void* start, int elementBytes, std::vector<uint64_t> sizes,
                     std::vector<uint32_t> box, int swizzle) {
  gpu::TensorMap map;
  std::vector<uint64_t> strides;
  uint64_t stride = uint64_t(elementBytes);
  for (uint64_t size : sizes) strides.push_back(stride *= size);
  require(gpu::encode_tiled(&map, elementBytes, int(sizes.size()), start, sizes.data(),
                            strides.data(), box.data(), swizzle));
  return map;
}

/** Numbers as they lie in memory: k innermost, or else rows or columns. */
template <class T, class Number, class Convert>
std::vector<T> operand(int depth, bool kInside, Number number, Convert convert) {
  std::vector<T> memory(size_t(64 * depth));
  for (int i = 0; i < 64; i++)
    for (int k = 0; k < depth; k++)
      memory[size_t(kInside ? i * depth + k : k * 64 + i)] = convert(number(i, k));
  return memory;
}

template <bool isTf32, bool rowsOfA, bool columnsOfB>
void tryWarpgroup() {
  using T = std::conditional_t<isTf32, float, uint16_t>;
  const int depth = isTf32 ? 32 : 64;
  const auto convert = [](float x) {
    if constexpr (isTf32)
      return x;
    else
      return uint16_t(bf16Of(x));
  };
  const auto transposedB = [](int column, int k) { return b(k, column); };
  const Device<T> da(operand<T>(depth, !rowsOfA, a, convert)),
      db(operand<T>(depth, !columnsOfB, transposedB, convert));
  const Device<float> out(64 * 64);
  const auto map = [&](T* start, bool kInside) {
    const unsigned inner = kInside ? unsigned(depth) : 64, outer = kInside ? 64 : unsigned(depth);
    return mapOf(start, sizeof(T), {inner, outer}, {inner, outer}, 3);
  };
  runShared(multiplyTiles<isTf32, rowsOfA, columnsOfB>, "multiplyTiles", 128, 2 * tileBytes,
            map(da, !rowsOfA), map(db, !columnsOfB), static_cast<float*>(out));
  std::vector<float> expected(64 * 64);
  for (int i = 0; i < 64 * 64; i++) expected[size_t(i)] = product(i / 64, i % 64, depth);
  compare(out.get(), expected);
}

template <bool isTf32, int columns>
void tryFragments() {
  using T = std::conditional_t<isTf32, float, uint16_t>;
  std::vector<uint32_t> fragments(128 * 8);
  std::vector<T> memory(columns * 16);
  // As strides, rows of A first: lane, register and half of a register to row + 64 · k.
  for (int thread = 0; thread < 128; thread++)
    for (int i = 0; i < 8; i++) {
      const int base = thread / 32 * 16 + thread % 32 / 4 + i % 2 * 8, t = thread % 4;
      const auto number = [&](int place) { return a(place % 64, place / 64); };
      uint32_t& to = fragments[size_t(thread * 8 + i)];
      if (isTf32)
        to = bitsOf(number(base + 64 * (t + i / 2 * 4)));
      else if (i < 4)
        to = bf16Of(number(base + 128 * t + i / 2 * 512)) |
             bf16Of(number(base + 128 * t + i / 2 * 512 + 64)) << 16;
    }
  for (int j = 0; j < columns; j++)
    for (int k = 0; k < 16; k++) {
      if constexpr (isTf32)
        memory[size_t(j * 16 + k)] = b(k, j);
      else
        memory[size_t(j * 16 + k)] = uint16_t(bf16Of(b(k, j)));
    }
  const Device<uint32_t> from(fragments);
  const Device<T> db(memory);
  const Device<float> out(64 * columns);
  runShared(multiplyFragments<isTf32, columns>, "multiplyFragments", 128, columns * 64,
            static_cast<const uint32_t*>(from),
            mapOf(db, sizeof(T), {16, columns}, {16, columns}, isTf32 ? 2 : 1),
            static_cast<float*>(out));
  std::vector<float> expected(64 * columns);
  for (int thread = 0; thread < 128; thread++)
    for (int i = 0; i < columns / 2; i++)
      expected[size_t(thread * (columns / 2) + i)] =
          product(thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8,
                  i / 4 * 8 + thread % 4 * 2 + i % 2, 16);
  compare(out.get(), expected);
}

// ## What tensor cores lose when they add
//
// spec/rounding.ts has each term cut off below a bit that float32 does not have: eight of them and the sum err by
// 11 units of 2⁻²⁴. Terms of nearly 2⁻²³ beside 1 would vanish without that bit, which is 16 units.

constexpr float SMALL = 1.0f / (1 << 23), ALMOST = 1 - 1.0f / 256;

void compareSums(const std::vector<float>& sums, int terms, int units) {
  const double exact = 1 + terms * double{SMALL} * double{ALMOST};
  for (float sum : sums)
    if (std::abs(sum - exact) > units * exact / (1 << 24))
      throw Failure{"a sum is off by " + std::to_string(std::abs(sum - exact) * (1 << 24)) +
                    " units of 2^-24, and not by at most " + std::to_string(units)};
}

void trySums() {
  const Device<float> ones(std::vector<float>(128, 1)), d(128);
  const Device<uint32_t> a(std::vector<uint32_t>(128, bitsOf(ALMOST))),
      b(std::vector<uint32_t>(64, bitsOf(SMALL))),
      pairs(std::vector<uint32_t>(128, bf16Of(ALMOST) * 0x10001)),
      smallPairs(std::vector<uint32_t>(64, bf16Of(SMALL) * 0x10001));
  run(multiplyTf32, "multiplyTf32", 32, a, b, ones, d);
  compareSums(d.get(), 8, 11);
  run(multiplyBf16, "multiplyBf16", 32, pairs, smallPairs, ones, d);
  compareSums(d.get(), 16, 22);
}

/** The 1 is term 0: 2²³ times 2⁻²³. */
template <bool isTf32>
void tryWarpgroupSums() {
  using T = std::conditional_t<isTf32, float, uint16_t>;
  const float large = 1 << 23;
  std::vector<uint32_t> fragments(128 * 8);
  for (int i = 0; i < 128 * 8; i++) {
    const bool first = i / 8 % 4 == 0 && i % 8 < 2;
    if (isTf32)
      fragments[size_t(i)] = first ? bitsOf(large) : i % 8 < 4 ? 0 : bitsOf(ALMOST);
    else
      fragments[size_t(i)] = bf16Of(ALMOST) << 16 | bf16Of(first ? large : ALMOST);
  }
  T small;
  if constexpr (isTf32)
    small = SMALL;
  else
    small = uint16_t(bf16Of(SMALL));
  const Device<uint32_t> from(fragments);
  const Device<T> b(std::vector<T>(64 * 16, small));
  const Device<float> out(64 * 64);
  runShared(multiplyFragments<isTf32, 64>, "multiplyFragments", 128, 64 * 64,
            static_cast<const uint32_t*>(from),
            mapOf(b, sizeof(T), {16, 64}, {16, 64}, isTf32 ? 2 : 1), static_cast<float*>(out));
  compareSums(out.get(), isTf32 ? 8 : 15, isTf32 ? 11 : 22);
}

void tryBoxes() {
  const int sizes[] = {8, 5, 3, 2};
  std::vector<float> x(8 * 5 * 3 * 2);
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i + 1);
  const Device<float> from(x);
  for (int swizzle = 0; swizzle < 4; swizzle++) {
    const unsigned inner = swizzle ? 4u << swizzle : 4;
    const int elements = int(inner) * 4 * 3 * 2;
    const Device<float> to(static_cast<size_t>(elements));
    runShared(loadBox, "loadBox", 32, size_t(elements) * sizeof(float),
              mapOf(from, sizeof(float), {8, 5, 3, 2}, {inner, 4, 3, 2}, swizzle),
              static_cast<float*>(to), elements);
    std::vector<float> expected(static_cast<size_t>(elements));
    for (int i = 0; i < elements; i++) {
      const int at[] = {i % int(inner) - 1, i / int(inner) % 4, i / int(inner) / 4 % 3 + 1,
                        i / int(inner) / 12 + 1};
      bool inside = true;
      for (int axis = 0; axis < 4; axis++) inside &= at[axis] >= 0 && at[axis] < sizes[axis];
      // Of each line of 2^swizzle pieces of 16 bytes, pieces change places: by the line's number.
      const int line = i / 32, piece = i % 32 / 4;
      const int place = swizzle ? piece ^ (line & ((1 << swizzle) - 1)) : piece;
      expected[size_t(line * 32 + place * 4 + i % 4)] =
          inside ? x[size_t(((at[3] * 3 + at[2]) * 5 + at[1]) * 8 + at[0])] : 0;
    }
    compare(to.get(), expected);
  }
}

/** Whether the device has what sm_90a has. */
bool isHopper() {
  gpu::DeviceInfo info;
  require(gpu::device_info(0, &info));
  return info.major == 9 && info.minor == 0;
}

}  // namespace

int main(int, char** arguments) {
#if defined(GPU_EMU)
  if (const char* error = emulated::configure(arguments[1] ? arguments[1] : "")) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
#else
  (void)arguments;
#endif
  std::vector<std::pair<const char*, std::function<void()>>> models = {
      {"mma.m16n8k8.tf32", tryTf32},      {"mma.m16n8k16.bf16", tryBf16},
      {"ldmatrix", tryLoads},             {"shuffles, votes and reductions", tryExchanges},
      {"atomics and counting barriers", tryAtomics}, {"cp.async", tryCopies},
      {"named barriers", tryBarriers},    {"cvt.rna.tf32", tryRounding},
      {"cvt.rn.bf16x2", tryBf16Rounding},
      {"sums of mma", trySums},
      {"streams and graphs", tryStreams},
  };
  if (isHopper()) {
    models.emplace_back("TMA", tryBoxes);
    models.emplace_back("wgmma, TF32", tryWarpgroup<true, false, false>);
    models.emplace_back("wgmma, BF16, k next to k", tryWarpgroup<false, false, false>);
    models.emplace_back("wgmma, BF16, rows of A", tryWarpgroup<false, true, false>);
    models.emplace_back("wgmma, BF16, columns of B", tryWarpgroup<false, false, true>);
    models.emplace_back("wgmma, BF16, rows and columns", tryWarpgroup<false, true, true>);
    models.emplace_back("sums of wgmma, TF32", tryWarpgroupSums<true>);
    models.emplace_back("sums of wgmma, BF16", tryWarpgroupSums<false>);
    models.emplace_back("wgmma, TF32, A in registers, 64", tryFragments<true, 64>);
    models.emplace_back("wgmma, TF32, A in registers, 128", tryFragments<true, 128>);
    models.emplace_back("wgmma, BF16, A in registers, 64", tryFragments<false, 64>);
    models.emplace_back("wgmma, BF16, A in registers, 128", tryFragments<false, 128>);
  }
  bool failed = false;
  for (const auto& [name, attempt] : models) {
    try {
      attempt();
      printf("%s\tok\n", name);
    } catch (const Failure& failure) {
      printf("%s\t%s\n", name, failure.what.c_str());
      failed = true;
    }
  }
  return failed;
}
