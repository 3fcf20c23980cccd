// # The mask of dropout
//
// Element i looks at word i mod 4 of the Philox4x32-10 block with counter [⌊i/4⌋, layer, step, 0] under the
// seed as key, and is kept if the word is at least ⌊p·2³²⌋: that of reference/random.ts to the bit. What is
// kept is multiplied by 1/(1 − p), rounded once from float64.
//
// Step and layer are read from device memory, since they differ from step to step. A block of the cipher is
// some 100 operations on integers; it serves four elements, or one of them.

#pragma once

#include <cmath>

#include "room.h"

namespace convnotes::gpu_rooms {

struct Mask {
  const double *step = nullptr, *layer = nullptr;
  uint64_t seed = 0, threshold = 0;
  float scale = 1;

  /** Four words, for four neighbouring elements. */
  __device__ __forceinline__ uint4 words(uint32_t block) const {
    uint32_t c0 = block, c1 = static_cast<uint32_t>(*layer), c2 = static_cast<uint32_t>(*step);
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
    return {c0, c1, c2, c3};
  }
  __device__ __forceinline__ bool keeps(int i) const {
    const uint4 w = words(static_cast<uint32_t>(i) / 4);
    const uint32_t even = i & 2 ? w.z : w.x, odd = i & 2 ? w.w : w.y;
    return (i & 1 ? odd : even) >= threshold;
  }
  __device__ __forceinline__ float operator()(float x, bool kept) const {
    return kept ? x * scale : 0.0f;
  }
};

/** What the options `p`, `seed`, `step` and `layer` say. */
inline Mask maskOf(const Call& call, Queue& queue) {
  const double p = call.options.number("p", -1);
  require(p >= 0 && p <= 1, "p must be a probability");
  const uint64_t seed = call.options.bits("seed");
  for (const char* name : {"step", "layer"}) {
    const double x = call.options.number(name, -1);
    require(std::trunc(x) == x && x >= 0 && x < 0x1p32,
            std::string(name) + " must be a whole number of 32 bits");
  }
  return {queue.varying(call, "step"), queue.varying(call, "layer"), seed,
          static_cast<uint64_t>(p * 0x1p32), p == 1 ? 0.0f : static_cast<float>(1 / (1 - p))};
}

}  // namespace convnotes::gpu_rooms
