// # Adam
//
// m' = m + (1 − β₁)(g − m);  v' = β₂v + (1 − β₂)g²;  p' = p − η/(1 − β₁ᵗ) · m' / (√v'/√(1 − β₂ᵗ) + ε).
// Weight decay λ adds λp to g or, decoupled, first shrinks p by 1 − ηλ. The corrections are computed in
// float64 and rounded; everything else rounds operation by operation.
//
// One thread = four elements, and one launch = all parameters of a captured step (many.h). Learning rate
// and step are read from device memory, and the first thread of each block makes the corrections of
// them for the others. Bytes: 28 for each element; bound by memory, the root and the two divisions
// hidden behind it.

#include "many.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

struct Adaption {
  double beta1, beta2, decay;
  float fresh1, keep2, fresh2, eps, pull;
  bool decoupled;

  bool operator==(const Adaption&) const = default;
};

struct Corrections {
  float minusStep, root, shrink;
};

/** in: parameter, gradient, mean, square; out: parameter, mean, square; numbers: learning rate, step. */
GPU_KERNEL(ELEMENT_THREADS) adapt(GPU_LARGE(Many<Adaption>) many) {
  GPU_SHARED(Corrections, corrections);
  if (many.isHalted()) return;
  const int which = many.of(static_cast<int>(blockIdx.x));
  const Parameter& t = many.parameters[which];
  const Adaption& a = many.options;
  if (threadIdx.x == 0) {
    const double lr = *t.numbers[0], step = *t.numbers[1];
    corrections.minusStep = static_cast<float>(-lr / (1 - pow(a.beta1, step)));
    corrections.root = static_cast<float>(sqrt(1 - pow(a.beta2, step)));
    corrections.shrink = static_cast<float>(a.decoupled ? 1 - lr * a.decay : 1);
  }
  __syncthreads();
  const int64_t i = int64_t{static_cast<int>(blockIdx.x) - many.first[which]} * MANY_ELEMENTS +
                    static_cast<int>(threadIdx.x) * 4;
  float p[4], g[4], mean[4], square[4];
  readFour(t, t.in[0], i, p);
  readFour(t, t.in[1], i, g);
  readFour(t, t.in[2], i, mean);
  readFour(t, t.in[3], i, square);
#pragma unroll
  for (int k = 0; k < 4; k++) {
    // Without decay an infinite parameter leaves its moments alone.
    const float gradient = a.pull == 0 ? g[k] : fmaf(a.pull, p[k], g[k]);
    mean[k] = fmaf(a.fresh1, gradient - mean[k], mean[k]);
    square[k] = fmaf(a.keep2, square[k], a.fresh2 * gradient * gradient);
    const float divisor = sqrtf(square[k]) / corrections.root + a.eps;
    p[k] = fmaf(corrections.minusStep, mean[k] / divisor, p[k] * corrections.shrink);
  }
  writeFour(t, t.out[0], i, p);
  writeFour(t, t.out[1], i, mean);
  writeFour(t, t.out[2], i, square);
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
  const Adaption a{beta1,
                   beta2,
                   decay,
                   static_cast<float>(1 - beta1),
                   static_cast<float>(beta2),
                   static_cast<float>(1 - beta2),
                   static_cast<float>(o.number("eps", 1e-8)),
                   static_cast<float>(decoupled ? 0 : decay),
                   decoupled};
  Parameter t{};
  t.in[0] = param.floats();
  t.in[1] = grad.floats();
  t.in[2] = mean.floats();
  t.in[3] = square.floats();
  t.out[0] = next.floats();
  t.out[1] = nextMean.floats();
  t.out[2] = nextSquare.floats();
  t.numbers[0] = queue.varying(call, "lr");
  t.numbers[1] = queue.varying(call, "step");
  t.count = static_cast<int>(param.size());
  together(call, queue, adapt, a, t);
}

}  // namespace convnotes::gpu_rooms
