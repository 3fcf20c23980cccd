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

/** Makes channels lanes: [channels / (MAX_NB · 16)][block, pixel][16 images][MAX_NB · 16]. */
void turn(Pool& pool, const Blocks& x, int64_t panels, float* turned);

}  // namespace convnotes::CN_ISA::blocked
