// # A room on the GPU
//
// What the host's side of every CUDA kernel uses. A room checks the same call with the same words as the
// host's kernel of the same name (host/call.h), then puts its launches into a queue and returns; nothing
// here waits for the device, so that whole steps can be captured as a graph.
//
// Operands lie in device memory. Tensors of 2³¹ elements or more are refused before a room sees them
// (all.cu), so indices are 32 bits wide.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../host/call.h"
#include "gpu.h"

namespace convnotes {

/** What the device itself says has gone wrong: no argument is to blame, and nothing else may be tried. */
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void succeed(const char* error, const char* what) {
  if (error) throw DeviceError(std::string(what) + ": " + error);
}

/** How the factors of convolutions and matrix products are rounded before they are multiplied. */
enum class Precision : uint8_t { tf32, bf16, fp32 };

// ## The queue
//
// A replayed graph repeats its launches with the arguments that they were captured with. So what differs
// from step to step (learning rate, step number) is read from device memory: each such option has a
// slot, which `refresh` fills from the calls' options before every replay. Slots and scratch memory
// stay where they are for as long as the queue lives.

class Queue;

/** Calls that wait for others which the same launch can serve (many.h). */
struct Gathered {
  virtual ~Gathered() = default;
  virtual void launch(Queue& queue) = 0;
};

class Queue {
 public:
  gpu::stream_t stream;
  Precision precision = Precision::tf32;
  /** A number in device memory that must be finite for a parameter to be updated; or null. */
  const float* guard = nullptr;
  /** Memory of somebody else's that calls may work in. */
  void* lent = nullptr;
  size_t lentBytes = 0;
  /** While set, calls are put nowhere; only what they would take of `scratch` is noted. */
  bool measuring = false;
  size_t measured = 0;
  /** While set, slots are not filled: the graph's owner refreshes them before each replay. */
  bool capturing = false;

  explicit Queue(gpu::stream_t stream) : stream(stream) {}
  ~Queue() {
    for (const Block& block : blocks_) gpu::free(block.memory);
    if (slots_) gpu::free(slots_);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /** Device memory for one call, the same for the next; aligned to 256 bytes, its content undefined. */
  void* scratch(size_t bytes) {
    if (measuring) {
      measured = std::max(measured, bytes);
      return reinterpret_cast<void*>(ALIGNMENT);
    }
    if (bytes <= lentBytes) return lent;
    if (blocks_.empty() || blocks_.back().bytes < bytes) {
      void* memory = gpu::alloc(bytes);
      if (!memory)
        throw DeviceError("the device has no " + std::to_string(bytes) + " bytes left to work in");
      blocks_.push_back({memory, bytes});
    }
    return blocks_.back().memory;
  }

  /** Where the device finds the option, a number or a flag; a captured `call` lives until `forget`. */
  const double* varying(const Call& call, const char* name) {
    if (measuring) return nullptr;
    if (!slots_) slots_ = static_cast<double*>(gpu::alloc(SLOT_BYTES));
    if (!slots_) throw DeviceError("the device has no memory left for numbers that vary");
    const Source source{&call, name};
    if (capturing) {
      for (size_t i = 0; i < sources_.size(); i++)
        if (sources_[i].call == &call && sources_[i].name == name) return slots_ + i;
      require(sources_.size() < SLOTS, "a step has too many numbers that vary");
      sources_.push_back(source);
      return slots_ + sources_.size() - 1;
    }
    // Whoever used this slot before is done when the copy is.
    double* slot = slots_ + SLOTS + next_++ % SLOTS;
    const double value = source.value();
    succeed(gpu::upload(slot, &value, sizeof value, stream), "upload");
    return slot;
  }

  /** Fills the captured slots from the options that their calls have now. */
  void refresh() {
    std::vector<double> values;
    for (const Source& source : sources_) values.push_back(source.value());
    if (!values.empty())
      succeed(gpu::upload(slots_, values.data(), values.size() * sizeof(double), stream), "upload");
  }

  static constexpr size_t SLOTS = 4096, SLOT_BYTES = 2 * SLOTS * sizeof(double);

  /** At most one launch waits; whatever else is launched comes after it. */
  std::unique_ptr<Gathered> gathered;

  /** Launches what waits; before a capture ends. */
  void flush() {
    if (const std::unique_ptr<Gathered> waiting = std::move(gathered)) waiting->launch(*this);
  }

  /** The captured calls are gone, and so must be their graphs. */
  void forget() { sources_.clear(); }

 private:
  static constexpr size_t ALIGNMENT = 256;

  struct Block {
    void* memory;
    size_t bytes;
  };
  struct Source {
    const Call* call;
    std::string name;

    double value() const {
      const Option* option = call->options.find(name.c_str());
      return option && !option->numbers.empty() ? option->numbers[0] : 0;
    }
  };

  /** The last is the largest; the others are still known to graphs. */
  std::vector<Block> blocks_;
  double* slots_ = nullptr;
  /** Of the captured slots, in order. */
  std::vector<Source> sources_;
  /** Of the other slots, which are used in turn. */
  size_t next_ = 0;
};

// ## Launches

/** Blocks of `threads` threads for `count` things. */
inline unsigned blocksFor(int64_t count, int threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

/** The second and third extent of a grid; the hardware counts them in 16 bits. */
inline unsigned gridAxis(int64_t count, const char* what) {
  require(count <= 65535, std::string(what) + " " + std::to_string(count) +
                              " exceed the 65535 blocks that a grid may have along an axis");
  return static_cast<unsigned>(count);
}

/** A launch with so many bytes of dynamic shared memory. */
template <class... P, class... A>
void enqueueShared(Queue& queue, void (*kernel)(P...), const char* name, dim3 grid, int threads,
                   int sharedBytes, A&&... arguments) {
  queue.flush();
  if (queue.measuring) return;
  succeed(gpu::launch(kernel, name, grid, dim3(threads), sharedBytes, queue.stream,
                      std::forward<A>(arguments)...),
          name);
}
template <class... P, class... A>
void enqueue(Queue& queue, void (*kernel)(P...), const char* name, dim3 grid, int threads,
             A&&... arguments) {
  enqueueShared(queue, kernel, name, grid, threads, 0, std::forward<A>(arguments)...);
}

// ## Division by what the host knows
//
// n / d for n < 2³¹ by a multiplication, an addition and a shift; `d` is at least 1. Source: Granlund and
// Montgomery 1994, with ⌈log₂ d⌉ as the shift.

struct Divider {
  uint32_t divisor = 1, magic = 1, shift = 0;

  Divider() = default;
  explicit Divider(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t{1} << shift) < divisor) shift++;
    magic = static_cast<uint32_t>((((uint64_t{1} << shift) - divisor) << 32) / divisor + 1);
  }
  __device__ __forceinline__ int operator()(int n) const {
    const uint32_t u = static_cast<uint32_t>(n);
    return static_cast<int>((__umulhi(u, magic) + u) >> shift);
  }
};

}  // namespace convnotes
