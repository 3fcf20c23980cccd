// # Adam
//
// m' = m + (1 − β₁)(g − m);  v' = β₂v + (1 − β₂)g²;  p' = p − η/(1 − β₁ᵗ) · m' / (√v'/√(1 − β₂ᵗ) + ε).
// Weight decay λ adds λp to g or, decoupled, first shrinks p by 1 − ηλ. The corrections are computed in
// float64 and rounded; everything else rounds operation by operation.
//
// One thread = one element. Learning rate and step are read from device memory, and the first thread of each
// block makes the corrections of them for the others. Bytes: 28 for each element; bound by memory, the
// root and the two divisions hidden behind it.

#include "elementwise.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Adam {
  const double *lr, *step;
  double beta1, beta2, decay;
  float fresh1, keep2, fresh2, eps, pull;
  bool decoupled;
};

struct Moments {
  const float *p, *g, *mean, *square;
  float *next, *nextMean, *nextSquare;
};

struct Corrections {
  float minusStep, root, shrink;
};

GPU_KERNEL(ELEMENT_THREADS) adapt(Adam a, Moments t, int count) {
  GPU_SHARED(Corrections, corrections);
  if (threadIdx.x == 0) {
    const double lr = *a.lr, step = *a.step;
    corrections.minusStep = static_cast<float>(-lr / (1 - pow(a.beta1, step)));
    corrections.root = static_cast<float>(sqrt(1 - pow(a.beta2, step)));
    corrections.shrink = static_cast<float>(a.decoupled ? 1 - lr * a.decay : 1);
  }
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x) * ELEMENT_THREADS + static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const float x = t.p[i], gradient = fmaf(a.pull, x, t.g[i]), old = t.mean[i];
  const float mean = fmaf(a.fresh1, gradient - old, old);
  const float square = fmaf(a.keep2, t.square[i], a.fresh2 * gradient * gradient);
  t.nextMean[i] = mean;
  t.nextSquare[i] = square;
  const float divisor = sqrtf(square) / corrections.root + a.eps;
  t.next[i] = fmaf(corrections.minusStep, mean / divisor, x * corrections.shrink);
}

}  // namespace

void adam(Call& call, Queue& queue) {
  const Operand &param = call.input(0), &grad = call.input(1);
  const Operand &mean = call.input(2), &square = call.input(3);
  const Operand &next = call.output(0), &nextMean = call.output(1), &nextSquare = call.output(2);
  for (const Operand* t : {&grad, &mean, &square, &next, &nextMean, &nextSquare})
    call.wantSame(*t, param, "what belongs to param");
  const Options& o = call.options;
  for (const char* name : {"lr", "step"}) {
    require(o.find(name) != nullptr, std::string(name) + " is missing");
    o.number(name, NAN);
  }
  const double beta1 = o.number("beta1", 0.9), beta2 = o.number("beta2", 0.999);
  const double decay = o.number("weightDecay", 0);
  const bool decoupled = o.flag("decoupled", false);
  if (param.size() == 0) return;
  const Adam a{queue.varying(call, "lr"),
               queue.varying(call, "step"),
               beta1,
               beta2,
               decay,
               static_cast<float>(1 - beta1),
               static_cast<float>(beta2),
               static_cast<float>(1 - beta2),
               static_cast<float>(o.number("eps", 1e-8)),
               static_cast<float>(decoupled ? 0 : decay),
               decoupled};
  const Moments t{param.floats(), grad.floats(),     mean.floats(),      square.floats(),
                  next.floats(),  nextMean.floats(), nextSquare.floats()};
  enqueue(queue, adapt, call.name, blocksFor(param.size(), ELEMENT_THREADS), ELEMENT_THREADS, a, t,
          static_cast<int>(param.size()));
}

}  // namespace convnotes::gpu_rooms
