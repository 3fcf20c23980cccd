// # Transposing blocks of 16 × 16
//
// Between `[N, C, H, W]`, where the pixels of a channel are neighbours, and blocks, where 16
// channels of a pixel are. One block is 16 loads, 64 shuffles and 16 stores on AVX-512: about a
// quarter of a cycle for each number.

#pragma once

#include "simd.h"

namespace convnotes::CN_ISA {

#if defined(CN_AVX512)

/** Row i, lane j ↔ row j, lane i. */
CN_INLINE void transpose(V (&r)[L]) {
  __m512 t[L];
  // Pairs of rows, then fours: lane group g of t[4q + i] holds columns 4g + i of rows 4q … 4q + 3.
  for (int q = 0; q < 16; q += 4) {
    const __m512 a = _mm512_unpacklo_ps(r[q].r, r[q + 1].r);
    const __m512 b = _mm512_unpackhi_ps(r[q].r, r[q + 1].r);
    const __m512 c = _mm512_unpacklo_ps(r[q + 2].r, r[q + 3].r);
    const __m512 d = _mm512_unpackhi_ps(r[q + 2].r, r[q + 3].r);
    t[q] = _mm512_shuffle_ps(a, c, 0x44);
    t[q + 1] = _mm512_shuffle_ps(a, c, 0xee);
    t[q + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[q + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
  // The 4 × 4 groups of four lanes are transposed as wholes.
  for (int i = 0; i < 4; i++) {
    const __m512 a = _mm512_shuffle_f32x4(t[i], t[4 + i], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(t[i], t[4 + i], 0xdd);
    const __m512 c = _mm512_shuffle_f32x4(t[8 + i], t[12 + i], 0x88);
    const __m512 d = _mm512_shuffle_f32x4(t[8 + i], t[12 + i], 0xdd);
    r[i].r = _mm512_shuffle_f32x4(a, c, 0x88);
    r[4 + i].r = _mm512_shuffle_f32x4(b, d, 0x88);
    r[8 + i].r = _mm512_shuffle_f32x4(a, c, 0xdd);
    r[12 + i].r = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

#elif defined(CN_AVX2)

CN_INLINE void transpose8(__m256 (&r)[8]) {
  __m256 t[8];
  for (int q = 0; q < 8; q += 4) {
    const __m256 a = _mm256_unpacklo_ps(r[q], r[q + 1]), b = _mm256_unpackhi_ps(r[q], r[q + 1]);
    const __m256 c = _mm256_unpacklo_ps(r[q + 2], r[q + 3]);
    const __m256 d = _mm256_unpackhi_ps(r[q + 2], r[q + 3]);
    t[q] = _mm256_shuffle_ps(a, c, 0x44);
    t[q + 1] = _mm256_shuffle_ps(a, c, 0xee);
    t[q + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[q + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(t[i], t[4 + i], 0x20);
    r[4 + i] = _mm256_permute2f128_ps(t[i], t[4 + i], 0x31);
  }
}

CN_INLINE void transpose(V (&r)[L]) {
  __m256 p[8], q[8], s[8], t[8];
  for (int i = 0; i < 8; i++) p[i] = r[i].a, q[i] = r[i].b, s[i] = r[8 + i].a, t[i] = r[8 + i].b;
  transpose8(p);
  transpose8(q);
  transpose8(s);
  transpose8(t);
  for (int i = 0; i < 8; i++) r[i] = {p[i], s[i]}, r[8 + i] = {q[i], t[i]};
}

#else

CN_INLINE void transpose4(F4& a, F4& b, F4& c, F4& d) {
  const F4 p = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const F4 q = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const F4 s = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const F4 t = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(p, s, 0, 1, 4, 5);
  b = __builtin_shufflevector(p, s, 2, 3, 6, 7);
  c = __builtin_shufflevector(q, t, 0, 1, 4, 5);
  d = __builtin_shufflevector(q, t, 2, 3, 6, 7);
}

CN_INLINE void transpose(V (&r)[L]) {
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++)
      transpose4(r[4 * i].r[j], r[4 * i + 1].r[j], r[4 * i + 2].r[j], r[4 * i + 3].r[j]);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++)
      for (int k = 0; k < 4; k++) {
        const F4 kept = r[4 * i + k].r[j];
        r[4 * i + k].r[j] = r[4 * j + k].r[i];
        r[4 * j + k].r[i] = kept;
      }
}

#endif

/**
 * Writes `columns` rows, each the column of up to 16 rows `from`: lane i of row j is
 * `from[i · fromStep + j]`. Lanes from `rows` on are zero.
 */
inline void gatherColumns(const float* from, ptrdiff_t fromStep, int rows, int columns, float* to,
                          ptrdiff_t toStep) {
  V r[L];
  for (int i = 0; i < L; i++) r[i] = i < rows ? load(from + i * fromStep, columns) : zero();
  transpose(r);
  for (int j = 0; j < columns; j++) store(to + j * toStep, r[j]);
}

/** The way back: `to[i · toStep + j]` is lane i of row j, for the first `rows` lanes only. */
inline void scatterColumns(const float* from, ptrdiff_t fromStep, int rows, int columns, float* to,
                           ptrdiff_t toStep) {
  V r[L];
  for (int j = 0; j < L; j++)
    r[j] = j >= columns ? zero()
           : rows < L   ? load(from + j * fromStep, rows)
                        : load(from + j * fromStep);
  transpose(r);
  for (int i = 0; i < rows; i++) store(to + i * toStep, r[i], columns);
}

}  // namespace convnotes::CN_ISA
