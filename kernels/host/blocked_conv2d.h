// # What a convolution in blocks of images is told

#pragma once

#include "blocked.h"

namespace convnotes::CN_ISA::blocked {

struct Shapes {
  Blocks x, y;
  int64_t O, C, taps;
  Window rows, columns;
};

/** Checks that x, w and y (or their gradients) belong together. */
Shapes shapesOf(const Call& call, const Operand& x, const Operand& w, const Operand& y);

}  // namespace convnotes::CN_ISA::blocked
