// # The kernels by name
//
// `ops.def` has one line for each primitive, `fused.def` one for each kernel that only programs
// run; every instruction set has all of them.

#pragma once

#include "call.h"

namespace convnotes::CN_ISA {

#define OP(name) void name(Call& call);
#include "../ops.def"
#include "../fused.def"
#undef OP

}  // namespace convnotes::CN_ISA
