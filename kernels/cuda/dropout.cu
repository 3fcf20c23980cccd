// # Dropout
//
// y = x/(1 − p) where the mask keeps, else 0; the gradient is the same function of dy. The mask is that of
// reference/random.ts to the bit: element i looks at word i mod 4 of the Philox4x32-10 block with counter
// [⌊i/4⌋, layer, step, 0] under the seed as key, and is kept if the word is at least ⌊p·2³²⌋.
//
// One thread = one block of the cipher, which is four elements. Step and layer are read from device
// memory. Bytes: 8 for each element; some 25 integer operations for each, of which an H100 does four
// times as many in the time that the bytes take. The gradient can go on with an activation's (epilogue.h),
// whose result is input 1, for 4 bytes more.
// Three roundings: 1 − p, its reciprocal, the product. The first two are in float64.

#include <cmath>

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Words {
  uint32_t word[4];
};

__device__ __forceinline__ Words encipher(uint32_t c0, uint32_t c1, uint32_t c2, uint64_t seed) {
  uint32_t c3 = 0, k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint32_t p = __umulhi(0xd2511f53u, c0), pLow = 0xd2511f53u * c0;
    const uint32_t q = __umulhi(0xcd9e8d57u, c2), qLow = 0xcd9e8d57u * c2;
    c0 = q ^ c1 ^ k0;
    c1 = qLow;
    c2 = p ^ c3 ^ k1;
    c3 = pLow;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

struct Mask {
  const double *step, *layer;
  uint64_t seed, threshold;
  float scale;

  __device__ __forceinline__ float operator()(float x, uint32_t word) const {
    return word >= threshold ? x * scale : 0.0f;
  }
};

GPU_KERNEL(ELEMENT_THREADS)
maskKernel(Mask m, const float* x, float* y, int count, bool whole, Epilogue then) {
  const int block = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  const int64_t i = int64_t{block} * 4;
  if (i >= count) return;
  const Words w = encipher(static_cast<uint32_t>(block), static_cast<uint32_t>(*m.layer),
                           static_cast<uint32_t>(*m.step), m.seed);
  if (whole && i + 4 <= count) {
    const float4 v = *reinterpret_cast<const float4*>(x + i);
    const float4 g = then.gate ? *reinterpret_cast<const float4*>(then.gate + i) : v;
    *reinterpret_cast<float4*>(y + i) = make_float4(
        then(m(v.x, w.word[0]), 0, {0, g.x}), then(m(v.y, w.word[1]), 0, {0, g.y}),
        then(m(v.z, w.word[2]), 0, {0, g.z}), then(m(v.w, w.word[3]), 0, {0, g.w}));
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (i + k < count)
      y[i + k] = then(m(x[i + k], w.word[k]), 0, then.read(static_cast<int>(i) + k));
}

void requireWord(const Call& call, const char* name) {
  const double x = call.options.number(name, -1);
  require(std::trunc(x) == x && x >= 0 && x < 0x1p32,
          std::string(name) + " must be a whole number of 32 bits");
}

void mask(const Call& call, Queue& queue, const Epilogue& then) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const double p = call.options.number("p", -1);
  require(p >= 0 && p <= 1, "p must be a probability");
  const uint64_t seed = call.options.bits("seed");
  requireWord(call, "step");
  requireWord(call, "layer");
  if (y.size() == 0) return;
  const Mask m{queue.varying(call, "step"), queue.varying(call, "layer"), seed,
               static_cast<uint64_t>(p * 0x1p32),
               p == 1 ? 0.0f : static_cast<float>(1 / (1 - p))};
  enqueue(queue, maskKernel, call.name, blocksFor((y.size() + 3) / 4, ELEMENT_THREADS),
          ELEMENT_THREADS, m, x.floats(), y.floats(), static_cast<int>(y.size()),
          aligned(x.data) && aligned(y.data) && aligned(then.gate), then);
}

}  // namespace

void dropout(Call& call, Queue& queue) { mask(call, queue, {}); }
void dropout_backward_input(Call& call, Queue& queue) { mask(call, queue, gateAt(call, 1)); }

}  // namespace convnotes::gpu_rooms
