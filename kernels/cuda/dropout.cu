// # Dropout
//
// y = x/(1 − p) where the mask keeps (mask.h), else 0; the gradient is the same function of dy.
//
// One thread = one block of the cipher, which is four elements. Bytes: 8 for each element; some 25 integer
// operations for each, of which an H100 does four times as many in the time that the bytes take. The gradient
// can go on with an activation's (epilogue.h), whose result is input 1, for 4 bytes more.
// Three roundings: 1 − p, its reciprocal, the product. The first two are in float64.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

GPU_KERNEL(ELEMENT_THREADS)
maskKernel(Mask m, const float* x, float* y, int count, bool whole, Epilogue then) {
  const int block = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  const int64_t i = int64_t{block} * 4;
  if (i >= count) return;
  const uint4 w = m.words(static_cast<uint32_t>(block));
  const bool kept[] = {w.x >= m.threshold, w.y >= m.threshold, w.z >= m.threshold,
                       w.w >= m.threshold};
  if (whole && i + 4 <= count) {
    const float4 v = *reinterpret_cast<const float4*>(x + i);
    const float4 g = then.gate ? *reinterpret_cast<const float4*>(then.gate + i) : v;
    *reinterpret_cast<float4*>(y + i) =
        make_float4(then(m(v.x, kept[0]), 0, {0, g.x}), then(m(v.y, kept[1]), 0, {0, g.y}),
                    then(m(v.z, kept[2]), 0, {0, g.z}), then(m(v.w, kept[3]), 0, {0, g.w}));
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (i + k < count)
      y[i + k] = then(m(x[i + k], kept[k]), 0, then.read(static_cast<int>(i) + k));
}

void mask(const Call& call, Queue& queue, const Epilogue& then) {
  const Operand &x = call.input(0), &y = call.output(0);
  call.wantSame(y, x, "output");
  const Mask m = maskOf(call, queue);
  if (y.size() == 0) return;
  enqueue(queue, maskKernel, call.name, blocksFor((y.size() + 3) / 4, ELEMENT_THREADS),
          ELEMENT_THREADS, m, x.floats(), y.floats(), static_cast<int>(y.size()),
          aligned(x.data) && aligned(y.data) && aligned(then.gate), then);
}

}  // namespace

void dropout(Call& call, Queue& queue) { mask(call, queue, {}); }
void dropout_backward_input(Call& call, Queue& queue) { mask(call, queue, gateAt(call, 1)); }

}  // namespace convnotes::gpu_rooms
