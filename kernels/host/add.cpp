// # Addition
//
// y = a + b, element by element, axes of size 1 repeated. One rounding. Bytes: 12 for each element.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 100 to 119 %.

#include "elementwise.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void add(Call& call) {
  pairwise(call, call.input(0), call.input(1), call.output(0), [](V a, V b) { return a + b; });
}

}  // namespace convnotes::CN_ISA
