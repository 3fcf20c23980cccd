// # Addition
//
// y = a + b, element by element, axes of size 1 repeated. One rounding. An activation can follow, or, with its
// result as input 2, its gradient (epilogue.h); then nothing is repeated.
// One thread = four elements, or one where an operand is repeated (elementwise.h). Bytes: 12 for each
// element, 16 with a gate.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Sum2 {
  __device__ float operator()(float a, float b) const { return a + b; }
};

GPU_KERNEL(ELEMENT_THREADS) addThen(Spaced a, Spaced b, Spaced y, Elements all, Epilogue then) {
  all.ofThread(
      [&](int i, int image) {
        const float4 v = a.fourAt(i, image), w = b.fourAt(i, image);
        const float4 g = then.gate ? *reinterpret_cast<const float4*>(then.gate + i) : v;
        y.fourAt(i, image) =
            make_float4(then(v.x + w.x, 0, {0, g.x}), then(v.y + w.y, 0, {0, g.y}),
                        then(v.z + w.z, 0, {0, g.z}), then(v.w + w.w, 0, {0, g.w}));
      },
      [&](int i, int image) {
        y.at(i, image) = then(a.at(i, image) + b.at(i, image), 0, then.read(i));
      });
}

}  // namespace

void add(Call& call, Queue& queue) {
  const Operand &a = call.inputApart(0), &b = call.inputApart(1), &y = call.outputApart(0);
  const Epilogue then = gateAt(call, 2);
  if (then.activation == Activation::none) return pairwise(call, queue, a, b, y, Sum2{});
  call.wantSame(a, y, "input");
  call.wantSame(b, y, "other");
  if (y.size() == 0) return;
  const Elements all = then.gate ? Elements{&y, &a, &b, &call.optional(2)} : Elements{&y, &a, &b};
  enqueue(queue, addThen, call.name, all.blocks(), ELEMENT_THREADS, Spaced(a), Spaced(b), Spaced(y), all,
          then);
}

}  // namespace convnotes::gpu_rooms
