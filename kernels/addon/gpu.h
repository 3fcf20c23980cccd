// # Other devices, as JavaScript sees them
//
//     Gpu.count(file, settings)              { count, why }
//     new Gpu(file, device)                  opens a library of kernels and one of its devices
//       .kind() .has(kernel) .describe() .configure(text) .precision(name)
//       .run(kernel, inputs, outputs, options)
//     new GpuMemory(gpu, bytes)              .upload(array) .download(array) .copy(memory) .release()
//     new GpuProgram(gpu, description)       .run(bound, numbers, times?, watch?) .workBytes()
//
// Inputs and outputs of `run` are lists of memory, dtype and shape in turn, three nulls where one is left
// out. Programs are as on the host (program.h), with memory where arrays were bound.

#pragma once

#include "door.h"

namespace convnotes::door {

void exportGpu(Napi::Env env, Napi::Object exports);

}  // namespace convnotes::door
