// # One launch for many parameters
//
// A network has dozens of parameters, most of them small, and a launch takes longer than what an optimiser
// does to a small one. While a graph is captured, the optimiser's calls wait for one another, up to
// MANY of them, until anything else is put into the queue; then one launch serves all. What each
// call reads and writes comes as an argument of the kernel (below 32 KB, so that nothing is uploaded).
//
// One thread = four neighbouring elements of one parameter; a block finds its parameter by bisection. Where the
// queue has a guard (the loss of the step) that is not finite, every thread returns at once, so that the host
// need not look at it in the middle of a step.

#pragma once

#include "elementwise.h"

namespace convnotes::gpu_rooms {

constexpr int MANY = 256, MANY_ELEMENTS = 4 * ELEMENT_THREADS;

/** One parameter: what is read, what is written, and two numbers that differ from step to step. */
struct Parameter {
  const float* in[4];
  float* out[3];
  const double* numbers[2];
  int count;
  /** Whether all of them begin at a multiple of 16 bytes. */
  bool fours;

  /** Whether one writes what the other reads or writes. */
  bool meets(const Parameter& other) const {
    for (const float* mine : out)
      for (const float* theirs : other.in)
        if (mine && mine == theirs) return true;
    for (const float* mine : out)
      for (const float* theirs : other.out)
        if (mine && mine == theirs) return true;
    return false;
  }
};

template <class Options>
struct Many {
  Options options;
  const float* guard;
  int count;
  /** The first block of each parameter, and one past the last block. */
  int first[MANY + 1];
  Parameter parameters[MANY];

  /** Whether the guard forbids to change anything. */
  __device__ __forceinline__ bool isHalted() const {
    return guard && !(*guard - *guard == 0);
  }

  /** The parameter that a block works on. */
  __device__ __forceinline__ int of(int block) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first[middle] <= block)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

template <class Options>
struct Gather : Gathered {
  static_assert(sizeof(Many<Options>) <= 32764, "a kernel takes no more");
  void (*kernel)(GPU_LARGE(Many<Options>));
  const char* name;
  Many<Options> table{};

  void launch(Queue& queue) override {
    enqueue(queue, kernel, name, static_cast<unsigned>(table.first[table.count]), ELEMENT_THREADS,
            table);
  }
};

/** Puts a parameter into the launch that waits, if it is of the same kind. */
template <class Options>
void together(const Call& call, Queue& queue, void (*kernel)(GPU_LARGE(Many<Options>)),
              const Options& options, Parameter parameter) {
  if (parameter.count == 0) return;
  parameter.fours = true;
  for (const float* p : parameter.in) parameter.fours &= aligned(p);
  for (const float* p : parameter.out) parameter.fours &= aligned(p);
  auto* waiting = dynamic_cast<Gather<Options>*>(queue.gathered.get());
  bool fits = waiting && waiting->table.count < MANY && waiting->table.options == options &&
              waiting->table.guard == queue.guard;
  for (int i = 0; fits && i < waiting->table.count; i++) {
    const Parameter& other = waiting->table.parameters[i];
    fits = !other.meets(parameter) && !parameter.meets(other);
  }
  if (!fits) {
    queue.flush();
    auto fresh = std::make_unique<Gather<Options>>();
    waiting = fresh.get();
    waiting->kernel = kernel;
    waiting->name = call.name;
    waiting->table.options = options;
    waiting->table.guard = queue.guard;
    queue.gathered = std::move(fresh);
  }
  Many<Options>& table = waiting->table;
  table.parameters[table.count] = parameter;
  table.first[table.count + 1] =
      table.first[table.count] + static_cast<int>(blocksFor(parameter.count, MANY_ELEMENTS));
  table.count++;
  if (!queue.capturing) queue.flush();
}

/** The four elements from `i` on, or as many as there are; absent ones are 0. */
__device__ __forceinline__ void readFour(const Parameter& t, const float* from, int64_t i,
                                         float (&x)[4]) {
  if (t.fours && i + 4 <= t.count) {
    const float4 v = *reinterpret_cast<const float4*>(from + i);
    x[0] = v.x;
    x[1] = v.y;
    x[2] = v.z;
    x[3] = v.w;
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++) x[k] = i + k < t.count ? from[i + k] : 0;
  }
}

__device__ __forceinline__ void writeFour(const Parameter& t, float* to, int64_t i,
                                          const float (&x)[4]) {
  if (t.fours && i + 4 <= t.count) {
    *reinterpret_cast<float4*>(to + i) = make_float4(x[0], x[1], x[2], x[3]);
  } else {
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (i + k < t.count) to[i + k] = x[k];
  }
}

}  // namespace convnotes::gpu_rooms
