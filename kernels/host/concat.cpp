// # Concatenation
//
// Blocks of the tensors in turn; exact. Bytes: 8 for each element.
// Of a copy's bandwidth (`npm run bench:kernels`, one thread of AVX-512): 97 %.

#include "loops.h"
#include "ops.h"

namespace convnotes::CN_ISA {

void concat(Call& call) {
  const Operand& y = call.output(0);
  require(!call.inputs.empty(), "needs at least one tensor");
  const int dim = axisOf(y, call.options.whole("dim", 0, -MAX_AXES));
  int64_t along = 0;
  for (size_t i = 0; i < call.inputs.size(); i++) {
    const Operand& x = call.input(i);
    require(x.axes == y.axes, "tensors have shapes " + x.show() + " and " + y.show());
    for (int axis = 0; axis < y.axes; axis++)
      require(axis == dim || x.shape[axis] == y.shape[axis],
              "tensors have shapes " + x.show() + " and " + y.show());
    along += x.shape[dim];
  }
  require(along == y.shape[dim], "output has shape " + y.show() + ", which the tensors do not fill");
  const int64_t outer = y.size(0, dim), inner = y.size(dim + 1, y.axes);
  int64_t at = 0;
  for (size_t i = 0; i < call.inputs.size(); i++) {
    const Operand& x = call.inputs[i];
    const int64_t block = x.shape[dim] * inner, row = y.shape[dim] * inner;
    float* to = y.floats() + at;
    split(call.pool, outer, block, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++)
        std::copy_n(x.floats() + n * block, block, to + n * row);
    });
    at += block;
  }
}

}  // namespace convnotes::CN_ISA
