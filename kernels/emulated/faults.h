// # What a kernel with a slip is given
//
// Shared by faults.cu and the program that runs them, faults.cpp.

#pragma once

#include <vector>

#include "../cuda/gpu.h"

/** `x` holds 128 numbers for each block, `y` one; `count` is a zero; `host` is no device's, `freed` was. */
struct Board {
  int blocks;
  const float* x;
  float* y;
  int* count;
  const float* host;
  const float* freed;
  gpu::stream_t stream;
  /** `x` as rows of 32, of which a box has four. */
  gpu::TensorMap map;
};

struct Fault {
  const char* name;
  const char* (*launch)(bool broken, const Board& board);
};

extern const std::vector<Fault> faults;
