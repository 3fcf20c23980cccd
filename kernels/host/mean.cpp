// # Mean
//
// y = Σ x / m along the axes that go, in the order of reduceSum and one division; dx = dy / m, one
// rounding. Bytes: as for sum.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): over pixels 87 %, backward 115 %.

#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

namespace {

/** Elements of `whole` for each of `parts`. */
float countOf(const Operand& whole, const Operand& parts) {
  return static_cast<float>(static_cast<double>(whole.size()) / static_cast<double>(parts.size()));
}

}  // namespace

void mean(Call& call) {
  reduceSum(call, call.input(0), call.output(0), countOf(call.input(0), call.output(0)));
}

void mean_backward_input(Call& call) {
  spread(call, call.input(0), call.output(0), countOf(call.output(0), call.input(0)));
}

}  // namespace convnotes::CN_ISA
