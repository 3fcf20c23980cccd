// # To blocks and back
//
// Copies between [N, C, H, W] and blocks of 16 images (blocked.h); concatenation and its gradient,
// which are copies too. Exact. Bytes: 8 for each element; 16 × 16 transposes, about half a cycle each.

#include "blocked.h"
#include "ops.h"
#include "transpose.h"

namespace convnotes::CN_ISA {

namespace blocked {

struct Edge {
  Blocks b;
  int64_t N;
  float* plain;
};

/** Checks that `plain` is [N, C, H, W], or [N, C·H·W] which is the same memory. */
Edge edgeOf(const Operand& plain, const Operand& blocks) {
  const Blocks b = blocksOf(blocks, "the blocks");
  require(plain.axes >= 2 && plain.size() == plain.shape[0] * b.C * b.H * b.W &&
              (plain.shape[0] + L - 1) / L == b.G,
          "blocks " + blocks.show() + " do not hold " + plain.show());
  return {b, plain.shape[0], plain.floats()};
}

}  // namespace blocked

void to_blocks(Call& call) {
  const blocked::Edge e = blocked::edgeOf(call.input(0), call.output(0));
  const blocked::Blocks& b = e.b;
  const int64_t A = b.pixels(), image = b.C * A;
  split(call.pool, b.G * b.C, A * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t g = i / b.C, c = i % b.C;
      const float* from = e.plain + g * L * image + c * A;
      for (int64_t q = 0; q < A; q += L)
        gatherColumns(from + q, image, blocked::lanesOf(e.N, g),
                      static_cast<int>(std::min<int64_t>(L, A - q)),
                      b.at(g, 0) + (q * b.C + c) * L, b.pixel());
    }
  });
}

void from_blocks(Call& call) {
  const blocked::Edge e = blocked::edgeOf(call.output(0), call.input(0));
  const blocked::Blocks& b = e.b;
  const int64_t A = b.pixels(), image = b.C * A;
  split(call.pool, b.G * b.C, A * L, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t g = i / b.C, c = i % b.C;
      float* to = e.plain + g * L * image + c * A;
      for (int64_t q = 0; q < A; q += L)
        scatterColumns(b.at(g, 0) + (q * b.C + c) * L, b.pixel(), blocked::lanesOf(e.N, g),
                       static_cast<int>(std::min<int64_t>(L, A - q)), to + q, image);
    }
  });
}

void blocked_concat(Call& call) {
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  int64_t first = 0;
  for (size_t k = 0; k < call.inputs.size(); k++) {
    const blocked::Blocks x = blocked::blocksOf(call.input(k), "input");
    require(x.G == y.G && x.H == y.H && x.W == y.W && first + x.C <= y.C,
            "the tensors do not fill the output");
    split(call.pool, y.G * y.pixels(), x.pixel(), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++)
        std::copy_n(x.data + p * x.pixel(), x.pixel(), y.data + p * y.pixel() + first * L);
    });
    first += x.C;
  }
  require(first == y.C, "the tensors do not fill the output");
}

void blocked_narrow(Call& call) {
  const blocked::Blocks x = blocked::blocksOf(call.input(0), "input");
  const blocked::Blocks y = blocked::blocksOf(call.output(0), "output");
  const int64_t asked = call.options.whole("start", 0, -x.C);
  const int64_t start = asked < 0 ? asked + x.C : asked;
  require(x.G == y.G && x.H == y.H && x.W == y.W && start + y.C <= x.C,
          "the part lies outside of the input");
  split(call.pool, y.G * y.pixels(), y.pixel(), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++)
      std::copy_n(x.data + p * x.pixel() + start * L, y.pixel(), y.data + p * y.pixel());
  });
}

}  // namespace convnotes::CN_ISA
