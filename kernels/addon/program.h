// # Programs, as JavaScript sees them
//
//     new Program({ arenaBytes, places, steps, guard?, poison? })
//     program.run(bound, numbers, times?, watch?)      whether the guard let it finish
//
// A place is `{ dtype, shape, bound }` or `{ dtype, shape, offset, first?, gap? }`, for a slice the elements that
// lie between offset and its first image, and between an image and the next; a step is
// `{ kernel, inputs, outputs, options, varying }` with numbers of places, −1 where one is left out; the guard is
// `{ after, place }`. `watch` is `{ step, inputs, outputs }`, with an array for each operand of that step that is
// to be copied, and null for the others.

#pragma once

#include "../host/program.h"
#include "door.h"

namespace convnotes::door {

Napi::Function programClass(Napi::Env env);

// ## What programs of other devices are read with

/** Throws: Refusal for what is no description. */
Program::Description descriptionOf(const Napi::Value& value);

/** What a run is handed beside its tensors. */
struct RunArguments {
  std::vector<double> numbers;
  /** Null where nobody asks; else one for each step. */
  double* times = nullptr;
  bool watching = false;
  size_t step = 0;
  std::vector<Passed> inputs, outputs;
};

/** Numbers, times and watch, from the second argument on. */
RunArguments argumentsOf(const Napi::CallbackInfo& info, size_t steps);

}  // namespace convnotes::door
