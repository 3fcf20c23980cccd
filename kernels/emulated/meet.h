// # Operations of a warp
//
// What meet.cpp offers to the instructions that whole warps do together.

#pragma once

#include "machine.h"

namespace emulated {

/** Two lanes that meet must do the same; a matrix operation takes all 32. */
enum class Operation { sync, shuffle, ballot, reduce, matrix };

/** Waits for the lanes of `mask`; the last to come calls `act`, which finds everybody's operand. */
void meet(uint32_t mask, Operation operation, void* operand, void (*act)(Meeting&, Warp&),
          Site site);

/** Lets the thread's copies land, except the `pending` groups committed last. */
void landCopies(Thread& thread, size_t pending);

}  // namespace emulated
