// # Matrix product
//
// y = a·b, by gemm.cpp, with its sizes and order of summation. Multiply-adds: M·K·N.

#include "gemm.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void matmul(Call& call) {
  const Operand &a = call.input(0), &b = call.input(1), &y = call.output(0);
  call.wantAxes(a, 2, "input");
  call.wantAxes(b, 2, "other");
  const int64_t M = a.shape[0], K = a.shape[1], N = b.shape[1];
  require(b.shape[0] == K, "input " + a.show() + " and other " + b.show() + " do not go together");
  call.want(y, {M, N}, "output");
  multiply(call.pool, {M, N, K, {a.floats(), K, 1}, {b.floats(), N, 1}, y.floats(), N, 1, nullptr});
}

}  // namespace convnotes::CN_ISA
