// # The tile
//
// The innermost loop of every convolution and matrix product:
//
//     c[i][v] += Σ_k a(i, k) · b(k, v)        i < MR,  v < NB vectors of 16
//
// `a` is read one number at a time and spread over the lanes; `b` is read in vectors. MR × NB sums
// stay in registers while k runs.
//
// The sum is cut into *runs*. Within a run both operands advance by a fixed step at each k; from
// run to run they jump to any place. So the same loop reads a packed matrix (one run for 16
// columns), the pixels under a moving window (one run for each tap and block of 16 channels) and, for
// the gradient of a weight, rows of two images (one run for each row of pixels).
//
// Neighbouring i are a fixed distance MS apart, known to the compiler: 16 where a row holds 16
// consecutive k (neighbouring pixels of a blocked image), or 1 where i itself is consecutive. All
// addresses are then one pointer and a constant.
//
// Sizes: AVX-512 has 32 registers of 16 lanes: 14 × 2 sums, two vectors of b and a factor. AVX2
// (16 registers, two to a vector): 6 × 1. 128-bit NEON (32 registers, four to a vector): 6 × 1.
// At 14 × 2 a step of k is 28 multiply-adds (14 cycles on two pipes) for 16 loads, so neither
// the loads nor the latency of a sum (4 cycles) limit it.
//
// Order of summation: for each element one accumulator, k ascending, cut into chunks of at most
// `CHUNK` terms (whole runs, unless one is longer) that are added to `c` in turn. Two neighbouring chunks
// have more than CHUNK terms together, so the depth of n terms is CHUNK + 2n/CHUNK + 1 at most.

#pragma once

#include <cstddef>

#include "simd.h"

namespace convnotes::CN_ISA {

#if defined(CN_AVX512)
constexpr int MAX_MR = 14, MAX_NB = 2;
#else
constexpr int MAX_MR = 6, MAX_NB = 1;
#endif

/** Where a run starts, in floats from the tile's own `a` and `b`, and how many k it has. */
struct Run {
  int32_t a, b, length;
};

/** Terms that one accumulator takes before it is added to the rest. */
constexpr int CHUNK = 512;

/** Steps of `a` and `b` from k to k + 1, from vector to vector of b, and through `c`. */
struct Steps {
  ptrdiff_t aK, bK, bV;
  ptrdiff_t cM, cV;
};

/**
 * Computes a tile of that many rows and vectors; `a0` is added to where each run of a starts.
 *
 * No runs make zeros. With `add` the sums are added to what `c` holds.
 */
using Tile = void (*)(const float* a, ptrdiff_t a0, const float* b, const Run* run, int runs,
                      const Steps& steps, float* c, bool add);

/** For rows of a that are 16 apart (neighbouring pixels, packed strips), and for those 1 apart. */
extern const Tile pixelTiles[MAX_MR][MAX_NB];
extern const Tile channelTiles[MAX_MR][MAX_NB];

}  // namespace convnotes::CN_ISA
