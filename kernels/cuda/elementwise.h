// # Element by element
//
// One thread = four neighbouring elements, which is one access of 16 bytes to each tensor, or one
// element where an image does not begin at a multiple of 16 bytes or the operands are repeated.
//
// Bytes: 4 for each element of each tensor, once; nothing is shared between threads. With a few
// operations for each element the roof is the memory's: at 16 bytes a thread and 2048 threads on a
// multiprocessor, 32 to 96 KB are on their way at any time, more than latency times bandwidth asks for.

#pragma once

#include "axes.h"
#include "epilogue.h"

namespace convnotes::gpu_rooms {

constexpr int ELEMENT_THREADS = 256;

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// ## Images that lie apart
//
// Of a slice (`Operand::gap`), element i, counted as if there were no gaps, lies as many gaps further on as its
// image has before it. Where no operand is a slice, all elements are counted as one image.

/** A tensor that may be a slice. */
struct Spaced {
  float* data = nullptr;
  int gap = 0;

  Spaced() = default;
  Spaced(const Operand& t) : data(t.floats()), gap(static_cast<int>(t.gap)) {}
  __device__ __forceinline__ float& at(int i, int image) const { return data[i + image * gap]; }
  /** From element i on. */
  __device__ __forceinline__ float4& fourAt(int i, int image) const {
    return reinterpret_cast<float4&>(at(i, image));
  }
};

/** Tensors of one shape, element by element. */
struct Elements {
  int count, fours = 0;
  /** An element's image is its number divided by this. */
  Divider byImage;

  Elements(std::initializer_list<const Operand*> operands)
      : count(static_cast<int>((*operands.begin())->size())) {
    int64_t image = std::max(count, 1);
    bool whole = true;
    for (const Operand* t : operands) {
      if (t->gap) image = t->size(1, t->axes);
      whole &= aligned(t->data) && t->gap % 4 == 0;
    }
    byImage = Divider(image);
    // Only the last image may end in the middle of four.
    if (whole && (image == count || image % 4 == 0)) fours = count / 4;
  }

  unsigned blocks() const { return blocksFor(int64_t{count} - 3 * fours, ELEMENT_THREADS); }
  /** Calls `four(element, image)` or `one(element, image)` with what is the thread's own, if anything. */
  template <class Four, class One>
  __device__ __forceinline__ void ofThread(const Four& four, const One& one) const {
    const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
    if (i < fours)
      four(4 * i, byImage(4 * i));
    else if (i < count - 3 * fours)
      one(i + 3 * fours, byImage(i + 3 * fours));
  }
};

// ## One operand

template <class F>
GPU_KERNEL(ELEMENT_THREADS) mapKernel(F f, Spaced x, Spaced y, Elements all) {
  all.ofThread(
      [&](int i, int image) {
        const float4 v = x.fourAt(i, image);
        y.fourAt(i, image) = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
      },
      [&](int i, int image) { y.at(i, image) = f(x.at(i, image)); });
}

/** y = f(x), of the same shape. */
template <class F>
void map(Call& call, Queue& queue, const F& f) {
  const Operand &x = call.inputApart(0), &y = call.outputApart(0);
  call.wantSame(y, x, "output");
  const Elements all{&x, &y};
  if (all.count == 0) return;
  enqueue(queue, mapKernel<F>, call.name, all.blocks(), ELEMENT_THREADS, f, Spaced(x), Spaced(y), all);
}

// ## Two operands

template <class F>
GPU_KERNEL(ELEMENT_THREADS) zipKernel(F f, Spaced a, Spaced b, Spaced y, Elements all) {
  all.ofThread(
      [&](int i, int image) {
        const float4 v = a.fourAt(i, image), w = b.fourAt(i, image);
        y.fourAt(i, image) = make_float4(f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w));
      },
      [&](int i, int image) { y.at(i, image) = f(a.at(i, image), b.at(i, image)); });
}

template <class F>
GPU_KERNEL(ELEMENT_THREADS)
broadcastKernel(F f, Nest nest, const float* a, const float* b, float* y, int count) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const Offsets at = nest.at(i);
  y[i] = f(a[at.a], b[at.b]);
}

/** y = f(a, b), all of one shape. */
template <class F>
void zip(const Call& call, Queue& queue, const Operand& a, const Operand& b, const Operand& y,
         const F& f) {
  const Elements all{&y, &a, &b};
  if (all.count == 0) return;
  enqueue(queue, zipKernel<F>, call.name, all.blocks(), ELEMENT_THREADS, f, Spaced(a), Spaced(b),
          Spaced(y), all);
}

/** y = f(a, b), axes of size 1 repeated. */
template <class F>
void pairwise(const Call& call, Queue& queue, const Operand& a, const Operand& b, const Operand& y,
              const F& f) {
  const std::vector<int64_t> aSteps = broadcastSteps(a, y), bSteps = broadcastSteps(b, y);
  Nest nest;
  for (int i = 0; i < y.axes; i++) {
    require(y.shape[i] == 1 || aSteps[i] != 0 || bSteps[i] != 0 || y.size() == 0,
            "output has shape " + y.show() + ", which " + a.show() + " and " + b.show() +
                " do not make");
    nest.add(y.shape[i], aSteps[i], bSteps[i]);
  }
  if (y.size() == 0) return;
  const bool once = a.size() == y.size() && b.size() == y.size();
  for (const Operand* t : {&a, &b, &y})
    require(t->gap == 0 || (once && t->axes == y.axes),
            "where an operand is repeated, none can be a slice");
  if (once) return zip(call, queue, a, b, y, f);
  enqueue(queue, broadcastKernel<F>, call.name, blocksFor(y.size(), ELEMENT_THREADS),
          ELEMENT_THREADS, f, nest, a.floats(), b.floats(), y.floats(),
          static_cast<int>(y.size()));
}

// ## Copies
//
// One thread = one element. Where a tensor's innermost axis is not read or written in order, up to 32 bytes
// are moved for each 4 that nothing finds in a cache.

GPU_KERNEL(ELEMENT_THREADS) copyKernel(Nest nest, const float* from, float* to, int count) {
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const Offsets at = nest.at(i);
  to[at.b] = from[at.a];
}

/** Copies the elements of a nest from its first tensor to its second. */
inline void copyNest(const Call& call, Queue& queue, const Nest& nest, const float* from,
                     float* to) {
  const int64_t count = nest.count();
  if (count == 0) return;
  enqueue(queue, copyKernel, call.name, blocksFor(count, ELEMENT_THREADS), ELEMENT_THREADS, nest,
          from, to, static_cast<int>(count));
}

}  // namespace convnotes::gpu_rooms
