// # Sum
//
// y = Σ x along the axes that go; dx = dy for each of them, which is exact. The order of summation is
// that of reduceSum. Bytes: 4 for each element read, 4 for each written.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): over pixels 67 %, backward 115 %.

#include "ops.h"
#include "reduce.h"

namespace convnotes::CN_ISA {

void sum(Call& call) { reduceSum(call, call.input(0), call.output(0), 1); }
void sum_backward_input(Call& call) { spread(call, call.input(0), call.output(0), 1); }

}  // namespace convnotes::CN_ISA
