// # The rooms by name
//
// `ops.def` has one line for each primitive, `fused.def` one for each kernel that only programs for GPUs run;
// each has a function that puts it into a queue.

#pragma once

#include "room.h"

namespace convnotes {

namespace gpu_rooms {

#define OP(name) void name(Call& call, Queue& queue);
#include "../ops.def"
#include "fused.def"
#undef OP

}  // namespace gpu_rooms

using Room = void (*)(Call& call, Queue& queue);

/** The room `name`, which refuses tensors that are too large for 32 bits; null if there is none. */
Room roomOf(const std::string& name);

}  // namespace convnotes
