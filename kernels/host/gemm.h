// # Matrix product
//
// y[m][n] = Σ_k a(m, k) · b(k, n) + bias, for operands in any orientation: each is given by the
// distance between neighbours along both of its axes, one of which is 1.

#pragma once

#include <cstddef>
#include <cstdint>

#include "pool.h"

namespace convnotes::CN_ISA {

struct Matrix {
  const float* data;
  ptrdiff_t row, column;
};

struct Product {
  int64_t M, N, K;
  Matrix a, b;
  float* y;
  /** Between neighbouring rows of y, and neighbouring columns; one of them is 1. */
  ptrdiff_t yRow, yColumn;
  /** Added to every element of column n, or of row m with `biasPerRow`; null for none. */
  const float* bias;
  bool biasPerRow = false;
};

void multiply(Pool& pool, Product p);

}  // namespace convnotes::CN_ISA
