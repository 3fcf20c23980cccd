// # Dropout
//
// y = x/(1 − p) where the mask keeps, else 0; the gradient is the same function of dy. The mask is that of
// reference/random.ts to the bit: element i looks at word i mod 4 of the Philox4x32-10 block with counter
// [⌊i/4⌋, layer, step, 0] under the seed as key, and is kept if the word is at least ⌊p·2³²⌋.
//
// Sixteen blocks are enciphered abreast, which gives 64 elements. Bytes: 8 for each element; some 12
// operations on integers for each, which is what it costs.
// Three roundings: 1 − p, its reciprocal, the product. The first two are in float64 here.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 9 %: the cipher binds it.

#include <cmath>

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

namespace {

/** Words 0 to 3 of the blocks `block` … `block + 15`, block by block. */
void encipher(uint32_t block, uint32_t layer, uint32_t step, uint64_t seed, uint32_t (&words)[4 * L]) {
  uint32_t c0[L], c1[L], c2[L], c3[L];
  for (int i = 0; i < L; i++) {
    c0[i] = block + static_cast<uint32_t>(i);
    c1[i] = layer;
    c2[i] = step;
    c3[i] = 0;
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < L; i++) {
      const uint64_t p = uint64_t{0xd2511f53} * c0[i], q = uint64_t{0xcd9e8d57} * c2[i];
      c0[i] = static_cast<uint32_t>(q >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<uint32_t>(q);
      c2[i] = static_cast<uint32_t>(p >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<uint32_t>(p);
    }
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  for (int i = 0; i < L; i++) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

uint32_t word(const Call& call, const char* name) {
  const double x = call.options.number(name, -1);
  require(std::trunc(x) == x && x >= 0 && x < 0x1p32,
          std::string(name) + " must be a whole number of 32 bits");
  return static_cast<uint32_t>(x);
}

void mask(const Call& call) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const double p = call.options.number("p", -1);
  require(p >= 0 && p <= 1, "p must be a probability");
  const uint64_t seed = call.options.bits("seed");
  const uint32_t step = word(call, "step"), layer = word(call, "layer");
  const uint64_t threshold = static_cast<uint64_t>(p * 0x1p32);
  const float scale = p == 1 ? 0.0f : static_cast<float>(1 / (1 - p));
  const int64_t count = y.size();
  require(count < int64_t{1} << 34, "the tensor has more elements than there are counters");
  const float* from = x.floats();
  float* to = y.floats();
  // A word costs as much as some sixteen elements of other loops.
  split(call.pool, (count + 4 * L - 1) / (4 * L), 16 * 4 * L, [&](int64_t begin, int64_t end) {
    uint32_t words[4 * L];
    for (int64_t b = begin; b < end; b++) {
      encipher(static_cast<uint32_t>(b * L), layer, step, seed, words);
      const int64_t base = b * 4 * L;
      const int width = static_cast<int>(std::min<int64_t>(4 * L, count - base));
      for (int i = 0; i < width; i++)
        to[base + i] = words[i] >= threshold ? from[base + i] * scale : 0.0f;
    }
  });
}

}  // namespace

void dropout(Call& call) { mask(call); }
void dropout_backward_input(Call& call) { mask(call); }

}  // namespace convnotes::CN_ISA
