// # Programs, as JavaScript sees them
//
//     new Program({ arenaBytes, places, steps, guard?, poison? })
//     program.run(bound, numbers, times?)      whether the guard let it finish
//
// A place is `{ dtype, shape, bound }` or `{ dtype, shape, offset }`; a step is
// `{ kernel, inputs, outputs, options, varying }` with numbers of places, −1 where one is left out;
// the guard is `{ after, place }`.

#pragma once

#include "door.h"

namespace convnotes::door {

Napi::Function programClass(Napi::Env env);

}  // namespace convnotes::door
