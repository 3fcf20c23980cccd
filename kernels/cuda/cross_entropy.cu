// # Cross-entropy
//
// ℓ = Σ_c a_c·(log D − (x_c − m)) for each sample, D = Σ e^(x_c − m), m the largest score; and
// dx_c = dℓ·(e^(x_c − m)/D · Σ a − a_c). The coefficients a come from labels or probabilities, smoothed
// and weighted (reference/ops/cross_entropy.ts); the mean divides by what the samples count.
//
// One warp = one sample, whose scores are read three times, from a cache after the first. One block of 256
// threads then adds up the samples: with `mean` also what they count, which is read from the labels
// alone, so that the gradient need not know the loss.
//
// Exponentials are float32; everything after them is float64 and rounded once. Order of summation: classes,
// every 32nd in a lane, then the lanes; samples, every 256th in a thread, then the threads.
// Bytes: 4 for each score forward, 8 backward; 16 for each sample. A label that no class has cannot be
// reported from here; it makes the loss and the sample's gradient NaN.

#include "lines.h"
#include "rooms.h"

namespace convnotes::gpu_rooms {

namespace {

constexpr int FOLD_SAMPLES = 256;

struct Scores {
  const float *x, *weight, *probabilities;
  const int64_t* labels;
  int classes, step, samples;
  Divider byStep;
  /** What a label's own class gets, and every class. */
  double own, every;
  double ignored;
  bool mean;

  /** Where the scores of sample n begin. */
  __device__ __forceinline__ int start(int n) const {
    const int outer = byStep(n);
    return outer * classes * step + n - outer * step;
  }
  __device__ __forceinline__ bool isIgnored(int n) const {
    return labels && static_cast<double>(labels[n]) == ignored;
  }
  __device__ __forceinline__ bool isWrong(int n) const {
    return labels && !isClass(labels[n]);
  }
  __device__ __forceinline__ double weightOf(int64_t c) const {
    return weight ? static_cast<double>(weight[c]) : 1;
  }
  __device__ __forceinline__ bool isClass(int64_t label) const {
    return label >= 0 && label < classes;
  }
  __device__ __forceinline__ double coefficient(int n, int c) const {
    const double t = labels ? (c == labels[n] ? 1 : 0)
                            : static_cast<double>(probabilities[start(n) + c * step]);
    return weightOf(c) * (own * t + every);
  }
  /** What sample n counts in the mean. */
  __device__ __forceinline__ double countOf(int n) const {
    if (!labels) return 1;
    if (isIgnored(n)) return 0;
    // Read once: what leads to an address is what has been looked at.
    const int64_t label = labels[n];
    return isClass(label) ? weightOf(label) : static_cast<double>(NAN);
  }
};

struct Arguments {
  Scores scores;
  std::vector<int64_t> lossShape;
  bool none;
};

Arguments argumentsOf(const Call& call, size_t first) {
  const Operand &x = call.input(first), &weight = call.optional(first + 2);
  require(x.axes >= 1, "input is a single number");
  const int axis = x.axes > 1 ? 1 : 0;
  Scores s{};
  s.x = x.floats();
  s.weight = weight.floats();
  const int64_t step = x.size(axis + 1, x.axes);
  s.classes = static_cast<int>(x.shape[axis]);
  s.step = static_cast<int>(step);
  s.byStep = Divider(std::max<int64_t>(step, 1));
  s.samples = static_cast<int>((axis == 1 ? x.shape[0] : 1) * step);
  std::vector<int64_t> sampleShape;
  for (int i = 0; i < x.axes; i++)
    if (i != axis) sampleShape.push_back(x.shape[i]);
  require(call.inputs.size() > first + 1 && call.inputs[first + 1].present, "target is missing");
  const Operand& target = call.inputs[first + 1];
  if (target.dtype == DType::int64) {
    call.want(target, sampleShape, "target");
    s.labels = static_cast<const int64_t*>(target.data);
  } else {
    s.probabilities = call.input(first + 1).floats();
    call.wantSame(target, x, "target");
  }
  call.want(weight, {s.classes}, "weight");
  const double smoothing = call.options.number("labelSmoothing", 0);
  s.own = 1 - smoothing;
  s.every = smoothing / static_cast<double>(s.classes);
  s.ignored = call.options.number("ignoreIndex", -100);
  const std::string reduction = call.options.text("reduction", "mean");
  const bool none = reduction == "none";
  s.mean = reduction == "mean";
  require(none || s.mean || reduction == "sum", "reduction must be mean, sum or none");
  return {s, none ? sampleShape : std::vector<int64_t>{}, none};
}

// ## Samples

/** A warp's sum, the same in all lanes. */
__device__ __forceinline__ double addLanes(double x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffff, x, lanes);
  return x;
}

struct Shifted {
  float most;
  double total;
};

__device__ __forceinline__ Shifted shiftOf(const Scores& s, const float* x, int lane) {
  float most = -INFINITY;
  for (int c = lane; c < s.classes; c += 32) most = Larger::join(most, x[c * s.step]);
  most = joinWarp<Larger>(most);
  double total = 0;
  for (int c = lane; c < s.classes; c += 32)
    total += static_cast<double>(expf(x[c * s.step] - most));
  return {most, addLanes(total)};
}

/** Losses go to `losses`, or, rounded, to `y`. */
GPU_KERNEL(REDUCE_THREADS) sampleLosses(Scores s, double* losses, float* y) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  if (warp >= s.samples) return;
  const int n = static_cast<int>(warp);
  double loss = 0;
  if (!s.isIgnored(n)) {
    const float* x = s.x + s.start(n);
    const Shifted shifted = shiftOf(s, x, lane);
    const double logarithm = log(shifted.total);
    for (int c = lane; c < s.classes; c += 32) {
      const double a = s.coefficient(n, c);
      if (a != 0) loss += a * (logarithm - static_cast<double>(x[c * s.step] - shifted.most));
    }
    loss = addLanes(loss);
    if (s.isWrong(n)) loss = static_cast<double>(NAN);
  }
  if (lane > 0) return;
  if (losses)
    losses[n] = loss;
  else
    y[n] = static_cast<float>(loss);
}

/** The sum over a block of one number from each thread, in thread 0. */
__device__ __forceinline__ double addThreads(double x, double* ofWarps) {
  x = addLanes(x);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) ofWarps[thread / 32] = x;
  __syncthreads();
  double total = 0;
  if (thread == 0)
    for (int warp = 0; warp < FOLD_SAMPLES / 32; warp++) total += ofWarps[warp];
  return total;
}

__device__ __forceinline__ double divisorOf(const Scores& s, double* ofWarps) {
  double count = 0;
  for (int n = static_cast<int>(threadIdx.x); n < s.samples; n += FOLD_SAMPLES) count += s.countOf(n);
  return addThreads(count, ofWarps);
}

GPU_KERNEL(FOLD_SAMPLES) totalLoss(Scores s, const double* losses, float* y) {
  GPU_SHARED(double[2][FOLD_SAMPLES / 32], ofWarps);
  double loss = 0;
  for (int n = static_cast<int>(threadIdx.x); n < s.samples; n += FOLD_SAMPLES) loss += losses[n];
  const double total = addThreads(loss, ofWarps[0]);
  const double divisor = s.mean ? divisorOf(s, ofWarps[1]) : 1;
  if (threadIdx.x == 0) y[0] = static_cast<float>(total / (s.mean ? divisor : 1));
}

GPU_KERNEL(FOLD_SAMPLES) countSamples(Scores s, double* divisor) {
  GPU_SHARED(double[FOLD_SAMPLES / 32], ofWarps);
  const double count = divisorOf(s, ofWarps);
  if (threadIdx.x == 0) *divisor = count;
}

/** `dy` is one number, or one for each sample with `none`; `divisor` null stands for 1. */
GPU_KERNEL(REDUCE_THREADS)
sampleGradients(Scores s, const float* dy, const double* divisor, float* dx, bool none) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp =
      (int64_t{blockIdx.x} * REDUCE_THREADS + static_cast<int>(threadIdx.x)) / 32;
  if (warp >= s.samples) return;
  const int n = static_cast<int>(warp);
  const double by = divisor ? *divisor : 1;
  float* to = dx + s.start(n);
  if (by == 0) {
    for (int c = lane; c < s.classes; c += 32) to[c * s.step] = 0;
    return;
  }
  const float* x = s.x + s.start(n);
  double scale = static_cast<double>(dy[none ? n : 0]) / by;
  if (s.isWrong(n) && !s.isIgnored(n)) scale = static_cast<double>(NAN);
  const Shifted shifted = shiftOf(s, x, lane);
  const bool counts = !s.isIgnored(n);
  double sum = 0;
  for (int c = lane; c < s.classes; c += 32) sum += counts ? s.coefficient(n, c) : 0;
  sum = addLanes(sum);
  for (int c = lane; c < s.classes; c += 32) {
    const double e = static_cast<double>(expf(x[c * s.step] - shifted.most));
    const double a = counts ? s.coefficient(n, c) : 0;
    to[c * s.step] = static_cast<float>(scale * (e / shifted.total * sum - a));
  }
}

}  // namespace

void cross_entropy(Call& call, Queue& queue) {
  const Arguments a = argumentsOf(call, 0);
  const Scores& s = a.scores;
  const Operand& y = call.output(0);
  call.want(y, a.lossShape, "output");
  double* losses =
      a.none ? nullptr : static_cast<double*>(queue.scratch(s.samples * sizeof(double)));
  if (s.samples > 0)
    enqueue(queue, sampleLosses, call.name, blocksFor(int64_t{s.samples} * 32, REDUCE_THREADS),
            REDUCE_THREADS, s, losses, y.floats());
  if (losses) enqueue(queue, totalLoss, call.name, 1, FOLD_SAMPLES, s, losses, y.floats());
}

void cross_entropy_backward_input(Call& call, Queue& queue) {
  const Operand &dy = call.input(0), &dx = call.output(0);
  const Arguments a = argumentsOf(call, 1);
  const Scores& s = a.scores;
  call.want(dy, a.lossShape, "dy");
  call.wantSame(dx, call.input(1), "output");
  if (dx.size() == 0) return;
  double* divisor = s.mean ? static_cast<double*>(queue.scratch(sizeof(double))) : nullptr;
  if (divisor) enqueue(queue, countSamples, call.name, 1, FOLD_SAMPLES, s, divisor);
  enqueue(queue, sampleGradients, call.name, blocksFor(int64_t{s.samples} * 32, REDUCE_THREADS),
          REDUCE_THREADS, s, dy.floats(), divisor, dx.floats(), a.none);
}

}  // namespace convnotes::gpu_rooms
