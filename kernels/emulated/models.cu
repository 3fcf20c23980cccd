// # Does the emulated device do what a GPU does?
//
// A program for both: it runs each instruction of gpu.h on numbers so small that every sum is exact, and
// compares with what the documentation of the instruction says, written here a second time and in
// another way: fragments as strides from lane and register to place. One line for each model: its
// name, a tab, and `ok` or what differs. On a GPU, this validates the emulated device; without one,
// it shows that device and documentation agree.
// Source for the strides: CUTLASS 3.9, cute/atom/mma_traits_sm80.hpp.

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
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

GPU_KERNEL(32) roundTf32(const float* x, uint32_t* y) {
  y[threadIdx.x] = gpu::cvt_tf32(x[threadIdx.x]);
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
void run(void (*kernel)(P...), const char* name, int threads, const A&... arguments) {
  require(gpu::launch(kernel, name, dim3(1), dim3(threads), 0, nullptr,
                      static_cast<P>(arguments)...));
  require(gpu::synchronize(nullptr));
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
  const std::vector<std::pair<const char*, std::function<void()>>> models = {
      {"mma.m16n8k8.tf32", tryTf32},      {"mma.m16n8k16.bf16", tryBf16},
      {"ldmatrix", tryLoads},             {"shuffles, votes and reductions", tryExchanges},
      {"atomics and counting barriers", tryAtomics}, {"cp.async", tryCopies},
      {"named barriers", tryBarriers},    {"cvt.rna.tf32", tryRounding},
      {"streams and graphs", tryStreams},
  };
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
