// # Exponentials
//
// On vectors, without tables. Every bound below counts units of the last place of a float32,
// 2u = 2⁻²³ relative, and holds on all processors; `kernels/check/` measures all floats.

#pragma once

#include "simd.h"

namespace convnotes::CN_ISA {

/** eˣ as p · 2ⁿ with p from 0.7 to 1.42, off by less than 1 unit; `n` in the lowest bits of a float. */
struct Power {
  V p, n;
};

/** The whole number 0 as `Power` has it: adding it to a number rounds that to a whole one. */
constexpr float WHOLE = 0x1.8p23f;

/**
 * For |x| ≤ 105. x = n·ln 2 + r with |r| ≤ ln 2 / 2; n·ln 2 is taken off in two pieces, the first of
 * which is exact. The Taylor polynomial of degree 7 is off by r⁸/8! < 2⁻²⁷.
 */
CN_INLINE Power powerOf(V x) {
  const V n = fma(x, all(0x1.715476p0f), all(WHOLE));
  const V whole = n - all(WHOLE);
  V r = fma(whole, all(-0.693359375f), x);
  r = fma(whole, all(2.12194440e-4f), r);
  V p = all(1.0f / 5040);
  p = fma(p, r, all(1.0f / 720));
  p = fma(p, r, all(1.0f / 120));
  p = fma(p, r, all(1.0f / 24));
  p = fma(p, r, all(1.0f / 6));
  p = fma(p, r, all(0.5f));
  p = fma(p, r, all(1.0f));
  p = fma(p, r, all(1.0f));
  return {p, n};
}

/**
 * eˣ, off by less than 1 unit; 0 below −103.97, infinite above 88.72, NaN stays NaN. Two factors make
 * 2ⁿ, so that results that underflow are rounded once.
 */
CN_INLINE V exponential(V x) {
  const Power e = powerOf(smaller(larger(x, all(-105.0f)), all(90.0f)));
  const I k = bits(e.n) - bits(all(WHOLE));
  const I half = shiftRight<1>(k);
  const V low = fromBits(shiftLeft<23>(half + allInts(127)));
  const V high = fromBits(shiftLeft<23>(k - half + allInts(127)));
  const V y = e.p * low * high;
  // Where x was cut, r is not what the polynomial is for.
  const V ends = pick(x < zero(), zero(), all(__builtin_inff()));
  const V cut = pick((x < all(-104.0f)) | (all(88.73f) < x), ends, y);
  return pick(isNaN(x), x, cut);
}

/**
 * 1 / (1 + e⁻ˣ), off by less than 2 units, or where it is less than 2⁻¹²⁶ by less than that; NaN stays
 * NaN. From −87 to 88 the power of two goes straight into the exponent, and beyond nothing else
 * happens: below −87 the sum is 1.
 */
CN_INLINE V logistic(V x) {
  const V t = zero() - x;
  const Power e = powerOf(larger(all(-87.0f), smaller(all(88.0f), t)));
  const V y = all(1.0f) / (all(1.0f) + fromBits(bits(e.p) + shiftLeft<23>(bits(e.n))));
  return pick(isNaN(x), x, y);
}

/**
 * tanh x, off by less than 2 units.
 *
 * Up to 0.55 the Taylor polynomial of degree 19, whose next term is below 2⁻³⁰ of x; from there
 * 1 − 2/(e²ˣ + 1), in which at most half of a unit and a half cancels.
 */
CN_INLINE V hyperbolicTangent(V x) {
  const V size = absolute(x), s = x * x;
  V p = all(-443861162.0f / 1856156927625.0f);
  p = fma(p, s, all(6404582.0f / 10854718875.0f));
  p = fma(p, s, all(-929569.0f / 638512875.0f));
  p = fma(p, s, all(21844.0f / 6081075.0f));
  p = fma(p, s, all(-1382.0f / 155925.0f));
  p = fma(p, s, all(62.0f / 2835.0f));
  p = fma(p, s, all(-17.0f / 315.0f));
  p = fma(p, s, all(2.0f / 15.0f));
  p = fma(p, s, all(-1.0f / 3.0f));
  const V small = fma(p * s, x, x);
  const V large = all(1.0f) - all(2.0f) / (exponential(size + size) + all(1.0f));
  const I sign = bits(x) & allInts(INT32_MIN);
  const V y = pick(size < all(0.55f), small, fromBits(bits(large) | sign));
  return pick(isNaN(x), x, y);
}

}  // namespace convnotes::CN_ISA
