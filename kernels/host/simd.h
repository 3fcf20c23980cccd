// # Sixteen lanes
//
// Every kernel is written once, on vectors `V` of 16 floats, masks `M` and vectors `I` of 16 32-bit
// integers. On AVX-512 a `V` is one register, with AVX2 two, elsewhere four of the compiler's
// own 128-bit vectors: NEON on arm64, SSE2 on an old x86. Each kernel file is compiled once for each
// instruction set, with its namespace (`CN_ISA`) and flags set by the build.
//
// `fma` rounds once where the processor can, twice on SSE2; the bounds allow for either.
// Nothing else is fused: the build forbids the compiler to contract.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(CN_AVX512) || defined(CN_AVX2)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define CN_INLINE inline __attribute__((always_inline))

namespace convnotes::CN_ISA {

/** Lanes of a vector, and channels of a block: layouts and vectors agree on it. */
constexpr int L = 16;

#if defined(CN_AVX512)

// ## One register of AVX-512

struct V {
  __m512 r;
};
struct I {
  __m512i r;
};
struct M {
  __mmask16 r;
};

CN_INLINE V zero() { return {_mm512_setzero_ps()}; }
CN_INLINE V all(float x) { return {_mm512_set1_ps(x)}; }
CN_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
CN_INLINE void store(float* p, V x) { _mm512_storeu_ps(p, x.r); }
CN_INLINE M first(int n) {
  return {static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1)};
}
/** The first `n` lanes; zeros behind them, which are not read. */
CN_INLINE V load(const float* p, int n) { return {_mm512_maskz_loadu_ps(first(n).r, p)}; }
CN_INLINE void store(float* p, V x, int n) { _mm512_mask_storeu_ps(p, first(n).r, x.r); }
/** Past the caches, for what is not read again soon; `p` must be aligned. */
CN_INLINE void stream(float* p, V x) { _mm512_stream_ps(p, x.r); }

CN_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.r, b.r)}; }
CN_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.r, b.r)}; }
CN_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.r, b.r)}; }
CN_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.r, b.r)}; }
/** a·b + c */
CN_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
CN_INLINE V root(V a) { return {_mm512_sqrt_ps(a.r)}; }

CN_INLINE M operator<(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ)}; }
CN_INLINE M operator<=(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LE_OQ)}; }
CN_INLINE M operator==(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_EQ_OQ)}; }
CN_INLINE M isNaN(V a) { return {_mm512_cmp_ps_mask(a.r, a.r, _CMP_UNORD_Q)}; }
CN_INLINE M operator|(M a, M b) { return {static_cast<__mmask16>(a.r | b.r)}; }
CN_INLINE M operator&(M a, M b) { return {static_cast<__mmask16>(a.r & b.r)}; }
CN_INLINE bool any(M m) { return m.r != 0; }
/** `a` where the mask holds, else `b`. */
CN_INLINE V pick(M m, V a, V b) { return {_mm512_mask_blend_ps(m.r, b.r, a.r)}; }
CN_INLINE I pick(M m, I a, I b) { return {_mm512_mask_blend_epi32(m.r, b.r, a.r)}; }

CN_INLINE I bits(V a) { return {_mm512_castps_si512(a.r)}; }
CN_INLINE V fromBits(I a) { return {_mm512_castsi512_ps(a.r)}; }
CN_INLINE I allInts(int32_t x) { return {_mm512_set1_epi32(x)}; }
CN_INLINE I loadInts(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
CN_INLINE void storeInts(int32_t* p, I x) { _mm512_storeu_si512(p, x.r); }
CN_INLINE I operator+(I a, I b) { return {_mm512_add_epi32(a.r, b.r)}; }
CN_INLINE I operator-(I a, I b) { return {_mm512_sub_epi32(a.r, b.r)}; }
CN_INLINE I operator&(I a, I b) { return {_mm512_and_si512(a.r, b.r)}; }
CN_INLINE I operator|(I a, I b) { return {_mm512_or_si512(a.r, b.r)}; }
template <int n>
CN_INLINE I shiftLeft(I a) {
  return {_mm512_slli_epi32(a.r, n)};
}
/** Keeps the sign. */
template <int n>
CN_INLINE I shiftRight(I a) {
  return {_mm512_srai_epi32(a.r, n)};
}
CN_INLINE M operator==(I a, I b) { return {_mm512_cmpeq_epi32_mask(a.r, b.r)}; }
CN_INLINE V toFloats(I a) { return {_mm512_cvtepi32_ps(a.r)}; }

#elif defined(CN_AVX2)

// ## Two registers of AVX2

struct V {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};
struct M {
  __m256 a, b;
};

CN_INLINE V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
CN_INLINE V all(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
CN_INLINE V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
CN_INLINE void store(float* p, V x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
CN_INLINE M first(int n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane)),
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane))};
}
CN_INLINE V load(const float* p, int n) {
  const M m = first(n);
  return {_mm256_maskload_ps(p, _mm256_castps_si256(m.a)),
          _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))};
}
CN_INLINE void store(float* p, V x, int n) {
  const M m = first(n);
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b);
}
CN_INLINE void stream(float* p, V x) {
  _mm256_stream_ps(p, x.a);
  _mm256_stream_ps(p + 8, x.b);
}

CN_INLINE V operator+(V x, V y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
CN_INLINE V operator-(V x, V y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
CN_INLINE V operator*(V x, V y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
CN_INLINE V operator/(V x, V y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
CN_INLINE V fma(V x, V y, V z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
CN_INLINE V root(V x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }

template <int how>
CN_INLINE M compare(V x, V y) {
  return {_mm256_cmp_ps(x.a, y.a, how), _mm256_cmp_ps(x.b, y.b, how)};
}
CN_INLINE M operator<(V x, V y) { return compare<_CMP_LT_OQ>(x, y); }
CN_INLINE M operator<=(V x, V y) { return compare<_CMP_LE_OQ>(x, y); }
CN_INLINE M operator==(V x, V y) { return compare<_CMP_EQ_OQ>(x, y); }
CN_INLINE M isNaN(V x) { return compare<_CMP_UNORD_Q>(x, x); }
CN_INLINE M operator|(M x, M y) { return {_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)}; }
CN_INLINE M operator&(M x, M y) { return {_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
CN_INLINE bool any(M m) { return _mm256_movemask_ps(_mm256_or_ps(m.a, m.b)) != 0; }
CN_INLINE V pick(M m, V x, V y) {
  return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}

CN_INLINE I bits(V x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
CN_INLINE V fromBits(I x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
CN_INLINE I pick(M m, I x, I y) { return bits(pick(m, fromBits(x), fromBits(y))); }
CN_INLINE I allInts(int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
CN_INLINE I loadInts(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
CN_INLINE void storeInts(int32_t* p, I x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.b);
}
CN_INLINE I operator+(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
CN_INLINE I operator-(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
CN_INLINE I operator&(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
CN_INLINE I operator|(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
template <int n>
CN_INLINE I shiftLeft(I x) {
  return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
template <int n>
CN_INLINE I shiftRight(I x) {
  return {_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
CN_INLINE M operator==(I x, I y) {
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(x.a, y.a)),
          _mm256_castsi256_ps(_mm256_cmpeq_epi32(x.b, y.b))};
}
CN_INLINE V toFloats(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }

#else

// ## Four vectors of the compiler

typedef float F4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));

struct V {
  F4 r[4];
};
struct I {
  I4 r[4];
};
struct M {
  I4 r[4];
};

template <class R, class F>
CN_INLINE R quarters(F f) {
  return {f(0), f(1), f(2), f(3)};
}

CN_INLINE V all(float x) {
  return quarters<V>([&](int) { return F4{x, x, x, x}; });
}
CN_INLINE V zero() { return all(0); }
CN_INLINE V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
CN_INLINE void store(float* p, V x) { std::memcpy(p, &x, sizeof x); }
CN_INLINE M first(int n) {
  return quarters<M>([&](int q) {
    return I4{4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3} < I4{n, n, n, n};
  });
}
CN_INLINE V load(const float* p, int n) {
  if (n >= L) return load(p);
  float lanes[L] = {};
  for (int i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}
CN_INLINE void store(float* p, V x, int n) {
  if (n >= L) return store(p, x);
  float lanes[L];
  store(lanes, x);
  for (int i = 0; i < n; i++) p[i] = lanes[i];
}
CN_INLINE void stream(float* p, V x) { store(p, x); }

#define CN_EACH(R, expression) quarters<R>([&](int q) { return expression; })
CN_INLINE V operator+(V a, V b) { return CN_EACH(V, a.r[q] + b.r[q]); }
CN_INLINE V operator-(V a, V b) { return CN_EACH(V, a.r[q] - b.r[q]); }
CN_INLINE V operator*(V a, V b) { return CN_EACH(V, a.r[q] * b.r[q]); }
CN_INLINE V operator/(V a, V b) { return CN_EACH(V, a.r[q] / b.r[q]); }
#if defined(__aarch64__)
CN_INLINE V fma(V a, V b, V c) { return CN_EACH(V, vfmaq_f32(c.r[q], a.r[q], b.r[q])); }
CN_INLINE F4 root4(F4 a) { return vsqrtq_f32(a); }
#else
CN_INLINE V fma(V a, V b, V c) { return CN_EACH(V, a.r[q] * b.r[q] + c.r[q]); }
CN_INLINE F4 root4(F4 a) {
  return F4{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]),
            __builtin_sqrtf(a[3])};
}
#endif
CN_INLINE V root(V a) { return CN_EACH(V, root4(a.r[q])); }

CN_INLINE M operator<(V a, V b) { return CN_EACH(M, a.r[q] < b.r[q]); }
CN_INLINE M operator<=(V a, V b) { return CN_EACH(M, a.r[q] <= b.r[q]); }
CN_INLINE M operator==(V a, V b) { return CN_EACH(M, a.r[q] == b.r[q]); }
CN_INLINE M isNaN(V a) { return CN_EACH(M, a.r[q] != a.r[q]); }
CN_INLINE M operator|(M a, M b) { return CN_EACH(M, a.r[q] | b.r[q]); }
CN_INLINE M operator&(M a, M b) { return CN_EACH(M, a.r[q] & b.r[q]); }
CN_INLINE bool any(M m) {
  const I4 o = m.r[0] | m.r[1] | m.r[2] | m.r[3];
  return (o[0] | o[1] | o[2] | o[3]) != 0;
}
CN_INLINE I bits(V a) { return CN_EACH(I, (I4)a.r[q]); }
CN_INLINE V fromBits(I a) { return CN_EACH(V, (F4)a.r[q]); }
CN_INLINE I pick(M m, I a, I b) { return CN_EACH(I, (m.r[q] & a.r[q]) | (~m.r[q] & b.r[q])); }
CN_INLINE V pick(M m, V a, V b) { return fromBits(pick(m, bits(a), bits(b))); }
CN_INLINE I allInts(int32_t x) {
  return quarters<I>([&](int) { return I4{x, x, x, x}; });
}
CN_INLINE I loadInts(const int32_t* p) {
  I v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
CN_INLINE void storeInts(int32_t* p, I x) { std::memcpy(p, &x, sizeof x); }
CN_INLINE I operator+(I a, I b) { return CN_EACH(I, a.r[q] + b.r[q]); }
CN_INLINE I operator-(I a, I b) { return CN_EACH(I, a.r[q] - b.r[q]); }
CN_INLINE I operator&(I a, I b) { return CN_EACH(I, a.r[q] & b.r[q]); }
CN_INLINE I operator|(I a, I b) { return CN_EACH(I, a.r[q] | b.r[q]); }
template <int n>
CN_INLINE I shiftLeft(I a) {
  return CN_EACH(I, a.r[q] << n);
}
template <int n>
CN_INLINE I shiftRight(I a) {
  return CN_EACH(I, a.r[q] >> n);
}
CN_INLINE M operator==(I a, I b) { return CN_EACH(M, a.r[q] == b.r[q]); }
CN_INLINE V toFloats(I a) { return CN_EACH(V, __builtin_convertvector(a.r[q], F4)); }
#undef CN_EACH

#endif

// ## What follows from these

CN_INLINE V& operator+=(V& a, V b) { return a = a + b; }
CN_INLINE V absolute(V a) { return fromBits(bits(a) & allInts(0x7fffffff)); }
/** The larger one; `b` where one is NaN. */
CN_INLINE V larger(V a, V b) { return pick(b < a, a, b); }
CN_INLINE V smaller(V a, V b) { return pick(a < b, a, b); }

/** The lanes' sum, halves upon halves: 4 roundings deep on every processor alike. */
CN_INLINE float sum(V a) {
  float lane[L];
  store(lane, a);
  for (int half = L / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}

}  // namespace convnotes::CN_ISA
