// # A program on another device
//
// The same description as the host's (host/program.h), its arena and what is bound in the device's memory.
// The first run with the same tensors goes call by call; the next one is captured as a graph; all others
// replay it. Behind the guard, updates look at it themselves, so the host does not before the end; where
// anything else writes what is bound, it does, and there are two graphs. Whoever wants times or looks at a
// call gets a run call by call.

#pragma once

#include <string>
#include <vector>

#include "../cuda/library.h"
#include "../host/program.h"

namespace convnotes {

/** What the device itself says has gone wrong. */
struct GpuError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** Throws: GpuError with what the device says, if anything. */
inline void expect(const char* error, const std::string& what) {
  if (error) throw GpuError(what + ": " + error);
}

/** An open device: its library, and the memory in which all its programs take turns. */
class Gpu {
 public:
  Gpu(const GpuLibrary& library, int device) : library(library), device(device) {
    use();
    queue = createQueue();
  }
  ~Gpu() {
    library.use(device);
    if (arena_) library.release(arena_);
    library.destroyQueue(queue);
  }
  Gpu(const Gpu&) = delete;

  const GpuLibrary& library;
  const int device;
  /** For single calls, uploads and downloads. */
  void* queue = nullptr;
  std::string precision = "tf32";

  /** Makes it the thread's device. */
  void use() const { expect(library.use(device), "the device cannot be used"); }

  void* createQueue() const {
    void* made = library.createQueue();
    if (!made) throw GpuError("the device gives no queue");
    expect(library.setPrecision(made, precision.c_str()), "precision");
    return made;
  }

  /** At least so many bytes, the same for all; graphs captured with an older one are void. */
  void* arena(size_t bytes);
  int generation() const { return generation_; }

  /** Throws: Refusal, GpuError. */
  void run(void* in, Call& call) const;
  void expectDone(GpuResult result, const Call& call, const char* message) const;

 private:
  void* arena_ = nullptr;
  size_t arenaBytes_ = 0;
  int generation_ = 0;
};

/** Memory of a device. Throws: GpuError that says how much there is. */
void* allocateOn(const Gpu& gpu, size_t bytes, const char* what);

class GpuProgram {
 public:
  /** Throws: Refusal for what `Program::check` refuses, or a kernel that the library has not. */
  GpuProgram(Gpu& gpu, Program::Description description);
  ~GpuProgram();
  GpuProgram(const GpuProgram&) = delete;

  const std::vector<Place>& places() const { return description_.places; }
  size_t bounds() const { return needs_.bounds; }
  size_t steps() const { return description_.steps.size(); }
  /** What kernels work in, behind the arena's values. */
  size_t workBytes() const { return workBytes_ + VARYING_BYTES + ALIGNMENT; }

  /** As the host's, with what is bound in the device's memory. */
  bool run(const std::vector<void*>& bound, const std::vector<double>& numbers, double* times,
           const Program::Watch* watch);

 private:
  void put(const std::vector<char*>& places);
  void place(const std::vector<void*>& bound);
  void forget();
  void calls(size_t from, size_t to);
  bool guarded();
  void* capture(size_t from, size_t to);
  bool oneByOne(double* times, const Program::Watch* watch);

  /** Of what kernels work in. */
  static constexpr size_t ALIGNMENT = 256;

  Gpu& gpu_;
  Program::Description description_;
  Program::Needs needs_;
  void* queue_ = nullptr;
  Pool pool_{1};
  std::vector<Call> calls_;
  /** Where each place lies now, and what that follows from. */
  std::vector<char*> addresses_;
  std::vector<void*> bound_;
  int generation_ = -1;
  /** Whether every call has been done once, and whether there are graphs of them. */
  bool ready_ = false, captured_ = false;
  size_t workBytes_ = 0;
  /** Whether all that the guard is to prevent looks at it by itself. */
  bool halts_ = true;
  /** Up to where the host looks at the guard, and what is behind it; null where there is nothing. */
  void* graphs_[2] = {};
};

}  // namespace convnotes
