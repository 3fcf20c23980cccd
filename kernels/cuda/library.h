// # A library of kernels for another device
//
// What `lib…cuda.so` and `lib…emulated.so` have in common, and all that the addon knows of them: one C
// function that returns a table. The addon links neither; it opens a library when a device of that kind is
// asked for, so that a machine without a driver loses nothing. No exception crosses the border: whatever
// can fail returns a message, which stays valid until the thread's next call, or null.

#pragma once

#include <cstddef>
#include <cstdint>

namespace convnotes {

struct Call;

/** What `convnotes devices` shows. */
struct GpuInfo {
  char name[256];
  int major, minor, multiprocessors;
  size_t freeBytes, totalBytes;
};

/** What a queue takes for numbers that vary. */
constexpr size_t VARYING_BYTES = size_t{1} << 16;

enum class GpuResult : int { done, refused, failed };

struct GpuLibrary {
  /** Of this very table: library and addon must be of one build. */
  size_t bytes;
  /** `cuda` or `emulated`. */
  const char* kind;
  /** How many devices there are; where there is none, `why` says so. */
  int (*count)(const char** why);
  const char* (*info)(int device, GpuInfo* info);
  /** Why the kernels do not run on a device that is there, or null. */
  const char* (*misfit)(int device);
  const char* (*use)(int device);
  /** Sets what `text` names, such as "order=random seed=7", and all else anew; of the emulated device only. */
  const char* (*configure)(const char* text);
  bool (*has)(const char* kernel);

  /** Null when the device has no such memory left. */
  void* (*allocate)(size_t bytes);
  const char* (*release)(void* memory);

  // ## Queues
  //
  // Calls are put into a queue and done in turn. Uploads and downloads wait for what is before them.

  void* (*createQueue)();
  void (*destroyQueue)(void* queue);
  /** How factors are rounded before they are multiplied: `tf32`, `bf16`, or `fp32` for not at all. */
  const char* (*setPrecision)(void* queue, const char* name);
  /** While `number`, a float of the device, is not finite, updates of parameters do nothing; null: never. */
  void (*setGuard)(void* queue, const void* number);
  /** The memory to work in that `call`, whose operands need not be there, takes in that queue. */
  GpuResult (*measure)(void* queue, Call* call, size_t* bytes, const char** message);
  /** Has calls work in that memory, as far as it goes. */
  void (*lend)(void* queue, void* memory, size_t bytes);
  const char* (*upload)(void* queue, void* to, const void* from, size_t bytes);
  const char* (*download)(void* queue, void* to, const void* from, size_t bytes);
  const char* (*copy)(void* queue, void* to, const void* from, size_t bytes);
  const char* (*fill)(void* queue, void* to, int byte, size_t bytes);
  const char* (*synchronize)(void* queue);
  /** Puts `call`, whose operands lie in the device's memory, into the queue. */
  GpuResult (*run)(void* queue, Call* call, const char** message);

  // ## Graphs
  //
  // Calls between `beginCapture` and `endCapture` are kept instead of done. `replay` does them, with the
  // numbers that vary as the calls' options have them then; the calls must live until `destroyGraph`.

  const char* (*beginCapture)(void* queue);
  const char* (*endCapture)(void* queue, void** graph);
  const char* (*replay)(void* queue, void* graph);
  const char* (*destroyGraph)(void* graph);
};

}  // namespace convnotes

/** Null where `bytes` is the size of another table. */
extern "C" const convnotes::GpuLibrary* convnotes_gpu(size_t bytes);
