// # Programs, as JavaScript sees them
//
//     new Program({ arenaBytes, places, steps, guard?, poison? })
//     program.run(bound, numbers, times?, watch?)      whether the guard let it finish
//
// A place is `{ dtype, shape, bound }` or `{ dtype, shape, offset }`; a step is
// `{ kernel, inputs, outputs, options, varying }` with numbers of places, −1 where one is left out;
// the guard is `{ after, place }`. `watch` is `{ step, inputs, outputs }`, with an array for each operand
// of that step that is to be copied, and null for the others.

#pragma once

#include "door.h"

namespace convnotes::door {

Napi::Function programClass(Napi::Env env);

}  // namespace convnotes::door
